//! What each part of the way takes alone, over the same topic.
//!
//! In: a filled topic. Out: events a second and CPU seconds per million events of fetching, of
//! normalising and what comes on top of it step by step (one thread each), and of ClickHouse taking
//! blocks that were made beforehand.
//!
//! # Invariants
//! - The steps use the pipeline's own parts; what is made by one goes nowhere.
//!
//! Deliberately unknown here: how the pipeline puts them together.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bumpalo::Bump;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use trailhouse::config::{Config, Loaded};
use trailhouse::event::{Fate, Headers, LogId, OffsetRange, RawRecord, id};
use trailhouse::schema::Normaliser;
use trailhouse::warehouse::block::{Block, EventBlock, Stream};
use trailhouse::warehouse::{InsertError, RowStream, Table, Token, Warehouse, migrate};

use super::process::cpu_seconds;
use super::system::{Site, bytes_on_disk, until_merged};

/// Records that are held in memory for the steps.
const HELD: usize = 500_000;
/// How often each step goes over them.
const ROUNDS: usize = 2;
/// Bytes that are copied to before they are overwritten.
const ARENA: usize = 16 << 20;
/// Records of one slice of columns, about what the pipeline has.
const SLICE: usize = 3_500;
/// What the pipeline makes of them, bytes.
const SLICE_BYTES: usize = 4 << 20;

/// What one part took.
pub struct Limit {
    pub name: &'static str,
    pub events_per_s: f64,
    /// CPU seconds per million events: of this process, then of ClickHouse.
    pub own: f64,
    pub clickhouse: f64,
}

/// How far the records are brought.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Step {
    Normalised,
    Identified,
    InColumns,
    Encoded,
}

/// Measure all parts.
pub async fn limits(site: &Site<'_>) -> Vec<Limit> {
    let (fetched, held) = Held::fetch(site);
    let mut limits = vec![fetched];
    for (name, step) in [
        ("normalise", Step::Normalised),
        ("+ digests and ids", Step::Identified),
        ("+ columns", Step::InColumns),
        ("+ encode", Step::Encoded),
    ] {
        limits.push(measure(name, || {
            (0..ROUNDS).for_each(|_| held.bring(step, |block| drop(black_box(block))));
            held.records.len() * ROUNDS
        }));
    }
    let Inserted { events_per_s, insert: clickhouse, .. } = insert(site, &held, "").await;
    limits.push(Limit { name: "insert", events_per_s, own: 0.0, clickhouse });
    limits
}

fn measure(name: &'static str, work: impl FnOnce() -> usize) -> Limit {
    let own = std::process::id();
    let (cpu, begun) = (cpu_seconds(own), Instant::now());
    let events = work() as f64;
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds(own) - cpu);
    Limit { name, events_per_s: events / seconds, own: cpu / events * 1e6, clickhouse: 0.0 }
}

/// librdkafka alone, with one copy of each record; some of the records.
fn fetch(site: &Site<'_>) -> (Limit, Vec<Record>) {
    let workload = site.workload;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", site.kafka.bootstrap())
        .set("group.id", "bench_limits")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..workload.partitions {
        all.add_partition_offset(&workload.topic, partition, Offset::Beginning).unwrap();
    }
    let mut held = Vec::with_capacity(HELD);
    let limit = measure("fetch", || {
        consumer.assign(&all).unwrap();
        let (mut arena, mut records) = (Vec::with_capacity(ARENA), 0);
        while records < workload.records {
            let polled = consumer.poll(Duration::from_secs(30)).expect("the topic ends early");
            let Ok(message) = polled else { continue };
            let payload = message.payload().unwrap();
            if arena.len() + payload.len() > ARENA {
                arena.clear();
            }
            arena.extend_from_slice(payload);
            if held.len() < HELD {
                let mut headers = Vec::new();
                for header in message.headers().into_iter().flat_map(|found| found.iter()) {
                    Headers::pack(&mut headers, header.key, header.value.unwrap_or_default());
                }
                held.push(Record { headers, payload: payload.to_vec() });
            }
            records += 1;
        }
        records as usize
    });
    (limit, held)
}

struct Record {
    headers: Vec<u8>,
    payload: Vec<u8>,
}

/// Some of the records, and how they are read.
pub struct Held {
    records: Vec<Record>,
    normaliser: Arc<Normaliser>,
    log: LogId,
}

impl Held {
    /// All records are fetched, some of them held.
    pub fn fetch(site: &Site<'_>) -> (Limit, Held) {
        let (limit, records) = fetch(site);
        let topic = &*site.workload.topic;
        let config = site.config("bench_limits", "bench_limits");
        let catalog = Config::load(None).unwrap().catalog;
        let normaliser = Loaded { config, catalog }.normalisers()(topic);
        let (cluster, incarnation) = ("bench".into(), "bench".into());
        let log = LogId { cluster, topic: topic.into(), incarnation, partition: 0 };
        (limit, Held { records, normaliser, log })
    }

    /// Bring all records so far; what is in columns, slice by slice.
    fn bring(&self, step: Step, mut each: impl FnMut(Block)) {
        let (mut arena, mut block) = (Bump::new(), EventBlock::new(&self.log));
        for (offset, Record { headers, payload }) in (0..).zip(&self.records) {
            let headers = Headers::packed(headers);
            let record = RawRecord { offset, timestamp: Some(1), key: None, headers, payload };
            self.normaliser.normalise(&record, &arena, |index, fate| {
                let Fate::Event(event) = black_box(fate) else { panic!("an event was expected") };
                if step < Step::Identified {
                    return;
                }
                let digest = id::digest(event.raw.as_bytes());
                let id = id::derive(event, &self.log.position(offset, index), &digest);
                if step >= Step::InColumns {
                    block.push(event, black_box(id), (offset, index), 1).unwrap();
                }
            });
            arena.reset();
            let is_last = offset as usize + 1 == self.records.len();
            if block.rows() >= SLICE || (is_last && block.rows() > 0) {
                let slice = block.finish().unwrap();
                if step >= Step::Encoded {
                    let mut stream = Stream::new(std::io::sink());
                    stream.push(&slice).unwrap();
                }
                each(slice);
            }
        }
    }
}

/// What ClickHouse took over blocks that were made beforehand.
#[derive(Clone, Copy)]
pub struct Inserted {
    /// Two inserts at a time, without merges.
    pub events_per_s: f64,
    /// CPU seconds per million rows of the inserts.
    pub insert: f64,
    /// The same of merging all parts to one.
    pub merge: f64,
    /// What a row takes on disk, bytes.
    pub bytes: f64,
}

/// ClickHouse alone, on the table as a statement changes it.
pub async fn insert(site: &Site<'_>, held: &Held, change: &str) -> Inserted {
    let config = site.config("bench_limits", "bench_limits");
    let warehouse = Warehouse::connect(&config.clickhouse).unwrap();
    migrate::up(&warehouse, false).await.unwrap();
    if !change.is_empty() {
        warehouse.run(change).await.unwrap();
    }
    // Which parts are merged when is a matter of chance: here it is all of them, once.
    warehouse.run("SYSTEM STOP MERGES events").await.unwrap();
    until_merged(&warehouse).await;
    let mut slices = Vec::new();
    held.bring(Step::InColumns, |block| slices.push(block));
    let slices = Arc::new(slices);
    let batch = (site.batch_rows as usize).div_ceil(SLICE);
    let batches = AtomicUsize::new(0);
    let (clickhouse, begun) = (site.clickhouse.pid(), Instant::now());
    let before = cpu_seconds(clickhouse);
    let in_turn = || async {
        loop {
            let number = batches.fetch_add(1, Ordering::Relaxed);
            let from = number * batch;
            if from + batch > slices.len() {
                break;
            }
            let (slices, first) = (Arc::clone(&slices), number as i64);
            let token = Token::of(&held.log, OffsetRange { first, last: first });
            let send = move |to: &mut RowStream| -> Result<(), InsertError> {
                for at in from..from + batch {
                    let pushed = to.push(&slices[at]);
                    pushed.map_err(|error| InsertError::Retry(error.to_string()))?;
                }
                Ok(())
            };
            warehouse.insert(Table::Events, &token, SLICE_BYTES, send).await.unwrap();
        }
    };
    tokio::join!(in_turn(), in_turn());
    let (seconds, inserted) = (begun.elapsed().as_secs_f64(), cpu_seconds(clickhouse));
    warehouse.run("SYSTEM START MERGES events").await.unwrap();
    warehouse.run("OPTIMIZE TABLE events FINAL").await.unwrap();
    until_merged(&warehouse).await;
    let rows = warehouse.read("SELECT toString(count()) FROM events").await.unwrap();
    let rows: f64 = rows[0].parse().unwrap();
    let inserted = Inserted {
        events_per_s: rows / seconds,
        insert: (inserted - before) / rows * 1e6,
        merge: (cpu_seconds(clickhouse) - inserted) / rows * 1e6,
        bytes: bytes_on_disk(&warehouse).await / rows,
    };
    warehouse.run("DROP DATABASE bench_limits SYNC").await.unwrap();
    inserted
}
