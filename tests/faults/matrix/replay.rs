//! Offsets that are read a second time, by whatever way, and are stored already.
//!
//! In: tokens forgotten, mappings changed, offsets rewound or gone. Out: the account.
//!
//! # Invariants
//! - What is read again is committed again: the ledger waits for that.
//!
//! Deliberately unknown here: read-back.

use std::fs;

use crate::kafka::Record;
use crate::scene::Scene;

/// ClickHouse forgets all tokens but the last of each table, and takes blocks of others.
async fn forget_tokens(scene: &Scene) {
    for table in ["events", "quarantine", "batches"] {
        let setting = "MODIFY SETTING non_replicated_deduplication_window = 1";
        scene.sql(&format!("ALTER TABLE {table} {setting}")).await;
        for n in 1..4 {
            let time = if table == "events" { ", occurred_at" } else { "" };
            let at = if table == "events" { ", toDateTime64('2026-01-15', 6, 'UTC')" } else { "" };
            let first = if table == "batches" { "first_offset" } else { "kafka_offset" };
            scene
                .sql(&format!(
                    "INSERT INTO {table} (kafka_cluster, {first}{time}) SELECT 'noise {table}', {n}{at}"
                ))
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_the_window_of_tokens() {
    let scene = Scene::new("window", 2).await;
    scene.produce(400);
    scene.worker_at("insert::after_batches=2*off->return").await_kill();
    forget_tokens(&scene).await;
    scene.produce(100);
    scene.finish([scene.worker()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_the_window_between_the_events_and_the_quarantine() {
    let scene = Scene::new("window", 2).await;
    scene.produce(400);
    scene.worker_at("insert::after_events=2*off->return").await_kill();
    forget_tokens(&scene).await;
    scene.finish([scene.successor()]).await;
}

/// A mapping `shop`, which may require a target.
fn write_mapping(scene: &Scene, version: u16, required: &str) {
    let dir = scene.config.schemas.dir.as_ref().unwrap();
    fs::create_dir_all(dir).unwrap();
    let text = format!(
        "name = \"shop\"\nversion = {version}\nabout = \"A shop.\"\nrequired = [{required}]\n\
         [event]\nservice = {{ const = \"shop\" }}\naction = \"action\"\n\
         verb = {{ const = \"create\" }}\ntarget.id = \"target\"\n"
    );
    fs::write(dir.join("shop.toml"), text).unwrap();
}

/// The version that a crash leaves stored positions of, and the next that reads them again.
async fn mapping_changes(place: &str, required: [&str; 2]) -> Scene {
    let mut scene = Scene::new("mapping", 1).await;
    scene.config.schemas.dir = Some(scene.dir.path().join("schemas"));
    scene.config.kafka.topics[0].schema = "shop".to_owned();
    let record = |n: u64| {
        let target = if n % 5 == 4 { String::new() } else { format!(r#","target":"t{n}""#) };
        let payload = format!(r#"{{"action":"buy","n":{n}{target}}}"#).into_bytes();
        Record { payload, ..Record::default() }
    };
    scene.kafka.produce(&scene.topic, (0..200).map(record));
    write_mapping(&scene, 1, required[0]);
    scene.worker_at(&format!("{place}=1*off->return")).await_kill();
    write_mapping(&scene, 2, required[1]);
    scene.finish([scene.successor()]).await;
    let versions = "SELECT DISTINCT toString(mapping_version) FROM events ORDER BY 1";
    assert_eq!(scene.ask(versions).await, ["1", "2"]);
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_that_is_changed_between_crash_and_replay() {
    mapping_changes("insert::after_events", ["", ""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_that_takes_what_was_quarantined_adds_nothing_beside_it() {
    let scene = mapping_changes("insert::after_quarantine", ["\"target.id\"", ""]).await;
    let later = "SELECT toString(count()) FROM quarantine \
                 WHERE kafka_offset > (SELECT min(kafka_offset) FROM events WHERE mapping_version = 2)";
    assert_eq!(scene.ask(later).await, ["0"], "only the first version quarantines");
    scene.await_rows("quarantine", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_that_refuses_what_was_stored_quarantines_nothing_beside_it() {
    let scene = mapping_changes("insert::after_events", ["", "\"target.id\""]).await;
    let earlier = "SELECT toString(count()) FROM quarantine \
                   WHERE kafka_offset < (SELECT max(kafka_offset) FROM events WHERE mapping_version = 1)";
    assert_eq!(scene.ask(earlier).await, ["0"], "only the second version quarantines");
    scene.await_rows("quarantine", 1).await;
}

/// A first run, then what an operator does, then a run that reads it all again.
async fn read_again(change: impl AsyncFnOnce(&mut Scene)) {
    let mut scene = Scene::new("again", 2).await;
    scene.produce(300);
    scene.finish([scene.worker()]).await;
    forget_tokens(&scene).await;
    change(&mut scene).await;
    scene.produce(100);
    let account = scene.finish([scene.successor()]).await;
    assert_eq!((account.records, account.quarantined), (400, 40), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_an_operator_rewound() {
    read_again(async |scene| {
        scene.kafka.rewind(&scene.config.kafka.group, &scene.topic, 2, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_an_operator_rewound_into_the_middle_of_a_batch() {
    read_again(async |scene| {
        scene.kafka.rewind(&scene.config.kafka.group, &scene.topic, 2, 73);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_renamed() {
    read_again(async |scene| {
        scene.config.kafka.group.push_str("_renamed");
        scene.ledger.group.clone_from(&scene.config.kafka.group);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_have_expired() {
    read_again(async |scene| scene.kafka.forget(&scene.config.kafka.group).await).await;
}
