//! The CloudEvents envelope, structured or binary.
//!
//! In: the payload's text, or a record's headers. Out: the text it carries, and its attributes.
//!
//! # Invariants
//! - What it carries is a slice of the payload, byte for byte (of the decoded data for
//!   `data_base64`, of the string's content where JSON travels as a string).
//! - Envelopes nest at most [`MAX_NESTING`] deep.
//!
//! Deliberately unknown here: mappings.
//!
//! CloudEvents 1.0: the JSON format of <https://github.com/cloudevents/spec> and its Kafka binding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use serde_json::value::RawValue;

use super::walk::{Fault, syntax};
use crate::event::{Headers, Reason};

/// Array in CloudEvents in wrapper, and no further.
pub const MAX_NESTING: usize = 3;

/// A structured CloudEvent, opened.
pub struct Opened<'a> {
    /// Its attributes: every scalar beside the data.
    pub attributes: &'a [(&'a str, &'a str)],
    /// The JSON text it carries.
    pub data: &'a str,
}

/// Open a structured CloudEvent; the text is an object that has `specversion`.
///
/// `None` where it has no data member at all: then it is an ordinary object.
pub fn open_cloud_event<'a>(text: &'a str, arena: &'a Bump) -> Result<Option<Opened<'a>>, Fault> {
    let members: std::collections::BTreeMap<String, &'a RawValue> =
        serde_json::from_str(text).map_err(|error| syntax(&error))?;
    let mut attributes = BumpVec::new_in(arena);
    for (name, value) in &members {
        let json = value.get();
        let scalar = match json.as_bytes().first() {
            Some(b'{' | b'[' | b'n') => continue,
            Some(b'"') => {
                let text: String = serde_json::from_str(json).map_err(|error| syntax(&error))?;
                &*arena.alloc_str(&text)
            }
            _ => json,
        };
        if name != "data" && name != "data_base64" {
            attributes.push((&*arena.alloc_str(name), scalar));
        }
    }
    let attributes = attributes.into_bump_slice();
    if let Some(data) = members.get("data") {
        return Ok(Some(Opened { attributes, data: unquoted(data.get(), arena) }));
    }
    let Some(encoded) = members.get("data_base64") else { return Ok(None) };
    let encoded: Option<String> = serde_json::from_str(encoded.get()).ok();
    let decoded = encoded.and_then(|text| STANDARD.decode(text).ok());
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded {
        Some(data) => Ok(Some(Opened { attributes, data: arena.alloc_str(&data) })),
        None => Err(bad("the CloudEvent's `data_base64` is not base64 of UTF-8 text")),
    }
}

/// CloudEvents allow JSON data to travel as a string of JSON text.
fn unquoted<'a>(json: &'a str, arena: &'a Bump) -> &'a str {
    match serde_json::from_str::<String>(json) {
        Ok(text) if text.trim_start().starts_with(['{', '[']) => arena.alloc_str(&text),
        _ => json,
    }
}

/// The attributes of a binary CloudEvent: the record's `ce_` headers.
pub fn binary_attributes<'a>(headers: Headers<'a>, arena: &'a Bump) -> &'a [(&'a str, &'a str)] {
    let mut attributes = BumpVec::new_in(arena);
    let named =
        headers.parts().filter_map(|(name, value)| Some((name.strip_prefix(b"ce_")?, value)));
    for (name, value) in named {
        if let (Ok(name), Ok(value)) = (str::from_utf8(name), str::from_utf8(value)) {
            attributes.push((name, value));
        }
    }
    attributes.into_bump_slice()
}

/// A fault of the envelope.
pub fn bad(sentence: &str) -> Fault {
    Fault { reason: Reason::BadEnvelope, sentence: sentence.to_owned() }
}
