//! What may stand before a colon, and what each test behind it means.
//!
//! In: a name, a [`Test`] as it was written. Out: a [`Filter`], or what is [`Wrong`] with them.
//!
//! # Invariants
//! - Every field of the native API's JSON that can be tested has its name there here.
//! - A day compares as a whole: `>2026-01-31` is after it, `<=2026-01-31` before its end.
//! - What is always there (times, ids, words) passes `*` always.
//!
//! Deliberately unknown here: how tests are joined.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use uuid::Uuid;
use winnow::error::ErrMode;

use super::Fault;
use super::time::{Moment, moment};
use crate::event::{Micros, Origin, Outcome, Verb};
use crate::query::{Comparison, Field, Filter, Pattern, TextTest, TimeField};

/// What a name of an attribute begins with.
pub(super) const ATTRIBUTES: &str = "attributes.";

/// The names that are no text fields.
const OTHERS: [(&str, Name); 7] = [
    ("occurred_at", Name::Time(TimeField::OccurredAt)),
    ("received_at", Name::Time(TimeField::ReceivedAt)),
    ("verb", Name::Verb),
    ("outcome", Name::Outcome),
    ("origin", Name::Origin),
    ("client_ip", Name::ClientIp),
    ("id", Name::Id),
];

/// What a name names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Text(Field),
    Time(TimeField),
    Verb,
    Outcome,
    Origin,
    ClientIp,
    Id,
}

/// What is said of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    /// It is this, with stars between the parts.
    Is(Vec<String>),
    Exists,
    Contains(String),
    Compares(Comparison, String),
    Range(Option<String>, Option<String>),
}

/// What is wrong with a name or a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    message: String,
    expected: Vec<String>,
}

/// Every name, attributes apart.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    let others = OTHERS.iter().map(|(name, _)| *name);
    Field::NAMED.into_iter().map(|(name, _)| name).chain(others)
}

/// What a name names.
pub(super) fn parse(text: &str) -> Result<Name, Wrong> {
    if let Some((_, name)) = OTHERS.iter().find(|(name, _)| *name == text) {
        return Ok(name.clone());
    }
    if let Some(field) = Field::parse(text) {
        return Ok(Name::Text(field));
    }
    if text.is_empty() {
        return Err(wrong("a field's name is missing before the colon", all()));
    }
    let distance = |other: &&str| strsim::damerau_levenshtein(text, other);
    let nearest = all().min_by_key(distance).unwrap_or_default();
    let message = format!(
        "there is no field {text:?}; the nearest is {nearest} (text with a colon in it is quoted)"
    );
    Err(wrong(message, all().chain(["attributes.NAME"])))
}

/// The name that a filter's field is printed with.
pub(super) fn of_word(name: &Name) -> &'static str {
    OTHERS.iter().find(|(_, other)| other == name).map_or("", |(text, _)| text)
}

impl Name {
    pub(super) fn attribute(name: String) -> Name {
        Name::Text(Field::Attribute(name))
    }

    /// The filter that a test of this name is.
    pub(super) fn filter(&self, test: Test, now: Micros) -> Result<Filter, Wrong> {
        match (self, test) {
            (Name::Text(field), test) => Ok(of_text(field, test)),
            (Name::ClientIp, Test::Exists) => Ok(Filter::HasClientIp),
            (_, Test::Exists) => Ok(Filter::everything()),
            (Name::Time(field), test) => of_time(*field, test, now),
            (Name::ClientIp, test) => {
                let network = sole(test).and_then(|text| network(&text));
                let message = "client_ip is an address or a network";
                let allowed = ["203.0.113.7", "203.0.113.0/24", "2001:db8::/32", "*"];
                network.map(Filter::ClientIp).ok_or_else(|| wrong(message, allowed))
            }
            (Name::Id, test) => {
                let id = sole(test).and_then(|text| Uuid::parse_str(&text).ok());
                let message = "id is the UUID of an event";
                id.map(Filter::Id).ok_or_else(|| wrong(message, ["a UUID", "*"]))
            }
            (Name::Verb, test) => {
                of_word_list("verb", test, Verb::parse, Filter::Verb, Verb::ALL.map(Verb::as_str))
            }
            (Name::Outcome, test) => {
                let words = Outcome::ALL.map(Outcome::as_str);
                of_word_list("outcome", test, Outcome::parse, Filter::Outcome, words)
            }
            (Name::Origin, test) => {
                let words = Origin::ALL.map(Origin::as_str);
                of_word_list("origin", test, Origin::parse, Filter::Origin, words)
            }
        }
    }
}

impl Wrong {
    /// The error at a place.
    pub(super) fn at(self, at: usize) -> ErrMode<Fault> {
        ErrMode::Cut(Fault { at, message: self.message, expected: self.expected })
    }
}

fn wrong<'w>(message: impl Into<String>, expected: impl IntoIterator<Item = &'w str>) -> Wrong {
    let expected = expected.into_iter().map(str::to_owned).collect();
    Wrong { message: message.into(), expected }
}

fn of_text(field: &Field, test: Test) -> Filter {
    let filter = |test| Filter::Text(field.clone(), test);
    let compares = |comparison, text| filter(TextTest::Compares(comparison, text));
    match test {
        Test::Is(mut parts) if parts.len() == 1 => {
            filter(TextTest::Is(parts.pop().unwrap_or_default()))
        }
        Test::Is(parts) => filter(TextTest::Like(Pattern(parts))),
        Test::Exists | Test::Range(None, None) => filter(TextTest::Exists),
        Test::Contains(part) => filter(TextTest::Contains(part)),
        Test::Compares(comparison, text) => compares(comparison, text),
        Test::Range(Some(from), None) => compares(Comparison::AtLeast, from),
        Test::Range(None, Some(to)) => compares(Comparison::AtMost, to),
        Test::Range(Some(from), Some(to)) => {
            Filter::All(vec![compares(Comparison::AtLeast, from), compares(Comparison::AtMost, to)])
        }
    }
}

fn of_time(field: TimeField, test: Test, now: Micros) -> Result<Filter, Wrong> {
    let read = |text: &str| {
        let message = format!("{text:?} is no time");
        let allowed = ["2026-01-31", "2026-01-31T12:00:00Z", "-24h", "now", "*"];
        moment(text, now).ok_or_else(|| wrong(message, allowed))
    };
    let compares = |comparison, text: &str| {
        let (comparison, at) = match (read(text)?, comparison) {
            (Moment::Instant(at), comparison) => (comparison, at),
            (Moment::Day(from, _), Comparison::AtLeast) => (Comparison::AtLeast, from),
            (Moment::Day(_, to), Comparison::Greater) => (Comparison::AtLeast, to),
            (Moment::Day(from, _), Comparison::Less) => (Comparison::Less, from),
            (Moment::Day(_, to), Comparison::AtMost) => (Comparison::Less, to),
        };
        Ok(Filter::Time(field, comparison, at))
    };
    let between = |from: &str, to: &str| {
        let both = [compares(Comparison::AtLeast, from)?, compares(Comparison::AtMost, to)?];
        Ok(Filter::All(both.into()))
    };
    match test {
        Test::Exists | Test::Range(None, None) => Ok(Filter::everything()),
        Test::Compares(comparison, text) => compares(comparison, &text),
        Test::Range(Some(from), Some(to)) => between(&from, &to),
        Test::Range(Some(from), None) => compares(Comparison::AtLeast, &from),
        Test::Range(None, Some(to)) => compares(Comparison::AtMost, &to),
        test => match sole(test) {
            Some(text) => between(&text, &text),
            None => Err(wrong("a time has no part to look for", [">=2026-01-31", "[A TO B]"])),
        },
    }
}

fn of_word_list<T, const N: usize>(
    name: &str,
    test: Test,
    parse: fn(&str) -> Option<T>,
    filter: fn(T) -> Filter,
    words: [&str; N],
) -> Result<Filter, Wrong> {
    let said = sole(test);
    let word = said.as_deref().and_then(parse);
    let message = || format!("{name} is one word of {}", words.join(", "));
    word.map(filter).ok_or_else(|| wrong(message(), words))
}

/// The text of a test that is one value.
fn sole(test: Test) -> Option<String> {
    let Test::Is(mut parts) = test else { return None };
    parts.pop().filter(|_| parts.is_empty())
}

/// An address or a network; IPv4 is mapped into IPv6.
pub fn network(text: &str) -> Option<Ipv6Net> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().ok()?,
    };
    match network {
        IpNet::V6(network) => Some(network),
        IpNet::V4(network) => {
            Ipv6Net::new(network.addr().to_ipv6_mapped(), 96 + network.prefix_len()).ok()
        }
    }
}
