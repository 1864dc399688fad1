//! Traces: a span for every batch and every request, sent by OTLP.
//!
//! In: [`TracesConfig`], and what a batch or a request comes to, as it does. Out: spans at the endpoint
//! that is configured, in a build with the feature `otlp`.
//!
//! # Invariants
//! - Every span and every attribute is named here, by OpenTelemetry's semantic conventions where they
//!   have a name, else beginning with `trailhouse.`.
//! - No payload, no query and no credential is in a span.
//! - Whoever ends a span waits for nobody: where there is no room it is dropped, and that is logged.
//! - Without the feature, or an endpoint, nothing is done and nothing looked at: what only a span would
//!   have is handed over as an iterator.
//!
//! Deliberately unknown here: what a batch is, what a request asks.

use std::time::Instant;

use hyper::Uri;
use serde::{Deserialize, Serialize};

#[cfg(feature = "otlp")]
mod client;
#[cfg(feature = "otlp")]
mod queue;
#[cfg(feature = "otlp")]
mod send;
#[cfg(not(feature = "otlp"))]
#[path = "none.rs"]
mod span;
#[cfg(feature = "otlp")]
mod span;

#[cfg(feature = "otlp")]
pub use send::{Traces, trace};
pub use span::{BatchSpan, RequestSpan};
#[cfg(not(feature = "otlp"))]
pub use span::{Traces, trace};

/// The `[traces]` section of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// Where spans go, OTLP over HTTP: all of the address, with its path. Empty sends none.
    pub endpoint: String,
    /// `service.name` of what is sent.
    pub service_name: String,
    /// `service.instance.id`; empty makes one at each start.
    pub instance_id: String,
    /// The share that is traced of batches, and of requests that bring no decision of their own.
    pub sampled_ratio: f64,
    /// Spans that wait to be sent, or are on their way; more are dropped.
    pub queue_spans: usize,
    /// How long the endpoint gets to take what is sent at a time, tries included, milliseconds.
    pub export_timeout_ms: u64,
    /// At a stop, how long the endpoint gets to take what is left, milliseconds.
    pub flush_ms: u64,
}

impl Default for TracesConfig {
    fn default() -> Self {
        TracesConfig {
            endpoint: String::new(),
            service_name: "trailhouse".to_owned(),
            instance_id: String::new(),
            sampled_ratio: 1.0,
            queue_spans: 2_048,
            export_timeout_ms: 10_000,
            flush_ms: 5_000,
        }
    }
}

impl TracesConfig {
    /// What is wrong, as (field, sentence).
    pub fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut is = |field: &str, what: String| wrong.push((field.to_owned(), what));
        if !self.endpoint.is_empty() {
            if !cfg!(feature = "otlp") {
                let why = "is set, and this program was built without the feature `otlp`: build it \
                           with `--features otlp`, or leave this out";
                is("endpoint", why.to_owned());
            }
            let uri = self.endpoint.parse::<Uri>().ok();
            let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
            if !uri.is_some_and(|uri| is_http(&uri) && uri.host().is_some()) {
                let (found, whole) = (&self.endpoint, "http://collector:4318/v1/traces");
                is("endpoint", format!("`{found}` is no address; it is whole, such as {whole}"));
            }
        }
        if self.service_name.is_empty() {
            is("service_name", "must name the service".to_owned());
        }
        if !(0.0..=1.0).contains(&self.sampled_ratio) {
            let found = self.sampled_ratio;
            is("sampled_ratio", format!("is {found}, and must be from 0 to 1"));
        }
        let ranges = [
            ("queue_spans", self.queue_spans as u64, 1, 1_000_000),
            ("export_timeout_ms", self.export_timeout_ms, 1, 600_000),
            ("flush_ms", self.flush_ms, 0, 600_000),
        ];
        for (field, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                is(field, format!("is {value}, and must be from {least} to {most}"));
            }
        }
        wrong
    }
}

/// Spans cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("traces.endpoint: {0}")]
pub struct TraceError(pub String);

/// A batch, as its span says it.
pub struct BatchFacts<'b> {
    /// Its topic.
    pub topic: &'b str,
    /// Its partition.
    pub partition: i32,
    /// Its first and its last offset.
    pub offsets: (i64, i64),
    /// Its records.
    pub records: usize,
    /// Bytes of these.
    pub bytes: usize,
    /// What closed it.
    pub closed_by: &'static str,
    /// When its first record came.
    pub opened: Instant,
}

/// What a batch came to.
pub struct Stored<'b> {
    /// Rows inserted into `events`.
    pub event_rows: u64,
    /// Rows inserted into `quarantine`.
    pub quarantined_rows: u64,
    /// What storing it took, as the metric `trailhouse_inserts_total` says it.
    pub outcome: &'b str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(config: &TracesConfig) -> Vec<String> {
        config.check().into_iter().map(|(field, why)| format!("{field}: {why}")).collect()
    }

    #[test]
    fn a_build_without_the_feature_refuses_an_endpoint_and_names_the_feature() {
        let endpoint = "http://collector:4318/v1/traces".to_owned();
        let config = TracesConfig { endpoint, ..TracesConfig::default() };
        let found = wrong(&config).join("\n");
        assert_eq!(found.contains("--features otlp"), !cfg!(feature = "otlp"), "{found}");
        assert_eq!(wrong(&TracesConfig::default()), Vec::<String>::new(), "nothing is asked for");
    }

    #[test]
    fn a_span_that_is_not_there_looks_at_no_header() {
        let looked = std::iter::from_fn(|| -> Option<&str> { panic!("a header was looked at") });
        let batch = BatchFacts {
            topic: "t",
            partition: 0,
            offsets: (0, 1),
            records: 2,
            bytes: 3,
            closed_by: "age",
            opened: Instant::now(),
        };
        BatchSpan::begin(&batch).link(looked);
    }

    #[test]
    fn what_is_no_address_and_no_share_is_told() {
        for endpoint in ["collector:4318", "/v1/traces", "grpc://collector:4317", "http://"] {
            let config = TracesConfig { endpoint: endpoint.to_owned(), ..TracesConfig::default() };
            let found = wrong(&config).join("\n");
            assert!(found.contains(&format!("endpoint: `{endpoint}` is no address")), "{found}");
        }
        for sampled_ratio in [-0.1, 1.1, f64::NAN] {
            let config = TracesConfig { sampled_ratio, ..TracesConfig::default() };
            assert!(wrong(&config)[0].contains("must be from 0 to 1"), "{sampled_ratio}");
        }
        let config = TracesConfig { queue_spans: 0, ..TracesConfig::default() };
        assert_eq!(wrong(&config), ["queue_spans: is 0, and must be from 1 to 1000000"]);
    }
}
