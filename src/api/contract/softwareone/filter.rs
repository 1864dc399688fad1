//! RQL's conditions and order as a filter and an order of events.
//!
//! In: conditions over the fields of an audit record. Out: a [`Filter`], an [`Order`].
//!
//! # Invariants
//! - A field that is not known, or cannot be asked so, is refused: no condition is dropped.
//! - `ne` and `out` hold of what has no such field.
//!
//! Deliberately unknown here: how RQL is spelt.

use std::net::IpAddr;

use chrono::DateTime;
use ipnet::Ipv6Net;
use uuid::Uuid;

use super::SCHEMA;
use super::rql::{Condition, Operand, Test};
use crate::api::Refusal;
use crate::query::{
    Comparison, Direction, Field, Filter, Order, Pattern, SortField, TextTest, TimeField,
};

/// Fields that are texts of an event, and those of its attributes that are documented.
const TEXTS: [(&str, Field); 14] = [
    ("event", Field::Action),
    ("summary", Field::Message),
    ("object.id", Field::TargetId),
    ("object.name", Field::TargetName),
    ("object.objectType", Field::TargetType),
    ("actor.id", Field::ActorId),
    ("actor.name", Field::ActorName),
    ("actor.account.id", Field::ActorAccountId),
    ("actor.account.name", Field::ActorAccountName),
    ("request.api.userAgent", Field::UserAgent),
    ("request.api.geolocation.countryCode", Field::Country),
    ("request.api.geolocation.region", Field::Region),
    ("request.log.requestId", Field::RequestId),
    ("request.log.operationId", Field::CorrelationId),
];
const ATTRIBUTES: [&str; 7] = [
    "details",
    "object.icon",
    "actor.icon",
    "actor.account.icon",
    "actor.account.accountType",
    "request.api.geolocation.countryName",
    "request.worker.workerName",
];

/// What a field of a record is in an event.
enum Subject {
    Id,
    Time,
    Kind,
    Ip,
    Text(Field),
}

impl Subject {
    fn of(name: &str) -> Result<Subject, Refusal> {
        let text = TEXTS.iter().find(|(known, _)| *known == name);
        match name {
            "id" => Ok(Subject::Id),
            "timestamp" => Ok(Subject::Time),
            "type" => Ok(Subject::Kind),
            "request.api.ip" => Ok(Subject::Ip),
            _ if ATTRIBUTES.contains(&name) || name.starts_with("documents.") => {
                Ok(Subject::Text(Field::Attribute(name.to_owned())))
            }
            _ => match text {
                Some((_, field)) => Ok(Subject::Text(field.clone())),
                None => Err(Refusal::parameter(name, format!("there is no field {name:?}"))),
            },
        }
    }
}

/// What conditions ask for.
pub(super) fn filter(conditions: &[Condition]) -> Result<Filter, Refusal> {
    Ok(Filter::All(conditions.iter().map(of_condition).collect::<Result<_, _>>()?))
}

/// What finds the record of an id: the source's, or else the event's own.
pub(super) fn of_id(id: &str) -> Filter {
    let own = Filter::All(vec![of_schema(), is(Field::SourceId, id)]);
    let derived = Uuid::parse_str(id).ok().map(Filter::Id);
    Filter::Any([own].into_iter().chain(derived).collect())
}

/// The order of some fields; newest first where none is named.
pub(super) fn order(fields: &[(String, bool)]) -> Result<Order, Refusal> {
    let direction = |is_plus| match is_plus {
        true => Direction::Ascending,
        false => Direction::Descending,
    };
    match fields {
        [] => return Ok(Order::default()),
        [(name, is_plus)] if name == "timestamp" => {
            return Ok(Order::Time(TimeField::OccurredAt, direction(*is_plus)));
        }
        _ => {}
    }
    let mut sorted = Vec::new();
    for (name, is_plus) in fields {
        let field = match Subject::of(name)? {
            Subject::Id => SortField::Text(Field::SourceId),
            Subject::Time => SortField::Time(TimeField::OccurredAt),
            Subject::Text(field) => SortField::Text(field),
            Subject::Kind => SortField::Text(Field::Attribute("type".to_owned())),
            Subject::Ip => {
                return Err(Refusal::parameter("order", format!("{name} has no order")));
            }
        };
        sorted.push((field, direction(*is_plus)));
    }
    Ok(Order::Fields(sorted))
}

fn of_condition(condition: &Condition) -> Result<Filter, Refusal> {
    let each = |parts: &[Condition]| parts.iter().map(of_condition).collect::<Result<_, _>>();
    Ok(match condition {
        Condition::All(parts) => Filter::All(each(parts)?),
        Condition::Any(parts) => Filter::Any(each(parts)?),
        Condition::Not(part) => Filter::Not(Box::new(of_condition(part)?)),
        Condition::Field(name, test, operand) => tested(name, *test, operand)?,
        Condition::In(name, operands) => {
            let one = |operand| tested(name, Test::Eq, operand);
            Filter::Any(operands.iter().map(one).collect::<Result<_, _>>()?)
        }
    })
}

fn tested(name: &str, test: Test, operand: &Operand) -> Result<Filter, Refusal> {
    let subject = Subject::of(name)?;
    let text = match operand {
        Operand::Text(text) => text,
        Operand::Nothing if test == Test::Eq => return Ok(absent(subject)),
        Operand::Nothing => {
            return Err(Refusal::parameter(name, "null() and empty() are for eq and ne only"));
        }
    };
    match subject {
        Subject::Id if test == Test::Eq => Ok(of_id(text)),
        Subject::Id => Ok(Filter::All(vec![of_schema(), of_text(Field::SourceId, test, text)])),
        Subject::Text(field) => Ok(of_text(field, test, text)),
        Subject::Time => of_time(name, test, text),
        Subject::Kind => of_kind(name, test, text),
        Subject::Ip => of_ip(name, test, text),
    }
}

fn absent(subject: Subject) -> Filter {
    let not = |filter| Filter::Not(Box::new(filter));
    match subject {
        // Every record has them.
        Subject::Id | Subject::Time => Filter::Any(Vec::new()),
        Subject::Kind => not(of_schema()),
        Subject::Ip => not(Filter::HasClientIp),
        Subject::Text(field) => not(Filter::Text(field, TextTest::Exists)),
    }
}

fn of_text(field: Field, test: Test, text: &str) -> Filter {
    let compares = |comparison| TextTest::Compares(comparison, text.to_owned());
    let pattern = || Pattern(text.split('*').map(str::to_owned).collect());
    let test = match test {
        Test::Eq => TextTest::Is(text.to_owned()),
        Test::Gt => compares(Comparison::Greater),
        Test::Ge => compares(Comparison::AtLeast),
        Test::Lt => compares(Comparison::Less),
        Test::Le => compares(Comparison::AtMost),
        // Without a star a pattern is the text itself.
        Test::Like if !text.contains('*') => TextTest::Is(text.to_owned()),
        Test::Like => TextTest::Like(pattern()),
        Test::ILike => TextTest::Alike(pattern()),
    };
    Filter::Text(field, test)
}

fn of_time(name: &str, test: Test, text: &str) -> Result<Filter, Refusal> {
    let at = DateTime::parse_from_rfc3339(text).map_err(|_| {
        Refusal::parameter(name, format!("{text:?} is no time such as 2026-01-31T12:00:00Z"))
    })?;
    let at = at.timestamp_micros();
    let time = |comparison| Filter::Time(TimeField::OccurredAt, comparison, at);
    match test {
        Test::Eq => Ok(Filter::All(vec![time(Comparison::AtLeast), time(Comparison::AtMost)])),
        Test::Gt => Ok(time(Comparison::Greater)),
        Test::Ge => Ok(time(Comparison::AtLeast)),
        Test::Lt => Ok(time(Comparison::Less)),
        Test::Le => Ok(time(Comparison::AtMost)),
        Test::Like | Test::ILike => Err(Refusal::parameter(name, "a time is no text")),
    }
}

fn of_kind(name: &str, test: Test, text: &str) -> Result<Filter, Refusal> {
    let public = is(Field::Attribute("type".to_owned()), "Public");
    match (test, text) {
        (Test::Eq, "Public") => Ok(Filter::All(vec![of_schema(), public])),
        (Test::Eq, "Private") => Ok(Filter::All(vec![of_schema(), Filter::Not(Box::new(public))])),
        _ => Err(Refusal::parameter(name, "type is asked as eq, ne or in of Private, Public")),
    }
}

fn of_ip(name: &str, test: Test, text: &str) -> Result<Filter, Refusal> {
    let ip = match text.parse() {
        Ok(IpAddr::V4(ip)) => ip.to_ipv6_mapped(),
        Ok(IpAddr::V6(ip)) => ip,
        Err(_) => return Err(Refusal::parameter(name, format!("{text:?} is no IP address"))),
    };
    match test {
        Test::Eq => Ok(Filter::ClientIp(Ipv6Net::from(ip))),
        _ => Err(Refusal::parameter(name, "an address is asked as eq, ne or in")),
    }
}

fn of_schema() -> Filter {
    is(Field::Schema, SCHEMA)
}

fn is(field: Field, text: &str) -> Filter {
    Filter::Text(field, TextTest::Is(text.to_owned()))
}
