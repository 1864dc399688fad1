//! No traces: a build without the feature `otlp`.
//!
//! In: what would be in spans. Out: nothing.
//!
//! # Invariants
//! - The same doors as with the feature, all of them empty.
//! - No iterator that comes in is asked for anything.
//!
//! Deliberately unknown here: OpenTelemetry.

use hyper::HeaderMap;

use super::{BatchFacts, Stored, TraceError, TracesConfig};

/// What sends spans: nothing does.
pub struct Traces;

/// Send no spans. The configuration asks for none, for [`TracesConfig::check`] refuses that it does.
pub fn trace(_: &TracesConfig) -> Result<Traces, TraceError> {
    Ok(Traces)
}

impl Traces {
    /// There is nothing to send.
    pub async fn end(self) {}
}

/// No span of a batch.
#[derive(Debug, Default)]
pub struct BatchSpan;

impl BatchSpan {
    /// None begins.
    pub fn begin(_: &BatchFacts<'_>) -> BatchSpan {
        BatchSpan
    }

    /// Nothing is linked.
    pub fn link<'t>(&self, _: impl Iterator<Item = &'t str>) {}

    /// No try is told.
    pub fn tried(&self, _: &'static str, _: std::time::Instant, _: Option<&'static str>) {}

    /// None ends.
    pub fn stored(&self, _: &Stored<'_>) {}
}

/// No span of a request.
pub struct RequestSpan;

impl RequestSpan {
    /// None begins.
    pub fn begin(_: &HeaderMap, _: &'static str, _: &str) -> RequestSpan {
        RequestSpan
    }

    /// None ends.
    pub fn end(self, _: Option<&str>, _: u16, _: Option<&str>) {}
}
