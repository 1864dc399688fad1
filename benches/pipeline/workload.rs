//! A topic full of events.
//!
//! In: schemas, a number of partitions and of records, bytes of each. Out: the topic, and how many rows
//! it makes.
//!
//! # Invariants
//! - The same numbers make the same topic, but for the records' timestamps.
//! - All partitions get about as many records.
//!
//! Deliberately unknown here: who reads it.

use serde_json::{Value, json};
use trailhouse::app::produce::outgoing;
use trailhouse::demo::create_topics;
use trailhouse::demo::generate::{Generated, SCHEMAS, generate};
use trailhouse::gateway::{Outgoing, Sender};

/// Five schemas in turn in one topic, those with a contract: the first of the generator's.
pub const MIXED: &str = "mixed";
/// The schema whose events can be made of any size.
pub const ANY_SIZE: &str = "pace";
/// What the Kafka engine's view knows.
const IN_SQL: [&str; 6] = [MIXED, "pace", "frontier", "softwareone", "cockpit", "bloodhound"];
/// When the first event happens, microseconds.
pub const AT: i64 = 1_750_000_000_123_456;
/// So many people of each name: the generator's three dozen would leave many partitions empty.
const NAMESAKES: u64 = 1_000;
/// Bytes of a topic of events of a size, at most: of large events there are fewer.
const MOST_BYTES: u64 = 400_000_000;
/// Entries of a journal, at most: enough for 256 KiB.
const MOST_ENTRIES: u64 = 512;
const NOTE: &[u8] = b"Requested from the fleet overview after the monthly reconciliation. ";

/// A topic.
pub struct Workload {
    /// As it is called on the command line.
    pub schema: String,
    pub topic: String,
    pub partitions: i32,
    pub records: u64,
    schemas: &'static [&'static str],
    /// Bytes of each payload; without it as the generator makes them.
    size: Option<usize>,
}

impl Workload {
    pub fn new(schema: &str, partitions: i32, records: u64, size: Option<usize>) -> Workload {
        assert!(size.is_none() || schema == ANY_SIZE, "--event-bytes: only of {ANY_SIZE}");
        let records = size.map_or(records, |size| records.min(MOST_BYTES / size as u64));
        let bytes = size.map_or_else(String::new, |size| format!(".{size}"));
        let topic = format!("bench.{schema}.{partitions}.{records}{bytes}");
        let (schema, schemas) = (schema.to_owned(), schemas(schema));
        Workload { schema, topic, partitions, records, schemas, size }
    }

    /// The mapping the topic is named for; empty where records say it by their shape.
    pub fn named_schema(&self) -> &str {
        if SCHEMAS.contains(&&*self.schema) { &self.schema } else { "" }
    }

    /// Whether the Kafka engine's view knows all of it.
    pub fn is_in_sql(&self) -> bool {
        IN_SQL.contains(&&*self.schema)
    }

    /// How many schemas there are in the topic.
    pub fn schemas(&self) -> usize {
        self.schemas.len()
    }

    /// Bytes of a payload, in the mean.
    pub fn event_bytes(&self) -> u64 {
        const SOME: u64 = 360;
        (0..SOME).map(|number| self.record(number).payload.len() as u64).sum::<u64>() / SOME
    }

    fn schema_of(&self, number: u64) -> &'static str {
        self.schemas[(number % self.schemas.len() as u64) as usize]
    }

    /// Rows that the records make: the generator says of each eighth of Frontier's that it carries
    /// two events.
    pub fn rows(&self) -> u64 {
        self.rows_of(self.records)
    }

    /// Rows that the first records make.
    pub fn rows_of(&self, records: u64) -> u64 {
        let carries_two = |n: &u64| self.schema_of(*n) == "frontier" && n % 8 == 7;
        records + (0..records).filter(carries_two).count() as u64
    }

    /// Put the records into the topic, a millisecond apart.
    pub async fn fill(&self, bootstrap: &str) {
        eprintln!("filling {} with {} records", self.topic, self.records);
        create_topics(bootstrap, &[(&self.topic, self.partitions)]).await.unwrap();
        let mut sender = Sender::new(bootstrap).unwrap();
        self.send(&mut sender, &mut 0, self.records).await;
        assert_eq!(sender.close().await.unwrap(), self.records);
    }

    /// Send further records until so many were sent.
    pub async fn send(&self, sender: &mut Sender, sent: &mut u64, until: u64) {
        while *sent < until {
            sender.send(&self.topic, &self.record(*sent)).await.unwrap();
            *sent += 1;
        }
    }

    fn record(&self, number: u64) -> Outgoing {
        let mut made = made(self.schema_of(number), number);
        if let Some(size) = self.size {
            made.payload = sized(&made.payload, number, size);
        }
        made.key = format!("{}/{}", made.key, number % NAMESAKES);
        outgoing(made)
    }
}

/// Of a name: [`MIXED`], a schema's, or how many of the generator's.
fn schemas(name: &str) -> &'static [&'static str] {
    let all: &'static [&'static str] = &SCHEMAS;
    if name == MIXED {
        return &all[..5];
    }
    if let Some(at) = all.iter().position(|schema| *schema == name) {
        return &all[at..=at];
    }
    let count: usize = name.parse().expect("--schema: `mixed`, a schema, or how many");
    &all[..count]
}

fn made(schema: &str, number: u64) -> Generated {
    generate(schema, number, AT + number as i64 * 1_000).unwrap()
}

/// An event of PACE of a size. `actionData` is the client's own affair: here a journal of what other
/// events have there, and a note.
fn sized(payload: &[u8], number: u64, size: usize) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(payload).unwrap();
    body["actionData"] = json!({ "journal": [], "note": "" });
    let (mut journal, mut bytes) = (Vec::new(), body.to_string().len());
    loop {
        // No two events have an entry in common, which would compress better than it does in life.
        let other = made(ANY_SIZE, number * MOST_ENTRIES + journal.len() as u64).payload;
        let entry = serde_json::from_slice::<Value>(&other).unwrap()["actionData"].take();
        // With the comma before it.
        let longer = bytes + entry.to_string().len() + usize::from(!journal.is_empty());
        if longer > size {
            break;
        }
        bytes = longer;
        journal.push(entry);
    }
    let note: Vec<u8> = NOTE.iter().copied().cycle().take(size.saturating_sub(bytes)).collect();
    let note = String::from_utf8(note).unwrap();
    body["actionData"] = json!({ "journal": journal, "note": note });
    body.to_string().into_bytes()
}
