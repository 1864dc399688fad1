//! Every metric, the log, traces, and what is failing right now.
//!
//! In: counts and observations from every floor. Out: a Prometheus registry ([`Metrics`]), log lines,
//! spans ([`trace()`]), the parts that readiness reports ([`Health`]).
//!
//! # Invariants
//! - Metrics are named in `metrics` and nowhere else, in base units, counters ending in `_total`.
//! - Label values come from closed sets or the configuration, never from records.
//! - Counters describe what this process did; proofs are made from Kafka's offsets and ClickHouse,
//!   not from counters.
//!
//! Deliberately unknown here: what the numbers mean for anybody.

mod health;
mod log;
mod metrics;
mod seldom;
mod trace;

pub use health::{Health, Part};
pub use log::{LogConfig, log, set_level};
pub use metrics::{
    ApiMetrics, LaneMetrics, Listed, Metrics, PipelineMetrics, ProcessMetrics, SourceMetrics,
    VerifyMetrics, WarehouseMetrics,
};
pub use seldom::Seldom;
pub use trace::{
    BatchFacts, BatchSpan, RequestSpan, Stored, TraceError, Traces, TracesConfig, trace,
};

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, where whoever built it says so.
pub const COMMIT: &str = match option_env!("TRAILHOUSE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
