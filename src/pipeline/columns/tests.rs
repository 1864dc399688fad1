//! Batches that would become many times their size, and such as a rule leaves out of.
//!
//! In: records made to swell. Out: the rows they become.
//!
//! # Invariants
//! - No test takes the memory that it is about.
//!
//! Deliberately unknown here: ClickHouse.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::event::Headers;
use crate::schema::{Catalog, SkipConfig, TopicRule};
use crate::warehouse::block::Stream;

const SLICE_BYTES: usize = 4 << 20;

fn log() -> LogId {
    LogId { cluster: "c".into(), topic: "t".into(), incarnation: "i".into(), partition: 0 }
}

fn batch(payloads: &[&str], headers: &[u8]) -> Batch {
    let mut batch = Batch::begin(0, None, Instant::now());
    for (offset, payload) in (0..).zip(payloads) {
        batch.push(&RawRecord {
            offset,
            timestamp: None,
            key: None,
            headers: Headers::packed(headers),
            payload: payload.as_bytes(),
        });
    }
    batch
}

/// What is made at last, the rows of `quarantine`, and the bytes of each of their slices.
fn made(batch: &Batch, mut known: Known) -> (Made, Rows, Vec<usize>) {
    let catalog = Catalog::default();
    let normaliser =
        catalog.normaliser("t", &TopicRule::default(), &Arc::new(HashMap::new()), 1 << 20);
    let log = log();
    let of = Source { batch, normaliser: &normaliser, log: &log, slice_bytes: SLICE_BYTES };
    let made = loop {
        match events(of, &known, &mut |_| Ok(())) {
            Err(Unmade::Swollen(swollen)) if known.swollen.is_empty() => known.swollen = swollen,
            made => break made.unwrap(),
        }
    };
    let mut slices = Vec::new();
    let mut slice = |block: &Block| {
        let mut bytes = Vec::new();
        let mut stream = Stream::new(&mut bytes);
        stream.push(block)?;
        stream.finish()?;
        slices.push(bytes.len());
        Ok(())
    };
    let rows = quarantine(of, &known, &made.rejected, &mut slice).unwrap();
    (made, rows, slices)
}

/// Within the limits of one record: what stands around its elements goes into each of their rows,
/// and lists of lists have many.
fn hostile() -> (String, Vec<u8>) {
    let inner = format!("[{}1]", "1,".repeat(499));
    let mut headers = Vec::new();
    Headers::pack(&mut headers, "x", &[b'h'; 4_000]);
    (format!("[{}{inner}]", format!("{inner},").repeat(399)), headers)
}

#[test]
fn a_record_that_swells_beyond_its_batchs_room_is_quarantined_whole_and_others_are_not() {
    let (hostile, headers) = hostile();
    let payloads = ["[1,2]", &hostile, "{}"];
    let batch = batch(&payloads, &headers);
    let (made, rows, _) = made(&batch, Known::default());
    // 200,000 rows of 4 kB of headers each would be 800 MB.
    assert_eq!(rows.quarantined[Reason::TooLarge.code()], 1);
    assert_eq!(rows.total(), 2 + 1 + 1, "{rows:?}");
    assert_eq!(made.facts.rows, rows);
}

#[test]
fn what_is_stored_of_a_swollen_record_does_not_change_what_it_becomes() {
    let (hostile, headers) = hostile();
    let batch = batch(&["{}", &hostile], &headers);
    let (all, ..) = made(&batch, Known::default());
    let stored = FxHashSet::from_iter([(0, 0), (1, 0)]);
    let (rest, rows, slices) = made(&batch, Known { stored, ..Known::default() });
    assert_eq!((rest.events.len(), rows.total(), slices.len()), (0, 0, 0));
    assert_eq!(rest.facts, all.facts);
}

#[test]
fn rows_are_handed_over_in_slices() {
    let mut headers = Vec::new();
    Headers::pack(&mut headers, "x", &[b'h'; 12_000]);
    let batch = batch(&["{}"; 1_000], &headers);
    let (_, rows, slices) = made(&batch, Known::default());
    assert_eq!(rows.total(), 1_000);
    assert_eq!(slices.len(), 3, "{slices:?}");
    assert!(slices.iter().all(|bytes| *bytes < SLICE_BYTES + (1 << 20)), "{slices:?}");
}

#[test]
fn a_rule_leaves_out_what_is_not_stored_and_does_not_deny_what_is() {
    let mapping = "name = \"shop\"\nversion = 1\nabout = \"x\"\n[when]\nexists = [\"a\"]\n[event]\naction = \"a\"\n";
    let catalog = Catalog::load([("f", "shop", mapping)]).unwrap();
    let topic = TopicRule { tenant: Some("acme".to_owned()), ..TopicRule::default() };
    let normaliser = catalog.normaliser("t", &topic, &Arc::new(HashMap::new()), 1 << 20);
    let actions = vec!["ping".to_owned()];
    let rule = SkipConfig { name: "pings".to_owned(), actions, ..SkipConfig::default() };
    let normaliser = normaliser.skipping(&[rule]);
    let ping = r#"{"a":"ping"}"#;
    let batch = batch(&[ping, r#"{"a":"sold"}"#, ping, "{}"], &[]);
    let log = log();
    let of = Source { batch: &batch, normaliser: &normaliser, log: &log, slice_bytes: SLICE_BYTES };
    let facts = |stored: &[Place]| {
        let stored = FxHashSet::from_iter(stored.iter().copied());
        let known = Known { stored, ..Known::default() };
        events(of, &known, &mut |_| Ok(())).unwrap().facts
    };
    let skipped = |places: &[Place]| Skipped {
        rule: "pings".to_owned(),
        schema: "shop".to_owned(),
        places: places.to_vec(),
    };
    let all = facts(&[]);
    assert_eq!(all.skipped, [skipped(&[(0, 0), (2, 0)])]);
    assert_eq!((all.rows.event_rows(), all.rows.quarantined_rows()), (1, 1));
    // Stored before there was the rule.
    assert_eq!(facts(&[(0, 0)]).skipped, [skipped(&[(2, 0)])]);
    assert_eq!(facts(&[(0, 0), (2, 0)]).skipped, []);
}
