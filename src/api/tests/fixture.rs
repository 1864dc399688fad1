//! What the API's tests ask with: a router over the naive reader, an event, an answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

use super::NOW;
use super::log::{Log, normalisers};
use crate::access::{Caller, Role, Tenants};
use crate::api::{ApiConfig, ApiState, Submissions, router};
use crate::event::{
    Micros, Origin, Outcome, StoredActor, StoredChanges, StoredEvent, StoredPosition, StoredTarget,
    TimeSource, Verb,
};
use crate::gateway::Recorder;
use crate::query::CursorKey;
use crate::telemetry::Health;

/// An answer, read to its end.
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// JSON, or a text as a JSON string.
    pub body: Value,
}

pub fn state(events: Vec<StoredEvent>) -> ApiState {
    with_log(Log::of(events))
}

/// The API over a log.
pub fn with_log(log: Arc<Log>) -> ApiState {
    let recorder: Arc<dyn Recorder> = log.clone();
    let topics = ["pace", "cockpit"].map(|schema| (schema.to_owned(), format!("audit.{schema}")));
    ApiState {
        submissions: Arc::new(Submissions::new(topics, &recorder, &normalisers())),
        ledger: log.clone(),
        reader: log,
        recorder,
        normalisers: normalisers(),
        tenants: Tenants::default(),
        authenticator: crate::api::Authenticator::None,
        audit: crate::api::ReadAudit::default(),
        metrics: crate::telemetry::Metrics::new().unwrap(),
        health: Health::default(),
        catalog: Arc::new(Arc::default),
        cursors: CursorKey::new([7; 32]).unwrap(),
        tails: crate::api::Tails::default(),
        now: || NOW,
    }
}

pub fn api(events: Vec<StoredEvent>) -> Router {
    router(state(events), &ApiConfig::default())
}

pub fn get(api: &Router, path: &str) -> Answered {
    ask(api, "GET", path)
}

pub fn ask(api: &Router, method: &str, path: &str) -> Answered {
    // What a browser escapes too.
    let path = path.replace(' ', "%20").replace('<', "%3C").replace('>', "%3E");
    send(api, Request::builder().method(method).uri(path).body(Body::empty()).unwrap())
}

/// What a caller asks, with a JSON body; an empty one is none.
pub fn ask_as(api: &Router, caller: &Caller, method: &str, path: &str, body: &str) -> Answered {
    let mut request = Request::builder().method(method).uri(path).extension(caller.clone());
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    send(api, request.body(Body::from(body.to_owned())).unwrap())
}

/// A writer of one tenant.
pub fn writer(tenant: &str) -> Caller {
    Caller {
        id: "key-1".into(),
        name: "Ann Arbor".into(),
        role: Role::Writer,
        tenants: [tenant.to_owned()].into(),
        actor: Some("usr-7".into()),
        ..Caller::anyone()
    }
}

/// Ask.
pub fn send(api: &Router, request: Request<Body>) -> Answered {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let answer = tokio::time::timeout(Duration::from_secs(10), api.clone().oneshot(request));
        read(answer.await.unwrap().unwrap()).await
    })
}

/// A response, read to its end.
pub async fn read(response: Response) -> Answered {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answered { status: parts.status, headers: parts.headers, body }
}

/// The numbers the events were made with, in the order of the answer.
pub fn ids_of(body: &Value) -> Vec<u128> {
    let id = |event: &Value| event["id"].as_str().unwrap().parse::<Uuid>().unwrap().as_u128();
    body["events"].as_array().unwrap().iter().map(id).collect()
}

pub fn event(number: u128, occurred_at: Micros) -> StoredEvent {
    StoredEvent {
        id: Uuid::from_u128(number),
        source_id: String::new(),
        tenant: "acme".into(),
        schema: "shop".into(),
        mapping_version: 1,
        occurred_at,
        received_at: occurred_at,
        time_source: TimeSource::Event,
        service: String::new(),
        action: "test".into(),
        verb: Verb::Other,
        outcome: Outcome::Unknown,
        reason: String::new(),
        actor: StoredActor::default(),
        target: StoredTarget::default(),
        targets: Vec::new(),
        origin: Origin::Unknown,
        client_ip: None,
        user_agent: String::new(),
        country: String::new(),
        region: String::new(),
        session_id: String::new(),
        request_id: String::new(),
        correlation_id: String::new(),
        message: String::new(),
        changes: StoredChanges::default(),
        attributes: [].into(),
        written_by: String::new(),
        headers: [].into(),
        kafka: StoredPosition {
            cluster: "c".into(),
            topic: "audit".into(),
            incarnation: String::new(),
            partition: 0,
            offset: number as i64,
            index: 0,
        },
        repeats: 1,
        raw: Some(format!("{{\"n\":{number}}}")),
    }
}

/// An event of somebody.
pub fn by(actor: &str, number: u128, occurred_at: Micros) -> StoredEvent {
    let actor = StoredActor { id: actor.into(), ..StoredActor::default() };
    StoredEvent { actor, ..event(number, occurred_at) }
}
