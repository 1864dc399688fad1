//! Skip rules that change between one reading of a record and the next.
//!
//! In: records that a rule fits, and others. Out: what is stored stays, what is not is read by the
//! rules of today; verify finds nothing wrong either way.
//!
//! # Invariants
//! - The ledger compares, with verify, after each change.
//!
//! Deliberately unknown here: what else a rule may say.

use trailhouse::schema::SkipConfig;

use crate::kafka::Record;
use crate::scene::Scene;

/// A scene of 200 records, every other of them noise, on one partition.
async fn noisy() -> Scene {
    let scene = Scene::new("noisy", 1).await;
    let record = |n: u64| {
        let action = if n.is_multiple_of(2) { "ping" } else { "project.create" };
        let payload = format!(r#"{{"id":"{n}","source":"iam","action":"{action}"}}"#).into_bytes();
        Record { payload, ..Record::default() }
    };
    scene.kafka.produce(&scene.topic, (0..200).map(record));
    scene
}

fn pings() -> Vec<SkipConfig> {
    let actions = vec!["ping".to_owned()];
    vec![SkipConfig { name: "pings".to_owned(), actions, ..SkipConfig::default() }]
}

/// Events that are noise, and places that batches say were left out.
async fn noise(scene: &Scene) -> (u64, u64) {
    let ask = async |sql: &str| scene.ask(sql).await[0].parse().unwrap();
    let stored = ask("SELECT toString(count()) FROM events WHERE action = 'ping'").await;
    let left_out =
        "SELECT toString(uniqExact(s.2)) FROM batches ARRAY JOIN skipped AS s WHERE s.1 = 'pings'";
    (stored, ask(left_out).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_comes_between_crash_and_replay_leaves_what_is_stored() {
    let mut scene = noisy().await;
    scene.worker_at("insert::after_events=1*off->return").await_kill();
    let (before, _) = noise(&scene).await;
    assert!(before > 0, "two batches were stored without the rule");
    scene.config.skip = pings();
    scene.finish([scene.successor()]).await;
    // No position is in both: a batch that is made again does not deny what is stored of it.
    assert_eq!(noise(&scene).await, (before, 100 - before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_goes_between_crash_and_replay_has_what_is_not_stored_stored() {
    // Before and behind the batch's own row, which names the rule.
    for place in ["insert::after_events", "insert::after_batches"] {
        let mut scene = noisy().await;
        scene.config.skip = pings();
        scene.worker_at(&format!("{place}=1*off->return")).await_kill();
        assert_eq!(noise(&scene).await.0, 0, "{place}");
        scene.config.skip.clear();
        let account = scene.finish([scene.successor()]).await;
        let (stored, left_out) = noise(&scene).await;
        // One batch was read with the rule to its end; of another perhaps the batch's row says so.
        let named = if place == "insert::after_events" { 25 } else { 50 };
        assert_eq!((stored, left_out), (75, named), "{place}: {account}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_set_back_without_the_rule_bring_back_what_it_left_out() {
    let mut scene = noisy().await;
    scene.config.skip = pings();
    scene.finish([scene.worker()]).await;
    assert_eq!(noise(&scene).await, (0, 100));
    scene.config.skip.clear();
    scene.kafka.rewind(&scene.config.kafka.group, &scene.topic, 1, 0);
    // The same ends as before, so the same batches.
    let worker = scene.worker();
    scene.await_rows("events", 200).await;
    let account = scene.finish([worker]).await;
    assert_eq!((account.stored, noise(&scene).await.0), (200, 100), "{account}");
}
