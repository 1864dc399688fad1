//! Sending spans: begun once a process, ended with it.
//!
//! In: [`TracesConfig`]. Out: a tracer for the spans, and [`Traces`], which sends what is left at the
//! end.
//!
//! # Invariants
//! - A second beginning changes nothing: a process has one tracer.
//! - The end waits for the endpoint no longer than `flush_ms`.
//!
//! Deliberately unknown here: what spans say.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, Sampler, SdkTracerProvider};

use super::client::Collector;
use super::queue::Queue;
use super::span::TRACER;
use super::{TraceError, TracesConfig};
use crate::telemetry::VERSION;

/// What sends spans, if anything is to.
pub struct Traces {
    provider: Option<SdkTracerProvider>,
    within: Duration,
}

/// Begin to send spans, where the configuration says where to. Within a runtime.
pub fn trace(config: &TracesConfig) -> Result<Traces, TraceError> {
    let within = Duration::from_millis(config.flush_ms);
    if config.endpoint.is_empty() {
        return Ok(Traces { provider: None, within });
    }
    let patience = Duration::from_millis(config.export_timeout_ms);
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::of(&config.endpoint, patience).map_err(TraceError)?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&config.endpoint)
        .with_timeout(patience)
        .build()
        .map_err(|error| TraceError(error.to_string()))?;
    let instance = match config.instance_id.as_str() {
        "" => RandomIdGenerator::default().new_trace_id().to_string(),
        id => id.to_owned(),
    };
    // What OTEL_RESOURCE_ATTRIBUTES says is in it, too.
    let resource = Resource::builder()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.version", VERSION))
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .build();
    let sampled = Sampler::TraceIdRatioBased(config.sampled_ratio);
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(sampled)))
        .with_resource(resource)
        .with_span_processor(Queue::before(exporter, config.queue_spans))
        .build();
    if TRACER.set(provider.tracer("trailhouse")).is_err() {
        tracing::debug!("spans were sent already");
    }
    Ok(Traces { provider: Some(provider), within })
}

impl Traces {
    /// Send what is left, and no more then.
    pub async fn end(self) {
        let Traces { provider: Some(provider), within } = self else { return };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(within));
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans are lost"),
            Err(error) => tracing::error!(%error, "sending the last spans"),
        }
    }
}
