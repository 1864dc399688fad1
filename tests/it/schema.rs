//! The normaliser is held to what docs/SCHEMAS.md says: by a naive mapper, by tables, by snapshots.
//!
//! In: any mapping and any record; bad records; the fixtures. Out: pass or fail.
//!
//! # Invariants
//! - Records have the header `tenant = acme` and a fixed timestamp unless a test says otherwise.
//!
//! Deliberately unknown here: Kafka, ClickHouse.

mod bad_input;
mod generator;
mod property;
mod snapshot;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bumpalo::Bump;
use trailhouse::config::Config;
use trailhouse::event::{Fate, Headers, Micros, RawRecord};
use trailhouse::schema::{Catalog, Normaliser, TopicRule, inline};

/// 2025-06-15T15:06:40.123456Z
const AT: Micros = 1_750_000_000_123_456;
const LIMIT: usize = 4 << 20;

/// An event's fields, or the reason code and the sentence.
type Outcome = Result<BTreeMap<String, String>, (&'static str, String)>;

fn shipped() -> Catalog {
    Config::load(None).unwrap().catalog
}

fn normaliser(catalog: &Catalog, topic: &str) -> Normaliser {
    catalog.normaliser(topic, &TopicRule::default(), &Arc::new(HashMap::new()), LIMIT)
}

/// What becomes of a payload with these headers, element by element.
fn outcomes(normaliser: &Normaliser, headers: &[(&str, &str)], payload: &[u8]) -> Vec<Outcome> {
    let mut packed = Vec::new();
    for (name, value) in headers {
        Headers::pack(&mut packed, name, value.as_bytes());
    }
    let arena = Bump::new();
    let record = RawRecord {
        offset: 0,
        timestamp: Some(AT),
        key: Some(b"the key"),
        headers: Headers::packed(&packed),
        payload,
    };
    let mut outcomes = Vec::new();
    normaliser.normalise(&record, &arena, |index, fate| {
        assert_eq!(index as usize, outcomes.len(), "elements are numbered in order");
        outcomes.push(match fate {
            Fate::Event(event) => Ok(inline::fields(event)),
            Fate::Quarantine(why) => Err((why.reason.code(), why.sentence)),
            Fate::Skip { rule, .. } => Err(("skip", rule.to_owned())),
        });
    });
    assert!(!outcomes.is_empty(), "a record has at least one fate");
    outcomes
}
