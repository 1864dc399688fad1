//! Which source this is built of: the commit and its date, and the target.
//!
//! In: `TRAILHOUSE_COMMIT`, else git where this folder is a clone. Out: `TRAILHOUSE_COMMIT` and
//! `TRAILHOUSE_TARGET` for `env!`.
//!
//! # Invariants
//! - Without git and without the variable (a tarball, a Docker build) it builds all the same, and says
//!   that the commit is unknown.
//! - The same source is built into the same bytes: the date is the commit's.
//!
//! Deliberately unknown here: who shows it.

use std::path::Path;
use std::process::Command;

const VARIABLE: &str = "TRAILHOUSE_COMMIT";

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    println!("cargo::rerun-if-changed=build.rs");
    let said = std::env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let commit = said.or_else(of_clone).unwrap_or_else(|| "unknown commit".to_owned());
    println!("cargo::rustc-env={VARIABLE}={}", commit.trim());
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=TRAILHOUSE_TARGET={target}");
}

/// Commit and date. A development build is not asked: each commit would compile the crate anew.
fn of_clone() -> Option<String> {
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        return Some("development build".to_owned());
    }
    // A tarball may lie in somebody else's clone, whose commit is not ours.
    if !Path::new(".git").exists() {
        return None;
    }
    // Written at each commit, checkout and reset.
    println!("cargo::rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    git(&["show", "--no-patch", "--format=%h %cs", "--abbrev=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
