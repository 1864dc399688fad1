//! `trailhouse quarantine list` and `show`: what could not be normalised, and why.
//!
//! In: quarantined rows. Out: text for people, JSON for programs, or the bytes as they are.
//!
//! # Invariants
//! - Text of records reaches a terminal without its control characters.
//! - JSON is one document a row, one a line. Bytes that are no UTF-8 are base64 under another name.
//!
//! Deliberately unknown here: SQL, replaying.

use std::io::Write;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use super::up_to_date;
use crate::config::Loaded;
use crate::event::Micros;
use crate::warehouse::{Quarantined, Resolution, Wanted, Warehouse};

/// How rows are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One document a line.
    Json,
}

/// One position.
#[derive(Debug, Clone)]
pub struct Which {
    /// The topic, or a lane.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// One of the record's elements; without it all that are quarantined.
    pub index: Option<u32>,
}

/// Show which rows there are, those that came last first.
pub async fn list(
    loaded: &Loaded,
    wanted: &Wanted,
    format: Format,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let rows = connected(loaded).await?.quarantined(wanted).await?;
    for row in &rows {
        match format {
            Format::Json => writeln!(out, "{}", document(row, false))?,
            Format::Text => writeln!(
                out,
                "{}  {}  {}  {}  mapping {}  tenant {}\n    {}",
                time(row.ingested_at),
                position(row),
                row.reason,
                standing(row),
                or_dash(&row.mapping),
                or_dash(&row.tenant),
                printable(&row.sentence),
            )?,
        }
    }
    if rows.is_empty() && format == Format::Text {
        writeln!(out, "nothing in quarantine fits")?;
    }
    Ok(())
}

/// Show everything of the rows of one position; answers how many there are.
pub async fn show(
    loaded: &Loaded,
    which: &Which,
    format: Format,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    for row in rows(loaded, which).await? {
        match format {
            Format::Json => writeln!(out, "{}", document(&row, true))?,
            Format::Text => text(&row, out)?,
        }
    }
    Ok(())
}

/// Write the bytes of the one row of a position as they are.
pub async fn raw(loaded: &Loaded, which: &Which, out: &mut impl Write) -> anyhow::Result<()> {
    let rows = rows(loaded, which).await?;
    let [row] = &rows[..] else {
        bail!(
            "{} rows stand there; --index says which, and show without --raw lists them",
            rows.len()
        );
    };
    out.write_all(&row.raw)?;
    Ok(out.flush()?)
}

async fn connected(loaded: &Loaded) -> anyhow::Result<Warehouse> {
    let warehouse = Warehouse::connect(&loaded.config.clickhouse)?;
    up_to_date(&warehouse).await?;
    Ok(warehouse)
}

async fn rows(loaded: &Loaded, which: &Which) -> anyhow::Result<Vec<Quarantined>> {
    let Which { topic, partition, offset, index } = which;
    let rows = connected(loaded).await?.quarantined_at(topic, *partition, *offset, *index).await?;
    let first = rows.first();
    first.with_context(|| format!("nothing of {topic} {partition} {offset} is in quarantine"))?;
    Ok(rows)
}

fn text(row: &Quarantined, out: &mut impl Write) -> anyhow::Result<()> {
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<12} {}", printable(value));
    line("position", &position(row))?;
    line("cluster", or_dash(&row.cluster))?;
    line("incarnation", or_dash(&row.origin.incarnation))?;
    line("received", &time(row.received_at))?;
    line("quarantined", &time(row.ingested_at))?;
    line("reason", &row.reason)?;
    line("sentence", &row.sentence)?;
    line("mapping", or_dash(&row.mapping))?;
    line("tenant", or_dash(&row.tenant))?;
    line("standing", &standing(row))?;
    for Resolution { event_rows, quarantined_rows, mapping, mapping_version, .. } in &row.resolution
    {
        line("", &format!("{event_rows} events, {quarantined_rows} quarantined anew"))?;
        if !mapping.is_empty() {
            line("", &format!("by {mapping} version {mapping_version}"))?;
        }
    }
    line("key", &shown(&row.key))?;
    for (name, value) in &row.headers {
        line("header", &format!("{name}: {}", shown(value)))?;
    }
    line("bytes", &row.raw_bytes.to_string())?;
    match str::from_utf8(&row.raw) {
        // Line breaks stay; they cannot hide anything.
        Ok(raw) => {
            for part in raw.lines() {
                writeln!(out, "    {}", printable(part))?;
            }
        }
        Err(_) => writeln!(out, "    base64: {}", STANDARD.encode(&row.raw))?,
    }
    Ok(())
}

/// A row as JSON; with its bytes, or without.
pub(super) fn document(row: &Quarantined, whole: bool) -> Value {
    let resolution = row.resolution.first().map(|found| {
        json!({
            "topic": found.topic, "partition": found.partition, "offset": found.offset,
            "event_rows": found.event_rows, "quarantined_rows": found.quarantined_rows,
            "mapping": found.mapping, "mapping_version": found.mapping_version,
            "resolved_at": time(found.resolved_at),
        })
    });
    let mut document = json!({
        "kafka": {
            "cluster": row.cluster, "topic": row.origin.topic,
            "incarnation": row.origin.incarnation, "partition": row.origin.partition,
            "offset": row.origin.offset, "index": row.origin.index,
        },
        "received_at": time(row.received_at), "quarantined_at": time(row.ingested_at),
        "tenant": row.tenant, "reason": row.reason, "sentence": row.sentence,
        "mapping": row.mapping, "raw_bytes": row.raw_bytes, "resolution": resolution,
    });
    if let Some(fields) = document.as_object_mut().filter(|_| whole) {
        put(fields, "key", &row.key);
        put(fields, "raw", &row.raw);
        let headers = row.headers.iter().map(|(name, value)| {
            let mut header = Map::new();
            header.insert("name".to_owned(), name.as_str().into());
            put(&mut header, "value", value);
            Value::Object(header)
        });
        fields.insert("headers".to_owned(), headers.collect());
    }
    document
}

/// Bytes under their name, or as base64 under `NAME_base64`.
fn put(fields: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match str::from_utf8(bytes) {
        Ok(text) => fields.insert(name.to_owned(), text.into()),
        Err(_) => fields.insert(format!("{name}_base64"), STANDARD.encode(bytes).into()),
    };
}

/// As the arguments of `show`.
fn position(row: &Quarantined) -> String {
    let origin = &row.origin;
    let index = match origin.index {
        0 => String::new(),
        index => format!(" --index {index}"),
    };
    printable(&format!("{} {} {}{index}", origin.topic, origin.partition, origin.offset))
}

fn standing(row: &Quarantined) -> String {
    match row.resolution.first() {
        Some(found) => {
            printable(&format!("replayed as {} {} {}", found.topic, found.partition, found.offset))
        }
        None => "not replayed".to_owned(),
    }
}

fn shown(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok("") => "-".to_owned(),
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64: {}", STANDARD.encode(bytes)),
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// Without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

fn time(at: Micros) -> String {
    let time = DateTime::from_timestamp_micros(at).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_shown() {
        assert_eq!(printable("a\u{1b}[2Jb\u{7}\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
        assert_eq!(printable("Ängström\t€"), "Ängström\t€");
    }

    #[test]
    fn bytes_that_are_no_text_are_base64_under_another_name() {
        let mut fields = Map::new();
        put(&mut fields, "raw", b"a");
        put(&mut fields, "key", &[0xff, 0]);
        assert_eq!(Value::from(fields), json!({"raw": "a", "key_base64": "/wA="}));
    }
}
