//! A worker that freezes for longer than its session, loses its partitions, and wakes.
//!
//! In: the place it freezes at. Out: the account, after it has woken and taken part again.
//!
//! # Invariants
//! - It freezes in the middle of a batch, and its successor has stored everything before it wakes.
//! - It lives on: it gets partitions again and ends cleanly.
//!
//! Deliberately unknown here: how it is fenced.

use crate::proxy::Proxy;
use crate::scene::{Scene, await_partitions, port};

/// Frozen at a place after so many passages. How many of its requests ClickHouse saw before it woke,
/// and when it had partitions again.
async fn frozen_at(place: &str, passages: u32) -> (u64, u64) {
    let scene = Scene::new("zombie", 2).await;
    let own_proxy = Proxy::start(port(&crate::harness::clickhouse_server().url()));
    scene.produce(400);
    let failpoints = format!("{place}={passages}*off->1*return(stop)->off");
    let mut zombie = scene.worker_behind(&own_proxy, &failpoints);
    zombie.await_stopped();
    let before = own_proxy.count("passed");
    scene.produce(100);
    let mut heir = scene.successor();
    scene.settle().await;
    zombie.go_on();
    await_partitions(&mut [&mut zombie, &mut heir], &[1, 1]).await;
    let after = own_proxy.count("passed");
    scene.produce(200);
    let account = scene.finish([zombie, heir]).await;
    assert_eq!((account.records, account.quarantined), (700, 70), "{account}");
    (before, after)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_before_its_intent() {
    frozen_at("intent::before", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_before_its_insert() {
    let (before, after) = frozen_at("insert::before_events", 2).await;
    assert!(after > before, "it has not inserted what it was about to");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_between_its_inserts() {
    let (before, after) = frozen_at("insert::after_events", 2).await;
    assert!(after > before, "it has not inserted what it was about to");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_after_its_inserts() {
    frozen_at("insert::after_batches", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_before_its_completion() {
    // Passed only when nothing more is there to announce.
    frozen_at("completion::before", 0).await;
}
