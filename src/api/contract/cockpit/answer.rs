//! Cloud Cockpit's items.
//!
//! In: events. Out: items of the list.
//!
//! # Invariants
//! - An item has every member; what it has not is null.
//! - An item that came in as Cloud Cockpit's goes out as it was written.
//!
//! Deliberately unknown here: counts, paging.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::value::RawValue;

use super::super::entry::{Entry, Original, json, null, text, uuid};
use super::SCHEMA;
use crate::event::{Origin, Outcome, StoredEvent};

const MEMBERS: [&str; 14] = [
    "id",
    "customer",
    "reseller",
    "timestamp",
    "operation",
    "status",
    "user",
    "origin",
    "entityType",
    "entityId",
    "oldValues",
    "newValues",
    "message",
    "correlationId",
];

/// An event as an item.
pub(super) fn item(event: &StoredEvent) -> Entry {
    if let Some(original) = Original::of(event, SCHEMA) {
        let member = |name: &str| match name {
            "status" | "origin" => match original.within(name) {
                Some(inner) => named(inner.member("name")),
                None => null(),
            },
            _ => original.member(name),
        };
        return Entry(MEMBERS.map(|name| (name, member(name))).into());
    }
    let at = DateTime::<Utc>::from_timestamp_micros(event.occurred_at).unwrap_or_default();
    let values = [
        json(&event.id),
        concerned(event, "customer"),
        concerned(event, "reseller"),
        json(&at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        text(&event.action),
        status(event.outcome),
        text(&event.actor.email),
        origin(event.origin),
        text(&event.target.kind),
        uuid(&event.target.id),
        object(event.changes.old.as_deref()),
        object(event.changes.new.as_deref()),
        text(&event.message),
        uuid(&event.correlation_id),
    ];
    Entry(MEMBERS.into_iter().zip(values).collect())
}

fn named(name: Box<RawValue>) -> Box<RawValue> {
    json(&Entry(vec![("name", name)]))
}

/// The name of the customer or reseller among the targets.
fn concerned(event: &StoredEvent, kind: &str) -> Box<RawValue> {
    let all = event.targets.iter().chain([&event.target]);
    let name = all.filter(|target| target.kind == kind).map(|target| &*target.name);
    text(name.into_iter().find(|name| !name.is_empty()).unwrap_or_default())
}

fn status(outcome: Outcome) -> Box<RawValue> {
    match outcome {
        Outcome::Pending => named(json("Processing")),
        Outcome::Success => named(json("Succeded")),
        Outcome::Failure => named(json("Failed")),
        Outcome::Unknown => null(),
    }
}

fn origin(origin: Origin) -> Box<RawValue> {
    match origin {
        Origin::User => named(json("User")),
        Origin::Api => named(json("API")),
        Origin::System => named(json("System")),
        Origin::Unknown => null(),
    }
}

/// Values are an object by name; whatever else an event has for them cannot be said.
fn object(changes: Option<&RawValue>) -> Box<RawValue> {
    let is_object = |json: &&RawValue| json.get().starts_with('{');
    changes.filter(is_object).map_or_else(null, ToOwned::to_owned)
}
