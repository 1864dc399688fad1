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
        TimeFormat::Rfc3339 => usual(text).or_else(|| {
            DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
        }),
        TimeFormat::EpochSeconds => epoch(text, 6),
        TimeFormat::EpochMillis => epoch(text, 3),
        TimeFormat::EpochMicros => epoch(text, 0),
        TimeFormat::Pattern(pattern) => by_pattern(text, pattern),
    })
}

/// What nearly all sources write, `2024-05-04T09:42:00` with or without a fraction, in UTC: read by
/// its places, in a fraction of what chrono takes for RFC 3339, to which all else is left.
fn usual(text: &str) -> Option<Micros> {
    let text = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
    let (second, fraction) = text.as_bytes().split_first_chunk::<19>()?;
    if [4, 7, 10, 13, 16].map(|at| second[at]) != *b"--T::" {
        return None;
    }
    let part = |from, to| number(&second[from..to]);
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            number(digits)? * 10_u32.pow(9 - digits.len() as u32) / 1000
        }
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(part(0, 4)? as i32, part(5, 7)?, part(8, 10)?)?;
    let time = date.and_hms_micro_opt(part(11, 13)?, part(14, 16)?, part(17, 19)?, micros)?;
    Some(time.and_utc().timestamp_micros())
}

/// The number that is written with digits alone, nine of them at most.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
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
            prop_assert_eq!(usual(&printed), Some(micros));
            prop_assert_eq!(parse(&micros.to_string(), &[TimeFormat::EpochMicros]), Some(micros));
        }

        #[test]
        fn the_usual_shape_is_read_as_chrono_reads_it(
            date in "[0-9]{4}-(0[0-9]|1[0-3])-([0-2][0-9]|3[0-2])",
            time in "(T|T|T|t| )([01][0-9]|2[0-4]):[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,11})?",
            zone in "(Z|Z|\\+00:00|\\+00:00|z|-00:00|\\+01:30)?",
            place in any::<prop::sample::Index>(),
            other in "[ -~]",
        ) {
            let text = format!("{date}{time}{zone}");
            let at = place.index(text.len());
            let mut broken = text.clone();
            broken.replace_range(at..=at, &other);
            for text in [text, broken] {
                let read = DateTime::parse_from_rfc3339(&text).ok();
                let read = read.map(|time| time.timestamp_micros());
                prop_assert!(usual(&text).is_none() || usual(&text) == read, "{}", text);
                prop_assert_eq!(parse(&text, &[TimeFormat::Rfc3339]), read);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC*", pattern in "%[a-zA-Z]|[ -~]*") {
            if let Ok(format) = format(&pattern) {
                parse(&text, &[format, TimeFormat::Rfc3339, TimeFormat::EpochSeconds]);
            }
        }
    }
}
