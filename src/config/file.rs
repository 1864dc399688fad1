//! The settings file and the environment, with the line of every setting.
//!
//! In: TOML text. Out: a [`Config`] merged from defaults, file and environment, and the unknown
//! names and wrong types in the file.
//!
//! # Invariants
//! - What is known is read off [`Config::example`], so a new setting needs no line here.
//!
//! Deliberately unknown here: what a setting may be beyond its type.

use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::Config;
use crate::problem::{Problem, Problems, did_you_mean};

/// Tables whose keys are the user's own.
const FREE: [&str; 3] = ["kafka.properties", "api.auth.roles", "retention.tenants"];

/// A settings file; empty where there is none.
pub struct SettingsFile {
    name: String,
    text: String,
}

impl SettingsFile {
    /// Read it.
    pub fn read(path: Option<&Path>) -> Result<SettingsFile, Vec<Problem>> {
        let Some(path) = path else {
            return Ok(SettingsFile { name: "environment".into(), text: String::new() });
        };
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let mut problems = Problems::of(&name, "");
            problems.whole("", format!("{error}; name a settings file with --config"));
            problems.into_vec()
        })?;
        let mut problems = Problems::of(&name, &text);
        let (_, errors) = DeTable::parse_recoverable(&text);
        for error in errors {
            let span = error.span().unwrap_or_default();
            problems.at(span, "", format!("not TOML: {}", error.message()));
        }
        if !problems.is_empty() {
            return Err(problems.into_vec());
        }
        Ok(SettingsFile { name, text })
    }

    /// Unknown names and wrong types.
    pub fn problems(&self) -> Vec<Problem> {
        self.compared().0
    }

    /// Defaults, then the file without what is wrong in it, then the environment: so that one
    /// mistyped name does not hide what else is wrong.
    pub fn merged(&self) -> Result<Config, Problem> {
        let right = self.compared().1.to_string();
        let file = config::File::from_str(&right, config::FileFormat::Toml);
        let environment = config::Environment::with_prefix("TRAILHOUSE").separator("__");
        let merged = config::Config::builder().add_source(file).add_source(environment).build();
        merged.and_then(config::Config::try_deserialize).map_err(|error| {
            self.problem("", format!("{error} (in the file, or a TRAILHOUSE__ variable)"))
        })
    }

    /// What is wrong, and what is left without it.
    fn compared(&self) -> (Vec<Problem>, toml::Table) {
        let mut problems = Problems::of(&self.name, &self.text);
        let (document, _) = DeTable::parse_recoverable(&self.text);
        let mut right = self.text.parse().unwrap_or_default();
        match Value::try_from(Config::example()) {
            Ok(Value::Table(known)) => {
                compare("", document.get_ref(), &known, &mut right, &mut problems);
            }
            // INVARIANT: the example is a struct of plain settings.
            _ => problems.whole("", "the example configuration is no table"),
        }
        (problems.into_vec(), right)
    }

    /// Where the file says a setting, as `file:line`.
    pub fn place(&self, field: &str) -> Option<String> {
        let (document, _) = DeTable::parse_recoverable(&self.text);
        let (above, own) = field.rsplit_once('.').unwrap_or(("", field));
        let span = span_of(document.get_ref(), field)?;
        // Where the setting is not there, the span is that of what is nearest above.
        if span_of(document.get_ref(), above).is_some_and(|above| above == span) && !own.is_empty()
        {
            return None;
        }
        let line = Problems::of(&self.name, &self.text).line_of(span);
        Some(format!("{}:{line}", self.name))
    }

    /// A problem of a field, at its line where the file has it.
    pub fn problem(&self, field: &str, message: String) -> Problem {
        let (document, _) = DeTable::parse_recoverable(&self.text);
        let mut problems = Problems::of(&self.name, &self.text);
        let line = span_of(document.get_ref(), field).map_or(0, |span| problems.line_of(span));
        problems.whole(field, message.clone());
        Problem { file: self.name.clone(), line, field: field.to_owned(), message }
    }
}

fn compare(
    place: &str,
    found: &DeTable<'_>,
    known: &toml::Table,
    right: &mut toml::Table,
    problems: &mut Problems<'_>,
) {
    for (key, value) in found {
        let name = key.get_ref().as_ref();
        let field = if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
        let is_right = match (known.get(name), right.get_mut(name)) {
            (None, _) => {
                let near = did_you_mean(name, known.keys().map(String::as_str));
                problems.at(key.span(), &field, format!("is unknown{near}"));
                false
            }
            (Some(wanted), Some(right)) if !FREE.contains(&field.as_str()) => {
                compare_value(&field, value, wanted, right, problems)
            }
            _ => true,
        };
        if !is_right {
            right.remove(name);
        }
    }
}

/// Whether a value has the wanted kind; what is wrong inside it is taken out of `right`.
fn compare_value(
    field: &str,
    found: &Spanned<DeValue<'_>>,
    wanted: &Value,
    right: &mut Value,
    problems: &mut Problems<'_>,
) -> bool {
    match (found.get_ref(), wanted, right) {
        (DeValue::Table(found), Value::Table(known), Value::Table(right)) => {
            compare(field, found, known, right, problems);
        }
        (DeValue::Array(found), Value::Array(known), Value::Array(right)) => {
            let elements = found.iter().zip(right).enumerate();
            for (at, (element, right)) in elements {
                let place = format!("{field}.{at}");
                if !known.iter().all(|one| compare_value(&place, element, one, right, problems)) {
                    return false;
                }
            }
        }
        (DeValue::String(_), Value::String(_), _)
        | (DeValue::Integer(_), Value::Integer(_), _)
        | (DeValue::Float(_) | DeValue::Integer(_), Value::Float(_), _)
        | (DeValue::Boolean(_), Value::Boolean(_), _) => {}
        (other, wanted, _) => {
            let message = format!("must be {}, not {}", kind(wanted), kind_of(other));
            problems.at(found.span(), field, message);
            return false;
        }
    }
    true
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
        Value::Datetime(_) => "a date",
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
        DeValue::Datetime(_) => "a date",
    }
}

/// Where a dotted field stands; a part that is a number counts list elements.
fn span_of(table: &DeTable<'_>, field: &str) -> Option<std::ops::Range<usize>> {
    let (first, mut rest) = field.split_once('.').unwrap_or((field, ""));
    let mut at = table.get(first)?;
    while !rest.is_empty() {
        let (part, after) = rest.split_once('.').unwrap_or((rest, ""));
        let inner = match at.get_ref() {
            // A key may have dots of its own.
            DeValue::Table(table) => match table.get(rest) {
                Some(whole) => return Some(whole.span()),
                None => table.get(part),
            },
            DeValue::Array(list) => part.parse().ok().and_then(|place: usize| list.get(place)),
            _ => None,
        };
        // A setting that is not in the file: the nearest thing that is.
        let Some(inner) = inner else { break };
        (at, rest) = (inner, after);
    }
    Some(at.span())
}
