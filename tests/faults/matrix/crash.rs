//! A crash at each boundary between two steps: `kill -9` of the process by itself, at a place.
//!
//! In: the name of a place. Out: the successor's account.
//!
//! # Invariants
//! - The process was killed at that place, by SIGKILL, in the middle of its work.
//!
//! Deliberately unknown here: what the places are between.

use crate::scene::Scene;

/// Killed at a place after so many passages; a successor takes over.
async fn killed_at(place: &str, passages: u32) {
    let scene = Scene::new("crash", 2).await;
    scene.produce(400);
    let mut first = scene.worker_at(&format!("{place}={passages}*off->return"));
    first.await_kill();
    scene.produce(100);
    let account = scene.finish([scene.successor()]).await;
    assert_eq!((account.records, account.quarantined), (500, 50), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_before_the_intent_is_committed() {
    killed_at("intent::before", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_between_the_intent_and_the_insert() {
    killed_at("intent::after", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_before_the_events_are_inserted() {
    killed_at("insert::before_events", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_between_the_events_and_the_quarantine() {
    killed_at("insert::after_events", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_between_the_quarantine_and_the_batches() {
    killed_at("insert::after_quarantine", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_after_the_last_insert() {
    killed_at("insert::after_batches", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_before_the_completion_is_committed() {
    // Passed only when nothing more is there to announce.
    killed_at("completion::before", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_after_the_completion_is_committed() {
    killed_at("completion::after", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_at_one_place_after_the_other_by_one_successor_after_the_other() {
    let scene = Scene::new("crash", 2).await;
    for place in ["insert::after_events", "intent::after", "insert::after_quarantine"] {
        scene.produce(200);
        scene.worker_at(&format!("{place}=1*off->return")).await_kill();
    }
    scene.finish([scene.successor()]).await;
}
