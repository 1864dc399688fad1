//! Times as people write them.
//!
//! In: a text, and the moment that relative ones are counted from. Out: an instant, or a whole day.
//!
//! # Invariants
//! - Times are microseconds since the Unix epoch, UTC, in the years 1 to 9999.
//! - A time of day has its zone: none is assumed.
//!
//! Deliberately unknown here: what the time is compared with.

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, Utc};

use crate::event::Micros;

const SECOND: Micros = 1_000_000;
const DAY: Micros = 86_400 * SECOND;

/// What a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// A point of time.
    Instant(Micros),
    /// A day in UTC, by its first moment and the first of the next.
    Day(Micros, Micros),
}

/// An instant, or a day such as `2026-01-31`.
pub(super) fn moment(text: &str, now: Micros) -> Option<Moment> {
    if let Some(at) = instant(text, now) {
        return Some(Moment::Instant(at));
    }
    let is_digits_and_dashes = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if text.len() != "2026-01-31".len() || !is_digits_and_dashes {
        return None;
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let from = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
    (1..=9999).contains(&date.year()).then_some(Moment::Day(from, from + DAY))
}

/// An instant: RFC 3339 with its zone, `now`, or a span back from now such as `-24h`.
pub fn instant(text: &str, now: Micros) -> Option<Micros> {
    let at = match text.strip_prefix('-') {
        _ if text == "now" => now,
        Some(span) => now.checked_sub(span_micros(span)?)?,
        None => DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros(),
    };
    within_years(at).then_some(at)
}

/// An instant as [`instant`] reads it back, if it can.
pub(super) fn text(at: Micros) -> Option<String> {
    let time = DateTime::<Utc>::from_timestamp_micros(at).filter(|_| within_years(at))?;
    Some(time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn within_years(at: Micros) -> bool {
    let year = DateTime::<Utc>::from_timestamp_micros(at).map(|time| time.year());
    year.is_some_and(|year| (1..=9999).contains(&year))
}

fn span_micros(text: &str) -> Option<Micros> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(seconds)?.checked_mul(SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = 1_700_000_000_000_000;

    #[test]
    fn a_time_is_rfc_3339_or_counted_back_from_now() {
        for (text, expected) in [
            ("now", Some(NOW)),
            ("-1s", Some(NOW - SECOND)),
            ("-2m", Some(NOW - 120 * SECOND)),
            ("-24h", Some(NOW - DAY)),
            ("-7d", Some(NOW - 7 * DAY)),
            ("-1w", Some(NOW - 7 * DAY)),
            ("1970-01-01T00:00:00.000001Z", Some(1)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1969-12-31T23:59:59Z", Some(-SECOND)),
            ("1970-01-01T01:00:00 01:00", None),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01", None),
            ("-", None),
            ("-h", None),
            ("--1h", None),
            ("-+1h", None),
            ("-1y", None),
            ("-1ä", None),
            ("-99999999999999999999h", None),
            ("-999999w", None),
            ("24h", None),
            ("0", None),
        ] {
            assert_eq!(instant(text, NOW), expected, "{text}");
        }
    }

    #[test]
    fn a_date_is_a_whole_day() {
        for (text, expected) in [
            ("1970-01-02", Some(Moment::Day(DAY, 2 * DAY))),
            ("1970-1-2", None),
            ("1970-02-30", None),
            ("0000-01-01", None),
            ("1970-01", None),
            ("now", Some(Moment::Instant(NOW))),
        ] {
            assert_eq!(moment(text, NOW), expected, "{text}");
        }
    }
}
