//! The normaliser on one thread, schema by schema, beside a mapper over `serde_json::Value`.
//!
//! In: events of [`trailhouse::demo::generate`]. Out: items and bytes a second of (a) the engine,
//! (b) parsing to a `Value` and mapping that, which makes the same event, (c) ids and digests.
//!
//! # Invariants
//! - The three see the same records in the same order; each iteration is one record.
//! - (b) opens wrappers too, but looks for no duplicate keys and keeps nothing of what stands
//!   around an element: it does less.
//!
//! Deliberately unknown here: Kafka, ClickHouse, batches.
//!
//! Microseconds an event on one thread of a 2-core AMD EPYC virtual machine, medians; `serde_json` is
//! that crate reading the same text with every key and scalar borrowed and nothing done with them:
//!
//! | schema | bytes | engine | `Value` | times | `serde_json` |
//! | --- | --- | --- | --- | --- | --- |
//! | pace | 624 | 1.11 | 3.57 | 3.2 | 0.47 |
//! | bloodhound | 690 | 1.17 | 4.01 | 3.4 | 0.46 |
//! | cockpit | 707 | 1.37 | 6.55 | 4.8 | 0.48 |
//! | github_audit | 804 | 1.40 | 5.38 | 3.8 | 0.54 |
//! | frontier | 671 | 1.43 | 3.22 | 2.3 | 0.45 |
//! | kubernetes_audit | 912 | 1.49 | 6.46 | 4.3 | 0.64 |
//! | softwareone | 827 | 1.50 | 5.7 | 3.8 | 0.67 |
//! | aws_cloudtrail | 935 | 1.51 | 6.3 | 4.2 | 0.59 |
//! | okta_system | 1104 | 2.03 | 15.1 | 7.4 | 0.89 |
//!
//! Instructions an event, by `valgrind --tool=callgrind` over 200 records of each schema; a clock is for
//! one machine and one moment only. "Before" is before nodes knew their keys and targets were walked as
//! they are met:
//!
//! | schema | before | engine | `serde_json` |
//! | --- | --- | --- | --- |
//! | pace | 24,500 | 22,100 | 10,100 |
//! | bloodhound | 22,800 | 20,200 | 9,400 |
//! | cockpit | 24,700 | 21,900 | 10,100 |
//! | github_audit | 27,200 | 24,400 | 11,400 |
//! | frontier | 28,200 | 25,900 | 9,400 |
//! | kubernetes_audit | 27,400 | 24,900 | 12,900 |
//! | softwareone | 30,400 | 27,200 | 14,100 |
//! | aws_cloudtrail | 30,700 | 27,000 | 13,000 |
//! | okta_system | 42,900 | 35,600 | 18,600 |
//!
//! All but Okta's take 1.5 µs or less, two of them just so. (An earlier measurement said 3 to 10 % less for
//! the same instructions.) Of Okta's events, the longest, with 48 keys in 14 objects, the parser alone
//! takes 0.89; the rest would have to be done in 10,000 instructions, where it takes 17,000.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/reference/mod.rs"]
#[allow(dead_code, reason = "the comparison as text is for the property test")]
mod reference;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use bumpalo::Bump;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use serde_json::Value;
use trailhouse::config::Config;
use trailhouse::demo::generate::{Generated, SCHEMAS, generate};
use trailhouse::event::{Fate, Headers, Micros, Position, RawRecord, id};
use trailhouse::schema::mapping::Mapping;
use trailhouse::schema::path::Path;
use trailhouse::schema::{Normaliser, TopicRule};

use self::reference::Outside;

const AT: Micros = 1_750_000_000_123_456;
/// Records a schema; one iteration normalises all of them.
const RECORDS: u64 = 1_000;

fn main() {
    for schema in SCHEMAS {
        let all = Records::of(schema);
        println!("{schema}: {} bytes an event", all.bytes / RECORDS);
    }
    divan::main();
}

struct Records {
    mapping: Mapping,
    normaliser: Normaliser,
    /// Packed headers, and what was generated.
    all: Vec<(Vec<u8>, Generated)>,
    bytes: u64,
}

impl Records {
    fn of(schema: &str) -> Records {
        let catalog = Config::load(None).unwrap().catalog;
        let rule = TopicRule { tenant_from_body: true, ..TopicRule::default() };
        let topic = format!("audit.{schema}");
        let normaliser = catalog.normaliser(&topic, &rule, &Arc::new(HashMap::new()), 4 << 20);
        let all: Vec<_> = (0..RECORDS)
            .map(|n| {
                let made = generate(schema, n, AT).unwrap();
                let mut packed = Vec::new();
                for (name, value) in &made.headers {
                    Headers::pack(&mut packed, name, value.as_bytes());
                }
                (packed, made)
            })
            .collect();
        let bytes = all.iter().map(|(_, made)| made.payload.len() as u64).sum();
        Records { mapping: catalog.get(schema).unwrap().clone(), normaliser, all, bytes }
    }

    fn counted<'a, 'b>(&self, bencher: Bencher<'a, 'b>) -> Bencher<'a, 'b> {
        bencher.counter(ItemsCount::new(RECORDS)).counter(BytesCount::new(self.bytes))
    }

    /// Normalise every record, as a lane does: one arena, emptied after each.
    fn normalise(&self, mut each: impl FnMut(&Fate<'_>)) {
        let mut arena = Bump::new();
        for (packed, made) in &self.all {
            let (headers, payload) = (Headers::packed(packed), &made.payload);
            let record = RawRecord { offset: 0, timestamp: Some(AT), key: None, headers, payload };
            self.normaliser.normalise(&record, &arena, |_, fate| each(&fate));
            arena.reset();
        }
    }
}

#[divan::bench(args = SCHEMAS)]
fn a_engine(bencher: Bencher, schema: &str) {
    let records = Records::of(schema);
    records.normalise(|fate| assert!(matches!(fate, Fate::Event(_)), "{fate:?}"));
    records.counted(bencher).bench_local(|| {
        records.normalise(|fate| {
            black_box(fate);
        });
    });
}

#[divan::bench(args = SCHEMAS)]
fn b_value(bencher: Bencher, schema: &str) {
    let records = Records::of(schema);
    records.counted(bencher).bench_local(|| {
        for (_, Generated { headers, payload, .. }) in &records.all {
            let text = str::from_utf8(payload).unwrap();
            let mut value = serde_json::from_str(text).unwrap();
            reference::unwrap(&records.mapping, &mut value);
            let mut pairs = [("", ""); 4];
            for (pair, (name, value)) in pairs.iter_mut().zip(headers) {
                *pair = (name, value);
            }
            let outside = Outside {
                topic: "audit",
                key: None,
                headers: &pairs[..headers.len()],
                timestamp: AT,
                tenant_from_body: true,
            };
            for event in events(&records.mapping, &value) {
                black_box(reference::meaning(&records.mapping, text, event, &outside));
            }
        }
    });
}

/// A wrapper's elements, or the record itself.
fn events<'v>(mapping: &Mapping, record: &'v Value) -> &'v [Value] {
    let array = mapping.each.iter().find_map(|path| match path {
        Path::Body(keys) => keys.iter().try_fold(record, |value, key| value.get(key))?.as_array(),
        _ => None,
    });
    array.map_or(std::slice::from_ref(record), Vec::as_slice)
}

#[divan::bench(args = SCHEMAS)]
fn c_id_and_digest(bencher: Bencher, schema: &str) {
    let records = Records::of(schema);
    let position = Position {
        cluster: "main",
        topic: "audit",
        incarnation: "AAAAAAAAAAAAAAAAAAAAAA",
        partition: 0,
        offset: 0,
        index: 0,
    };
    // Events borrow from their arena: one that lives as long as they do.
    let arena = Bump::new();
    let mut events = Vec::new();
    for (packed, made) in &records.all {
        let (headers, payload) = (Headers::packed(packed), &made.payload);
        let record = RawRecord { offset: 0, timestamp: Some(AT), key: None, headers, payload };
        records.normaliser.normalise(&record, &arena, |_, fate| match fate {
            Fate::Event(event) => events.push(event),
            other => panic!("{other:?}"),
        });
    }
    records.counted(bencher).bench_local(|| {
        for event in &events {
            let digest = id::digest(event.raw.as_bytes());
            black_box(id::derive(event, &position, &digest));
        }
    });
}
