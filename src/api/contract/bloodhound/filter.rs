//! BloodHound's filters: `column=predicate:value`.
//!
//! In: the parameters that are no paging. Out: a [`Filter`].
//!
//! # Invariants
//! - A predicate is letters and `~` before the first colon; the value is everything behind it. What
//!   has no predicate is compared by `eq`, so that a time or an IPv6 address may stand bare.
//! - Several filters all hold, also of one column.
//! - Texts compare in their own case, `~eq` too.
//!
//! Deliberately unknown here: paging, time windows.

use chrono::DateTime;

use super::SCHEMA;
use crate::api::refusal::Refusal;
use crate::event::{Micros, Outcome};
use crate::query::{Comparison, Field, Filter, Pattern, TextTest, TimeField};

const BAD_FILTER: &str = "there are errors in the query parameter filters specified";

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Predicate {
    Is,
    IsNot,
    Contains,
    Compares(Comparison),
}

/// What stands in a column.
enum Column {
    Number,
    Time,
    Text(Field),
    Address,
    Status,
}

/// All filters of a request. Predicates are told before columns, as the original tells them.
pub(super) fn filter(given: &[(&str, &str)]) -> Result<Filter, Refusal> {
    let mut parts = Vec::with_capacity(given.len());
    for (name, value) in given.iter().filter(|(_, value)| !value.is_empty()) {
        parts.push((*name, parsed(name, value)?));
    }
    // An unknown parameter is told even where it is empty.
    let unknown = given.iter().find(|(name, _)| column(name).is_none());
    if let Some((name, _)) = unknown {
        let detail = format!("the specified column cannot be filtered: {name}");
        return Err(Refusal::parameter(name, detail));
    }
    let all = parts.into_iter().map(|(name, (predicate, value))| one(name, predicate, value));
    Ok(Filter::All(all.collect::<Result<_, _>>()?))
}

/// A column by its name.
fn column(name: &str) -> Option<Column> {
    Some(match name {
        "id" => Column::Number,
        "created_at" => Column::Time,
        "actor_id" => Column::Text(Field::ActorId),
        "actor_name" => Column::Text(Field::ActorName),
        "actor_email" => Column::Text(Field::ActorEmail),
        "action" => Column::Text(Field::Action),
        "request_id" => Column::Text(Field::RequestId),
        "source" => Column::Text(Field::Attribute("source".to_owned())),
        "source_ip_address" => Column::Address,
        "status" => Column::Status,
        _ => return None,
    })
}

fn parsed<'v>(name: &str, value: &'v str) -> Result<(Predicate, &'v str), Refusal> {
    let is_predicate =
        |text: &str| !text.is_empty() && text.chars().all(|c| c == '~' || c.is_ascii_alphabetic());
    let Some((word, rest)) = value.split_once(':').filter(|(word, _)| is_predicate(word)) else {
        return Ok((Predicate::Is, value));
    };
    let predicate = match word {
        "eq" => Predicate::Is,
        "neq" => Predicate::IsNot,
        "~eq" => Predicate::Contains,
        "gt" => Predicate::Compares(Comparison::Greater),
        "gte" => Predicate::Compares(Comparison::AtLeast),
        "lt" => Predicate::Compares(Comparison::Less),
        "lte" => Predicate::Compares(Comparison::AtMost),
        _ => return Err(Refusal::parameter(name, BAD_FILTER)),
    };
    Ok((predicate, rest))
}

fn one(name: &str, predicate: Predicate, value: &str) -> Result<Filter, Refusal> {
    let bad = || Refusal::parameter(name, BAD_FILTER);
    let Some(column) = column(name) else { return Err(bad()) };
    let supports = match column {
        Column::Number => true,
        Column::Time => predicate != Predicate::Contains,
        Column::Text(_) | Column::Address => !matches!(predicate, Predicate::Compares(_)),
        Column::Status => matches!(predicate, Predicate::Is | Predicate::IsNot),
    };
    if !supports {
        let word = word(predicate);
        let detail = format!(
            "the specified filter predicate is not supported for this column: {name} {word}"
        );
        return Err(Refusal::parameter(name, detail));
    }
    if predicate == Predicate::IsNot {
        return Ok(not(one(name, Predicate::Is, value)?));
    }
    Ok(match (column, predicate) {
        (Column::Number, Predicate::Is) if value == "null" => not(has_number()),
        (Column::Number, Predicate::Contains) => {
            numbered(Filter::Text(Field::SourceId, contains(value)))
        }
        (Column::Number, predicate) => {
            let number: i64 = value.parse().map_err(|_| bad())?;
            numbered(match predicate {
                Predicate::Compares(comparison) => Filter::SourceNumber(comparison, number),
                _ => Filter::Text(Field::SourceId, TextTest::Is(number.to_string())),
            })
        }
        (Column::Time, Predicate::Is) if value == "null" => nothing(),
        (Column::Time, predicate) => {
            let at = time(value).ok_or_else(bad)?;
            let standing = |comparison| Filter::Time(TimeField::OccurredAt, comparison, at);
            match predicate {
                Predicate::Compares(comparison) => standing(comparison),
                _ => Filter::All(vec![standing(Comparison::AtLeast), standing(Comparison::AtMost)]),
            }
        }
        (Column::Text(field), predicate) => text(field, predicate, value),
        (Column::Address, predicate) => address(predicate, value),
        (Column::Status, _) => status(value),
    })
}

fn word(predicate: Predicate) -> &'static str {
    match predicate {
        Predicate::Is => "eq",
        Predicate::IsNot => "neq",
        Predicate::Contains => "~eq",
        Predicate::Compares(Comparison::Greater) => "gt",
        Predicate::Compares(Comparison::AtLeast) => "gte",
        Predicate::Compares(Comparison::Less) => "lt",
        Predicate::Compares(Comparison::AtMost) => "lte",
    }
}

fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

fn nothing() -> Filter {
    Filter::Any(Vec::new())
}

/// Only BloodHound's own rows have a number for an id.
fn numbered(filter: Filter) -> Filter {
    Filter::All(vec![Filter::Text(Field::Schema, TextTest::Is(SCHEMA.to_owned())), filter])
}

fn has_number() -> Filter {
    numbered(Filter::SourceNumber(Comparison::AtLeast, i64::MIN))
}

fn text(field: Field, predicate: Predicate, value: &str) -> Filter {
    match (predicate, value) {
        (Predicate::Contains, _) => Filter::Text(field, contains(value)),
        (_, "null") => not(Filter::Text(field, TextTest::Exists)),
        _ => Filter::Text(field, TextTest::Is(value.to_owned())),
    }
}

/// The column as the source wrote it, proxies included; an event that has none is compared by its
/// client's address.
fn address(predicate: Predicate, value: &str) -> Filter {
    let written = Field::Attribute("source_ip_address".to_owned());
    let as_written = text(written.clone(), predicate, value);
    let is_null = predicate == Predicate::Is && value == "null";
    let otherwise = match value.parse() {
        _ if is_null => return Filter::All(vec![as_written, not(Filter::HasClientIp)]),
        Ok(std::net::IpAddr::V4(ip)) => ip.to_ipv6_mapped(),
        Ok(std::net::IpAddr::V6(ip)) => ip,
        Err(_) => return as_written,
    };
    let unwritten = not(Filter::Text(written, TextTest::Exists));
    let by_address = Filter::All(vec![unwritten, Filter::ClientIp(otherwise.into())]);
    Filter::Any(vec![as_written, by_address])
}

fn status(value: &str) -> Filter {
    match value {
        "intent" => Filter::Outcome(Outcome::Pending),
        "success" => Filter::Outcome(Outcome::Success),
        "failure" => Filter::Outcome(Outcome::Failure),
        "null" => Filter::Outcome(Outcome::Unknown),
        _ => nothing(),
    }
}

/// A part of a text, in its own case: a pattern of literals, where [`TextTest::Contains`] would
/// take either case.
fn contains(part: &str) -> TextTest {
    TextTest::Like(Pattern(vec![String::new(), part.to_owned(), String::new()]))
}

/// RFC 3339, to the microsecond.
pub(super) fn time(text: &str) -> Option<Micros> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}
