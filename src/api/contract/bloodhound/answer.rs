//! BloodHound's rows.
//!
//! In: events. Out: rows of the audit log.
//!
//! # Invariants
//! - A row has every column; what it has not is null.
//! - A row that came in as BloodHound's goes out as it was written.
//!
//! Deliberately unknown here: counts, paging.

use chrono::{DateTime, SecondsFormat, Utc};

use super::super::entry::{Entry, Original, json, null, text, uuid};
use super::SCHEMA;
use crate::event::{Outcome, StoredEvent};

const COLUMNS: [&str; 12] = [
    "id",
    "created_at",
    "actor_id",
    "actor_name",
    "actor_email",
    "action",
    "fields",
    "request_id",
    "source_ip_address",
    "source",
    "status",
    "commit_id",
];

/// An event as a row.
pub(super) fn row(event: &StoredEvent) -> Entry {
    if let Some(original) = Original::of(event, SCHEMA) {
        return Entry(COLUMNS.map(|name| (name, original.member(name))).into());
    }
    let attribute = |name: &str| event.attributes.get(name).map(String::as_str);
    let address = event.client_ip.map(|ip| ip.to_canonical().to_string());
    let address = attribute("source_ip_address").or(address.as_deref()).unwrap_or_default();
    let at = DateTime::<Utc>::from_timestamp_micros(event.occurred_at).unwrap_or_default();
    let fields = Some(&event.attributes).filter(|attributes| !attributes.is_empty());
    let values = [
        null(),
        json(&at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        text(&event.actor.id),
        text(&event.actor.name),
        text(&event.actor.email),
        text(&event.action),
        json(&fields),
        text(&event.request_id),
        text(address),
        text(attribute("source").unwrap_or_default()),
        text(status(event.outcome)),
        uuid(&event.correlation_id),
    ];
    Entry(COLUMNS.into_iter().zip(values).collect())
}

fn status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pending => "intent",
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Unknown => "",
    }
}
