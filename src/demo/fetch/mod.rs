//! Obtaining the engines: once a machine, pinned, into a cache outside the repository.
//!
//! In: a name and a way to make a folder of that name. Out: the folder, whole and verified.
//!
//! # Invariants
//! - A folder bears its name only when its content has been checked against the pin in this
//!   source: it is made under another name and renamed. So its existence is the proof, and the
//!   check is paid once.
//! - Two processes that want the same thing: one makes it, the other waits for the kernel's lock
//!   on `NAME.lock`, which a killed process cannot leave behind.
//! - Registries are reached through their ordinary clients, with the user's own configuration.
//!
//! Deliberately unknown here: what the engines are for.

mod maven;
mod npm;
mod progress;

pub use maven::{java, kafka_jars};
pub use npm::clickhouse_library;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sha2::Digest;

use super::process;
use crate::app::output::tell;
use progress::Progress;

/// The longest a registry's client may take: 180 MB at 2 Mbit/s, roughly.
const FETCHES_WITHIN: Duration = Duration::from_secs(15 * 60);

/// How often a registry's client, or another process that fetches, is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The folder where fetched things are kept.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// `TRAILHOUSE_CACHE`, else `XDG_CACHE_HOME/trailhouse`, else `~/.cache/trailhouse`.
    pub fn of_user() -> anyhow::Result<Self> {
        let folder = folder_from(|name| std::env::var_os(name)).context(
            "no folder to keep fetched engines in: set TRAILHOUSE_CACHE, XDG_CACHE_HOME or HOME",
        )?;
        Ok(Self { folder: std::path::absolute(folder)? })
    }

    /// The folder `name`, made by `make` (which gets an empty folder to fill, and checks what it
    /// puts there) where it is not there yet.
    fn obtain(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<PathBuf> {
        let whole = self.folder.join(name);
        if whole.exists() {
            return Ok(whole);
        }
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make the cache folder {}", self.folder.display()))?;
        let _lock = self.lock(name)?;
        if whole.exists() {
            return Ok(whole);
        }
        // Under the lock, a folder of this name is what a killed process left.
        let partial = self.folder.join(format!("{name}.partial"));
        remove_folder(&partial)?;
        fs::create_dir(&partial)?;
        if let Err(error) = make(&partial) {
            // The reason is the error to tell; what cannot be removed now is removed next time.
            let _ = remove_folder(&partial);
            return Err(error);
        }
        fs::rename(&partial, &whole)?;
        Ok(whole)
    }

    fn lock(&self, name: &str) -> anyhow::Result<File> {
        let path = self.folder.join(format!("{name}.lock"));
        let file = File::create(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                tell(format_args!("waiting for another process that is fetching {name}"));
                while let Err(error) = file.try_lock() {
                    match error {
                        TryLockError::Error(error) => return Err(error.into()),
                        TryLockError::WouldBlock => process::still_wanted()?,
                    }
                    thread::sleep(LOOK_EVERY);
                }
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(file)
    }
}

/// Removes a folder with all that is in it; that there is none is fine.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The first program of that name on `PATH`.
pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn folder_from(var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("TRAILHOUSE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("trailhouse")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/trailhouse")))
}

/// Runs a registry's client to its end, its output in a file, the bar following the bytes that
/// arrive in `growing`.
fn run_client(
    mut command: Command,
    log: &Path,
    growing: &Path,
    progress: &Progress,
) -> anyhow::Result<()> {
    let program = command.get_program().display().to_string();
    let output = File::create(log)?;
    // Ctrl-C reaches this process only, which ends the client and says so.
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    let deadline = Instant::now() + FETCHES_WITHIN;
    loop {
        match process::wait(&mut child, LOOK_EVERY)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                let log = fs::read_to_string(log).unwrap_or_default();
                bail!("{program} failed ({status}):\n{}", process::tail(&log));
            }
            None if Instant::now() > deadline => {
                child.kill()?;
                child.wait()?;
                bail!("{program} was still fetching after {FETCHES_WITHIN:?} and was stopped");
            }
            None => {
                if let Err(error) = process::still_wanted() {
                    child.kill()?;
                    child.wait()?;
                    return Err(error);
                }
                progress.at(bytes_in(growing));
            }
        }
    }
}

/// The bytes of all files under a folder; what disappears while we look counts nothing.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// The digest of a file's bytes.
fn digest_of<D: Digest>(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut hash = D::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().to_vec()),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Whether a directory entry's name ends so.
fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension() == Some(OsStr::new(extension))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cache");
        (dir, Cache { folder })
    }

    #[test]
    fn the_cache_is_where_the_most_particular_variable_says() {
        let of = |set: &[(&str, &str)]| {
            folder_from(|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()))
        };
        let home = ("HOME", "/h");
        let xdg = ("XDG_CACHE_HOME", "/x");
        assert_eq!(of(&[home]), Some("/h/.cache/trailhouse".into()));
        assert_eq!(of(&[home, xdg]), Some("/x/trailhouse".into()));
        assert_eq!(of(&[home, xdg, ("TRAILHOUSE_CACHE", "/t")]), Some("/t".into()));
        assert_eq!(of(&[home, ("TRAILHOUSE_CACHE", "")]), Some("/h/.cache/trailhouse".into()));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_thing_is_made_once_however_many_want_it_at_once() {
        let (_dir, cache) = cache();
        let made = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let folder = cache.obtain("thing-1", |partial| {
                        made.fetch_add(1, Ordering::SeqCst);
                        Ok(fs::write(partial.join("file"), "whole")?)
                    });
                    assert_eq!(fs::read_to_string(folder.unwrap().join("file")).unwrap(), "whole");
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_thing_that_could_not_be_made_is_not_there_and_is_made_next_time() {
        let (_dir, cache) = cache();
        let failed = cache.obtain("thing-1", |partial| {
            fs::write(partial.join("file"), "half")?;
            bail!("no network")
        });
        assert_eq!(failed.unwrap_err().to_string(), "no network");
        assert!(!cache.folder.join("thing-1").exists());
        // What a killed process leaves: a partial folder, and a lock file nobody holds.
        fs::create_dir(cache.folder.join("thing-1.partial")).unwrap();
        fs::write(cache.folder.join("thing-1.partial/old"), "half").unwrap();
        let folder = cache.obtain("thing-1", |_| Ok(())).unwrap();
        assert!(!folder.join("old").exists());
    }

    #[test]
    fn a_client_that_fails_shows_what_it_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo E404 not found >&2; exit 1"]);
        let progress = Progress::quiet();
        let log = dir.path().join("log");
        let error = run_client(command, &log, dir.path(), &progress).unwrap_err();
        assert!(error.to_string().contains("E404 not found"), "{error}");
    }

    #[test]
    fn a_digest_is_that_of_the_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, vec![7; 3 << 20]).unwrap();
        let whole = sha2::Sha256::digest(vec![7; 3 << 20]).to_vec();
        assert_eq!(digest_of::<sha2::Sha256>(&file).unwrap(), whole);
        assert_eq!(bytes_in(dir.path()), 3 << 20);
    }
}
