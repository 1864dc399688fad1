//! A child process that is an engine: started by this binary's own launcher, watched, ended.
//!
//! In: a program and its arguments, a folder to run in. Out: a pid, and a clean end.
//!
//! # Invariants
//! - The child ends with this process, however this process ends (see [`super::launcher`]).
//! - It is in a process group of its own: Ctrl-C reaches this process only, which ends its
//!   engines when it needs them no more.
//! - Its output is in `DIR/NAME.log`, that of the start before in `DIR/NAME.log.previous`.
//! - One engine of a name over one folder at a time.
//! - No wait is without a deadline. All calls block: from async code, use `spawn_blocking`.
//!
//! Deliberately unknown here: which engine it is.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::launcher;

/// How often a condition is looked at: short beside an engine's start, cheap beside its work.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An engine that is being killed is gone within a second; one that is not will not be.
const LOCKS_WITHIN: Duration = Duration::from_secs(5);

/// How much of a log an error shows.
const LOG_TAIL_LINES: usize = 15;

/// Whether this process is asked to end. One word for all that waits: starting blocks, on threads
/// that nothing else reaches.
static GIVEN_UP: AtomicBool = AtomicBool::new(false);

/// Ends every wait for an engine that starts or is fetched, now and from now on; what was started
/// ends with its wait.
pub(super) fn give_up() {
    GIVEN_UP.store(true, Ordering::Release);
}

/// An error once this process is asked to end.
pub(super) fn still_wanted() -> anyhow::Result<()> {
    ensure!(!GIVEN_UP.load(Ordering::Acquire), "interrupted while starting");
    Ok(())
}

/// A running engine. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Engine {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Engine {
    /// Starts `trailhouse engine PID ARGS...` in `dir`.
    pub(super) fn start(
        name: &'static str,
        dir: &Path,
        launcher_exe: &Path,
        args: Vec<OsString>,
    ) -> anyhow::Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = locked_log(name, &log)?;
        // Absolute, because a relative one would be looked for from `dir`.
        let mut command = Command::new(std::path::absolute(launcher_exe)?);
        command
            .arg(launcher::SUBCOMMAND)
            .arg(std::process::id().to_string())
            .args(args)
            .current_dir(dir)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child = spawn(command)
            .with_context(|| format!("cannot start {name} through {}", launcher_exe.display()))?;
        Ok(Self { name, child, log })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` answers something.
    pub(super) fn wait_until<T>(
        &mut self,
        within: Duration,
        mut ready: impl FnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(answer) = ready() {
                return Ok(answer);
            }
            still_wanted()?;
            let name = self.name;
            if let Some(status) = self.child.try_wait()? {
                bail!("{name} ended while starting ({status})\n{}", self.log_tail());
            }
            if Instant::now() > deadline {
                bail!("{name} is not ready after {within:?}\n{}", self.log_tail());
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until it has ended of its own accord, as one that does a single thing must.
    pub(super) fn finish(mut self, within: Duration) -> anyhow::Result<()> {
        let name = self.name;
        let deadline = Instant::now() + within;
        loop {
            match wait(&mut self.child, LOOK_EVERY)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{name} failed ({status})\n{}", self.log_tail()),
                None if Instant::now() > deadline => {
                    bail!("{name} has not ended after {within:?}\n{}", self.log_tail())
                }
                None => still_wanted()?,
            }
        }
    }

    /// Asks it to end (SIGTERM) and waits. An exit code that is not one of `clean` is an error,
    /// and so is that it had to be killed after `grace`.
    pub(super) fn stop(mut self, grace: Duration, clean: &[i32]) -> anyhow::Result<()> {
        launcher::terminate(self.child.id());
        let status = wait(&mut self.child, grace)?;
        let name = self.name;
        match status {
            Some(status) if status.code().is_some_and(|code| clean.contains(&code)) => Ok(()),
            Some(status) => bail!("{name} did not end cleanly ({status})\n{}", self.log_tail()),
            None => bail!("{name} was killed: still running {grace:?} after SIGTERM"),
        }
    }

    fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        format!("its log, {}, ends:\n{}", self.log.display(), tail(&String::from_utf8_lossy(&text)))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens an engine's log, empty, and locks it. The child holds the lock with its standard output,
/// until the kernel has ended it: so there is one engine of a name over a folder, and that of a
/// process killed a moment ago is waited for.
pub(super) fn locked_log(name: &str, log: &Path) -> anyhow::Result<File> {
    let file = File::options().create(true).append(true).open(log);
    let file = file.with_context(|| format!("cannot write {}", log.display()))?;
    let deadline = Instant::now() + LOCKS_WITHIN;
    while let Err(error) = file.try_lock() {
        match error {
            TryLockError::Error(error) => return Err(error.into()),
            TryLockError::WouldBlock if Instant::now() > deadline => {
                bail!(
                    "another {name} still writes {}: end it, or use another folder",
                    log.display()
                )
            }
            TryLockError::WouldBlock => {
                still_wanted()?;
                thread::sleep(LOOK_EVERY);
            }
        }
    }
    fs::copy(log, log.with_extension("log.previous"))?;
    file.set_len(0)?;
    Ok(file)
}

/// A free port of 127.0.0.1. Another process may take it before the engine does; the engine then
/// says so in its log and does not start.
pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits for a child; `None` where it still runs after `within`.
pub(super) fn wait(child: &mut Child, within: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + within;
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() > deadline {
            return Ok(status);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Spawns from a thread that ends with this process only. To the kernel, the parent whose death a
/// child asked to be told of (`PR_SET_PDEATHSIG`) is the spawning *thread*: a child spawned from a
/// test's thread or a pool's would be killed when that thread ends.
pub fn spawn(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, reply) in queue {
                // The receiver below waits for every reply.
                let _ = reply.send(command.spawn());
            }
        });
        jobs
    });
    let (reply, answer) = mpsc::channel();
    let gone = |_| io::Error::other("the thread that starts engines has ended");
    SPAWNER.send((command, reply)).map_err(|_| gone(mpsc::RecvError))?;
    answer.recv().map_err(gone)?
}

/// The last lines of a text that say something.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Engine) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("shell.log");
        let output = File::create(&log).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(output);
        let child = spawn(command).unwrap();
        (dir, Engine { name: "shell", child, log })
    }

    #[test]
    fn an_engine_that_dies_while_starting_shows_the_end_of_its_log() {
        let (_dir, mut engine) = shell("echo no such table; exit 3");
        let error = engine.wait_until(Duration::from_secs(10), || None::<()>).unwrap_err();
        assert!(error.to_string().contains("no such table"), "{error}");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn an_engine_that_ignores_sigterm_is_killed_and_that_is_an_error() {
        let (_dir, mut engine) = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
        let log = engine.log.clone();
        let ready = || fs::read_to_string(&log).ok().filter(|text| text.contains("ready"));
        engine.wait_until(Duration::from_secs(10), ready).unwrap();
        let pid = engine.pid();
        let error = engine.stop(Duration::from_millis(100), &[0]).unwrap_err();
        assert!(error.to_string().contains("was killed"), "{error}");
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn an_engine_outlives_the_thread_that_started_it_and_dies_by_drop() {
        let (_dir, mut engine) = thread::spawn(|| shell("sleep 60")).join().unwrap();
        assert_eq!(wait(&mut engine.child, Duration::from_millis(50)).unwrap(), None);
        let pid = engine.pid();
        drop(engine);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_folder_is_free_again_only_when_the_engine_over_it_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        let mut command = Command::new("sleep");
        command.arg("60").stdout(locked_log("x", &log).unwrap());
        let mut child = spawn(command).unwrap();
        let other = File::open(&log).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        child.kill().unwrap();
        locked_log("x", &log).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_tail_is_the_last_lines_that_say_something() {
        let text: String = (0..40).map(|i| format!("line {i}\n\n")).collect();
        assert_eq!(tail(&text).lines().next(), Some("line 25"));
        assert_eq!(tail("one"), "one");
        assert_eq!(tail(""), "");
    }
}
