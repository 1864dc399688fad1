//! A log as grpc-gateway writes it.
//!
//! In: an event with its `raw`. Out: JSON with every field, empty ones included.
//!
//! # Invariants
//! - A log of this schema is said from what was written; one without an id has the event's.
//! - `created_at` is in UTC, with as many digits as protojson gives it: 0, 3, 6 or 9.
//! - An event of any other schema is said as far as a log can say it.
//!
//! Deliberately unknown here: which logs are asked for.

use chrono::{DateTime, SecondsFormat, Timelike as _, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::entry::opened;
use super::SCHEMA;
use crate::event::{Micros, StoredEvent};
use crate::query::{Field, Filter, TextTest};

/// One log.
pub(super) fn log(event: &StoredEvent) -> Value {
    match original(event) {
        Some(log) => as_written(&log, event),
        None => as_said(event),
    }
}

/// What finds the log of an id: the source's, or else the event's own.
pub(super) fn of_id(id: &str) -> Filter {
    let is = |field, text: &str| Filter::Text(field, TextTest::Is(text.to_owned()));
    let written = Filter::All(vec![is(Field::Schema, SCHEMA), is(Field::SourceId, id)]);
    let own = Uuid::parse_str(id).ok().map(Filter::Id);
    Filter::Any([written].into_iter().chain(own).collect())
}

fn as_written(log: &Map<String, Value>, event: &StoredEvent) -> Value {
    let written = log.get("created_at").or_else(|| log.get("createdAt")).and_then(Value::as_str);
    let written = written.and_then(|time| DateTime::parse_from_rfc3339(time).ok());
    let id = text(log, "id").to_owned();
    json!({
        "id": if id.is_empty() { event.id.to_string() } else { id },
        "source": text(log, "source"),
        "action": text(log, "action"),
        "actor": party(log.get("actor")),
        "target": party(log.get("target")),
        "context": context(log.get("context")),
        "created_at": written.map_or_else(|| moment(event.occurred_at), |time| said(time.to_utc())),
    })
}

fn as_said(event: &StoredEvent) -> Value {
    let party = |id: &str, kind: &str, name: &str| json!({ "id": id, "type": kind, "name": name });
    let StoredEvent { actor, target, .. } = event;
    json!({
        "id": event.id,
        "source": event.service,
        "action": event.action,
        "actor": party(&actor.id, &actor.kind, &actor.name),
        "target": party(&target.id, &target.kind, &target.name),
        "context": event.attributes,
        "created_at": moment(event.occurred_at),
    })
}

fn original(event: &StoredEvent) -> Option<Map<String, Value>> {
    let raw = event.raw.as_deref().filter(|_| event.schema == SCHEMA)?;
    serde_json::from_str(&opened(raw)).ok()
}

fn text<'l>(log: &'l Map<String, Value>, name: &str) -> &'l str {
    log.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn party(party: Option<&Value>) -> Value {
    let empty = Map::new();
    let party = party.and_then(Value::as_object).unwrap_or(&empty);
    json!({ "id": text(party, "id"), "type": text(party, "type"), "name": text(party, "name") })
}

/// Texts by name; what came by Kafka may hold other values, which are said as JSON.
fn context(context: Option<&Value>) -> Value {
    let Some(context) = context.and_then(Value::as_object) else { return json!({}) };
    let said = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    context.iter().map(|(name, value)| (name.clone(), json!(said(value)))).collect()
}

fn moment(at: Micros) -> String {
    said(DateTime::from_timestamp_micros(at).unwrap_or_default())
}

fn said(time: DateTime<Utc>) -> String {
    let digits = match time.nanosecond() {
        0 => SecondsFormat::Secs,
        nanos if nanos % 1_000_000 == 0 => SecondsFormat::Millis,
        nanos if nanos % 1_000 == 0 => SecondsFormat::Micros,
        _ => SecondsFormat::Nanos,
    };
    time.to_rfc3339_opts(digits, true)
}
