//! What Kafka does to a topic: restarts, growth, loss, holes.
//!
//! In: a real broker. Out: the account of the records a reader of committed records sees.
//!
//! # Invariants
//! - Records that Kafka took away before they were read are a gap that someone must accept; the
//!   other partitions go on meanwhile.
//!
//! Deliberately unknown here: ClickHouse's faults.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::producer::Producer as _;
use trailhouse::demo::KafkaBroker;

use crate::forward::Forward;
use crate::harness::{self, DEADLINE};
use crate::kafka::{Record, send};
use crate::scene::{Engines, Scene, await_partitions, event, port};

fn record(n: u64, partition: i32) -> Record {
    Record { partition, payload: event(n, "2026-01-15T00:00:00Z"), ..Record::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_killed_and_restarted() {
    let data = tempfile::tempdir().unwrap();
    let start = || KafkaBroker::start(data.path(), harness::exe()).unwrap();
    let mut broker = start();
    let forward = Forward::default();
    let clickhouse = harness::clickhouse_server().url();
    let engines = Engines { bootstrap: broker.bootstrap(), clickhouse };
    let mut scene = Scene::without_topic("restarted", engines).await;
    scene.partitions = 2;
    scene.kafka.create(&scene.topic, 2, &[]).await;
    let worker = scene.worker();
    for _ in 0..2 {
        scene.produce(400);
        // With some batches stored, and others not.
        scene.await_rows("events", 1).await;
        let old = port(&broker.bootstrap());
        drop(broker);
        broker = start();
        forward.moved(old, port(&broker.bootstrap()));
        scene.settle().await;
    }
    scene.produce(100);
    scene.finish([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_read_from_their_first_record() {
    let mut scene = Scene::new("grown", 1).await;
    let mut worker = scene.worker();
    scene.produce(100);
    scene.settle().await;
    scene.kafka.grow(&scene.topic, 3).await;
    scene.partitions = 3;
    scene.produce(300);
    await_partitions(&mut [&mut worker], &[3]).await;
    let account = scene.finish([worker]).await;
    assert_eq!(account.records, 400, "{account}");
}

/// A topic that is made while a worker reads another of its pattern.
async fn comes_later(mut scene: Scene, pattern_end: &str) {
    scene.config.kafka.topics[0].name = format!("^{}{pattern_end}", scene.topic);
    let mut worker = scene.worker();
    scene.produce(100);
    scene.settle().await;
    let first = scene.topic.clone();
    scene.topic = format!("{first}_later");
    scene.kafka.create(&scene.topic, 3, &[]).await;
    scene.produce(300);
    await_partitions(&mut [&mut worker], &[5]).await;
    scene.finish([worker]).await;
    let both = scene.ledger.settle(&[&first, &scene.topic]).await;
    assert_eq!(both.records, 400, "{both}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_later_and_fits_a_pattern_is_read_from_its_first_record() {
    comes_later(Scene::new("pattern", 2).await, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_later_is_found_by_a_broker_that_assigns_too() {
    let mut scene = Scene::new("pattern", 2).await;
    scene.broker_assigns();
    comes_later(scene, ".*$").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_that_passed_unread_records_stops_their_partition_until_the_gap_is_accepted() {
    let scene = Scene::new("retention", 2).await;
    scene.produce(200);
    scene.finish([scene.worker()]).await;
    scene.produce(200);
    // 100 to 149 of the first partition were never read.
    scene.kafka.delete_records(&scene.topic, 0, 150).await;
    let mut worker = scene.worker();
    let mut records = scene.kafka.records(&[&scene.topic]);
    let first = records.remove(&(scene.topic.clone(), 0)).unwrap();
    scene.ledger.settle_records(&records).await;
    harness::until(async || scene.gaps().await > 0).await;
    let account = scene.ledger.account(&BTreeMap::from([((scene.topic.clone(), 0), first)])).await;
    assert!(!account.missing.is_empty(), "nothing behind a gap is read before it is accepted");
    worker.terminate();
    scene.finish([scene.accepting(&[0])]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_beyond_the_end_stops_its_partition_until_the_gap_is_accepted() {
    let scene = Scene::new("beyond", 2).await;
    scene.produce(200);
    scene.finish([scene.worker()]).await;
    scene.kafka.rewind(&scene.config.kafka.group, &scene.topic, 2, 100_000);
    let mut worker = scene.worker();
    harness::until(async || scene.gaps().await > 0).await;
    worker.terminate();
    let mut worker = scene.accepting(&[0, 1]);
    await_partitions(&mut [&mut worker], &[2]).await;
    scene.produce(200);
    // It may have been begun before the records were there, or after: they are all to be read.
    let account = scene.finish([worker]).await;
    assert_eq!(account.records, 400, "{account}");
}

/// Records of each life of a topic, the shorter one first.
const LIVES: &str = "SELECT toString(uniqExact(kafka_partition, kafka_offset)) FROM (
    SELECT kafka_incarnation, kafka_partition, kafka_offset FROM events UNION ALL
    SELECT kafka_incarnation, kafka_partition, kafka_offset FROM quarantine
) GROUP BY kafka_incarnation ORDER BY count()";

/// A worker sees the topic go, or sees committed offsets that the new one has not reached: either
/// way both lives are stored, once. Whether there is a gap to accept is the order of events.
async fn made_again(running: bool) {
    let scene = Scene::new("again", 2).await;
    let mut worker = scene.worker();
    scene.produce(200);
    scene.settle().await;
    if !running {
        worker.terminate();
    }
    scene.kafka.delete(&scene.topic).await;
    scene.kafka.create(&scene.topic, 2, &[]).await;
    if !running {
        worker = scene.worker();
    }
    scene.produce(100);
    let both = async || scene.ask(LIVES).await == ["100", "200"];
    harness::until(async || both().await || scene.gaps().await > 0).await;
    if scene.gaps().await > 0 {
        worker.terminate();
        worker = scene.accepting(&[0, 1]);
        harness::until(both).await;
    }
    scene.finish([worker]).await;
    assert_eq!(scene.ask(LIVES).await, ["100", "200"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_again_under_a_running_worker_keeps_both_its_lives() {
    made_again(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_again_while_nobody_looks_keeps_both_its_lives() {
    made_again(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_is_read_over_its_holes() {
    let scene = Scene::without_topic("compacted", Engines::shared()).await;
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "200"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("min.compaction.lag.ms", "0"),
        ("max.compaction.lag.ms", "1000"),
    ];
    scene.kafka.create(&scene.topic, 1, &settings).await;
    // Every third is the last of its key and stays; so what goes leaves holes.
    let keyed = |n: u64| Record {
        key: Some(format!("key {}", if n.is_multiple_of(3) { n } else { n % 3 })),
        ..record(n, 0)
    };
    let deadline = Instant::now() + DEADLINE;
    // A segment ends with the first record after its time: so until the cleaner has made holes.
    for n in 0.. {
        scene.kafka.produce(&scene.topic, (n * 60..(n + 1) * 60).map(keyed));
        if scene.kafka.records(&[&scene.topic]).values().any(|ranges| ranges.0.len() > 1) {
            break;
        }
        assert!(Instant::now() < deadline, "nothing was compacted within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    scene.worker_at("insert::after_events=1*off->return").await_kill();
    let worker = scene.successor();
    // What the cleaner takes away between our reading and the worker's is nobody's loss.
    let seen = async || {
        let records = scene.kafka.records(&[&scene.topic]);
        let account = scene.ledger.account(&records).await;
        assert!(account.duplicated.is_empty(), "{account}");
        account.missing.is_empty()
    };
    harness::until(seen).await;
    scene.finish([worker]).await;
}

/// Two committed transactions of 100 records, and an aborted one behind each.
fn transactions(scene: &Scene) {
    let producer = scene.kafka.producer(Some(&scene.topic));
    producer.init_transactions(DEADLINE).unwrap();
    for transaction in 0..4 {
        producer.begin_transaction().unwrap();
        let numbers = transaction * 100..(transaction + 1) * 100;
        send(&producer, &scene.topic, numbers.map(|n| record(n, (n % 2) as i32)));
        // So that aborted records are in the log, not only in the producer.
        producer.flush(DEADLINE).unwrap();
        match transaction % 2 {
            0 => producer.commit_transaction(DEADLINE).unwrap(),
            _ => producer.abort_transaction(DEADLINE).unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_abort_leave_nothing_and_nothing_is_missing_beside_them() {
    let scene = Scene::new("transactions", 2).await;
    let worker = scene.worker();
    transactions(&scene);
    let account = scene.finish([worker]).await;
    assert_eq!((account.records, account.stored), (200, 200), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_transactions() {
    let scene = Scene::new("transactions", 2).await;
    transactions(&scene);
    scene.worker_at("insert::after_events=1*off->return").await_kill();
    scene.produce(100);
    let account = scene.finish([scene.successor()]).await;
    assert_eq!((account.records, account.stored, account.quarantined), (300, 290, 10), "{account}");
}
