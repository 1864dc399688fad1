//! Any bytes, on the topic of every mapping that ships and on one of none: no panic, at least one
//! fate, the same fates twice.
//!
//! In: bytes. Out: nothing, or the bytes that break a promise.
//!
//! `cargo +nightly fuzz run normalise fuzz/corpus/normalise tests/fixtures/*` starts from the
//! fixtures.
//!
//! # Invariants
//! - Tenants come from the topic, so that no record is refused for want of one.
//!
//! Deliberately unknown here: what the fate should be. The naive mapper says that.
#![no_main]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use trailhouse::config::Config;
use trailhouse::event::{Fate, Headers, RawRecord};
use trailhouse::schema::{Normaliser, TopicRule};

static NORMALISERS: LazyLock<Vec<Normaliser>> = LazyLock::new(|| {
    let catalog = Config::load(None).expect("the shipped configuration is valid").catalog;
    let topics = catalog.mappings().map(|mapping| format!("audit.{}", mapping.name));
    let rule = TopicRule { schema: None, tenant: Some("acme".to_owned()), tenant_from_body: true };
    topics
        .chain(["no.mapping".to_owned()])
        .map(|topic| catalog.normaliser(&topic, &rule, &Arc::new(HashMap::new()), 1 << 20))
        .collect()
});

fuzz_target!(|payload: &[u8]| {
    let record = RawRecord {
        offset: 0,
        timestamp: Some(1_750_000_000_000_000),
        key: None,
        headers: Headers::default(),
        payload,
    };
    for normaliser in NORMALISERS.iter() {
        let arenas = [Bump::new(), Bump::new()];
        let [first, second] = arenas.each_ref().map(|arena| fates(normaliser, &record, arena));
        assert!(!first.is_empty(), "a record has at least one fate");
        assert_eq!(first, second, "the same record has the same fates");
    }
});

fn fates<'a>(
    normaliser: &'a Normaliser,
    record: &RawRecord<'a>,
    arena: &'a Bump,
) -> Vec<Fate<'a>> {
    let mut fates = Vec::new();
    normaliser.normalise(record, arena, |index, fate| {
        assert_eq!(index as usize, fates.len(), "elements are numbered in order");
        fates.push(fate);
    });
    fates
}
