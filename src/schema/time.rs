//! Times as sources write them, to microseconds.
//!
//! In: a text and the formats a mapping allows. Out: [`Micros`], or nothing.
//!
//! # Invariants
//! - Without a zone a text is read as UTC, and only where a pattern without a zone allows it.
//! - The result is exact to the microsecond; finer digits are cut, never rounded up.
//!
//! Deliberately unknown here: which times are plausible.

use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveTime};

use super::mapping::TimeFormat;
use crate::event::Micros;

/// A format's name in a mapping file; the error is a sentence.
pub fn format(name: &str) -> Result<TimeFormat, String> {
    match name {
        "rfc3339" => return Ok(TimeFormat::Rfc3339),
        "epoch_s" => return Ok(TimeFormat::EpochSeconds),
        "epoch_ms" => return Ok(TimeFormat::EpochMillis),
        "epoch_us" => return Ok(TimeFormat::EpochMicros),
        _ => {}
    }
    let items: Vec<Item<'_>> = StrftimeItems::new(name).collect();
    if !name.contains('%') || items.contains(&Item::Error) {
        return Err(format!(
            "`{name}` is no time format; write rfc3339, epoch_s, epoch_ms, epoch_us or a chrono \
             pattern such as %Y-%m-%d %H:%M:%S%.f"
        ));
    }
    Ok(TimeFormat::Pattern(name.to_owned()))
}

/// Read a time by the first format that fits.
pub fn parse(text: &str, formats: &[TimeFormat]) -> Option<Micros> {
    formats.iter().find_map(|format| match format {
        TimeFormat::Rfc3339 => {
            DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
        }
        TimeFormat::EpochSeconds => epoch(text, 6),
        TimeFormat::EpochMillis => epoch(text, 3),
        TimeFormat::EpochMicros => epoch(text, 0),
        TimeFormat::Pattern(pattern) => by_pattern(text, pattern),
    })
}

/// A decimal number of units, each 10^`digits` microseconds, by its digits rather than a float.
fn epoch(text: &str, digits: usize) -> Option<Micros> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) || text.ends_with('.') {
        return None;
    }
    let negative = whole.starts_with('-');
    let scale = 10_i64.pow(digits as u32);
    let whole: i64 = whole.parse().ok()?;
    let padded: String = fraction.chars().chain(std::iter::repeat('0')).take(digits).collect();
    let fraction: i64 = if padded.is_empty() { 0 } else { padded.parse().ok()? };
    whole.checked_mul(scale)?.checked_add(if negative { -fraction } else { fraction })
}

fn by_pattern(text: &str, pattern: &str) -> Option<Micros> {
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, StrftimeItems::new(pattern)).ok()?;
    if let Ok(time) = parsed.to_datetime() {
        return Some(time.timestamp_micros());
    }
    let date: NaiveDate = parsed.to_naive_date().ok()?;
    let time = parsed.to_naive_time().unwrap_or(NaiveTime::MIN);
    Some(date.and_time(time).and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_format_reads_what_it_should_and_nothing_else() {
        let table: [(&str, &str, Option<Micros>); 20] = [
            ("rfc3339", "2024-05-04T09:42:00+00:00", Some(1_714_815_720_000_000)),
            ("rfc3339", "2024-05-04T11:42:00.123456789+02:00", Some(1_714_815_720_123_456)),
            ("rfc3339", "0001-01-01T00:00:00Z", Some(-62_135_596_800_000_000)),
            ("rfc3339", "9999-12-31T23:59:59Z", Some(253_402_300_799_000_000)),
            ("rfc3339", "2024-05-04T09:42:00", None),
            ("rfc3339", "2024-02-30T00:00:00Z", None),
            ("rfc3339", "", None),
            ("epoch_s", "1714815720", Some(1_714_815_720_000_000)),
            ("epoch_s", "1714815720.1234567", Some(1_714_815_720_123_456)),
            ("epoch_s", "-1.5", Some(-1_500_000)),
            ("epoch_s", "-0.5", Some(-500_000)),
            ("epoch_s", "1e9", None),
            ("epoch_s", "9223372036854775807", None),
            ("epoch_ms", "1714815720123", Some(1_714_815_720_123_000)),
            ("epoch_us", "1714815720123456", Some(1_714_815_720_123_456)),
            ("epoch_us", "1714815720123456.9", Some(1_714_815_720_123_456)),
            ("%Y-%m-%d %H:%M:%S%.f", "2024-05-04 09:42:00.5", Some(1_714_815_720_500_000)),
            ("%Y-%m-%d %H:%M:%S%.f", "2024-05-04 09:42:00.5Z", None),
            ("%Y-%m-%d", "2024-05-04", Some(1_714_780_800_000_000)),
            ("%d/%b/%Y:%H:%M:%S %z", "04/May/2024:11:42:00 +0200", Some(1_714_815_720_000_000)),
        ];
        for (name, text, expected) in table {
            assert_eq!(parse(text, &[format(name).unwrap()]), expected, "{name} of {text:?}");
        }
        assert!(format("iso").is_err());
        assert!(format("%Q").is_err());
    }

    proptest! {
        #[test]
        fn a_printed_time_reads_back(micros in 0_i64..4_102_444_800_000_000) {
            let printed = DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339();
            prop_assert_eq!(parse(&printed, &[TimeFormat::Rfc3339]), Some(micros));
            prop_assert_eq!(parse(&micros.to_string(), &[TimeFormat::EpochMicros]), Some(micros));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", pattern in "%[a-zA-Z]|[ -~]*") {
            if let Ok(format) = format(&pattern) {
                parse(&text, &[format, TimeFormat::Rfc3339, TimeFormat::EpochSeconds]);
            }
        }
    }
}
