//! A filter as it would be typed.
//!
//! In: a [`Filter`]. Out: its text, or nothing where the language has no words for it.
//!
//! # Invariants
//! - What is printed parses back to the same filter; groups of one part are that part.
//! - Times are printed in UTC with microseconds.
//!
//! Deliberately unknown here: how the filter came to be.

use ipnet::Ipv6Net;

use super::name::{self, Name};
use super::{time, value};
use crate::query::{Comparison, Field, Filter, Pattern, TextTest, words};

/// The text of a filter, if it has one.
pub fn print(filter: &Filter) -> Option<String> {
    match filter {
        Filter::Any(parts) if parts.len() > 1 => joined(parts, " OR ", all),
        _ => all(filter),
    }
}

fn all(filter: &Filter) -> Option<String> {
    match filter {
        Filter::All(parts) if parts.len() > 1 => joined(parts, " ", operand),
        _ => operand(filter),
    }
}

fn joined(parts: &[Filter], between: &str, print: fn(&Filter) -> Option<String>) -> Option<String> {
    let parts: Option<Vec<String>> = parts.iter().map(print).collect();
    parts.map(|parts| parts.join(between))
}

fn operand(filter: &Filter) -> Option<String> {
    match filter {
        Filter::All(parts) | Filter::Any(parts) if parts.len() > 1 => {
            print(filter).map(|text| format!("({text})"))
        }
        Filter::All(parts) => parts.first().map_or(Some("*".into()), operand),
        Filter::Any(parts) => parts.first().map_or(Some("-*".into()), operand),
        Filter::Not(part) => operand(part).map(|text| format!("-{text}")),
        Filter::Text(field, test) => Some(format!("{}:{}", named(field), tested(test)?)),
        Filter::Verb(verb) => Some(of(&Name::Verb, verb.as_str())),
        Filter::Outcome(outcome) => Some(of(&Name::Outcome, outcome.as_str())),
        Filter::Origin(origin) => Some(of(&Name::Origin, origin.as_str())),
        Filter::Id(id) => Some(of(&Name::Id, &id.to_string())),
        Filter::ClientIp(network) => Some(of(&Name::ClientIp, &usual(*network))),
        Filter::HasClientIp => Some(of(&Name::ClientIp, "*")),
        Filter::Time(field, comparison, at) => {
            let compared = format!("{}{}", sign(*comparison), time::text(*at)?);
            Some(of(&Name::Time(*field), &compared))
        }
        Filter::Anywhere(text) => {
            words(text).next()?;
            // A colon would make a field's name of what stands before it.
            let quotes = text.contains(':');
            Some(if quotes { value::in_quotes(text) } else { value::written(text) })
        }
        Filter::TargetOf { .. } | Filter::SourceNumber(..) | Filter::Settled => None,
    }
}

fn of(name: &Name, test: &str) -> String {
    format!("{}:{test}", name::of_word(name))
}

fn named(field: &Field) -> String {
    let in_name =
        |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '(' | ')' | '"' | ':');
    match field {
        Field::Attribute(name) if name.is_empty() || !name.chars().all(in_name) => {
            format!("{}{}", name::ATTRIBUTES, value::in_quotes(name))
        }
        field => field.to_string(),
    }
}

fn tested(test: &TextTest) -> Option<String> {
    Some(match test {
        TextTest::Is(text) => value::written(text),
        TextTest::Contains(part) => format!("~{}", value::written(part)),
        TextTest::Like(pattern) => starred(pattern)?,
        TextTest::Exists => "*".into(),
        TextTest::Compares(comparison, text) => {
            format!("{}{}", sign(*comparison), value::written(text))
        }
    })
}

/// The parts with stars between them. A star alone would say that the field exists.
fn starred(pattern: &Pattern) -> Option<String> {
    if pattern.0.len() < 2 {
        return None;
    }
    let written =
        |part: &String| if part.is_empty() { String::new() } else { value::written(part) };
    let text = pattern.0.iter().map(written).collect::<Vec<_>>().join("*");
    Some(if text == "*" { "\"\"*".into() } else { text })
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "<",
        Comparison::AtMost => "<=",
        Comparison::Greater => ">",
        Comparison::AtLeast => ">=",
    }
}

/// A network in its usual notation, IPv4 where it is a mapped one.
fn usual(network: Ipv6Net) -> String {
    let (address, prefix) = (network.addr(), network.prefix_len());
    match address.to_ipv4_mapped() {
        _ if prefix == 128 => address.to_canonical().to_string(),
        Some(address) if prefix >= 96 => format!("{address}/{}", prefix - 96),
        _ => network.to_string(),
    }
}
