//! What a list is asked for, as grpc-gateway reads a query string.
//!
//! In: a URI. Out: a [`Question`], and from it a [`Selection`].
//!
//! # Invariants
//! - A parameter goes by its proto name or its camelCase one; unknown ones are ignored.
//! - Both ends of time are inclusive.
//!
//! Deliberately unknown here: whose organisation it is.

use axum::extract::Query;
use axum::http::Uri;
use chrono::DateTime;

use crate::api::Refusal;
use crate::event::Micros;
use crate::query::{Field, Filter, Selection, TenantScope, TextTest, Window};

/// What the original's own machinery does.
const SYSTEM: [&str; 12] = [
    "app.user.created",
    "app.user.updated",
    "app.user.deleted",
    "app.user.listed",
    "app.permission.created",
    "app.permission.updated",
    "app.permission.deleted",
    "app.permission.checked",
    "app.billing.entitlement.checked",
    "app.organization.created",
    "app.organization.deleted",
    "app.organization.disabled",
];

/// An event may say that it happened up to a day after it came.
const AHEAD: Micros = 2 * 86_400_000_000;

/// What is asked for; by default everything.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Question {
    source: String,
    action: String,
    ignore_system: bool,
    start_time: Option<Micros>,
    end_time: Option<Micros>,
}

impl Question {
    /// Read a query string.
    pub(super) fn read(uri: &Uri) -> Result<Question, Refusal> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Refusal::parameter("", "invalid query string"))?
            .0;
        let mut question = Question::default();
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in &pairs {
            let name = match name.as_str() {
                "ignoreSystem" => "ignore_system",
                "startTime" => "start_time",
                "endTime" => "end_time",
                name => name,
            };
            let wrong =
                |why: String| Refusal::parameter(name, format!("parsing field {name:?}: {why}"));
            match name {
                "source" => question.source.clone_from(value),
                "action" => question.action.clone_from(value),
                "ignore_system" => question.ignore_system = boolean(value).map_err(wrong)?,
                "start_time" => question.start_time = Some(time(value).map_err(wrong)?),
                "end_time" => question.end_time = Some(time(value).map_err(wrong)?),
                _ => continue,
            }
            if seen.contains(&name) {
                let why = format!("too many values for field {name:?}");
                return Err(Refusal::parameter(name, why));
            }
            seen.push(name);
        }
        Ok(question)
    }

    /// The same of a tenant.
    pub(super) fn selection(&self, tenant: String, now: Micros) -> Selection {
        let mut parts = Vec::new();
        let is = |field, text: &str| Filter::Text(field, TextTest::Is(text.to_owned()));
        if !self.source.is_empty() {
            parts.push(is(Field::Service, &self.source));
        }
        if !self.action.is_empty() {
            parts.push(is(Field::Action, &self.action));
        }
        if self.ignore_system {
            let system = SYSTEM.map(|action| is(Field::Action, action));
            parts.push(Filter::Not(Box::new(Filter::Any(system.into()))));
        }
        let window = Window {
            from: self.start_time.unwrap_or(0).max(0),
            to: self.end_time.map_or(now + AHEAD, |end| end.saturating_add(1)),
        };
        let tenants = TenantScope::Only(vec![tenant]);
        Selection { tenants, window, filter: Filter::All(parts) }
    }
}

/// As Go's `strconv.ParseBool`.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn time(text: &str) -> Result<Micros, String> {
    let time = DateTime::parse_from_rfc3339(text);
    let time = time.map_err(|_| format!("{text:?} is no time such as 2026-01-31T12:00:00Z"))?;
    Ok(time.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Question, Refusal> {
        Question::read(&format!("/x?{query}").parse().unwrap())
    }

    #[test]
    fn a_query_string_is_read_as_grpc_gateway_reads_it() {
        let hour = 3_600_000_000;
        let asked = read("source=a&action=b%20c&ignore_system=true&unknown=1").unwrap();
        assert_eq!((&*asked.source, &*asked.action, asked.ignore_system), ("a", "b c", true));
        let asked = read("startTime=1970-01-01T01:00:00Z&end_time=1970-01-01T02:00:00%2B01:00");
        let window = asked.unwrap().selection("t".into(), 0).window;
        assert_eq!(window, Window { from: hour, to: hour + 1 }, "both ends are inside");
        for wrong in ["start_time=now", "end_time=", "ignore_system=yes", "source=a&source=b"] {
            assert!(matches!(read(wrong), Err(Refusal::Invalid { .. })), "{wrong}");
        }
        assert_eq!(read("action=&source=").unwrap(), Question::default());
    }
}
