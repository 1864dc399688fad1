//! An audit record as the marketplace writes it.
//!
//! In: an event with its `raw` and what the write endpoint filled in. Out: a [`Record`]: JSON
//! members in the documented order.
//!
//! # Invariants
//! - A record of this schema is said from what was written, member by member, as its own JSON text;
//!   `id`, `timestamp`, `actor`, `type` and `viewers` are filled in where it has none.
//! - An event of any other schema is said as far as a record can say it; the rest is null.
//!
//! Deliberately unknown here: which records are asked for.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::super::entry::opened;
use super::SCHEMA;
use crate::event::{Micros, StoredEvent};

/// The documented members.
pub(super) const MEMBERS: [&str; 11] = [
    "id",
    "event",
    "summary",
    "details",
    "object",
    "timestamp",
    "actor",
    "type",
    "request",
    "documents",
    "viewers",
];

/// A record's members.
#[derive(Debug)]
pub(super) struct Record(Vec<(&'static str, Box<RawValue>)>);

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// What stands around a record's own JSON: an event's headers, or those of a record that is being
/// written.
pub(super) struct Around<'a> {
    /// Where the record has no id.
    pub id: &'a str,
    /// Where it has no timestamp.
    pub timestamp: &'a str,
    /// Where it has no actor.
    pub actor: Value,
}

impl Record {
    /// An event as a record.
    pub(super) fn of(event: &StoredEvent) -> Record {
        let raw = event.raw.as_deref().filter(|_| event.schema == SCHEMA);
        let header = |name: &str| event.headers.get(name).map(String::as_str);
        let (own_id, moment) = (event.id.to_string(), rfc3339(event.occurred_at));
        let around = Around {
            id: header("id").unwrap_or(&own_id),
            timestamp: header("timestamp").unwrap_or(&moment),
            actor: actor(&|name| header(name).unwrap_or_default()),
        };
        raw.and_then(|raw| Record::written(&opened(raw), &around))
            .unwrap_or_else(|| Record::said(event))
    }

    /// A record from its own JSON; `None` where that is no object.
    pub(super) fn written(raw: &str, around: &Around<'_>) -> Option<Record> {
        // A name may have escapes, and then it cannot be borrowed.
        let mut own: BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw).ok()?;
        let fill = |own: &mut BTreeMap<String, Box<RawValue>>, name: &str, value: Value| {
            let is_there =
                own.get(name).is_some_and(|value| !matches!(value.get(), "null" | "\"\""));
            if !is_there && let Ok(value) = to_raw_value(&value) {
                own.insert(name.to_owned(), value);
            }
        };
        fill(&mut own, "id", json!(around.id));
        fill(&mut own, "timestamp", json!(around.timestamp));
        fill(&mut own, "actor", around.actor.clone());
        fill(&mut own, "type", json!("Private"));
        fill(&mut own, "viewers", json!([]));
        let members = MEMBERS.iter().filter_map(|name| Some((*name, own.remove(*name)?)));
        Some(Record(members.collect()))
    }

    /// An event of another schema.
    fn said(event: &StoredEvent) -> Record {
        let text = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        let StoredEvent { actor, target, .. } = event;
        let ip = event.client_ip.map(|ip| json!(ip.to_canonical()));
        let values = [
            json!(event.id),
            text(&event.action),
            text(&event.message),
            Value::Null,
            json!({
                "id": text(&target.id),
                "name": text(&target.name),
                "objectType": text(&target.kind),
            }),
            json!(rfc3339(event.occurred_at)),
            json!({
                "id": text(&actor.id),
                "name": text(&actor.name),
                "account": { "id": text(&actor.account_id), "name": text(&actor.account_name) },
            }),
            Value::Null,
            json!({
                "api": {
                    "ip": ip,
                    "geolocation": {
                        "countryCode": text(&event.country),
                        "region": text(&event.region),
                    },
                    "userAgent": text(&event.user_agent),
                },
                "log": {
                    "requestId": text(&event.request_id),
                    "operationId": text(&event.correlation_id),
                },
            }),
            Value::Null,
            Value::Null,
        ];
        let members = MEMBERS.into_iter().zip(values);
        Record(
            members.filter_map(|(name, value)| Some((name, to_raw_value(&value).ok()?))).collect(),
        )
    }

    /// Leave out members, given as `documents` or `object.icon`.
    pub(super) fn without(&mut self, left_out: &[String]) {
        for path in left_out {
            let mut steps = path.split('.');
            let first = steps.next().unwrap_or_default();
            let steps: Vec<&str> = steps.collect();
            let Some((last, above)) = steps.split_last() else {
                self.0.retain(|(name, _)| *name != first);
                continue;
            };
            let Some((_, member)) = self.0.iter_mut().find(|(name, _)| *name == first) else {
                continue;
            };
            let Ok(mut value) = serde_json::from_str::<Value>(member.get()) else { continue };
            let pointer: String = above.iter().map(|step| format!("/{step}")).collect();
            if let Some(Value::Object(inner)) = value.pointer_mut(&pointer) {
                inner.remove(*last);
            }
            if let Ok(value) = to_raw_value(&value) {
                *member = value;
            }
        }
    }

    /// Fill the placeholders of `details` from `documents`; one that names nothing stays.
    pub(super) fn render(&mut self) {
        let member = |name: &str| -> Option<Value> {
            let (_, value) = self.0.iter().find(|(known, _)| *known == name)?;
            serde_json::from_str(value.get()).ok()
        };
        let Some(Value::String(template)) = member("details") else { return };
        let documents = member("documents").unwrap_or_default();
        let details = filled(&template, &documents);
        if let (Some((_, value)), Ok(details)) =
            (self.0.iter_mut().find(|(name, _)| *name == "details"), to_raw_value(&details))
        {
            *value = details;
        }
    }
}

/// The actor that a write endpoint's headers name; null where they name none.
pub(super) fn actor<'h>(header: &dyn Fn(&str) -> &'h str) -> Value {
    if header("actor-id").is_empty() {
        return Value::Null;
    }
    let mut actor = json!({ "id": header("actor-id") });
    let mut set = |pointer: &[&str], value: &str| {
        let mut at = &mut actor;
        for step in pointer {
            at = &mut at[*step];
        }
        if !value.is_empty() {
            *at = json!(value);
        }
    };
    if !header("actor-name").is_empty() {
        set(&["name"], header("actor-name"));
    }
    if !header("actor-account-id").is_empty() {
        set(&["account", "id"], header("actor-account-id"));
        set(&["account", "name"], header("actor-account-name"));
    }
    actor
}

/// A time as the marketplace writes it.
pub(super) fn rfc3339(at: Micros) -> String {
    let time = DateTime::from_timestamp_micros(at).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// How long a text may become by being filled in, in bytes; what would go beyond stays a placeholder.
const MOST_FILLED: usize = 64 << 10;

fn filled(template: &str, documents: &Value) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{")
        && text.len() < MOST_FILLED
    {
        let Some((path, behind)) = after.split_once("}}") else { break };
        text.push_str(before);
        let pointer: String = path.trim().split('.').map(|step| format!("/{step}")).collect();
        match documents.pointer(&pointer) {
            Some(Value::String(value)) if value.len() < MOST_FILLED => text.push_str(value),
            Some(value) if !value.is_object() && !value.is_array() && !value.is_string() => {
                text.push_str(&value.to_string());
            }
            _ => text.push_str(&format!("{{{{{path}}}}}")),
        }
        rest = behind;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(raw: &str) -> Record {
        let around = Around { id: "AUD-1", timestamp: "2026-01-01T00:00:00Z", actor: Value::Null };
        Record::written(raw, &around).unwrap()
    }

    #[test]
    fn placeholders_are_filled_from_documents() {
        let documents = json!({ "order": { "id": "ORD-1", "lines": 2 } });
        for (template, expected) in [
            ("{{order.id}} has {{ order.lines }}", "ORD-1 has 2"),
            ("{{order.name}} {{open", "{{order.name}} {{open"),
            ("}} plain", "}} plain"),
        ] {
            assert_eq!(filled(template, &documents), expected);
        }
    }

    #[test]
    fn placeholders_make_no_text_of_any_length() {
        let documents = json!({ "a": "x".repeat(1_000), "b": "x".repeat(MOST_FILLED) });
        let long = filled(&"{{a}}{{b}}".repeat(10_000), &documents);
        assert!(long.len() < MOST_FILLED + 200_000, "{}", long.len());
        assert!(long.ends_with("{{a}}{{b}}"));
    }

    #[test]
    fn a_member_whose_name_has_escapes_is_no_obstacle() {
        let record = record(r#"{"su\u006dmary":"s","a\"b":1}"#);
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains(r#""summary":"s""#), "{text}");
    }

    #[test]
    fn members_keep_their_own_json_and_may_be_left_out() {
        let mut record = record(
            r#"{"documents":{"n": 1.50},"object":{"id":"1","icon":"/x"},"other":1,"summary":null}"#,
        );
        record.without(&["object.icon".into(), "viewers".into(), "actor".into()]);
        let text = serde_json::to_string(&record).unwrap();
        let expected = r#"{"id":"AUD-1","summary":null,"object":{"id":"1"},"timestamp":"2026-01-01T00:00:00Z","type":"Private","documents":{"n": 1.50}}"#;
        assert_eq!(text, expected);
    }
}
