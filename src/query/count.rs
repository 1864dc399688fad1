//! What can be counted: buckets of time, values of a field; and in what form a log is taken away.
//!
//! In: names as the native API spells them. Out: an [`Interval`], a [`Facet`], an
//! [`ExportFormat`], and the shapes of their answers.
//!
//! # Invariants
//! - Counts are of records: byte-identical repeats count each.
//! - Buckets are aligned in UTC, to midnight and, weeks, to Monday.
//! - The count of a facet's value is the count of the events for which that field is that value.
//! - A name parses to the value that prints it.
//!
//! Deliberately unknown here: how a store counts.

use std::fmt;

use super::Field;
use crate::event::{Micros, Origin, Outcome, StoredEvent, Verb};

const SECOND: Micros = 1_000_000;

/// 1970-01-05, the first Monday.
const MONDAY: Micros = 4 * 86_400 * SECOND;

/// How long a bucket of a histogram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each says its length")]
pub enum Interval {
    OneMinute,
    FiveMinutes,
    FifteenMinutes,
    OneHour,
    SixHours,
    OneDay,
    OneWeek,
}

impl Interval {
    /// All of them, the shortest first.
    pub const ALL: [Interval; 7] = [
        Interval::OneMinute,
        Interval::FiveMinutes,
        Interval::FifteenMinutes,
        Interval::OneHour,
        Interval::SixHours,
        Interval::OneDay,
        Interval::OneWeek,
    ];

    /// Its name, such as `15m`.
    pub fn as_str(self) -> &'static str {
        match self {
            Interval::OneMinute => "1m",
            Interval::FiveMinutes => "5m",
            Interval::FifteenMinutes => "15m",
            Interval::OneHour => "1h",
            Interval::SixHours => "6h",
            Interval::OneDay => "1d",
            Interval::OneWeek => "1w",
        }
    }

    /// Its length, in microseconds.
    pub fn micros(self) -> Micros {
        let seconds = match self {
            Interval::OneMinute => 60,
            Interval::FiveMinutes => 5 * 60,
            Interval::FifteenMinutes => 15 * 60,
            Interval::OneHour => 3_600,
            Interval::SixHours => 6 * 3_600,
            Interval::OneDay => 86_400,
            Interval::OneWeek => 7 * 86_400,
        };
        seconds * SECOND
    }

    /// A moment that some bucket begins at, in microseconds; the others follow from it.
    pub fn origin(self) -> Micros {
        if self == Interval::OneWeek { MONDAY } else { 0 }
    }

    /// Where the bucket of a moment begins.
    pub fn start(self, at: Micros) -> Micros {
        let into = at.saturating_sub(self.origin()).rem_euclid(self.micros());
        at.saturating_sub(into)
    }
}

/// One bucket of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Where it begins.
    pub from: Micros,
    /// How many records are in it.
    pub count: u64,
}

/// What values are counted of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Facet {
    /// A text field. An absent text is no value; of `target.*` the main target's and those of all
    /// `targets` count, each value once a record.
    Text(Field),
    /// The kind of deed.
    Verb,
    /// How it ended.
    Outcome,
    /// Through what door it came.
    Origin,
}

impl Facet {
    /// The fields that are words of a closed list, by name.
    pub const WORDS: [(&'static str, Facet); 3] =
        [("verb", Facet::Verb), ("outcome", Facet::Outcome), ("origin", Facet::Origin)];

    /// The facet of a field's name.
    pub fn parse(name: &str) -> Option<Facet> {
        let word = Facet::WORDS.into_iter().find(|(known, _)| *known == name);
        word.map(|(_, facet)| facet).or_else(|| Field::parse(name).map(Facet::Text))
    }

    /// The values of an event, each once.
    pub(super) fn values<'a>(&self, event: &'a StoredEvent) -> Vec<&'a str> {
        let mut values = match self {
            Facet::Text(field) => field.texts(event),
            Facet::Verb => vec![Verb::as_str(event.verb)],
            Facet::Outcome => vec![Outcome::as_str(event.outcome)],
            Facet::Origin => vec![Origin::as_str(event.origin)],
        };
        values.retain(|value| !value.is_empty());
        values.sort_unstable();
        values.dedup();
        values
    }
}

impl fmt::Display for Facet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Facet::Text(field) => field.fmt(f),
            word => {
                let named = Facet::WORDS.iter().find(|(_, facet)| facet == word);
                f.write_str(named.map_or("", |(name, _)| name))
            }
        }
    }
}

/// The commonest values of a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facets {
    /// The commonest first; of equally common ones the lesser, by bytes.
    pub values: Vec<FacetValue>,
    /// How many values there are beside these.
    pub other_values: u64,
    /// The sum of those values' counts.
    pub other_count: u64,
}

/// A value, and how common it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacetValue {
    /// The value.
    pub value: String,
    /// How many records have it.
    pub count: u64,
}

/// In what form records are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExportFormat {
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated, with a line of names.
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [ExportFormat; 3] =
        [ExportFormat::Ndjson, ExportFormat::Csv, ExportFormat::Parquet];

    /// Its name, which is the usual ending of such a file.
    pub fn as_str(self) -> &'static str {
        match self {
            ExportFormat::Ndjson => "ndjson",
            ExportFormat::Csv => "csv",
            ExportFormat::Parquet => "parquet",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_at_midnight_or_on_monday_before_the_epoch_too() {
        let hour = 3_600 * SECOND;
        // 2026-01-31T12:34:56Z, a Saturday.
        let at = 1_769_862_896 * SECOND;
        for (interval, expected) in [
            (Interval::OneMinute, 1_769_862_840),
            (Interval::FifteenMinutes, 1_769_862_600),
            (Interval::OneHour, 1_769_860_800),
            (Interval::SixHours, 1_769_860_800),
            (Interval::OneDay, 1_769_817_600),
            (Interval::OneWeek, 1_769_385_600),
        ] {
            assert_eq!(interval.start(at), expected * SECOND, "{interval:?}");
        }
        assert_eq!(Interval::OneHour.start(-1), -hour);
        assert_eq!(Interval::OneWeek.start(0), MONDAY - 7 * 24 * hour);
    }

    #[test]
    fn a_facet_s_name_parses_to_the_facet_that_prints_it() {
        for name in ["verb", "outcome", "origin", "action", "target.type", "attributes.a.b"] {
            assert_eq!(Facet::parse(name).map(|facet| facet.to_string()).as_deref(), Some(name));
        }
        assert_eq!(Facet::parse("client_ip"), None);
    }
}
