//! The documented form of a body, as data.
//!
//! In: a JSON body, the fields a contract documents. Out: nothing, or where it is otherwise.
//!
//! # Invariants
//! - Every field may be left out or null; one that is not documented may be anything.
//! - A fault names the field by its JSON pointer.
//!
//! Deliberately unknown here: what a field means.

use chrono::DateTime;
use serde_json::{Map, Value};

use crate::api::Refusal;

/// What a field may hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A text.
    Text,
    /// A text that is one of these.
    Word(&'static [&'static str]),
    /// A text that is an RFC 3339 time.
    Time,
    /// An object of these fields.
    Object(&'static [(&'static str, Shape)]),
    /// An object of anything.
    Free,
    /// A list of this.
    List(&'static Shape),
}

/// The object a body is, where its documented fields have their form.
pub(super) fn object(
    body: &[u8],
    fields: &'static [(&'static str, Shape)],
) -> Result<Map<String, Value>, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::body("", format!("the body is no JSON: {error}")))?;
    let Value::Object(object) = value else {
        return Err(Refusal::body("", "the body is no JSON object"));
    };
    check_fields(&object, fields, "")?;
    Ok(object)
}

fn check_fields(
    object: &Map<String, Value>,
    fields: &[(&str, Shape)],
    at: &str,
) -> Result<(), Refusal> {
    for (name, shape) in fields {
        if let Some(value) = object.get(*name).filter(|value| !value.is_null()) {
            check(value, *shape, &format!("{at}/{name}"))?;
        }
    }
    Ok(())
}

fn check(value: &Value, shape: Shape, at: &str) -> Result<(), Refusal> {
    let wrong = |wanted: String| Err(Refusal::body(at, format!("{at} must be {wanted}")));
    match (shape, value) {
        (Shape::Text, Value::String(_)) | (Shape::Free, Value::Object(_)) => Ok(()),
        (Shape::Word(words), Value::String(word)) if words.contains(&word.as_str()) => Ok(()),
        (Shape::Time, Value::String(text)) if DateTime::parse_from_rfc3339(text).is_ok() => Ok(()),
        (Shape::Object(fields), Value::Object(object)) => check_fields(object, fields, at),
        (Shape::List(shape), Value::Array(items)) => items
            .iter()
            .enumerate()
            .try_for_each(|(place, item)| check(item, *shape, &format!("{at}/{place}"))),
        (Shape::Text, _) => wrong("a string".to_owned()),
        (Shape::Word(words), _) => wrong(format!("one of {}", words.join(", "))),
        (Shape::Time, _) => wrong("a time such as 2026-01-31T12:00:00+00:00".to_owned()),
        (Shape::Object(_) | Shape::Free, _) => wrong("an object".to_owned()),
        (Shape::List(_), _) => wrong("a list".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::At;

    const FIELDS: &[(&str, Shape)] = &[
        ("name", Shape::Text),
        ("kind", Shape::Word(&["a", "b"])),
        ("when", Shape::Time),
        ("inner", Shape::Object(&[("name", Shape::Text)])),
        ("list", Shape::List(&Shape::Object(&[("id", Shape::Text)]))),
        ("free", Shape::Free),
    ];

    #[test]
    fn what_is_documented_has_its_form_and_the_rest_is_let_through() {
        for (body, wrong) in [
            ("{}", None),
            (r#"{"name":null,"other":[1],"free":{"x":1}}"#, None),
            (r#"{"when":"2026-01-31T12:00:00+01:00","list":[{"id":"1"},{}]}"#, None),
            (r#"{"name":1}"#, Some("/name")),
            (r#"{"kind":"c"}"#, Some("/kind")),
            (r#"{"when":"2026-01-31T12:00:00"}"#, Some("/when")),
            (r#"{"inner":{"name":[]}}"#, Some("/inner/name")),
            (r#"{"inner":"x"}"#, Some("/inner")),
            (r#"{"list":[{},{"id":1}]}"#, Some("/list/1/id")),
            (r#"{"free":[]}"#, Some("/free")),
            ("[]", Some("")),
            ("{", Some("")),
        ] {
            let found = match object(body.as_bytes(), FIELDS) {
                Err(Refusal::Invalid { at: At::Body(at), .. }) => Some(at),
                _ => None,
            };
            assert_eq!(found.as_deref(), wrong, "{body}");
        }
    }
}
