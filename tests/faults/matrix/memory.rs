//! The budget of memory, after a crash under lag: every partition has a batch to make again, of a time
//! when there was more memory.
//!
//! In: 64 partitions of short, long and very long records. Out: what the worker says it held, what
//! the kernel says it took, and the account.
//!
//! # Invariants
//! - What is to be made again is more than twice the budget.
//! - Every worker is killed in the middle of its work, but the last.
//!
//! Deliberately unknown here: how memory is shared out.

use std::time::Duration;

use trailhouse::config::Config;

use crate::harness;
use crate::kafka::Record;
use crate::proxy::Fate;
use crate::scene::{Engines, Scene};
use crate::worker::{Launch, Worker};

const PARTITIONS: i32 = 64;
const MIB: u64 = 1 << 20;
const MEMORY_BYTES: u64 = 32 * MIB;
/// Of each batch that is made again.
const BATCH_RECORDS: u64 = 4;
/// What each partition is behind, beside that.
const LAG_BYTES: u64 = MIB / 2;
const PREFETCH_BYTES: u64 = 64 << 10;
/// Of a record, by its partition.
const RECORD_BYTES: [usize; 3] = [600, 64 << 10, MIB as usize];
/// What the process takes beside the budget: itself, built without optimising, and what librdkafka has
/// fetched, a record batch of up to 1 MiB of each partition. 111 MiB were measured in all; and 191, when
/// all batches were made again at once.
const BESIDE_BYTES: u64 = (54 + PARTITIONS as u64) * MIB;

fn record(partition: i32, n: u64) -> Record {
    let filler = "x".repeat(RECORD_BYTES[partition as usize % 3] - 120);
    let payload = format!(
        r#"{{"id":"{partition}-{n}","source":"iam","action":"a","created_at":"2026-01-15T00:00:00Z","context":{{"filler":"{filler}"}}}}"#
    );
    Record { partition, payload: payload.into_bytes(), ..Record::default() }
}

/// So many records to each partition, by the bytes of one; how many that are.
fn produce(scene: &Scene, count: impl Fn(u64) -> u64) -> u64 {
    let count = |partition: i32| count(RECORD_BYTES[partition as usize % 3] as u64);
    let of = |partition| (0..count(partition)).map(move |n| record(partition, n));
    scene.kafka.produce(&scene.topic, (0..PARTITIONS).flat_map(of));
    (0..PARTITIONS).map(count).sum()
}

/// What it held, and what it took, by its own word and by the kernel's.
fn look(worker: &Worker) {
    let in_lanes = worker.metric("trailhouse_lane_bytes").unwrap() as u64;
    let held = worker.metric("trailhouse_memory_peak_bytes").unwrap() as u64;
    let resident = worker.most_resident_bytes();
    let [held_mib, in_lanes_mib] = [held, in_lanes].map(|bytes| bytes as f64 / MIB as f64);
    println!(
        "held {held_mib:.1} MiB at most, {in_lanes_mib:.1} now; resident {} MiB",
        resident / MIB
    );
    assert!(resident < MEMORY_BYTES + BESIDE_BYTES, "{resident} bytes resident");
    assert!(in_lanes <= MEMORY_BYTES, "{in_lanes} bytes in lanes");
    assert!(held > 0 && held <= MEMORY_BYTES, "{held} bytes held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_under_lag_comes_back_within_its_budget() {
    let mut scene = Scene::without_topic("memory", Engines::shared()).await;
    scene.partitions = PARTITIONS;
    scene.kafka.create(&scene.topic, PARTITIONS, &[("max.message.bytes", "2097152")]).await;
    scene.ledger.patience = Duration::from_secs(300);
    scene.config.kafka.prefetch_bytes = PREFETCH_BYTES;
    for (name, bytes) in [("fetch.message.max.bytes", "65536"), ("fetch.max.bytes", "2097152")] {
        scene.config.kafka.properties.insert(name.to_owned(), bytes.to_owned());
    }
    scene.config.pipeline.max_record_bytes = 5 << 18;
    let start = |config: &Config| Worker::start(scene.dir.path(), config, &Launch::default());

    // Nothing is completed by age: each partition has stored one batch, and its intent stands.
    let mut large = scene.config.clone();
    large.pipeline.batch_records = BATCH_RECORDS as usize;
    large.pipeline.batch_age_ms = 600_000;
    let mut produced = produce(&scene, |_| BATCH_RECORDS);
    let mut worker = start(&large);
    scene.await_rows("batches", PARTITIONS as u64).await;
    worker.kill();
    produced += produce(&scene, |bytes| LAG_BYTES.div_ceil(bytes));

    scene.config.pipeline.batch_records = 100_000;
    scene.config.pipeline.memory_bytes = MEMORY_BYTES as usize;
    // So that records come quicker than they can be stored.
    scene.proxy.plan(|asked| {
        if asked.is_insert() { Fate::Slow(Duration::from_millis(100)) } else { Fate::Pass }
    });
    let mut worker = start(&scene.config);
    let made_again = async || worker.metric("trailhouse_inserts_total").unwrap_or(0.0) >= 16.0;
    harness::until(made_again).await;
    look(&worker);
    worker.kill();
    scene.proxy.plan(|_| Fate::Pass);

    let worker = start(&scene.config);
    scene.settle().await;
    look(&worker);
    let account = scene.finish([worker]).await;
    assert_eq!((account.records, account.stored), (produced, produced), "{account}");
}
