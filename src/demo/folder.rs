//! The folder of a demo's data: whose it is, and emptying it.
//!
//! In: `--dir`, `--reset`. Out: a folder that is this demo's alone.
//!
//! # Invariants
//! - One demo over a folder at a time: the kernel's lock on `demo.lock`, which a killed process
//!   cannot leave behind.
//! - Nothing is removed under an engine that runs, and nothing that is not a demo's.
//!
//! Deliberately unknown here: what the engines keep in it.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::process;

/// A folder that is ours until this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    _lock: File,
}

impl Folder {
    /// Takes a folder, made where it is not there.
    pub(super) fn take(dir: &Path) -> anyhow::Result<Folder> {
        let cannot = || format!("{} cannot be a demo's folder", dir.display());
        fs::create_dir_all(dir).with_context(cannot)?;
        let lock = File::create(dir.join("demo.lock")).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => Ok(Folder { _lock: lock }),
            Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
            Err(TryLockError::WouldBlock) => {
                bail!("another demo runs over {}: end it, or give another --dir", dir.display())
            }
        }
    }
}

/// Drops what the engines of earlier demos keep in a folder that has been taken.
pub(super) fn reset(dir: &Path) -> anyhow::Result<()> {
    for engine in ["clickhouse", "kafka"] {
        let part = dir.join(engine);
        if !part.exists() {
            continue;
        }
        let log = part.join(format!("{engine}.log"));
        ensure!(
            log.exists(),
            "--reset: {} has no {engine}.log, so it may not be a demo's; remove it yourself, or \
             give another --dir",
            part.display()
        );
        // A demo that was killed may have left an engine: one that ends is waited for, one that
        // does not keeps its data.
        let _ended = process::locked_log(engine, &log)?;
        fs::remove_dir_all(&part).with_context(|| format!("--reset: {}", part.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_demos_until_that_one_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::take(dir.path()).unwrap();
        let refused = Folder::take(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&dir.path().display().to_string()), "{refused}");
        drop(first);
        Folder::take(dir.path()).unwrap();
    }

    #[test]
    fn a_reset_takes_a_demos_data_and_leaves_what_may_not_be_a_demos() {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("kafka");
        fs::create_dir(&part).unwrap();
        fs::write(part.join("letters"), "Dear Milena").unwrap();
        let refused = reset(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("may not be a demo's"), "{refused}");
        assert!(part.join("letters").exists());
        fs::write(part.join("kafka.log"), "").unwrap();
        reset(dir.path()).unwrap();
        assert!(!part.exists());
    }
}
