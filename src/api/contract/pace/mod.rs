//! PACE Cloud: `POST /user/2024-2/auditlogs/record`.
//!
//! In: an action of a user. Out: 204 once it is safe in Kafka, or JSON:API errors,
//! `application/vnd.api+json`.
//!
//! # Invariants
//! - `docs/CONTRACTS.md` says what holds, statement by statement (P1 and on).
//! - Tenant and actor are the token's.
//! - `status` is a text, `id` is this occurrence's own, `title` is fixed for a problem.
//!
//! Deliberately unknown here: where records go.

#[cfg(test)]
mod tests;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;
use uuid::Uuid;

use super::desk::{Desk, opened};
use super::shape::{self, Shape};
use super::{Asked, Contract, Endpoint};
use crate::access::Role;
use crate::api::refusal::{At, Refusal};
use crate::api::write::{Submission, home, must_be_json};
use crate::event::id;

const SCHEMA: &str = "pace";
const CONTENT_TYPE: &str = "application/vnd.api+json";

/// What an action is called that has no name: the vendor marks no field as required.
const NAMELESS: &str = "unspecified";

const FIELDS: &[(&str, Shape)] = &[
    ("service", Shape::Text),
    ("actionName", Shape::Text),
    ("resource", Shape::Object(&[("identifier", Shape::Text), ("resourceType", Shape::Text)])),
    ("actionData", Shape::Free),
    ("actionDate", Shape::Time),
];

pub(super) const CONTRACT: Contract = Contract {
    name: SCHEMA,
    settings: |compat| &compat.pace,
    roots: &["/user/2024-2"],
    endpoints: |api, topic| {
        let handlers = [(Method::POST, "/user/2024-2/auditlogs/record", post(record))];
        Endpoint::over(&Desk::new(api, SCHEMA, topic), handlers)
    },
    words,
};

async fn record(State(desk): State<Desk>, request: Request) -> Result<StatusCode, Refusal> {
    let (head, body) = opened(request).await?;
    let caller = desk.caller(&head, &body, Role::Writer).await?;
    if caller.actor.is_none() {
        return Err(Refusal::Unlinked);
    }
    must_be_json(&head.headers)?;
    shape::object(&body, FIELDS)?;
    let what = Submission {
        caller: &caller,
        tenant: home(&caller)?,
        at: (desk.api.now)(),
        filled: vec![("action".to_owned(), NAMELESS.to_owned())],
        headers: &head.headers,
        body,
    };
    desk.writer.write(what).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn words(refusal: &Refusal, asked: &Asked) -> Response {
    let status = refusal.status();
    let title = match status.as_u16() {
        401 => "OAuth token missing or invalid or a linked identity is missing",
        404 => "Resource not found",
        500 => "Internal server error",
        _ => status.canonical_reason().unwrap_or("Error"),
    };
    let code = match refusal {
        Refusal::Unlinked => "missing-linked-identity",
        _ => "1000",
    };
    let source = match refusal {
        Refusal::Invalid { at: At::Parameter(name), .. } => json!({ "parameter": name }),
        Refusal::Invalid { at: At::Header(name), .. } => json!({ "header": name }),
        Refusal::Invalid { at: At::Body(pointer), .. } => json!({ "pointer": pointer }),
        _ => json!({}),
    };
    let body = json!({ "errors": [{
        "id": occurrence(asked),
        "links": { "about": format!("urn:trailhouse:problem:{}", refusal.kind()) },
        "status": status.as_u16().to_string(),
        "code": code,
        "title": title,
        "detail": refusal.detail(),
        "source": source,
        "meta": {},
    }] });
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))];
    (status, kind, body.to_string()).into_response()
}

/// An id of this refusal alone: a client may send the same `x-request-id` again.
fn occurrence(asked: &Asked) -> Uuid {
    let digest = id::digest(format!("{} {}", asked.request_id, asked.at).as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
