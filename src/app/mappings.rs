//! `trailhouse mappings test|try`: mapping files tried on their own tests and on your records.
//!
//! In: mapping files, a file of records. Out: what differs; each record's event and what stayed
//! unmapped.
//!
//! # Invariants
//! - The records are read as the pipeline would read them.
//!
//! Deliberately unknown here: Kafka, ClickHouse.

use std::io::Write;

use anyhow::{Context as _, bail};
use bumpalo::Bump;

use crate::config::Loaded;
use crate::event::{Fate, Headers, RawRecord};
use crate::schema::mapping::Mapping;
use crate::schema::{Catalog, inline};
use crate::source::TopicConfig;

/// Run every inline test; how many failed.
pub fn test(catalog: &Catalog, out: &mut impl Write) -> anyhow::Result<usize> {
    let (mut passed, mut failed) = (0, 0);
    for mapping in catalog.mappings() {
        for test in &mapping.tests {
            let differences = inline::run(catalog, test);
            if differences.is_empty() {
                passed += 1;
                continue;
            }
            failed += 1;
            writeln!(out, "{}: `{}` (line {}) failed:", mapping.name, test.name, test.line)?;
            for difference in differences {
                writeln!(out, "    {difference}")?;
            }
        }
        if mapping.tests.is_empty() {
            writeln!(out, "{}: has no test; add a [[test]]", mapping.name)?;
            failed += 1;
        }
    }
    let count = catalog.mappings().count();
    writeln!(out, "{count} mappings: {passed} passed, {failed} failed")?;
    Ok(failed)
}

/// How to try a file.
pub struct Trial<'t> {
    /// The topic the records would come on: one of the configuration is read as that says.
    pub topic: &'t str,
    /// Read them by this mapping, whatever the configuration says.
    pub schema: Option<&'t str>,
    /// Whether the body may say whose log it is, whatever the configuration says; without either
    /// word it may.
    pub tenant_from_body: Option<bool>,
    /// Further headers of every record.
    pub headers: &'t [(String, String)],
}

/// Show what becomes of every record of a text: one JSON document, or one a line. How many were
/// quarantined.
pub fn try_records(
    mut loaded: Loaded,
    text: &[u8],
    trial: &Trial<'_>,
    out: &mut impl Write,
) -> anyhow::Result<usize> {
    if let Some(unknown) = trial.schema.and_then(|name| loaded.catalog.unknown(name)) {
        bail!("--schema: {unknown}");
    }
    let kafka = &mut loaded.config.kafka;
    let known = kafka.topic(trial.topic).cloned();
    let otherwise = TopicConfig { tenant_from_body: true, ..TopicConfig::default() };
    let mut rule = TopicConfig { name: trial.topic.to_owned(), ..known.unwrap_or(otherwise) };
    if let Some(schema) = trial.schema {
        rule.schema = schema.to_owned();
    }
    rule.tenant_from_body = trial.tenant_from_body.unwrap_or(rule.tenant_from_body);
    kafka.topics = vec![rule];
    let normaliser = loaded.normalisers()(trial.topic);
    let catalog = &loaded.catalog;
    let mut packed = Vec::new();
    for (name, value) in trial.headers {
        Headers::pack(&mut packed, name, value.as_bytes());
    }
    let whole = serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
    let lines: Vec<&[u8]> = if whole {
        vec![text]
    } else {
        text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect()
    };
    let mut quarantined = 0;
    let mut arena = Bump::new();
    for (at, line) in lines.into_iter().enumerate() {
        let record = RawRecord {
            offset: at as i64,
            timestamp: Some(chrono::Utc::now().timestamp_micros()),
            key: None,
            headers: Headers::packed(&packed),
            payload: line,
        };
        let mut shown = Ok(());
        normaliser.normalise(&record, &arena, |index, fate| {
            quarantined += usize::from(matches!(fate, Fate::Quarantine(_)));
            if shown.is_ok() {
                shown = show(catalog, at, index, &fate, out);
            }
        });
        shown.context("writing the report")?;
        arena.reset();
    }
    Ok(quarantined)
}

fn show(
    catalog: &Catalog,
    record: usize,
    index: u32,
    fate: &Fate<'_>,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let place = format!("record {}, event {index}", record + 1);
    match fate {
        Fate::Skip { rule, .. } => writeln!(out, "{place}: skipped by {rule}"),
        Fate::Quarantine(why) => {
            writeln!(out, "{place}: QUARANTINED {}: {}", why.reason.code(), why.sentence)
        }
        Fate::Event(event) => {
            writeln!(out, "{place}: {} v{}", event.schema, event.mapping_version)?;
            let named = |name: &str| {
                let mapping = catalog.get(event.schema);
                mapping.is_some_and(|mapping| names_attribute(mapping, name))
            };
            let (mut mapped, mut rest) = (Vec::new(), Vec::new());
            for (name, text) in inline::fields(event) {
                match name.strip_prefix("attributes.") {
                    Some(attribute) if !named(attribute) => rest.push((attribute.to_owned(), text)),
                    _ => mapped.push((name, text)),
                }
            }
            for (name, text) in mapped {
                writeln!(out, "    {name:<24} {text}")?;
            }
            if !rest.is_empty() {
                writeln!(out, "  unmapped, kept in attributes:")?;
            }
            for (name, text) in rest {
                writeln!(out, "    {name:<24} {text}")?;
            }
            Ok(())
        }
    }
}

fn names_attribute(mapping: &Mapping, name: &str) -> bool {
    mapping.attributes.iter().any(|(known, _)| known == name)
}
