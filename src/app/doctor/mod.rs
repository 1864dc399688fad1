//! `trailhouse check --connect`: what stands between this configuration and a `serve` that works.
//!
//! In: a configuration that holds, this machine's clock. Out: a [`Finding`] for each thing that was
//! tried: what was found, or what is wrong and what mends it.
//!
//! # Invariants
//! - Nothing is changed anywhere: no group is joined, nothing is committed, written or created.
//! - What cannot be tried because something before it failed is left out: one fault, one `FAIL`.
//! - No finding has a secret in it.
//!
//! Deliberately unknown here: how anything is asked.

mod kafka;
mod warehouse;
mod written;

use std::fmt;

use crate::api::Tls;
use crate::config::Loaded;
use crate::event::Micros;

/// How far clocks may be apart, seconds. Relative times of questions, validity of keys and tokens,
/// and `ingested_at` rest on them.
const CLOCKS_APART_S: i64 = 10;

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The thing.
    pub thing: String,
    /// What was found; or what is wrong, and what mends it.
    pub found: Result<String, String>,
}

impl Finding {
    fn new(thing: impl Into<String>, found: Result<String, String>) -> Finding {
        Finding { thing: thing.into(), found }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, text) = match &self.found {
            Ok(text) => ("ok", text),
            Err(text) => ("FAIL", text),
        };
        // A server's words may have line ends; a finding is a line.
        let text = text.replace('\n', " ");
        write!(f, "{mark:<4}  {}: {text}", self.thing)
    }
}

/// Try everything. `now` is this machine's clock.
pub async fn examine(loaded: &Loaded, now: fn() -> Micros) -> anyhow::Result<Vec<Finding>> {
    let mut findings = secrets(loaded);
    let kafka = loaded.config.kafka.clone();
    let (written, unread) = written::topics(&loaded.config);
    findings.extend(unread);
    let asked = move || kafka::examine(&kafka, &written, now());
    let asked = tokio::task::spawn_blocking(asked);
    findings.extend(warehouse::examine(&loaded.config.clickhouse, now).await);
    let of_kafka = asked.await?;
    findings.splice(0..0, of_kafka);
    Ok(findings)
}

/// Files with secrets and certificates, as `serve` reads them at start.
fn secrets(loaded: &Loaded) -> Vec<Finding> {
    let api = &loaded.config.api;
    let cursors = match (&api.cursor_secret_file, api.cursor_key()) {
        (_, Err(error)) => Err(error.to_string()),
        (Some(file), Ok(_)) => Ok(format!("{} is read", file.display())),
        (None, Ok(_)) => Ok("none: one is made at start, and a restart ends every walk".to_owned()),
    };
    let mut findings = vec![Finding::new("api.cursor_secret_file", cursors)];
    if api.tls.certificate_file.is_some() {
        let tls = Tls::of(&api.tls).map_err(|error| error.to_string());
        findings.push(Finding::new("api.tls", tls.map(|_| "certificate and key are read".into())));
    }
    for (setting, file) in [
        ("api.auth.sealing_key_file", &api.auth.sealing_key_file),
        ("api.auth.jwks_file", &api.auth.jwks_file),
    ] {
        let Some(file) = file else { continue };
        let found = std::fs::read(file).map(|_| format!("{} is read", file.display()));
        let found = found.map_err(|error| {
            format!("{}: {error}; name a file that this user may read", file.display())
        });
        findings.push(Finding::new(setting, found));
    }
    findings
}

/// What another clock says beside ours, both in microseconds.
fn clocks(theirs: Micros, ours: Micros) -> Result<String, String> {
    let apart_s = (theirs - ours) / 1_000_000;
    if apart_s.abs() <= CLOCKS_APART_S {
        return Ok(format!("within {CLOCKS_APART_S} s of ours"));
    }
    let side = if apart_s > 0 { "ahead of" } else { "behind" };
    Err(format!(
        "{} s {side} this machine's; set the clocks of both by NTP (relative times, keys and \
         tokens would be wrong by that much)",
        apart_s.abs()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_be_ten_seconds_apart_and_the_side_is_told() {
        assert!(clocks(10_999_999, 0).is_ok());
        assert!(clocks(0, 11_000_000).is_err_and(|told| told.starts_with("11 s behind")));
        assert!(clocks(3_600_000_000, 0).is_err_and(|told| told.starts_with("3600 s ahead of")));
    }

    #[test]
    fn a_finding_is_one_line() {
        let finding = Finding::new("clickhouse", Err("Code: 60.\nAdvice".to_owned()));
        assert_eq!(finding.to_string(), "FAIL  clickhouse: Code: 60. Advice");
    }
}
