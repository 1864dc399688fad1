//! `POST /public/v1/audit/records`.
//!
//! In: a record, every field of which may be left out. Out: the record as it will be read.
//!
//! # Invariants
//! - What the client gives wins over what is filled in.
//! - An id that is made is new: over the request's id, its time, and a number of this process.
//!
//! Deliberately unknown here: how a record is read.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use tower_http::request_id::RequestId;

use super::super::desk::{Desk, opened};
use super::super::shape::{self, Shape};
use super::record::{self, Around, Record, rfc3339};
use crate::access::{Caller, Role};
use crate::api::Refusal;
use crate::api::write::{Submission, home, must_be_json};
use crate::event::{Micros, id};

/// What a record is called that has no event: the vendor requires none.
const NAMELESS: &str = "unspecified";

const REFERENCE: [(&str, Shape); 3] =
    [("id", Shape::Text), ("name", Shape::Text), ("icon", Shape::Text)];
const ACCOUNT: &[(&str, Shape)] =
    &[REFERENCE[0], REFERENCE[1], REFERENCE[2], ("accountType", Shape::Text)];
const API: &[(&str, Shape)] = &[
    ("ip", Shape::Text),
    ("userAgent", Shape::Text),
    (
        "geolocation",
        Shape::Object(&[
            ("countryCode", Shape::Text),
            ("countryName", Shape::Text),
            ("region", Shape::Text),
        ]),
    ),
];
const FIELDS: &[(&str, Shape)] = &[
    ("id", Shape::Text),
    ("event", Shape::Text),
    ("summary", Shape::Text),
    ("details", Shape::Text),
    (
        "object",
        Shape::Object(&[REFERENCE[0], REFERENCE[1], REFERENCE[2], ("objectType", Shape::Text)]),
    ),
    ("timestamp", Shape::Time),
    (
        "actor",
        Shape::Object(&[
            REFERENCE[0],
            REFERENCE[1],
            REFERENCE[2],
            ("account", Shape::Object(ACCOUNT)),
        ]),
    ),
    ("type", Shape::Word(&["Private", "Public"])),
    (
        "request",
        Shape::Object(&[
            ("api", Shape::Object(API)),
            ("worker", Shape::Object(&[("workerName", Shape::Text)])),
            ("log", Shape::Object(&[("requestId", Shape::Text), ("operationId", Shape::Text)])),
        ]),
    ),
    ("documents", Shape::Free),
    (
        "viewers",
        Shape::List(&Shape::Object(&[
            REFERENCE[0],
            REFERENCE[1],
            REFERENCE[2],
            ("type", Shape::Text),
        ])),
    ),
];

pub(super) async fn create(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = opened(request).await?;
    let caller = desk.caller(&head, &body, Role::Writer).await?;
    must_be_json(&head.headers)?;
    shape::object(&body, FIELDS)?;
    let at = (desk.api.now)();
    let filled = filled(&caller, &head, at);
    let what = Submission {
        caller: &caller,
        tenant: home(&caller)?,
        at,
        filled: filled.clone(),
        headers: &head.headers,
        body: body.clone(),
    };
    let written = desk.writer.write(what).await?;
    written.until_seen(&*desk.api.reader).await;
    let header = |wanted: &str| {
        let own = || match wanted {
            "actor-id" => caller.actor.as_ref().unwrap_or(&caller.id).as_str(),
            "actor-name" => caller.name.as_str(),
            _ => "",
        };
        filled.iter().find(|(name, _)| *name == wanted).map_or_else(own, |(_, value)| value)
    };
    let around =
        Around { id: header("id"), timestamp: header("timestamp"), actor: record::actor(&header) };
    // INVARIANT: the body was read as an object above.
    let text = str::from_utf8(&body).unwrap_or_default();
    let record = Record::written(text, &around).ok_or(Refusal::Internal)?;
    Ok((StatusCode::CREATED, Json(record)).into_response())
}

/// What the endpoint fills in, for where the client leaves it out.
fn filled(caller: &Caller, head: &Parts, at: Micros) -> Vec<(String, String)> {
    let (account_id, account_name) = caller.account.clone().unwrap_or_default();
    let request_id = head.extensions.get::<RequestId>();
    let request_id = request_id.and_then(|id| id.header_value().to_str().ok()).unwrap_or_default();
    let filled = [
        ("id", new_id(request_id, at)),
        // To the millisecond, which is Kafka's and so the event's.
        ("timestamp", rfc3339(at.div_euclid(1_000) * 1_000)),
        ("action", NAMELESS.to_owned()),
        ("actor-account-id", account_id),
        ("actor-account-name", account_name),
    ];
    filled.map(|(name, value)| (name.to_owned(), value)).into()
}

/// `AUD-XXXX-XXXX-XXXX-XXXX-XXXX`, 80 bits.
fn new_id(request_id: &str, at: Micros) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let digest = id::digest(format!("{request_id} {at} {process} {number}").as_bytes());
    let groups = digest.chunks_exact(2).take(5).map(|two| format!("-{:02X}{:02X}", two[0], two[1]));
    groups.fold("AUD".to_owned(), |id, group| id + &group)
}
