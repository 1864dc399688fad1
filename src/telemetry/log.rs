//! The log: to standard error, for people or for machines.
//!
//! In: [`LogConfig`]; later another level. Out: lines.
//!
//! # Invariants
//! - A level that cannot be read changes nothing.
//!
//! Deliberately unknown here: who asks for another level, and how.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sets the filter of the log that has begun.
type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

/// The `[log]` section of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,trailhouse::source=debug`.
    pub level: String,
    /// `text` for people, `json` for machines.
    pub format: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig { level: "info".to_owned(), format: "text".to_owned() }
    }
}

impl LogConfig {
    /// What is wrong, as (field, sentence).
    pub fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        if let Err(error) = filter(&self.level) {
            wrong.push(("level".to_owned(), error));
        }
        if !["text", "json"].contains(&self.format.as_str()) {
            wrong
                .push(("format".to_owned(), format!("`{}` is neither text nor json", self.format)));
        }
        wrong
    }
}

/// Begin logging to standard error. A second call changes nothing.
pub fn log(config: &LogConfig) {
    let filter = filter(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let (begun, set) = match config.format.as_str() {
        "json" => {
            let log = log.json().with_filter_reloading();
            let set = setting(log.reload_handle());
            (log.finish().try_init(), set)
        }
        _ => {
            let log = log.with_target(false).with_filter_reloading();
            let set = setting(log.reload_handle());
            (log.finish().try_init(), set)
        }
    };
    match begun {
        // Nobody else has begun a log, so nobody has set this.
        Ok(()) => drop(SET_FILTER.set(set)),
        Err(_) => tracing::debug!("logging had begun already"),
    }
}

/// Log at another level from now on: a level, or a filter by module.
pub fn set_level(level: &str) -> Result<(), String> {
    let filter = filter(level)?;
    match SET_FILTER.get() {
        Some(set) => set(filter),
        None => Err("logging has not begun".to_owned()),
    }
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    level.parse::<EnvFilter>().map_err(|error| format!("`{level}`: {error}"))
}

fn setting<S: 'static>(handle: Handle<EnvFilter, S>) -> SetFilter {
    Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_changes_while_the_program_runs_and_one_that_is_none_changes_nothing() {
        log(&LogConfig { level: "warn".to_owned(), ..LogConfig::default() });
        assert!(!tracing::enabled!(target: "trailhouse::source", tracing::Level::DEBUG));
        set_level("warn,trailhouse::source=debug").unwrap();
        assert!(tracing::enabled!(target: "trailhouse::source", tracing::Level::DEBUG));
        assert!(!tracing::enabled!(target: "trailhouse::api", tracing::Level::DEBUG));
        let why = set_level("trailhouse=loud").unwrap_err();
        assert!(why.contains("trailhouse=loud"), "{why}");
        assert!(tracing::enabled!(target: "trailhouse::source", tracing::Level::DEBUG));
        set_level("warn").unwrap();
        assert!(!tracing::enabled!(target: "trailhouse::source", tracing::Level::DEBUG));
    }
}
