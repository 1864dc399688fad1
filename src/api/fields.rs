//! The fields of an event that an answer keeps.
//!
//! In: `fields`, names as the JSON has them. Out: an event as it is shown.
//!
//! # Invariants
//! - What is kept is byte for byte what the whole event has there.
//! - A name that no event has is an error; one that this event lacks is left out.
//!
//! Deliberately unknown here: where the events come from.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::error::Problem;
use super::parameter::Parameters;
use crate::event::StoredEvent;

/// The names of an event's JSON, `raw` apart, which no page has.
pub(super) const NAMES: [&str; 30] = [
    "id",
    "source_id",
    "tenant",
    "schema",
    "mapping_version",
    "occurred_at",
    "received_at",
    "time_source",
    "service",
    "action",
    "verb",
    "outcome",
    "reason",
    "actor",
    "target",
    "targets",
    "origin",
    "client_ip",
    "user_agent",
    "country",
    "region",
    "session_id",
    "request_id",
    "correlation_id",
    "message",
    "changes",
    "attributes",
    "written_by",
    "headers",
    "kafka",
];

/// The parts of those that are objects; of the last two, any.
pub(super) const PARTS: [(&str, &[&str]); 6] = [
    ("actor", &["id", "type", "name", "email", "account_id", "account_name"]),
    ("target", &["id", "type", "name"]),
    ("changes", &["old", "new"]),
    ("kafka", &["cluster", "topic", "incarnation", "partition", "offset", "index"]),
    ("attributes", &[]),
    ("headers", &[]),
];

/// Comes with an event that came several times, whatever fields are kept.
const REPEATS: &str = "repeats";

/// Which fields; `None` keeps all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields(Option<BTreeMap<String, Kept>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    Whole,
    Parts(Vec<String>),
}

/// An event as it is shown.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Shown {
    Whole(Box<StoredEvent>),
    Part(Box<RawValue>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Piece<'j> {
    Whole(&'j RawValue),
    Parts(BTreeMap<String, &'j RawValue>),
}

impl Fields {
    /// Those that the parameter `fields` names.
    pub(super) fn read(parameters: &Parameters) -> Result<Fields, Problem> {
        let names = parameters.list("fields")?;
        if names.is_empty() {
            return Ok(Fields(None));
        }
        let mut kept = BTreeMap::new();
        for name in names {
            match split(&name)? {
                (whole, None) => {
                    kept.insert(whole.to_owned(), Kept::Whole);
                }
                (group, Some(part)) => {
                    let group = kept.entry(group.to_owned()).or_insert(Kept::Parts(Vec::new()));
                    if let Kept::Parts(parts) = group {
                        parts.push(part.to_owned());
                    }
                }
            }
        }
        Ok(Fields(Some(kept)))
    }

    /// What is kept of an event.
    pub(super) fn of(&self, event: StoredEvent) -> Result<Shown, serde_json::Error> {
        let Some(kept) = &self.0 else { return Ok(Shown::Whole(Box::new(event))) };
        let text = serde_json::to_string(&event)?;
        let whole: BTreeMap<String, &RawValue> = serde_json::from_str(&text)?;
        let mut pieces = BTreeMap::new();
        for (name, json) in &whole {
            let piece = match kept.get(name) {
                _ if name == REPEATS => Piece::Whole(json),
                None => continue,
                Some(Kept::Whole) => Piece::Whole(json),
                Some(Kept::Parts(parts)) => {
                    let mut there: BTreeMap<String, &RawValue> = serde_json::from_str(json.get())?;
                    there.retain(|name, _| parts.contains(name));
                    if there.is_empty() {
                        continue;
                    }
                    Piece::Parts(there)
                }
            };
            pieces.insert(name, piece);
        }
        to_raw_value(&pieces).map(Shown::Part)
    }
}

/// A name as a field, or as an object's and its part's.
fn split(name: &str) -> Result<(&str, Option<&str>), Problem> {
    if NAMES.contains(&name) {
        return Ok((name, None));
    }
    let parts = |group: &str| PARTS.iter().find(|(known, _)| *known == group).map(|(_, p)| *p);
    if let Some((group, part)) = name.split_once('.')
        && !part.is_empty()
        && parts(group).is_some_and(|known| known.is_empty() || known.contains(&part))
    {
        return Ok((group, Some(part)));
    }
    let known: Vec<String> = known().collect();
    let distance = |other: &&String| strsim::damerau_levenshtein(name, other);
    let nearest = known.iter().min_by_key(distance).cloned().unwrap_or_default();
    let detail = format!("fields names {name:?}, which no event has; the nearest is {nearest}");
    Err(Problem::parameter("fields", detail, known))
}

fn known() -> impl Iterator<Item = String> {
    let of = |(group, parts): (&str, &'static [&str])| {
        let group = group.to_owned();
        let any = parts.is_empty().then(|| format!("{group}.NAME"));
        parts.iter().map(move |part| format!("{group}.{part}")).chain(any)
    };
    NAMES.into_iter().map(str::to_owned).chain(PARTS.into_iter().flat_map(of))
}
