//! Query parameters: read strictly, so that a misspelt filter never answers everything.
//!
//! In: a URI. Out: [`Parameters`], and from them single values, words, times, numbers.
//!
//! # Invariants
//! - An unknown name, an empty value, and a repeat of what may stand once are errors.
//! - Every error names the parameter and what it allows.
//! - Times come out as microseconds since the Unix epoch, in the years 1 to 9999.
//!
//! Deliberately unknown here: what a parameter means.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;

use super::error::Problem;
use crate::event::Micros;
use crate::query::language;

/// The parameters of one request, as they were given.
#[derive(Debug, Clone)]
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// Read the query of a URI. `once` are the names that may be given once, `many` any number of
    /// times.
    pub(super) fn read(uri: &Uri, once: &[&str], many: &[&str]) -> Result<Parameters, Problem> {
        let unread = || Problem::of_status(StatusCode::BAD_REQUEST);
        // Else what is not UTF-8 would be asked for as the character that replaces it.
        let query = uri.query().unwrap_or_default();
        percent_decode_str(query).decode_utf8().map_err(|_| unread())?;
        let Query(pairs) =
            Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| unread())?;
        for (place, (name, value)) in pairs.iter().enumerate() {
            let name = name.as_str();
            let is_repeated = pairs[..place].iter().any(|(earlier, _)| earlier == name);
            if !once.contains(&name) && !many.contains(&name) {
                return Err(unknown(name, [once, many].concat()));
            }
            if value.is_empty() {
                let detail = format!("{name} is empty; give it a value, or leave it out");
                return Err(Problem::parameter(name, detail, vec!["a value".into()]));
            }
            if is_repeated && once.contains(&name) {
                let detail = format!("{name} is given more than once; give it once");
                return Err(Problem::parameter(name, detail, vec!["one value".into()]));
            }
        }
        Ok(Parameters { pairs })
    }

    /// The value of a parameter that may be given once.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The values of a list: repeated, or separated by commas, or both.
    pub(super) fn list(&self, name: &str) -> Result<Vec<String>, Problem> {
        let values: Vec<String> =
            self.all(name).flat_map(|value| value.split(',')).map(str::to_owned).collect();
        if values.iter().any(String::is_empty) {
            let detail = format!("{name} has an empty entry; leave out the comma");
            return Err(Problem::parameter(name, detail, vec!["NAME or NAME,NAME".into()]));
        }
        Ok(values)
    }

    /// A value that is one of some words.
    pub(super) fn word<T: Copy>(
        &self,
        name: &str,
        words: &[T],
        spelling: fn(T) -> &'static str,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        if let Some(word) = words.iter().find(|word| spelling(**word) == value) {
            return Ok(Some(*word));
        }
        let allowed: Vec<String> = words.iter().map(|word| spelling(*word).to_owned()).collect();
        let detail = format!("{name} is {value:?}; it is one of {}", allowed.join(", "));
        Err(Problem::parameter(name, detail, allowed))
    }

    /// A number within a range, both ends included.
    pub(super) fn number(&self, name: &str, least: u32, most: u32) -> Result<Option<u32>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => {
                let allowed = format!("a number from {least} to {most}");
                let detail = format!("{name} is {value:?}; it is {allowed}");
                Err(Problem::parameter(name, detail, vec![allowed]))
            }
        }
    }

    /// A time: RFC 3339, `now`, or a span back from `now`.
    pub(super) fn time(&self, name: &str, now: Micros) -> Result<Option<Micros>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        if let Some(time) = language::instant(value, now) {
            return Ok(Some(time));
        }
        let allowed = [
            "a time with its zone, such as 2026-01-31T12:00:00Z (in a URL a + is written %2B)",
            "a span back from now, in s, m, h, d or w, such as -24h or -7d",
            "now",
        ];
        let detail =
            format!("{name} is {value:?}, which is no time; write {}", allowed.join(", or "));
        Err(Problem::parameter(name, detail, allowed.map(str::to_owned).to_vec()))
    }

    /// The same parameters in a query string, without some and with one more.
    pub(super) fn with(&self, without: &[&str], name: &str, value: &str) -> String {
        let kept = self.pairs.iter().filter(|(name, _)| !without.contains(&name.as_str()));
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs: Vec<String> = kept
            .chain([(name, value)])
            .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
            .collect();
        pairs.join("&")
    }
}

fn unknown(name: &str, known: Vec<&str>) -> Problem {
    let distance = |other: &&&str| strsim::damerau_levenshtein(name, other);
    let nearest = known.iter().min_by_key(distance).copied().unwrap_or_default();
    let detail = format!("there is no parameter {name:?}; the nearest is {nearest}");
    Problem::parameter(name, detail, known.into_iter().map(str::to_owned).collect())
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parameters_survive_being_written_into_a_link(name in "[a-z.]{1,9}", value in "\\PC{1,9}") {
            let given = Parameters { pairs: vec![(name.clone(), value.clone())] };
            let link: Uri = format!("/x?{}", given.with(&[], "cursor", "A-_b")).parse().unwrap();
            let read = Parameters::read(&link, &["cursor"], &[&name]).unwrap();
            prop_assert_eq!(read.pairs, [(name, value), ("cursor".into(), "A-_b".into())]);
        }
    }
}
