//! Copies of what is quarantined: each at least once, whatever happens, and never in the way.
//!
//! In: a dead-letter topic that takes them, or not. Out: its records beside the rows of `quarantine`.
//!
//! # Invariants
//! - The account of the consumed topic is the ledger's, as in every fault test.
//! - Every row of `quarantine` is on the dead-letter topic, and nothing else is.
//!
//! Deliberately unknown here: how a record is normalised.

use std::collections::BTreeMap;

use crate::chaos::Random;
use crate::harness;
use crate::kafka::{Message, Record};
use crate::scene::{Scene, event};

/// A scene with a dead-letter topic of these settings.
async fn scene(settings: &[(&str, &str)]) -> Scene {
    let mut scene = Scene::new("lettered", 2).await;
    let dead = dead_letter_topic(&scene);
    scene.kafka.create(&dead, 1, settings).await;
    scene.config.kafka.dead_letter_topic = dead;
    scene
}

fn dead_letter_topic(scene: &Scene) -> String {
    format!("{}_dead", scene.topic)
}

/// The copies, by the place they are of.
fn copies(scene: &Scene) -> BTreeMap<String, Vec<Message>> {
    let mut copies: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    for message in scene.kafka.messages(&scene.config.kafka.dead_letter_topic) {
        assert_eq!(message.header("topic"), scene.topic, "{message:?}");
        let place = ["partition", "offset", "index", "reason"].map(|name| message.header(name));
        copies.entry(place.join(" ")).or_default().push(message);
    }
    copies
}

/// The rows of `quarantine`, in the same words.
async fn rows(scene: &Scene) -> Vec<String> {
    let sql = "SELECT concatWithSeparator(' ', toString(kafka_partition), toString(kafka_offset), \
                   toString(kafka_index), reason) AS place FROM quarantine ORDER BY place";
    scene.ask(sql).await
}

/// Each row has a copy; how many copies there are.
async fn compare(scene: &Scene) -> usize {
    let (copies, rows) = (copies(scene), rows(scene).await);
    assert_eq!(copies.keys().cloned().collect::<Vec<_>>(), rows);
    copies.values().map(Vec::len).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_copied_once_with_its_bytes_its_key_its_headers_and_the_reason() {
    let scene = scene(&[]).await;
    scene.produce(200);
    let fanned = format!("[{},17]", String::from_utf8(event(1, "2026-01-15T00:00:00Z")).unwrap());
    let record = |key: Option<&str>, payload: &[u8]| Record {
        key: key.map(str::to_owned),
        payload: payload.to_vec(),
        ..Record::default()
    };
    let poison = [record(Some("k"), b"<xml/>\xff"), record(None, fanned.as_bytes())];
    scene.kafka.produce(&scene.topic, poison);
    let account = scene.finish([scene.worker()]).await;
    assert_eq!((account.records, account.quarantined), (202, 22), "{account}");
    assert_eq!(compare(&scene).await, 22, "nothing failed, so none came twice");

    let copies = copies(&scene);
    let [xml] = &copies["0 100 0 bad_utf8"][..] else { panic!("{copies:?}") };
    assert_eq!(xml.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(xml.payload.as_deref(), Some(&b"<xml/>\xff"[..]));
    assert_eq!(xml.headers[0], ("tenant".to_owned(), b"acme".to_vec()), "its own come first");
    assert!(xml.header("message").contains("not UTF-8 from byte 6"), "{xml:?}");
    assert!(xml.header("time").starts_with("20") && xml.header("time").ends_with('Z'), "{xml:?}");
    let incarnations = scene.ask("SELECT DISTINCT kafka_incarnation FROM quarantine").await;
    assert_eq!([xml.header("incarnation")], incarnations[..]);
    let [element] = &copies["0 101 1 not_an_object"][..] else { panic!("{copies:?}") };
    assert_eq!(element.key, None);
    assert_eq!(element.payload.as_deref(), Some(&b"17"[..]), "the element, not what is around it");
}

/// Killed at a place; the successor copies what was not.
async fn killed_at(place: &str, passages: u32) -> usize {
    let scene = scene(&[]).await;
    scene.produce(400);
    scene.worker_at(&format!("{place}={passages}*off->return")).await_kill();
    scene.produce(100);
    let account = scene.finish([scene.successor()]).await;
    assert_eq!((account.records, account.quarantined), (500, 50), "{account}");
    compare(&scene).await
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_between_the_quarantine_and_its_copies_still_copies_each() {
    killed_at("insert::after_quarantine", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_between_the_copies_and_the_batches_copies_some_twice_and_none_never() {
    let copies = killed_at("insert::after_copies", 2).await;
    assert!(copies > 50, "the last batch's {copies} were copied before the crash and after it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_refuses_copies_is_named_holds_no_stop_and_loses_and_repeats_no_row() {
    // Too small for the headers alone.
    let scene = scene(&[("max.message.bytes", "10")]).await;
    let mut first = scene.worker();
    scene.produce(100);
    harness::until(async || {
        first.metric("trailhouse_dead_letter_retries_total").is_some_and(|n| n >= 2.0)
    })
    .await;
    let (status, text) = first.get("/readyz").unwrap();
    assert_eq!(status, 503);
    let part = format!("dead letters of {}/", scene.topic);
    assert!(text.contains(&part) && text.contains(&dead_letter_topic(&scene)), "{text}");
    let batches = scene.ask("SELECT toString(count()) FROM batches").await;
    assert_eq!(batches, ["0"], "a batch is recorded only when it is copied");
    let status = first.terminate();
    assert_eq!(status.code(), Some(1), "the deadline passed, and its batches are the next owner's");

    let second = scene.successor();
    harness::until(async || {
        second.metric("trailhouse_dead_letter_retries_total").is_some_and(|n| n >= 1.0)
    })
    .await;
    let dead = &scene.config.kafka.dead_letter_topic;
    scene.kafka.set(dead, "max.message.bytes", "1000000").await;
    scene.settle().await;
    let (_, text) = second.get("/readyz").unwrap();
    assert!(!text.contains("dead letters"), "{text}");
    let account = scene.finish([second]).await;
    assert_eq!((account.records, account.quarantined), (100, 10), "{account}");
    compare(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_too_large_for_the_topic_is_copied_without_its_value_and_holds_up_none() {
    let scene = scene(&[("max.message.bytes", "5000")]).await;
    // Of letters that do not compress: the topic counts what comes.
    let mut random = Random::of(1);
    let payload = (0..50_000).map(|_| b'a' + random.below(26) as u8).collect();
    let large = Record { payload, ..Record::default() };
    scene.kafka.produce(&scene.topic, [large]);
    scene.produce(100);
    let account = scene.finish([scene.worker()]).await;
    assert_eq!((account.records, account.quarantined), (101, 11), "{account}");
    compare(&scene).await;
    let copies = copies(&scene);
    let [large] = &copies["0 0 0 not_json"][..] else { panic!("{copies:?}") };
    assert!(large.payload.is_none());
    assert_eq!(large.header("omitted_bytes"), "50000");
    let whole = copies.values().flatten().filter(|message| message.payload.is_some());
    assert_eq!(whole.count(), 10, "its neighbours are whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_topic_that_is_not_there_is_refused_at_the_start_with_what_to_run() {
    let mut scene = Scene::new("letterless", 1).await;
    scene.produce(10);
    scene.config.kafka.dead_letter_topic = dead_letter_topic(&scene);
    let mut worker = scene.worker();
    assert_eq!(worker.await_exit().code(), Some(1));
    let dead = &scene.config.kafka.dead_letter_topic;
    let log = worker.log_text();
    assert!(log.contains(&format!("--create --topic {dead}")), "{log}");
    let rows = scene.ask("SELECT toString(count()) FROM events").await;
    assert_eq!(rows, ["0"], "nothing is consumed before that is settled");
}
