//! One rule: a path, or a table with one operator.
//!
//! In: a TOML value and what the field it fills wants. Out: a [`Rule`].
//!
//! # Invariants
//! - An operator stands where its result means something: `time` in `occurred_at`, `ip` in
//!   `client_ip`, `json` in `changes`; constants of enum fields are words of that enum.
//!
//! Deliberately unknown here: records.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::mapping::{Piece, Rule, Separator, Take, TimeFormat};
use super::super::time;
use super::value::{self, Table};
use crate::event::{Origin, Outcome, Verb};
use crate::problem::{Problems, did_you_mean};

const OPERATORS: [&str; 10] =
    ["path", "first_of", "const", "template", "lookup", "lower", "split", "time", "ip", "json"];

/// What the field that a rule fills can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    Text,
    Time,
    Ip,
    Json,
    Verb,
    Outcome,
    Origin,
}

impl Wants {
    /// The words of an enum field.
    fn words(self) -> Option<Vec<&'static str>> {
        match self {
            Wants::Verb => Some(Verb::ALL.map(Verb::as_str).to_vec()),
            Wants::Outcome => Some(Outcome::ALL.map(Outcome::as_str).to_vec()),
            Wants::Origin => Some(Origin::ALL.map(Origin::as_str).to_vec()),
            _ => None,
        }
    }
}

/// Whether a table is a rule rather than a group of named rules.
pub fn is_rule(table: &DeTable<'_>) -> bool {
    OPERATORS.iter().any(|operator| table.contains_key(*operator))
}

/// The rule of a field.
pub fn top(
    value: &Spanned<DeValue<'_>>,
    place: &str,
    wants: Wants,
    problems: &mut Problems<'_>,
) -> Option<Rule> {
    let mut reader = Reader { place, wants, problems };
    let rule = reader.rule(value)?;
    if let (Some(operator), false) = (needed(wants), result_is(&rule, wants)) {
        let message = format!("needs `{operator}`: write {{ {operator} = … }}");
        problems.at(value.span(), place, message);
        return None;
    }
    Some(rule)
}

fn needed(wants: Wants) -> Option<&'static str> {
    match wants {
        Wants::Time => Some("time"),
        Wants::Ip => Some("ip"),
        Wants::Json => Some("json"),
        _ => None,
    }
}

fn result_is(rule: &Rule, wants: Wants) -> bool {
    match rule {
        Rule::FirstOf(rules) => rules.iter().all(|rule| result_is(rule, wants)),
        Rule::Time { .. } => wants == Wants::Time,
        Rule::Ip(_) => wants == Wants::Ip,
        Rule::Json(_) => wants == Wants::Json,
        _ => false,
    }
}

struct Reader<'r, 't> {
    place: &'r str,
    wants: Wants,
    problems: &'r mut Problems<'t>,
}

impl Reader<'_, '_> {
    fn rule(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Rule> {
        match value.get_ref() {
            DeValue::String(text) => self.path(text, value.span()).map(Rule::Path),
            DeValue::Table(inner) => self.operator(&Table::new(self.place, value.span(), inner)),
            other => self.wrong(
                value.span(),
                format!(
                    "a rule is a path (text) or a table with an operator, not {}",
                    other.type_str()
                ),
            ),
        }
    }

    fn operator(&mut self, table: &Table<'_, '_>) -> Option<Rule> {
        let found: Vec<&str> = OPERATORS.into_iter().filter(|name| table.has(name)).collect();
        let [operator] = found[..] else {
            let keys: Vec<&str> = table.entries().map(|(key, _)| key.get_ref().as_ref()).collect();
            let near = keys.first().map(|key| did_you_mean(key, OPERATORS)).unwrap_or_default();
            return self.wrong(
                table.span_of(""),
                format!("a rule has exactly one operator of {}{near}", OPERATORS.join(", ")),
            );
        };
        let beside: &[&str] = match operator {
            "lookup" => &["lookup", "table", "otherwise"],
            "split" => &["split", "by", "take"],
            "time" => &["time", "formats"],
            other => &[other],
        };
        table.only(beside, self.problems);
        let value = table.get(operator)?;
        match operator {
            "first_of" => self.first_of(value),
            "const" => self.constant(value),
            "template" => self.template(value),
            "lookup" => self.lookup(table, value),
            "lower" => self.inner(value).map(|of| Rule::Lower(Box::new(of))),
            "split" => self.split(table, value),
            "time" => self.time(table, value),
            "ip" => self.inner(value).map(|of| Rule::Ip(Box::new(of))),
            "json" => {
                self.path(value.get_ref().as_str().unwrap_or(""), value.span()).map(Rule::Json)
            }
            _ => self.path(value.get_ref().as_str().unwrap_or(""), value.span()).map(Rule::Path),
        }
    }

    /// A rule inside another gives text: its constants are not the field's words.
    fn inner(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Rule> {
        let mut inner =
            Reader { place: self.place, wants: Wants::Text, problems: &mut *self.problems };
        let rule = inner.rule(value)?;
        match rule {
            Rule::Time { .. } | Rule::Ip(_) | Rule::Json(_) => {
                self.wrong(value.span(), "time, ip and json stand outermost, or in a first_of")
            }
            rule => Some(rule),
        }
    }

    fn first_of(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Rule> {
        let Some(list) = value.get_ref().as_array().filter(|list| !list.is_empty()) else {
            return self.wrong(value.span(), "first_of takes a list of rules");
        };
        let rules: Vec<Rule> = list.iter().filter_map(|entry| self.rule(entry)).collect();
        (rules.len() == list.len()).then_some(Rule::FirstOf(rules))
    }

    fn constant(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Rule> {
        let Some(text) = value.get_ref().as_str() else {
            return self.wrong(value.span(), "const takes text");
        };
        self.word(text, value.span());
        Some(Rule::Const(text.to_owned()))
    }

    fn template(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Rule> {
        let Some(text) = value.get_ref().as_str() else {
            return self.wrong(value.span(), "template takes text such as \"{a.b}/{c}\"");
        };
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, tail)) = rest.split_once('{') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let Some((path, after)) = tail.split_once('}') else {
                return self
                    .wrong(value.span(), format!("`{text}` has a brace that is not closed"));
            };
            pieces.push(Piece::Path(self.path(path, value.span())?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Some(Rule::Template(pieces))
    }

    fn lookup(&mut self, table: &Table<'_, '_>, value: &Spanned<DeValue<'_>>) -> Option<Rule> {
        let of = self.inner(value);
        let mut entries = BTreeMap::new();
        match table.table("table", self.problems) {
            None if !table.has("table") => {
                self.wrong::<()>(value.span(), "lookup needs `table = { key = \"value\" }`");
            }
            None => {}
            Some(inner) => {
                for (key, value) in inner.entries() {
                    let Some(text) = value.get_ref().as_str() else {
                        self.wrong::<()>(value.span(), format!("`{}` must be text", key.get_ref()));
                        continue;
                    };
                    self.word(text, value.span());
                    entries.insert(key.get_ref().to_string(), text.to_owned());
                }
            }
        }
        let otherwise = table.text("otherwise", self.problems);
        if let Some(text) = &otherwise {
            self.word(text, table.span_of("otherwise"));
        }
        Some(Rule::Lookup { of: Box::new(of?), table: entries, otherwise })
    }

    fn split(&mut self, table: &Table<'_, '_>, value: &Spanned<DeValue<'_>>) -> Option<Rule> {
        let of = self.inner(value);
        let by = match table.text("by", self.problems).as_deref() {
            Some("word") => Separator::Word,
            Some(text) if !text.is_empty() => Separator::Text(text.to_owned()),
            _ => return self.wrong(value.span(), "split needs `by`: a separator, or \"word\""),
        };
        let take = match table.get("take").map(|take| take.get_ref()) {
            Some(DeValue::Integer(at)) => at.as_str().parse().ok().map(Take::At),
            Some(DeValue::String(text)) => take(text),
            _ => None,
        };
        let Some(take) = take else {
            let message = "take must be \"first\", \"last\", a number from 0, or a range \"0..2\"";
            return self.wrong(table.span_of("take"), message);
        };
        Some(Rule::Split { of: Box::new(of?), by, take })
    }

    fn time(&mut self, table: &Table<'_, '_>, value: &Spanned<DeValue<'_>>) -> Option<Rule> {
        let of = self.inner(value);
        let mut formats = Vec::new();
        for name in table.texts("formats", self.problems) {
            match time::format(&name) {
                Ok(format) => formats.push(format),
                Err(message) => {
                    self.wrong::<()>(table.span_of("formats"), message);
                }
            }
        }
        if formats.is_empty() {
            formats.push(TimeFormat::Rfc3339);
        }
        Some(Rule::Time { of: Box::new(of?), formats })
    }

    fn path(&mut self, text: &str, span: Range<usize>) -> Option<super::super::path::Path> {
        value::path(text, &span, self.place, self.problems)
    }

    /// A constant of an enum field must be one of its words.
    fn word(&mut self, text: &str, span: Range<usize>) {
        let Some(words) = self.wants.words() else { return };
        if !words.contains(&text) {
            let message = format!("`{text}` is none of {}", words.join(", "));
            self.wrong::<()>(span, message);
        }
    }

    fn wrong<T>(&mut self, span: Range<usize>, message: impl Into<String>) -> Option<T> {
        self.problems.at(span, self.place, message);
        None
    }
}

fn take(text: &str) -> Option<Take> {
    match text {
        "first" => return Some(Take::First),
        "last" => return Some(Take::Last),
        _ => {}
    }
    let (from, to) = text.split_once("..")?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from < to).then_some(Take::Range(from, to))
}
