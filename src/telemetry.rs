//! Every metric, the log, and what is failing right now.
//!
//! In: counts and observations from every floor. Out: a Prometheus registry, log lines, the parts
//! that readiness reports.
//!
//! # Invariants
//! - Metrics are named here and nowhere else, in base units, counters ending in `_total`.
//! - Label values come from closed sets or the configuration, never from records.
//! - Counters describe what this process did; proofs are made from Kafka's offsets and ClickHouse,
//!   not from counters.
//!
//! Deliberately unknown here: what the numbers mean for anybody.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

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
        if let Err(error) = self.level.parse::<EnvFilter>() {
            wrong.push(("level".to_owned(), format!("`{}`: {error}", self.level)));
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
    let filter = config.level.parse::<EnvFilter>().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let begun = match config.format.as_str() {
        "json" => {
            let log = log.json().with_filter_reloading();
            let handle = log.reload_handle();
            log.try_init().map(|()| keep(move |filter| handle.reload(filter).is_ok()))
        }
        _ => {
            let log = log.with_target(false).with_filter_reloading();
            let handle = log.reload_handle();
            log.try_init().map(|()| keep(move |filter| handle.reload(filter).is_ok()))
        }
    };
    if begun.is_err() {
        tracing::debug!("logging had begun already");
    }
}

/// Sets what is logged, once logging has begun.
static SET_FILTER: OnceLock<Box<dyn Fn(EnvFilter) -> bool + Send + Sync>> = OnceLock::new();

fn keep(set: impl Fn(EnvFilter) -> bool + Send + Sync + 'static) {
    // Logging begins once, so nothing was kept before.
    let _ = SET_FILTER.set(Box::new(set));
}

/// Log at another level from now on: a level, or a filter by module.
pub fn set_level(level: &str) -> Result<(), String> {
    let filter = level.parse::<EnvFilter>().map_err(|error| format!("`{level}`: {error}"))?;
    match SET_FILTER.get() {
        Some(set) if set(filter) => Ok(()),
        _ => Err("logging has not begun".to_owned()),
    }
}

/// Every metric of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// Where they are gathered.
    pub registry: Registry,
    /// Records taken from the source, by topic.
    pub records: IntCounterVec,
    /// Bytes of payload taken from the source, by topic.
    pub record_bytes: IntCounterVec,
    /// Rows stored in `events`, by topic.
    pub events: IntCounterVec,
    /// Rows stored in `quarantine`, by reason.
    pub quarantined: IntCounterVec,
    /// Copies of quarantined records that the dead-letter topic has acknowledged.
    pub dead_letters: IntCounter,
    /// Times a batch's copies were sent again.
    pub dead_letter_retries: IntCounter,
    /// Batches stored, by what closed them and whether they were read back.
    pub batches: IntCounterVec,
    /// Commits answered, by what they say and how they were answered.
    pub commits: IntCounterVec,
    /// Gaps met, by kind.
    pub gaps: IntCounterVec,
    /// Records in a batch.
    pub batch_records: Histogram,
    /// Seconds from closing a batch to its being stored.
    pub batch_seconds: Histogram,
    /// Inserts sent again after an unclear or refused one.
    pub insert_retries: IntCounter,
    /// Bytes of records held in lanes.
    pub lane_bytes: IntGauge,
    /// Partitions assigned to this process.
    pub partitions: IntGauge,
    /// Readings of the log that were not written down.
    pub readings_lost: IntCounter,
    /// Whether the settings file was refused when it was last read again: 1 or 0.
    pub config_reload_failed: IntGauge,
    /// The mappings in use, by schema and version: 1.
    pub mapping_info: IntGaugeVec,
    /// Seconds an API request took, by route, method and status.
    pub requests: HistogramVec,
}

impl Metrics {
    /// Register everything.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let histogram = |name: &str, help: &str, start: f64, factor: f64, count: usize| {
            let buckets = prometheus::exponential_buckets(start, factor, count)?;
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let records = counter(
            "trailhouse_records_consumed_total",
            "Records taken from the source.",
            &["topic"],
        )?;
        let record_bytes = counter(
            "trailhouse_record_bytes_total",
            "Bytes of payload taken from the source.",
            &["topic"],
        )?;
        let events =
            counter("trailhouse_events_stored_total", "Rows stored in events.", &["topic"])?;
        let quarantined = counter(
            "trailhouse_records_quarantined_total",
            "Rows stored in quarantine.",
            &["reason"],
        )?;
        let batches = counter(
            "trailhouse_batches_stored_total",
            "Batches stored, by what closed them (records, bytes, age, end, intent), and clean or read_back.",
            &["closed_by", "outcome"],
        )?;
        let commits = counter(
            "trailhouse_commits_total",
            "Commits answered: intent or completion; done, fenced or unknown.",
            &["kind", "answer"],
        )?;
        let gaps = counter(
            "trailhouse_gaps_total",
            "Times a partition could not start where it should: deleted, truncated, recreated.",
            &["kind"],
        )?;
        let count = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let insert_retries = count(
            "trailhouse_insert_retries_total",
            "Inserts sent again after an unclear or refused one.",
        )?;
        let dead_letters = count(
            "trailhouse_dead_letters_total",
            "Copies of quarantined records that the dead-letter topic has acknowledged.",
        )?;
        let dead_letter_retries = count(
            "trailhouse_dead_letter_retries_total",
            "Times a batch's copies to the dead-letter topic were sent again.",
        )?;
        let readings_lost = count(
            "trailhouse_readings_lost_total",
            "Readings of the log that the audit of reads may lack.",
        )?;
        let mapping_info = IntGaugeVec::new(
            Opts::new("trailhouse_mapping_info", "The mappings in use."),
            &["schema", "version"],
        )?;
        registry.register(Box::new(mapping_info.clone()))?;
        let options = HistogramOpts::new(
            "trailhouse_api_request_duration_seconds",
            "Seconds an API request took.",
        );
        let requests = HistogramVec::new(options, &["route", "method", "status"])?;
        registry.register(Box::new(requests.clone()))?;
        // The library's collector of the process itself knows Linux only.
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Metrics {
            records,
            record_bytes,
            events,
            quarantined,
            dead_letters,
            dead_letter_retries,
            batches,
            commits,
            gaps,
            batch_records: histogram(
                "trailhouse_batch_records",
                "Records in a batch.",
                10.0,
                4.0,
                9,
            )?,
            batch_seconds: histogram(
                "trailhouse_batch_store_duration_seconds",
                "Seconds from closing a batch to its being stored.",
                0.01,
                2.0,
                14,
            )?,
            insert_retries,
            lane_bytes: gauge("trailhouse_lane_bytes", "Bytes of records held in lanes.")?,
            partitions: gauge("trailhouse_partitions_assigned", "Partitions assigned to us.")?,
            readings_lost,
            config_reload_failed: gauge(
                "trailhouse_config_reload_failed",
                "Whether the settings file was refused when it was last read again.",
            )?,
            mapping_info,
            requests,
            registry,
        })
    }
}

/// What is failing right now, part by part. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health {
    failing: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Health {
    /// A part fails, for this reason.
    pub fn fails(&self, part: &str, reason: impl Into<String>) {
        self.parts().insert(part.to_owned(), reason.into());
    }

    /// A part works (again).
    pub fn works(&self, part: &str) {
        self.parts().remove(part);
    }

    /// A part that works again when whoever speaks for it has ended, in whatever way: also a task
    /// that is given up while it waits to try again.
    pub fn part(&self, name: String) -> Part {
        Part { health: self.clone(), name }
    }

    /// Every failing part with its reason.
    pub fn failing(&self) -> BTreeMap<String, String> {
        self.parts().clone()
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part that fails for no longer than this is held.
pub struct Part {
    health: Health,
    name: String,
}

impl Part {
    /// It fails, for this reason.
    pub fn fails(&self, reason: impl Into<String>) {
        self.health.fails(&self.name, reason);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.health.works(&self.name);
    }
}
