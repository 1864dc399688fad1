//! Reading a TOML table with the place of everything in it.
//!
//! In: a parsed table with spans. Out: its values, by kind; what has another kind is a problem.
//!
//! # Invariants
//! - Every message names the dotted field, and every problem its line.
//!
//! Deliberately unknown here: what a mapping is.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::super::path::Path;
use crate::problem::{Problems, did_you_mean};

/// A table and where it stands.
pub struct Table<'t, 'i> {
    place: String,
    span: Range<usize>,
    inner: &'t DeTable<'i>,
}

impl<'t, 'i> Table<'t, 'i> {
    pub fn new(place: &str, span: Range<usize>, inner: &'t DeTable<'i>) -> Self {
        Table { place: place.to_owned(), span, inner }
    }

    pub fn entries(
        &self,
    ) -> impl Iterator<Item = (&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
        self.inner.iter()
    }

    pub fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.inner.get(key)
    }

    pub fn has(&self, key: &str) -> bool {
        self.inner.contains_key(key)
    }

    /// Where a key's value stands, or the table where it has none.
    pub fn span_of(&self, key: &str) -> Range<usize> {
        self.get(key).map_or(self.span.clone(), Spanned::span)
    }

    /// Any other key is a problem.
    pub fn only(&self, known: &[&str], problems: &mut Problems<'_>) {
        for key in self.inner.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let near = did_you_mean(name, known.iter().copied());
                let message = format!("is unknown{near} (known: {})", known.join(", "));
                problems.at(key.span(), &self.field(name), message);
            }
        }
    }

    pub fn table(&self, key: &str, problems: &mut Problems<'_>) -> Option<Table<'t, 'i>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(inner) => Some(Table::new(&self.field(key), value.span(), inner)),
            other => self.wrong(key, "a table", other, problems),
        }
    }

    pub fn text(&self, key: &str, problems: &mut Problems<'_>) -> Option<String> {
        match self.get(key)?.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            other => self.wrong(key, "text", other, problems),
        }
    }

    pub fn boolean(&self, key: &str, problems: &mut Problems<'_>) -> Option<bool> {
        match self.get(key)?.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            other => self.wrong(key, "true or false", other, problems),
        }
    }

    pub fn integer(&self, key: &str, problems: &mut Problems<'_>) -> Option<i64> {
        match self.get(key)?.get_ref() {
            DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix()).ok(),
            other => self.wrong(key, "a whole number", other, problems),
        }
    }

    /// A text or a list of texts.
    pub fn texts(&self, key: &str, problems: &mut Problems<'_>) -> Vec<String> {
        let Some(value) = self.get(key) else { return Vec::new() };
        texts(value).unwrap_or_else(|| {
            self.wrong::<()>(key, "text or a list of texts", value.get_ref(), problems);
            Vec::new()
        })
    }

    /// A path or a list of paths.
    pub fn paths(&self, key: &str, problems: &mut Problems<'_>) -> Vec<Path> {
        let (span, field) = (self.span_of(key), self.field(key));
        let texts = self.texts(key, problems);
        texts.iter().filter_map(|text| path(text, &span, &field, problems)).collect()
    }

    /// `{ name = "value", other = ["a", "b"] }`
    pub fn choices(
        &self,
        key: &str,
        problems: &mut Problems<'_>,
    ) -> Vec<(String, Range<usize>, Vec<String>)> {
        let Some(table) = self.table(key, problems) else { return Vec::new() };
        let mut found = Vec::new();
        for (name, value) in table.entries() {
            match texts(value) {
                Some(values) => found.push((name.get_ref().to_string(), name.span(), values)),
                None => {
                    let field = table.field(name.get_ref());
                    let message = "must be text or a list of texts; quote a name that holds dots";
                    problems.at(value.span(), &field, message);
                }
            }
        }
        found
    }

    fn field(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    fn wrong<T>(
        &self,
        key: &str,
        wanted: &str,
        found: &DeValue<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        let message = format!("must be {wanted}, not {}", found.type_str());
        problems.at(self.span_of(key), &self.field(key), message);
        None
    }
}

/// Read a path; one that is none is a problem.
pub fn path(
    text: &str,
    span: &Range<usize>,
    field: &str,
    problems: &mut Problems<'_>,
) -> Option<Path> {
    Path::parse(text).map_err(|message| problems.at(span.clone(), field, message)).ok()
}

fn texts(value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    match value.get_ref() {
        DeValue::String(text) => Some(vec![text.to_string()]),
        DeValue::Array(list) => {
            list.iter().map(|entry| entry.get_ref().as_str().map(str::to_owned)).collect()
        }
        _ => None,
    }
}
