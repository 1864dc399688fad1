//! SoftwareOne Marketplace: `/public/v1/audit/records` and `/public/v1/audit/event-types`.
//!
//! In: a record, or RQL. Out: records, event types, or RFC 9457 problem details as
//! `application/json`, with `traceId` and `errors`.
//!
//! # Invariants
//! - `docs/CONTRACTS.md` says what holds, statement by statement (S1 and on).
//! - The tenant is the token's; another tenant's record is not there.
//! - `traceId` is the caller's own trace where the request has a `traceparent`, else the request's
//!   id.
//!
//! Deliberately unknown here: where records go, how they are found.

mod event_type;
mod filter;
mod list;
mod record;
mod rql;
#[cfg(test)]
mod tests;
mod write;

use axum::Json;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde_json::{Value, json};

use super::desk::Desk;
use super::{Asked, Contract, Endpoint};
use crate::api::refusal::{At, Refusal};

const SCHEMA: &str = "softwareone";

pub(super) const CONTRACT: Contract = Contract {
    name: SCHEMA,
    settings: |compat| &compat.softwareone,
    roots: &["/public/v1"],
    endpoints: |api, topic| {
        let handlers = [
            (Method::POST, "/public/v1/audit/records", post(write::create)),
            (Method::GET, "/public/v1/audit/records", get(list::list)),
            (Method::GET, "/public/v1/audit/records/{id}", get(list::one)),
            (Method::GET, "/public/v1/audit/event-types", get(event_type::list)),
            (Method::GET, "/public/v1/audit/event-types/{id}", get(event_type::one)),
            (Method::PUT, "/public/v1/audit/event-types/{id}", put(event_type::put)),
        ];
        Endpoint::over(&Desk::new(api, SCHEMA, topic), handlers)
    },
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
