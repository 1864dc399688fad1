//! SIGHUP: mappings, skip rules, and how much is logged, read again while the service goes on.
//!
//! In: the settings file as it is now, mapping files. Out: mappings and rules in use from each lane's next
//! batch on; or a refusal in the log, and everything as it was.
//!
//! # Invariants
//! - All of the file is checked, as at start: one problem, and nothing of it is taken.
//! - What else changed in the file waits for a restart, and the log says that.
//!
//! Deliberately unknown here: signals.

use std::path::Path;

use super::facts;
use crate::config::{Config, Live, Loaded};
use crate::problem::Problem;
use crate::telemetry::{Metrics, set_level};

/// What can be read again, and what it was read into.
pub struct Reloading {
    live: Live,
    /// The settings that count: those of the start, but for what has been taken since.
    config: Config,
    metrics: Metrics,
}

impl Reloading {
    /// Of a configuration that a service starts with.
    pub fn of(loaded: &Loaded, live: &Live, metrics: &Metrics) -> Reloading {
        Reloading { live: live.clone(), config: loaded.config.clone(), metrics: metrics.clone() }
    }

    /// Read the file again. Blocks for as long as reading some files takes.
    pub fn reload(&mut self, path: Option<&Path>) {
        let taken = self.take(path);
        self.metrics.process.config_reload_failed.set(i64::from(taken.is_err()));
        match taken {
            Ok(mappings) => {
                tracing::info!(mappings, "reloaded: batches are read by these mappings now");
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("not reloaded: {problem}");
                }
            }
        }
    }

    fn take(&mut self, path: Option<&Path>) -> Result<usize, Vec<String>> {
        let told =
            |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        let Loaded { mut config, catalog } = Config::load(path).map_err(told)?;
        let mappings = catalog.mappings().count();
        self.live.replace(catalog.clone(), config.skip.clone()).map_err(|problem| vec![problem])?;
        if config.log.level != self.config.log.level {
            // It was checked with the rest; only where nobody logs there is nothing to set.
            if let Err(why) = set_level(&config.log.level) {
                tracing::debug!("log.level: {why}");
            }
            self.config.log.level.clone_from(&config.log.level);
        }
        self.config.schemas = config.schemas.clone();
        if config.skip != self.config.skip {
            self.config.skip = config.skip.clone();
            facts::tell_skips(&self.config.skip);
        }
        facts::describe(&Loaded { config: self.config.clone(), catalog }, &self.metrics);
        // A flag of the start; no file says it.
        config.kafka.accept_gap.clone_from(&self.config.kafka.accept_gap);
        if config != self.config {
            tracing::warn!(
                "settings other than mappings, skip rules and log.level changed; they need a restart"
            );
        }
        Ok(mappings)
    }
}
