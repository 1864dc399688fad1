//! Under a load that does not stop: a stop, and a ClickHouse that is killed and stays away.
//!
//! In: records faster than a small budget of memory could hold. Out: the account; what memory it took.
//!
//! # Invariants
//! - A stop comes while inserts are on their way.
//! - An outage lasts until several times more has been produced than the worker may hold.
//!
//! Deliberately unknown here: rebalances; crashes of the worker.

use std::time::{Duration, Instant};

use trailhouse::demo::ClickHouseServer;

use crate::harness;
use crate::kafka::Record;
use crate::proxy::Fate;
use crate::scene::{Engines, Scene, await_partitions};
use crate::trickle::Trickle;
use crate::worker::Worker;

const PARTITIONS: i32 = 4;
const MIB: f64 = 1_048_576.0;

/// Asked to end while it is busy, a worker ends with 0 (which it does within `drain_ms` only), and
/// what it committed is what it stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_under_load_leaves_nothing_begun() {
    let scene = Scene::new("stopped", PARTITIONS).await;
    scene.proxy.plan(|asked| {
        if asked.is_insert() { Fate::Slow(Duration::from_millis(60)) } else { Fate::Pass }
    });
    let load = Trickle::begin(&scene.kafka, &scene.topic, PARTITIONS, 2_000);
    let lanes: Vec<(String, i32)> = (0..PARTITIONS).map(|p| (scene.topic.clone(), p)).collect();
    let mut before = 0;
    for _ in 0..3 {
        let mut worker = scene.worker();
        await_partitions(&mut [&mut worker], &[PARTITIONS as i64]).await;
        scene.proxy.await_count("slow", scene.proxy.count("slow") + 8);
        let status = worker.terminate();
        assert!(status.success(), "{status}");
        let stored = scene.ask(
            "SELECT toString(max(last_offset) + 1) FROM batches GROUP BY kafka_partition \
             ORDER BY kafka_partition",
        );
        let stored = stored.await;
        let committed = scene.kafka.committed(&scene.config.kafka.group, &lanes);
        for ((next, said), stored) in committed.iter().zip(&stored) {
            assert_eq!(next.to_string(), *stored, "{said}");
            assert!(!said.contains("\"last\""), "an intent stands: {said}");
        }
        let sum = committed.iter().map(|(next, _)| next).sum();
        assert!(committed.len() == stored.len() && sum > before, "{committed:?} {stored:?}");
        before = sum;
        scene.ledger.verify([scene.topic.clone()].into()).await;
    }
    load.end();
    scene.finish([scene.worker()]).await;
}

/// ClickHouse is killed while it is written to, and stays away while records go on coming.
async fn outage(shortest: Duration, least_records: u64, rate: u64) {
    const PREFETCH_BYTES: u64 = 1 << 20;
    const MEMORY_BYTES: usize = 32 << 20;
    const PAYLOAD_BYTES: usize = 8_192;
    const USUAL: u64 = 4_000;
    let data = tempfile::tempdir().unwrap();
    let start = || ClickHouseServer::start(data.path(), harness::exe()).unwrap();
    let server = start();
    let engines = Engines { clickhouse: server.url(), ..Engines::shared() };
    let mut scene = Scene::without_topic("outage", engines).await;
    scene.partitions = PARTITIONS;
    scene.kafka.create(&scene.topic, PARTITIONS, &[]).await;
    scene.config.kafka.prefetch_bytes = PREFETCH_BYTES;
    scene.config.pipeline.memory_bytes = MEMORY_BYTES;
    // A short outage is to be seen, too.
    scene.config.pipeline.insert_unready_ms = 0;
    scene.config.pipeline.batch_records = 100_000;
    scene.ledger.patience = Duration::from_secs(300);
    let filler = "x".repeat(PAYLOAD_BYTES);
    let record = |n: u64| {
        Record {
        partition: (n % PARTITIONS as u64) as i32,
        payload: format!(
            r#"{{"id":"{n}","source":"iam","action":"a","created_at":"2026-01-15T00:00:00Z","context":{{"filler":"{filler}"}}}}"#
        )
        .into_bytes(),
        ..Record::default()
    }
    };
    let mut worker = scene.worker();
    // As large as it becomes with all going well.
    scene.kafka.produce(&scene.topic, (0..USUAL).map(record));
    scene.settle().await;
    let resident = |worker: &Worker| worker.metric("process_resident_memory_bytes");
    let before = resident(&worker).unwrap();

    drop(server);
    let (begun, mut produced, mut most, mut most_held) = (Instant::now(), 0, 0.0, 0.0);
    while begun.elapsed() < shortest || produced < least_records {
        let some = rate.min(2_000);
        scene.kafka.produce(&scene.topic, (produced..produced + some).map(record));
        produced += some;
        // So fast on average, however fast Kafka takes them.
        let due = begun + Duration::from_secs_f64(produced as f64 / rate as f64);
        loop {
            most = f64::max(most, resident(&worker).unwrap_or(0.0));
            most_held = f64::max(most_held, worker.metric("trailhouse_lane_bytes").unwrap_or(0.0));
            if Instant::now() >= due {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let may_hold = MEMORY_BYTES as f64 + (PARTITIONS as u64 * PREFETCH_BYTES) as f64;
    let come = produced as f64 * PAYLOAD_BYTES as f64;
    let away = begun.elapsed();
    println!(
        "away for {away:?}: {:.0} MiB came; resident {:.0} MiB before, {:.0} at most; {:.1} in lanes",
        come / MIB,
        before / MIB,
        most / MIB,
        most_held / MIB,
    );
    assert!(come > 3.0 * may_hold, "too little came to tell: {come}");
    assert!(most_held <= MEMORY_BYTES as f64, "{most_held} bytes in lanes");
    assert!(most - before < may_hold, "grew by {} bytes", most - before);
    await_partitions(&mut [&mut worker], &[PARTITIONS as i64]).await;
    let (status, told) = worker.get("/readyz").unwrap();
    assert!(status == 503 && told.contains("inserts of"), "{status} {told}");

    let server = start();
    scene.clickhouse_is_at(&server.url());
    let back = Instant::now();
    let account = scene.finish([worker]).await;
    println!("caught up after {:?}: {account}", back.elapsed());
    assert_eq!(account.stored, USUAL + produced, "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_killed_under_load_costs_no_memory_and_its_lag_is_made_up() {
    outage(Duration::from_secs(5), 16_000, 4_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "for two minutes and more; asked for by name"]
async fn clickhouse_killed_for_two_minutes_under_load_costs_no_memory() {
    outage(Duration::from_secs(120), 60_000, 500).await;
}
