//! Batches that would become many times their size.
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
use crate::schema::{Catalog, TopicRule};

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

fn made(batch: &Batch, known: &Known) -> Columns {
    let catalog = Catalog::default();
    let normaliser =
        catalog.normaliser("t", &TopicRule::default(), &Arc::new(HashMap::new()), 1 << 20);
    columns(batch, &normaliser, &log(), known).unwrap()
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
    let made = made(&batch, &Known::default());
    // 200,000 rows of 4 kB of headers each would be 800 MB.
    assert_eq!(made.rows.quarantined[Reason::TooLarge.code()], 1);
    assert_eq!(made.rows.total(), 2 + 1 + 1, "{:?}", made.rows);
    let mut stream = Vec::new();
    made.quarantine.unwrap().write(&mut stream).unwrap();
    let bytes = stream.len();
    assert!(bytes < most_bytes(batch.bytes()), "{bytes} of {}", batch.bytes());
}

#[test]
fn what_is_stored_of_a_swollen_record_does_not_change_what_it_becomes() {
    let (hostile, headers) = hostile();
    let batch = batch(&["{}", &hostile], &headers);
    let all = made(&batch, &Known::default());
    let stored = FxHashSet::from_iter([(0, 0), (1, 0)]);
    let rest = made(&batch, &Known { stored, ..Known::default() });
    assert!(rest.is_empty(), "{:?}", rest.rows);
    assert_eq!(rest.facts, all.facts);
}
