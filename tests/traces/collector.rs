//! Endpoints for spans: one that reads them, one that takes connections and never answers.
//!
//! In: OTLP over HTTP. Out: what was sent, span by span.
//!
//! # Invariants
//! - A span is kept with the resource it came from.
//!
//! Deliberately unknown here: what spans should say.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// A span, and the attributes of whoever sent it.
#[derive(Debug, Clone)]
pub struct Sent {
    pub resource: Vec<KeyValue>,
    pub span: Span,
}

type Taken = Arc<Mutex<Vec<Sent>>>;

/// Reads what is sent.
pub struct Collector {
    pub endpoint: String,
    taken: Taken,
}

impl Collector {
    /// Listens until the test ends.
    pub async fn start() -> Collector {
        let taken = Taken::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&taken));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Collector { endpoint, taken }
    }

    /// Every span so far, by its start.
    pub fn taken(&self) -> Vec<Sent> {
        let mut taken = self.taken.lock().unwrap().clone();
        taken.sort_by_key(|one| one.span.start_time_unix_nano);
        taken
    }
}

async fn take(State(taken): State<Taken>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for of in request.resource_spans {
        let resource = of.resource.unwrap_or_default().attributes;
        let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
        let spans = spans.map(|span| Sent { resource: resource.clone(), span });
        taken.lock().unwrap().extend(spans);
    }
}

/// Takes connections, and says nothing.
pub struct Stuck {
    pub endpoint: String,
}

impl Stuck {
    /// Listens until the process ends.
    pub fn start() -> Stuck {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        thread::spawn(move || {
            let mut held = Vec::new();
            for connection in listener.incoming().flatten() {
                held.push(connection);
            }
        });
        Stuck { endpoint }
    }
}

/// An attribute that is text.
pub fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    match value(attributes, name)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// An attribute that is a whole number.
pub fn number(attributes: &[KeyValue], name: &str) -> Option<i64> {
    match value(attributes, name)? {
        Value::IntValue(number) => Some(number),
        _ => None,
    }
}

fn value(attributes: &[KeyValue], name: &str) -> Option<Value> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    found.value.clone()?.value
}

/// An id, in hex.
pub fn ids(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a span ended, as OTLP numbers it.
pub fn status(one: &Sent) -> i32 {
    one.span.status.as_ref().map_or(0, |status| status.code)
}
