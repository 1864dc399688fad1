//! A rolling upgrade under a load that does not stop: one worker, a newer one beside it, the old one
//! gone, and the same way back.
//!
//! In: an older program where `TRAILHOUSE_OLD_PROGRAM` names one, else this one twice. Out: the account.
//!
//! # Invariants
//! - Both workers have stored something before one of them ends, and partitions have moved.
//! - Tables are migrated while the old worker writes, as a newer release would: what it adds may fail
//!   no request.
//!
//! Deliberately unknown here: what a release changes.

use crate::harness;
use crate::scene::{Scene, await_partitions};
use crate::trickle::Trickle;
use crate::worker::Worker;

/// Records a second.
const RATE: u64 = 400;

/// What a newer release may add, and the record that it did.
const EXPANSION: [&str; 7] = [
    "ALTER TABLE events ADD COLUMN severity LowCardinality(String) DEFAULT 'none'",
    "ALTER TABLE events ADD COLUMN note Nullable(String)",
    "ALTER TABLE events ADD PROJECTION by_severity (SELECT _part_offset ORDER BY severity)",
    "ALTER TABLE events MATERIALIZE PROJECTION by_severity",
    "ALTER TABLE quarantine ADD COLUMN severity LowCardinality(String) DEFAULT 'none'",
    "ALTER TABLE batches ADD COLUMN written_with String DEFAULT 'older' AFTER token",
    "INSERT INTO schema_migrations (version, name, checksum) VALUES (9001, 'severity', 'newer')",
];

async fn migrated(scene: &Scene) {
    for statement in EXPANSION {
        scene.sql(statement).await;
    }
}

/// Waits until a worker has stored so many events more.
async fn has_stored(worker: &Worker, more: f64) {
    let stored = || worker.metric("trailhouse_events_stored_total").unwrap_or(0.0);
    let before = stored();
    harness::until(async || stored() >= before + more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_adds_fails_no_request_of_an_old_worker_that_goes_on_writing() {
    let scene = Scene::new("expanded", 2).await;
    let load = Trickle::begin(&scene.kafka, &scene.topic, 2, RATE);
    let worker = scene.old_worker();
    has_stored(&worker, 100.0).await;
    migrated(&scene).await;
    has_stored(&worker, 200.0).await;
    load.end();
    let account = scene.finish([worker]).await;
    assert_eq!(scene.proxy.count("errors"), 0, "{account}");
    // What the new columns stand for is there for old rows and for new ones.
    let rows = scene.ask("SELECT concat(severity, ' ', toString(note IS NULL)) FROM events LIMIT 1 BY severity, note");
    assert_eq!(rows.await, ["none 1"]);
}

/// From one worker to two and back to one, twice: forward, and the way back to the old release.
async fn rolled(end: impl Fn(&mut Worker)) {
    let scene = Scene::new("rolled", 4).await;
    let load = Trickle::begin(&scene.kafka, &scene.topic, 4, RATE);
    let mut old = scene.old_worker();
    has_stored(&old, 100.0).await;
    migrated(&scene).await;
    let mut new = scene.successor();
    await_partitions(&mut [&mut old, &mut new], &[2, 2]).await;
    has_stored(&old, 50.0).await;
    has_stored(&new, 50.0).await;
    end(&mut old);
    await_partitions(&mut [&mut new], &[4]).await;
    has_stored(&new, 100.0).await;
    // Over tables that are newer than it knows.
    let mut old = scene.old_worker();
    await_partitions(&mut [&mut old, &mut new], &[2, 2]).await;
    has_stored(&old, 50.0).await;
    end(&mut new);
    await_partitions(&mut [&mut old], &[4]).await;
    has_stored(&old, 100.0).await;
    load.end();
    let account = scene.finish([old]).await;
    println!("{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_replaced_one_by_one_by_sigterm_and_back_again() {
    rolled(|worker| assert!(worker.terminate().success(), "it has not drained")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_replaced_one_by_one_by_kill_9_and_back_again() {
    rolled(Worker::kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_too_old_for_the_tables_says_so_and_takes_nothing() {
    let scene = Scene::new("contracted", 1).await;
    scene.produce(100);
    scene
        .sql(
            "INSERT INTO schema_migrations (version, name, checksum) \
             VALUES (9002, 'contract_country', 'newer')",
        )
        .await;
    let mut worker = scene.worker();
    assert_eq!(worker.await_exit().code(), Some(1));
    let told = worker.log_text();
    assert!(told.contains("migration 9002_contract_country of a newer trailhouse"), "{told}");
    let lanes = [(scene.topic.clone(), 0)];
    assert_eq!(scene.kafka.committed(&scene.config.kafka.group, &lanes)[0].0, -1);
}
