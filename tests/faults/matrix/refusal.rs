//! ClickHouse refuses, or dies: inserts wait and are repeated, nothing is skipped.
//!
//! In: a real server with a real reason. Out: the account after it was mended.
//!
//! # Invariants
//! - The worker has been refused several times, and keeps its partitions meanwhile.
//!
//! Deliberately unknown here: error codes.

use trailhouse::demo::ClickHouseServer;

use crate::harness;
use crate::kafka::Record;
use crate::proxy::Fate;
use crate::scene::{Engines, Scene, await_partitions, event};

/// Broken by some statements, later mended by others.
async fn refused_until_mended(broken: &[&str], mended: &[&str]) {
    let scene = Scene::new("refused", 2).await;
    let mut worker = scene.worker();
    scene.produce(200);
    scene.settle().await;
    for statement in broken {
        scene.sql(statement).await;
    }
    scene.produce(200);
    scene.proxy.await_count("errors", 4);
    await_partitions(&mut [&mut worker], &[2]).await;
    for statement in mended {
        scene.sql(statement).await;
    }
    let account = scene.finish([worker]).await;
    assert_eq!((account.records, account.quarantined), (400, 40), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_missing() {
    let away = ["RENAME TABLE events TO events_away"];
    refused_until_mended(&away, &["RENAME TABLE events_away TO events"]).await;
    let away = ["RENAME TABLE quarantine TO quarantine_away"];
    refused_until_mended(&away, &["RENAME TABLE quarantine_away TO quarantine"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_read_only() {
    refused_until_mended(
        &["ALTER TABLE events MODIFY SETTING table_readonly = 1"],
        &["ALTER TABLE events MODIFY SETTING table_readonly = 0"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_parts() {
    refused_until_mended(
        &[
            "SYSTEM STOP MERGES events",
            "ALTER TABLE events MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 1",
        ],
        &[
            "ALTER TABLE events RESET SETTING parts_to_delay_insert, parts_to_throw_insert",
            "SYSTEM START MERGES events",
        ],
    )
    .await;
}

/// By the server's own guard: it refuses when less than this is free, which is always.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full() {
    let setting = "min_free_disk_bytes_to_perform_insert";
    refused_until_mended(
        &[&format!("ALTER TABLE events MODIFY SETTING {setting} = 1000000000000000")],
        &[&format!("ALTER TABLE events RESET SETTING {setting}")],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_for_a_while() {
    let scene = Scene::new("refused", 2).await;
    let worker = scene.worker();
    scene.produce(200);
    scene.settle().await;
    let refusal =
        "Code: 516. DB::Exception: trailhouse: Authentication failed. (AUTHENTICATION_FAILED)";
    scene.proxy.plan(|_| Fate::Answer(403, refusal.to_owned()));
    scene.produce(200);
    scene.proxy.await_count("answered", 3);
    scene.proxy.heal();
    scene.finish([worker]).await;
}

/// A constraint stands for whatever ClickHouse finds wrong with a row and we do not.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_clickhouse_refuses_is_quarantined_and_its_neighbours_are_stored() {
    let scene = Scene::new("poison_row", 1).await;
    scene.sql("ALTER TABLE events ADD CONSTRAINT tame CHECK source_id NOT IN ('7', '93')").await;
    let record = |n| Record { payload: event(n, "2026-01-15T00:00:00Z"), ..Record::default() };
    scene.kafka.produce(&scene.topic, (0..120).map(record));
    let account = scene.finish([scene.worker()]).await;
    assert_eq!((account.stored, account.quarantined), (118, 2), "{account}");
    let offsets = scene.ask("SELECT toString(kafka_offset) FROM quarantine ORDER BY kafka_offset");
    assert_eq!(offsets.await, ["7", "93"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_killed_and_restarted_in_the_middle_of_an_insert() {
    let data = tempfile::tempdir().unwrap();
    let start = || ClickHouseServer::start(data.path(), harness::exe()).unwrap();
    let mut server = start();
    let engines = Engines { clickhouse: server.url(), ..Engines::shared() };
    let mut scene = Scene::without_topic("killed", engines).await;
    scene.partitions = 2;
    scene.kafka.create(&scene.topic, 2, &[]).await;
    let worker = scene.worker();
    // In the middle of a request; then with a block applied that nobody heard of.
    for (fate, done) in [(Fate::Torn, "waiting torn"), (Fate::ReplyLost, "reply lost")] {
        let mut seen = 0;
        let fate = fate.clone();
        scene.proxy.plan(move |asked| {
            seen += i32::from(asked.inserts("events"));
            if seen == 3 && asked.inserts("events") { fate.clone() } else { Fate::Pass }
        });
        scene.produce(400);
        scene.proxy.await_count(done, 1);
        drop(server);
        scene.proxy.heal();
        server = start();
        scene.clickhouse_is_at(&server.url());
        scene.settle().await;
    }
    let account = scene.finish([worker]).await;
    assert_eq!((account.records, account.quarantined), (800, 80), "{account}");
}
