//! The spans: of a batch, of the tries to store it, of a request.
//!
//! In: facts, and the `traceparent`s of others (W3C Trace Context). Out: spans that have ended.
//!
//! # Invariants
//! - A batch links to at most [`MOST_LINKS`] spans of producers, each once, and only to those that
//!   are sampled: behind another is nothing to look at.
//! - A `traceparent` that cannot be read is as none.
//! - A batch that is given up ends its span, and says so.
//!
//! Deliberately unknown here: where spans go.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use hyper::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::{BatchFacts, Stored};

/// What producers' spans a batch links to.
const MOST_LINKS: usize = 32;

/// Of a text that a caller chose, bytes that a span keeps.
const MOST_CHOSEN_BYTES: usize = 512;

/// What makes spans, once it is known where they go.
pub(super) static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The span of a batch: from its first record until it is stored, or given up.
#[derive(Debug, Default)]
pub struct BatchSpan(Option<Context>);

impl BatchSpan {
    /// Begin it, at the time when the batch's first record came.
    pub fn begin(batch: &BatchFacts<'_>) -> BatchSpan {
        let Some(tracer) = TRACER.get() else { return BatchSpan(None) };
        let BatchFacts { topic, partition, offsets: (first, last), .. } = *batch;
        let span = tracer
            .span_builder(format!("batch {topic}"))
            .with_kind(SpanKind::Consumer)
            .with_start_time(at(batch.opened))
            .start_with_context(tracer, &Context::new());
        if !span.is_recording() {
            return BatchSpan(None);
        }
        let context = Context::new().with_span(span);
        context.span().set_attributes([
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "batch"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.destination.name", topic.to_owned()),
            KeyValue::new("messaging.destination.partition.id", partition.to_string()),
            KeyValue::new("messaging.batch.message_count", batch.records as i64),
            KeyValue::new("trailhouse.batch.first_offset", first),
            KeyValue::new("trailhouse.batch.last_offset", last),
            KeyValue::new("trailhouse.batch.bytes", batch.bytes as i64),
            KeyValue::new("trailhouse.batch.closed_by", batch.closed_by),
        ]);
        BatchSpan(Some(context))
    }

    /// Link it to the spans that its records were sent in.
    pub fn link<'t>(&self, traceparents: impl Iterator<Item = &'t str>) {
        let Some(context) = &self.0 else { return };
        let (mut linked, mut last): (Vec<SpanContext>, &str) = (Vec::new(), "");
        for traceparent in traceparents {
            // A producer that sends many records in one span sends them in a row.
            if std::mem::replace(&mut last, traceparent) == traceparent {
                continue;
            }
            let Some(parent) = sampled_parent(traceparent) else { continue };
            if !linked.contains(&parent) {
                context.span().add_link(parent.clone(), Vec::new());
                linked.push(parent);
            }
            if linked.len() == MOST_LINKS {
                return;
            }
        }
    }

    /// A try to insert into a table has ended; with the kind of its error, if it failed.
    pub fn tried(&self, table: &'static str, begun: Instant, error: Option<&'static str>) {
        let (Some(context), Some(tracer)) = (&self.0, TRACER.get()) else { return };
        let mut span = tracer
            .span_builder(format!("INSERT {table}"))
            .with_kind(SpanKind::Client)
            .with_start_time(at(begun))
            .with_attributes([
                KeyValue::new("db.system.name", "clickhouse"),
                KeyValue::new("db.operation.name", "INSERT"),
                KeyValue::new("db.collection.name", table),
            ])
            .start_with_context(tracer, context);
        if let Some(error) = error {
            span.set_attribute(KeyValue::new("error.type", error));
            span.set_status(Status::error(""));
        }
    }

    /// The batch is stored.
    pub fn stored(&self, stored: &Stored<'_>) {
        let Some(context) = &self.0 else { return };
        let span = context.span();
        span.set_attributes([
            KeyValue::new("trailhouse.batch.event_rows", stored.event_rows as i64),
            KeyValue::new("trailhouse.batch.quarantined_rows", stored.quarantined_rows as i64),
            KeyValue::new(OUTCOME, stored.outcome.to_owned()),
        ]);
        span.end();
    }
}

const OUTCOME: &str = "trailhouse.batch.outcome";

impl Drop for BatchSpan {
    fn drop(&mut self) {
        // One that has ended records no more.
        if let Some(context) = self.0.take().filter(|context| context.span().is_recording()) {
            context.span().set_attribute(KeyValue::new(OUTCOME, "given_up"));
            context.span().set_status(Status::error("given up unfinished"));
            context.span().end();
        }
    }
}

/// The span of a request: until its answer begins, or its caller has gone.
pub struct RequestSpan(Option<Span>, &'static str);

impl RequestSpan {
    /// Begin it, as a part of the caller's trace where the headers say one.
    pub fn begin(headers: &HeaderMap, method: &'static str, path: &str) -> RequestSpan {
        let Some(tracer) = TRACER.get() else { return RequestSpan(None, method) };
        let caller = TraceContextPropagator::new()
            .extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let mut span = tracer
            .span_builder(method)
            .with_kind(SpanKind::Server)
            .start_with_context(tracer, &caller);
        if !span.is_recording() {
            return RequestSpan(None, method);
        }
        span.set_attribute(KeyValue::new("http.request.method", method));
        span.set_attribute(KeyValue::new("url.path", cut(path)));
        RequestSpan(Some(span), method)
    }

    /// Its answer begins: the route that its path fits, the status, the request's id.
    pub fn end(self, route: Option<&str>, status: u16, request_id: Option<&str>) {
        let RequestSpan(Some(mut span), method) = self else { return };
        if let Some(route) = route {
            span.update_name(format!("{method} {route}"));
            span.set_attribute(KeyValue::new("http.route", route.to_owned()));
        }
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if let Some(id) = request_id {
            span.set_attribute(KeyValue::new("trailhouse.request_id", cut(id)));
        }
        if status >= 500 {
            span.set_attribute(KeyValue::new("error.type", status.to_string()));
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// What a caller chose, in a span that waits in memory: anybody may ask.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MOST_CHOSEN_BYTES)].to_owned()
}

/// The one header of a record that says which span it was sent in.
struct TraceParent<'t>(&'t str);

impl Extractor for TraceParent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

fn sampled_parent(traceparent: &str) -> Option<SpanContext> {
    let carrier = TraceParent(traceparent);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    let parent = context.span().span_context().clone();
    (parent.is_valid() && parent.is_sampled()).then_some(parent)
}

/// The time of the day of a moment that has passed.
fn at(moment: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(moment.elapsed()).unwrap_or(now)
}
