//! What a person sees while something is fetched.
//!
//! In: bytes so far. Out: a bar on a terminal; elsewhere one line at the start and one at the end.
//!
//! # Invariants
//! - Everything goes to stderr: stdout belongs to the command's answer.
//!
//! Deliberately unknown here: what is fetched, and how.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::app::output::tell;

/// One thing being fetched.
pub(super) struct Progress {
    what: String,
    started: Instant,
    /// Absent where stderr is no terminal.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins, with the size to come where it is known.
    pub(super) fn start(what: String, total_bytes: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(&what, total_bytes));
        if bar.is_none() {
            match total_bytes {
                Some(bytes) => tell(format_args!("fetching {what} ({} MB)", bytes / 1_000_000)),
                None => tell(format_args!("fetching {what}")),
            }
        }
        Self { what, started: Instant::now(), bar }
    }

    /// Shows nothing.
    #[cfg(test)]
    pub(super) fn quiet() -> Self {
        Self { what: String::new(), started: Instant::now(), bar: None }
    }

    /// So many bytes have arrived.
    pub(super) fn at(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            // A client writes its index and its log beside the file: never past the end.
            bar.set_position(bar.length().map_or(bytes, |total| bytes.min(total)));
        }
    }

    /// All is there; now this is done with it.
    pub(super) fn then(&self, step: &'static str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} {step}", self.what));
        }
    }

    /// It is done.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        tell(format_args!(
            "fetched {} in {:.1} s",
            self.what,
            self.started.elapsed().as_secs_f64()
        ));
    }
}

fn bar(what: &str, total_bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match total_bytes {
        Some(total) => (
            ProgressBar::new(total),
            "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}"),
    };
    // A template that does not parse is a slip of ours, and no reason not to fetch.
    let style = ProgressStyle::with_template(template);
    let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
