//! `trailhouse check` and `trailhouse config print`: a configuration, told and tried.
//!
//! In: a configuration that holds. Out: what it is, what is effective, what was found by trying.
//!
//! # Invariants
//! - No secret is written.
//!
//! Deliberately unknown here: how anything is tried.

use std::io::Write;

use super::doctor;
use crate::config::{Loaded, Setting};

/// Tell what was checked and, if asked to, try it; whether all is well.
pub async fn run(loaded: &Loaded, connect: bool, out: &mut impl Write) -> anyhow::Result<bool> {
    let topics = loaded.config.kafka.topics.len();
    let mappings = loaded.catalog.mappings().count();
    let skips = match loaded.config.skip.len() {
        0 => String::new(),
        rules => format!(", {rules} skip rules"),
    };
    writeln!(out, "the configuration holds: {topics} topics, {mappings} mappings{skips}")?;
    if !connect {
        return Ok(true);
    }
    let now = || chrono::Utc::now().timestamp_micros();
    let findings = doctor::examine(loaded, now).await?;
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    let failed = findings.iter().filter(|finding| finding.found.is_err()).count();
    match failed {
        0 => writeln!(out, "all is well: {} tried", findings.len())?,
        _ => writeln!(out, "{failed} of {} failed", findings.len())?,
    }
    Ok(failed == 0)
}

/// Write every setting that counts, with where it comes from.
pub fn print(settings: &[Setting], out: &mut impl Write) -> anyhow::Result<()> {
    for setting in settings {
        writeln!(out, "{setting}")?;
    }
    Ok(())
}
