//! Whether an answer is like a pattern.
//!
//! In: JSON, and JSON with wildcards. Out: nothing, or every place where they differ.
//!
//! # Invariants
//! - An object has the pattern's members and no others, unless the pattern has a member `"..."`; an
//!   array as many elements, unless the pattern's last is `"..."`.
//! - Wildcards are texts: `<any>`, `<text>` (not empty), `<number>`, `<uuid>`, `<time>` (RFC 3339),
//!   `<has: …>` and `<begins: …>` (a text that does), `<not: …>` (any other text).
//!
//! Deliberately unknown here: HTTP.

use chrono::DateTime;
use serde_json::Value;
use uuid::Uuid;

const REST: &str = "...";

/// Where an answer is not as the pattern says.
pub fn differences(pattern: &Value, answer: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(pattern, answer, "", &mut found);
    found
}

fn compare(pattern: &Value, answer: &Value, at: &str, found: &mut Vec<String>) {
    match (pattern, answer) {
        (Value::Object(pattern), Value::Object(answer)) => {
            for (name, value) in pattern.iter().filter(|(name, _)| *name != REST) {
                let at = format!("{at}/{name}");
                match answer.get(name) {
                    None => found.push(format!("{at} is not there")),
                    Some(own) => compare(value, own, &at, found),
                }
            }
            let is_extra = |name: &&String| !pattern.contains_key(*name);
            for name in answer.keys().filter(is_extra).filter(|_| !pattern.contains_key(REST)) {
                found.push(format!("{at}/{name} is there, as {}", answer[name]));
            }
        }
        (Value::Array(pattern), Value::Array(answer)) => {
            let is_open = pattern.last().is_some_and(|last| last == REST);
            let pattern = if is_open { &pattern[..pattern.len() - 1] } else { &pattern[..] };
            if answer.len() < pattern.len() || (answer.len() > pattern.len() && !is_open) {
                let (own, wanted) = (answer.len(), pattern.len());
                found.push(format!("{at} has {own} elements, not {wanted}"));
            }
            for (index, (value, own)) in pattern.iter().zip(answer).enumerate() {
                compare(value, own, &format!("{at}/{index}"), found);
            }
        }
        (Value::String(text), _) if is_wildcard(text) && admits(text, answer) => {}
        _ if pattern != answer => found.push(format!("{at} is {answer}, not {pattern}")),
        _ => {}
    }
}

fn is_wildcard(text: &str) -> bool {
    text.starts_with('<') && text.ends_with('>')
}

fn admits(wildcard: &str, answer: &Value) -> bool {
    let inner = wildcard.trim_start_matches('<').trim_end_matches('>');
    let text = answer.as_str().unwrap_or_default();
    match inner.split_once(": ") {
        Some(("has", part)) => text.contains(part),
        Some(("begins", part)) => text.starts_with(part),
        Some(("not", other)) => text != other,
        Some(_) => panic!("no wildcard: {wildcard}"),
        None => match inner {
            "any" => true,
            "text" => !text.is_empty(),
            "number" => answer.is_number(),
            "uuid" => Uuid::parse_str(text).is_ok(),
            "time" => DateTime::parse_from_rfc3339(text).is_ok(),
            _ => panic!("no wildcard: {wildcard}"),
        },
    }
}

/// Whether a header's value is as a pattern says: the value, or a wildcard.
pub fn header_is(pattern: &str, value: &str) -> bool {
    if is_wildcard(pattern) { admits(pattern, &Value::from(value)) } else { pattern == value }
}

#[test]
fn an_answer_that_differs_is_told_with_its_place() {
    use serde_json::json;
    for (pattern, answer, told) in [
        (json!({"a": 1}), json!({"a": 1}), ""),
        (json!({"a": 1}), json!({"a": 2}), "/a is 2, not 1"),
        (json!({"a": 1}), json!({}), "/a is not there"),
        (json!({}), json!({"a": 1}), "/a is there, as 1"),
        (json!({"...": true}), json!({"a": 1}), ""),
        (json!([1]), json!([1, 2]), " has 2 elements, not 1"),
        (json!([1, "..."]), json!([1, 2]), ""),
        (json!([1, 2, "..."]), json!([1]), " has 1 elements, not 2"),
        (json!("<uuid>"), json!("x"), " is \"x\", not \"<uuid>\""),
        (json!("<time>"), json!("2026-01-01T00:00:00Z"), ""),
        (json!("<begins: ab>"), json!("abc"), ""),
        (json!("<has: bc>"), json!("abc"), ""),
        (json!("<not: a>"), json!("b"), ""),
        (json!("<text>"), json!(null), " is null, not \"<text>\""),
        (json!(null), json!("a"), " is \"a\", not null"),
    ] {
        assert_eq!(differences(&pattern, &answer).join("; "), told, "{pattern} {answer}");
    }
}
