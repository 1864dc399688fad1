//! SoftwareOne Marketplace: `/public/v1/audit/records` and `/public/v1/audit/event-types`.
//!
//! In: a refusal. Out: RFC 9457 problem details as `application/json`, with `traceId` and `errors`.
//!
//! # Invariants
//! - `traceId` is the caller's own trace where the request has a `traceparent`, else the request's
//!   id.
//! - `errors` stands where a field or parameter is wrong: its name, and what is wrong with it.
//!
//! Deliberately unknown here: where records go.

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Asked, Contract};
use crate::api::refusal::{At, Refusal};

pub(super) const CONTRACT: Contract = Contract {
    name: "softwareone",
    settings: |compat| &compat.softwareone,
    roots: &["/public/v1"],
    routes: |_, _| Router::new(),
    words,
};

fn words(refusal: &Refusal, asked: &Asked) -> Response {
    let status = refusal.status();
    let mut body = json!({
        "type": format!("urn:trailhouse:problem:{}", refusal.kind()),
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": refusal.detail(),
        "instance": asked.path,
        "traceId": trace_id(&asked.headers).unwrap_or(&asked.request_id),
    });
    if let Refusal::Invalid { at, detail } = refusal {
        body["errors"] = errors(at, detail);
    }
    (status, Json(body)).into_response()
}

/// `{"field": ["message"]}`, the field as the client's JSON names it.
fn errors(at: &At, detail: &str) -> Value {
    let field = match at {
        At::Parameter(name) | At::Header(name) => name.clone(),
        At::Body(pointer) => pointer.trim_start_matches('/').replace('/', "."),
    };
    json!({ field: [detail] })
}

/// The trace's id in a `traceparent` header (W3C Trace Context).
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let parent = headers.get("traceparent")?.to_str().ok()?;
    let id = parent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}
