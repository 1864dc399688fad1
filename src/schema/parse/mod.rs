//! A mapping file's text to a [`Mapping`], with every problem named at once.
//!
//! In: TOML text. Out: a mapping, or the list of what is wrong with it, each with its line.
//!
//! # Invariants
//! - An unknown key is a problem, never ignored: a mistyped rule must not silently do nothing.
//! - Reading goes on after a problem, so that one run shows them all.
//!
//! Deliberately unknown here: how rules are compiled.

mod rule;
mod test;
mod value;

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::rule::Wants;
use self::value::Table;
use super::mapping::{Field, Mapping, TargetRule, When};
use super::path::Path;
use crate::problem::{Problem, Problems};

const TOP: [&str; 11] = [
    "name", "version", "about", "source", "when", "envelope", "unwrap", "required", "event",
    "rest", "test",
];

/// Read one mapping file; `file` is its name for messages, `stem` the name it must carry.
pub fn mapping(file: &str, stem: &str, text: &str) -> Result<Mapping, Vec<Problem>> {
    let mut problems = Problems::of(file, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        problems.at(error.span().unwrap_or_default(), "", format!("not TOML: {}", error.message()));
    }
    if !problems.is_empty() {
        return Err(problems.into_vec());
    }
    let mapping = read(&document, stem, &mut problems);
    match mapping {
        Some(mapping) if problems.is_empty() => Ok(mapping),
        _ => {
            if problems.is_empty() {
                problems.whole("", "incomplete");
            }
            Err(problems.into_vec())
        }
    }
}

fn read(
    document: &Spanned<DeTable<'_>>,
    stem: &str,
    problems: &mut Problems<'_>,
) -> Option<Mapping> {
    let top = Table::new("", document.span(), document.get_ref());
    top.only(&TOP, problems);
    let name = top.text("name", problems);
    if let Some(found) = name.as_deref().filter(|found| *found != stem) {
        let message = format!("`{found}` must equal the file's name, `{stem}`");
        problems.at(top.span_of("name"), "name", message);
    }
    if name.is_none() && !top.has("name") {
        problems.whole("name", format!("is missing; write `name = \"{stem}\"`"));
    }
    let version = top.integer("version", problems).and_then(|n| u16::try_from(n).ok());
    if version.is_none() {
        problems.at(top.span_of("version"), "version", "must be a whole number from 0 to 65535");
    }
    let about = top.text("about", problems);
    if about.is_none() && !top.has("about") {
        problems.whole("about", "is missing; say in one line what the schema is");
    }
    top.text("source", problems);
    let mut mapping = Mapping {
        name: name.unwrap_or_default(),
        version: version.unwrap_or_default(),
        about: about.unwrap_or_default(),
        when: when(&top, problems),
        each: envelope(&top, problems),
        unwrap: top.paths("unwrap", problems),
        required: required(&top, problems),
        fields: Vec::new(),
        targets: Vec::new(),
        attributes: Vec::new(),
        rest: top.boolean("rest", problems).unwrap_or(true),
        tests: test::tests(&top, problems),
    };
    match top.table("event", problems) {
        None if !top.has("event") => problems.whole("event", "is missing; it holds the rules"),
        None => {}
        Some(event) => rules(&event, &mut mapping, problems),
    }
    below_each(&top, &mapping, problems);
    for field in &mapping.required {
        if !mapping.fields.iter().any(|(ruled, _)| ruled == field) {
            let message = format!("{} is required, but no rule fills it", field.name());
            problems.at(top.span_of("required"), "required", message);
        }
    }
    Some(mapping)
}

/// An array that `each` goes over is not walked, so a path into it would find nothing.
fn below_each(top: &Table<'_, '_>, mapping: &Mapping, problems: &mut Problems<'_>) {
    let mut paths = Vec::new();
    let fields = mapping.fields.iter().map(|(_, rule)| rule);
    let attributes = mapping.attributes.iter().map(|(_, rule)| rule);
    fields.chain(attributes).for_each(|rule| rule.paths(&mut paths));
    let arrays = mapping.targets.iter().filter_map(|rule| rule.each.as_ref()).chain(&mapping.each);
    for array in arrays {
        let (Path::Body(array), shown) = (array, array.to_string()) else { continue };
        for path in &paths {
            if let Path::Body(inner) = path
                && inner.len() > array.len()
                && inner.starts_with(array)
            {
                let message = format!(
                    "`{path}` finds nothing, for `each = \"{shown}\"` goes over that array"
                );
                problems.at(top.span_of("event"), "event", message);
            }
        }
    }
}

fn when(top: &Table<'_, '_>, problems: &mut Problems<'_>) -> When {
    let Some(table) = top.table("when", problems) else { return When::default() };
    table.only(&["topics", "headers", "exists", "absent", "equals"], problems);
    let equals = table.choices("equals", problems);
    let equals = equals.into_iter().filter_map(|(path, span, values)| {
        Some((value::path(&path, &span, "when.equals", problems)?, values))
    });
    let equals = equals.collect();
    let headers = table.choices("headers", problems);
    When {
        topics: table.texts("topics", problems),
        headers: headers.into_iter().map(|(name, _, values)| (name, values)).collect(),
        exists: table.paths("exists", problems),
        absent: table.paths("absent", problems),
        equals,
    }
}

fn envelope(top: &Table<'_, '_>, problems: &mut Problems<'_>) -> Vec<Path> {
    let Some(table) = top.table("envelope", problems) else { return Vec::new() };
    table.only(&["each"], problems);
    table.paths("each", problems)
}

fn required(top: &Table<'_, '_>, problems: &mut Problems<'_>) -> Vec<Field> {
    let mut fields = vec![Field::Action];
    for name in top.texts("required", problems) {
        match Field::parse(&name) {
            Some(field) if !fields.contains(&field) => fields.push(field),
            Some(_) => {}
            None => {
                let message = format!("`{name}` is no event field{}", near_field(&name));
                problems.at(top.span_of("required"), "required", message);
            }
        }
    }
    fields
}

fn near_field(name: &str) -> String {
    crate::problem::did_you_mean(name, Field::ALL.iter().map(|(_, known)| *known))
}

/// `[event]`: dotted keys (`actor.id`) and sub-tables alike arrive as nested tables.
fn rules(event: &Table<'_, '_>, mapping: &mut Mapping, problems: &mut Problems<'_>) {
    for (key, value) in event.entries() {
        let name = key.get_ref().as_ref();
        let group = matches!(name, "actor" | "target" | "changes");
        match (name, value.get_ref()) {
            ("targets", _) => mapping.targets = targets(value, problems),
            ("attributes", DeValue::Table(table)) => {
                attributes(
                    "",
                    &Table::new("event.attributes", value.span(), table),
                    mapping,
                    problems,
                );
            }
            (_, DeValue::Table(table)) if group => {
                for (part, value) in Table::new(name, value.span(), table).entries() {
                    field(
                        &format!("{name}.{}", part.get_ref()),
                        part.span(),
                        value,
                        mapping,
                        problems,
                    );
                }
            }
            _ => field(name, key.span(), value, mapping, problems),
        }
    }
    mapping.fields.sort_by_key(|(field, _)| *field);
}

fn field(
    name: &str,
    span: Range<usize>,
    value: &Spanned<DeValue<'_>>,
    mapping: &mut Mapping,
    problems: &mut Problems<'_>,
) {
    let place = format!("event.{name}");
    let Some(field) = Field::parse(name) else {
        problems.at(span, &place, format!("is no event field{}", near_field(name)));
        return;
    };
    let wants = match field {
        Field::OccurredAt => Wants::Time,
        Field::ClientIp => Wants::Ip,
        Field::ChangesOld | Field::ChangesNew => Wants::Json,
        Field::Verb => Wants::Verb,
        Field::Outcome => Wants::Outcome,
        Field::Origin => Wants::Origin,
        _ => Wants::Text,
    };
    if let Some(rule) = rule::top(value, &place, wants, problems) {
        mapping.fields.push((field, rule));
    }
}

/// Attribute names may hold dots, so a nested table is a dotted name.
fn attributes(
    prefix: &str,
    table: &Table<'_, '_>,
    mapping: &mut Mapping,
    problems: &mut Problems<'_>,
) {
    for (key, value) in table.entries() {
        let name = format!("{prefix}{}", key.get_ref());
        let place = format!("event.attributes.{name}");
        match value.get_ref() {
            DeValue::Table(inner) if !rule::is_rule(inner) => {
                let inner = Table::new(&place, value.span(), inner);
                attributes(&format!("{name}."), &inner, mapping, problems);
            }
            _ => {
                if let Some(rule) = rule::top(value, &place, Wants::Text, problems) {
                    mapping.attributes.push((name, rule));
                }
            }
        }
    }
}

fn targets(value: &Spanned<DeValue<'_>>, problems: &mut Problems<'_>) -> Vec<TargetRule> {
    let Some(list) = value.get_ref().as_array() else {
        problems.at(value.span(), "event.targets", "must be a list of { id, type, name } tables");
        return Vec::new();
    };
    let mut found = Vec::new();
    for (at, entry) in list.iter().enumerate() {
        let place = format!("event.targets.{at}");
        let Some(table) = entry.get_ref().as_table() else {
            problems.at(entry.span(), &place, "must be a table { each, id, type, name }");
            continue;
        };
        let table = Table::new(&place, entry.span(), table);
        table.only(&["each", "id", "type", "name"], problems);
        let each = table.text("each", problems);
        let mut part = |name: &str| {
            let value = table.get(name)?;
            rule::top(value, &format!("{place}.{name}"), Wants::Text, problems)
        };
        let (id, kind, name) = (part("id"), part("type"), part("name"));
        let each = each.and_then(|each| value::path(&each, &entry.span(), &place, problems));
        found.push(TargetRule { each, id, kind, name });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_into_an_array_that_each_goes_over_is_a_problem() {
        let text = "name = \"x\"\nversion = 1\nabout = \"x\"\n[event]\naction = \"a\"\n\
                    target.id = \"list.0.id\"\ntargets = [{ each = \"list\", id = \"id\" }]\n";
        let problems = mapping("x.toml", "x", text).unwrap_err();
        assert!(problems[0].message.contains("`list.0.id` finds nothing"), "{problems:?}");
        assert!(mapping("x.toml", "x", &text.replace("list.0.id", "listed.0.id")).is_ok());
    }
}
