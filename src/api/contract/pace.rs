//! PACE Cloud: `POST /user/2024-2/auditlogs/record`.
//!
//! In: a refusal. Out: JSON:API errors, `application/vnd.api+json`.
//!
//! # Invariants
//! - `status` is a text, `id` is this occurrence's own, `title` is fixed for a status.
//! - `code` is 1000, but where a linked identity is missing.
//!
//! Deliberately unknown here: where records go.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use uuid::Uuid;

use super::{Asked, Contract};
use crate::api::refusal::{At, Refusal};
use crate::event::id;

const CONTENT_TYPE: &str = "application/vnd.api+json";

pub(super) const CONTRACT: Contract = Contract {
    name: "pace",
    settings: |compat| &compat.pace,
    roots: &["/user/2024-2"],
    routes: |_, _| Router::new(),
    words,
};

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
