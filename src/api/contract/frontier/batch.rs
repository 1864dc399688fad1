//! A batch of logs, as protojson reads it.
//!
//! In: a body. Out: nothing, or the fault in Frontier's words.
//!
//! # Invariants
//! - A field goes by its proto name or its camelCase one, once; unknown fields are ignored.
//! - Null is a field that is left out.
//! - One faulty log refuses the batch.
//!
//! Deliberately unknown here: who writes.

use chrono::DateTime;
use serde_json::{Map, Value};

use crate::api::Refusal;

const REQUEST: &str = "CreateOrganizationAuditLogsRequest";

/// The message the original gives for a log without its source or action.
const SYNTAX: &str = "invalid syntax in body";

/// Check a body.
pub(super) fn check(body: &[u8]) -> Result<(), Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::body("", format!("{SYNTAX}: {error}")))?;
    let Value::Object(request) = value else {
        return Err(Refusal::body("", format!("{SYNTAX}: it is no JSON object")));
    };
    let logs = match request.get("logs") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(logs)) => logs.as_slice(),
        Some(_) => return Err(of_type("/logs", "a list")),
    };
    if logs.is_empty() {
        let why = "value must contain at least 1 item(s)";
        return Err(Refusal::body("/logs", format!("invalid {REQUEST}.Logs: {why}")));
    }
    logs.iter().enumerate().try_for_each(|(place, log)| check_log(log, place))
}

fn check_log(log: &Value, place: usize) -> Result<(), Refusal> {
    let at = format!("/logs/{place}");
    let Value::Object(log) = log else { return Err(of_type(&at, "an object")) };
    for name in ["source", "action"] {
        let length = text(log, name, &at)?.map_or(0, |text| text.chars().count());
        if length == 0 {
            return Err(Refusal::body(&format!("{at}/{name}"), SYNTAX));
        }
        if length < 2 {
            let field = if name == "source" { "Source" } else { "Action" };
            let why = format!(
                "invalid {REQUEST}.Logs[{place}]: embedded message failed validation | caused by: \
                 invalid AuditLog.{field}: value length must be at least 2 runes"
            );
            return Err(Refusal::body(&format!("{at}/{name}"), why));
        }
    }
    text(log, "id", &at)?;
    for name in ["actor", "target"] {
        let at = format!("{at}/{name}");
        match log.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Object(party)) => {
                ["id", "type", "name"].iter().try_for_each(|n| text(party, n, &at).map(drop))?;
            }
            Some(_) => return Err(of_type(&at, "an object")),
        }
    }
    match log.get("context") {
        None | Some(Value::Null) => {}
        Some(Value::Object(context)) => {
            if let Some((name, _)) = context.iter().find(|(_, value)| !value.is_string()) {
                return Err(of_type(&format!("{at}/context/{name}"), "a string"));
            }
        }
        Some(_) => return Err(of_type(&format!("{at}/context"), "an object")),
    }
    check_time(log, &at)
}

fn check_time(log: &Map<String, Value>, at: &str) -> Result<(), Refusal> {
    let snake = text(log, "created_at", at)?;
    let camel = text(log, "createdAt", at)?;
    if snake.is_some() && camel.is_some() {
        let twice = format!("{SYNTAX}: duplicate field \"createdAt\"");
        return Err(Refusal::body(&format!("{at}/createdAt"), twice));
    }
    match snake.or(camel) {
        Some(time) if DateTime::parse_from_rfc3339(time).is_err() => {
            let wrong = format!("{SYNTAX}: invalid google.protobuf.Timestamp value {time:?}");
            Err(Refusal::body(&format!("{at}/created_at"), wrong))
        }
        _ => Ok(()),
    }
}

/// A text that is there; any other type is a fault.
fn text<'l>(log: &'l Map<String, Value>, name: &str, at: &str) -> Result<Option<&'l str>, Refusal> {
    match log.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(of_type(&format!("{at}/{name}"), "a string")),
    }
}

fn of_type(at: &str, wanted: &str) -> Refusal {
    Refusal::body(at, format!("{SYNTAX}: {at} must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_taken_as_protojson_takes_it() {
        for (logs, wrong) in [
            (r#"[{"source":"ab","action":"cd"}]"#, None),
            (r#"[{"source":"ab","action":"cd","id":"","actor":null,"unknown":[1]}]"#, None),
            (
                r#"[{"source":"ab","action":"cd","context":{"a":"b"},"createdAt":"2026-01-01T00:00:00Z"}]"#,
                None,
            ),
            ("[]", Some("Request.Logs: value must contain at least 1 item(s)")),
            ("null", Some("at least 1 item")),
            (r#"{"a":1}"#, Some("/logs must be a list")),
            (r#"["x"]"#, Some("/logs/0 must be an object")),
            (
                r#"[{"source":"ab","action":"cd"},{"source":"","action":"cd"}]"#,
                Some("invalid syntax in body"),
            ),
            (r#"[{"source":"ab"}]"#, Some("invalid syntax in body")),
            (r#"[{"source":"a","action":"cd"}]"#, Some("AuditLog.Source: value length must be")),
            (r#"[{"source":"ab","action":"é"}]"#, Some("AuditLog.Action: value length must be")),
            (r#"[{"source":1,"action":"cd"}]"#, Some("/logs/0/source must be a string")),
            (r#"[{"source":"ab","action":"cd","actor":{"id":1}}]"#, Some("/logs/0/actor/id")),
            (r#"[{"source":"ab","action":"cd","context":{"a":1}}]"#, Some("/logs/0/context/a")),
            (r#"[{"source":"ab","action":"cd","context":{"a":null}}]"#, Some("/logs/0/context/a")),
            (r#"[{"source":"ab","action":"cd","created_at":"today"}]"#, Some("Timestamp")),
            (
                r#"[{"source":"ab","action":"cd","created_at":"2026-01-01T00:00:00Z","createdAt":"2026-01-01T00:00:00Z"}]"#,
                Some("duplicate field"),
            ),
        ] {
            let found = check(format!(r#"{{"logs":{logs}}}"#).as_bytes()).err().map(|e| e.detail());
            match wrong {
                None => assert_eq!(found, None, "{logs}"),
                Some(part) => {
                    assert!(found.as_ref().is_some_and(|f| f.contains(part)), "{logs}: {found:?}")
                }
            }
        }
        assert!(check(b"{").unwrap_err().detail().starts_with(SYNTAX));
        assert!(check(b"[]").unwrap_err().detail().starts_with(SYNTAX));
    }
}
