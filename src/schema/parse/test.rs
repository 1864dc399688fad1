//! The `[[test]]` entries of a mapping file.
//!
//! In: the TOML tables. Out: [`InlineTest`]s.
//!
//! # Invariants
//! - A test expects something: one of `expect`, `expect_events`, `expect_reason`.
//!
//! Deliberately unknown here: how a test is run.

use std::collections::BTreeMap;

use chrono::DateTime;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::mapping::{Expect, InlineTest};
use super::value::Table;
use crate::event::Reason;
use crate::problem::Problems;

const KEYS: [&str; 9] = [
    "name",
    "input",
    "topic",
    "key",
    "headers",
    "timestamp",
    "expect",
    "expect_events",
    "expect_reason",
];

pub fn tests(top: &Table<'_, '_>, problems: &mut Problems<'_>) -> Vec<InlineTest> {
    let Some(value) = top.get("test") else { return Vec::new() };
    let Some(list) = value.get_ref().as_array() else {
        problems.at(value.span(), "test", "must be written as [[test]]");
        return Vec::new();
    };
    let tables = list.iter().filter_map(|entry| Some((entry, entry.get_ref().as_table()?)));
    tables.filter_map(|(entry, table)| test(entry, table, problems)).collect()
}

fn test(
    entry: &Spanned<DeValue<'_>>,
    table: &DeTable<'_>,
    problems: &mut Problems<'_>,
) -> Option<InlineTest> {
    let table = Table::new("test", entry.span(), table);
    table.only(&KEYS, problems);
    let name = table.text("name", problems).unwrap_or_default();
    let place = format!("test `{name}`");
    let Some(input) = table.text("input", problems) else {
        problems.at(entry.span(), &place, "needs `input`, the record's payload as text");
        return None;
    };
    let timestamp = table.text("timestamp", problems).and_then(|text| {
        DateTime::parse_from_rfc3339(&text)
            .map_err(|_| problems.at(table.span_of("timestamp"), &place, "must be RFC 3339"))
            .ok()
    });
    let headers =
        table.table("headers", problems).map(|headers| fields(&headers, &place, problems));
    let Some(expect) = expect(&table, &place, problems) else {
        problems.at(entry.span(), &place, "needs one of expect, expect_events, expect_reason");
        return None;
    };
    Some(InlineTest {
        name,
        input,
        topic: table.text("topic", problems),
        key: table.text("key", problems),
        headers: headers.unwrap_or_default().into_iter().collect(),
        timestamp: timestamp.map(|time| time.timestamp_micros()),
        expect,
        line: problems.line_of(entry.span()),
    })
}

fn expect(table: &Table<'_, '_>, place: &str, problems: &mut Problems<'_>) -> Option<Expect> {
    if let Some(reason) = table.text("expect_reason", problems) {
        if !Reason::ALL.iter().any(|known| known.code() == reason) {
            let known: Vec<&str> = Reason::ALL.iter().map(|known| known.code()).collect();
            let message = format!("`{reason}` is no reason (known: {})", known.join(", "));
            problems.at(table.span_of("expect_reason"), place, message);
        }
        return Some(Expect::Reason(reason));
    }
    if let Some(one) = table.table("expect", problems) {
        return Some(Expect::Events(vec![fields(&one, place, problems)]));
    }
    let list = table.get("expect_events")?.get_ref().as_array()?;
    let mut events = Vec::new();
    for entry in list {
        let fields_of = |inner| fields(&Table::new(place, entry.span(), inner), place, problems);
        events.push(entry.get_ref().as_table().map(fields_of)?);
    }
    Some(Expect::Events(events))
}

/// Dotted keys arrive as nested tables; both spell the same field.
fn fields(
    table: &Table<'_, '_>,
    place: &str,
    problems: &mut Problems<'_>,
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (key, value) in table.entries() {
        let name = key.get_ref().to_string();
        match value.get_ref() {
            DeValue::String(text) => {
                found.insert(name, text.to_string());
            }
            DeValue::Table(inner) => {
                let inner = fields(&Table::new(place, value.span(), inner), place, problems);
                found
                    .extend(inner.into_iter().map(|(part, text)| (format!("{name}.{part}"), text)));
            }
            _ => problems.at(value.span(), place, format!("`{name}` must be text")),
        }
    }
    found
}
