//! An entry of a vendor's list, member by member: as it was written where the event came in by that
//! vendor's schema, else as far as the event can say it.
//!
//! In: a [`StoredEvent`] with its `raw`. Out: a JSON object with the contract's members.
//!
//! # Invariants
//! - A member of the original goes out as its own JSON text: numbers keep their digits, strings
//!   their escapes.
//! - A member that is not there is null, never left out.
//!
//! Deliberately unknown here: which members a contract has.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::event::StoredEvent;

/// Envelopes that stand in one another, as many as the normaliser opens.
const MAX_NESTING: usize = 3;

/// The members of a JSON object, in the contract's order.
#[derive(Debug)]
pub(super) struct Entry(pub Vec<(&'static str, Box<RawValue>)>);

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// What an event's original bytes say.
#[derive(Debug)]
pub(super) struct Original(BTreeMap<String, Box<RawValue>>);

impl Original {
    /// The original of an event that came in by a schema; `None` for any other.
    pub(super) fn of(event: &StoredEvent, schema: &str) -> Option<Original> {
        let raw = event.raw.as_deref().filter(|_| event.schema == schema)?;
        object(&opened(raw)).map(Original)
    }

    /// A member, or null.
    pub(super) fn member(&self, name: &str) -> Box<RawValue> {
        self.0.get(name).cloned().unwrap_or_else(null)
    }

    /// The members of an object within; `None` where there is no object.
    pub(super) fn within(&self, name: &str) -> Option<Original> {
        object(self.0.get(name)?.get()).map(Original)
    }
}

/// The vendor's own JSON of an event: its original bytes, or what they carry as a CloudEvent.
pub(super) fn opened(raw: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(raw);
    for _ in 0..MAX_NESTING {
        // Most are none, and are parsed once only, by whoever asks.
        if !text.contains("specversion") {
            break;
        }
        let Some(data) = object(&text).as_ref().and_then(carried) else { break };
        text = Cow::Owned(data);
    }
    text
}

/// Null.
pub(super) fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// Any value as JSON.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| null())
}

/// A text, or null where it is empty.
pub(super) fn text(text: &str) -> Box<RawValue> {
    json(&Some(text).filter(|text| !text.is_empty()))
}

/// A text where it is a UUID, else null.
pub(super) fn uuid(text: &str) -> Box<RawValue> {
    json(&Some(text).filter(|text| Uuid::parse_str(text).is_ok()))
}

fn object(text: &str) -> Option<BTreeMap<String, Box<RawValue>>> {
    serde_json::from_str(text).ok()
}

/// What a structured CloudEvent carries; `None` where it is none.
fn carried(members: &BTreeMap<String, Box<RawValue>>) -> Option<String> {
    members.get("specversion")?;
    let text = |name: &str| serde_json::from_str::<String>(members.get(name)?.get()).ok();
    if let Some(data) = members.get("data") {
        // JSON data may travel as a string of JSON text.
        return Some(text("data").unwrap_or_else(|| data.get().to_owned()));
    }
    String::from_utf8(STANDARD.decode(text("data_base64")?).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::fixture::event;

    fn original(raw: &str) -> Option<Original> {
        let event = StoredEvent { raw: Some(raw.into()), ..event(1, 0) };
        Original::of(&event, "shop")
    }

    #[test]
    fn a_member_goes_out_as_it_was_written() {
        let found = original(r#"{"n": 1.50, "s": "\u00e4", "o": {"k" : 1e3}}"#).unwrap();
        assert_eq!(found.member("n").get(), "1.50");
        assert_eq!(found.member("s").get(), r#""\u00e4""#);
        assert_eq!(found.within("o").unwrap().member("k").get(), "1e3");
        assert_eq!(found.member("absent").get(), "null");
        assert!(found.within("n").is_none());
    }

    #[test]
    fn an_original_within_a_cloud_event_is_what_it_carries() {
        let inner = r#"{\"n\":7}"#;
        for raw in [
            r#"{"specversion":"1.0","data":{"n":7}}"#.to_owned(),
            format!(r#"{{"specversion":"1.0","data":"{inner}"}}"#),
            r#"{"specversion":"1.0","data_base64":"eyJuIjo3fQ=="}"#.to_owned(),
        ] {
            assert_eq!(original(&raw).unwrap().member("n").get(), "7", "{raw}");
        }
    }

    #[test]
    fn an_event_of_another_schema_has_no_original_here() {
        let event = event(1, 0);
        assert!(Original::of(&event, "cockpit").is_none());
        assert!(original("[1]").is_none());
    }
}
