//! A cluster of two ClickHouse servers: each log on one of them, every question over both.
//!
//! In: two real engines that know each other as shards. Out: what a single server would answer.
//!
//! # Invariants
//! - The naive reader that one server is held to is the one that two are held to.
//! - What is on which shard is asked of the shard itself, past the Distributed tables.
//!
//! Deliberately unknown here: replication, which does not run on one machine; src/warehouse/ddl.rs
//! holds its statements as text.

mod retire;

use std::collections::BTreeSet;
use std::sync::Arc;

use trailhouse::access::{KeyReader as _, Role};
use trailhouse::app::audit::{receipt, verify};
use trailhouse::app::key::{self, NewKey};
use trailhouse::app::replay::Selection;
use trailhouse::app::{fit_to_insert, up_to_date};
use trailhouse::audit::Scope;
use trailhouse::config::Loaded;
use trailhouse::demo::{CLUSTER, ClickHouseServer, USER, generate};
use trailhouse::event::LogId;
use trailhouse::gateway::Outgoing;
use trailhouse::query::{EventReader as _, ReadError, Selection as Asked, TenantScope, Window};
use trailhouse::warehouse::{ClickHouseConfig, ShardConfig, Warehouse, migrate};

use crate::counting::hold_counts_to_naive;
use crate::feed::hold_feeds_to_naive;
use crate::harness::{
    cluster_config, exe, get, loaded_over, migrated, produce, serve, tally, unique, until_stored,
};
use crate::quarantine::{SOLD, Scene};
use crate::reading::{hold_ids_to_naive, hold_pages_to_naive};

/// 2026-01-01.
const AT: i64 = 1_767_225_600_000_000;

const EVER: Window = Window { from: i64::MIN, to: i64::MAX };

async fn loaded(topics: &[(&str, &str)]) -> Loaded {
    let config = tokio::task::spawn_blocking(cluster_config).await.unwrap();
    loaded_over(config, topics).await
}

async fn fresh() -> (ClickHouseConfig, Warehouse) {
    let made = tokio::task::spawn_blocking(|| {
        let config = cluster_config();
        let warehouse = migrated(&config);
        (config, warehouse)
    });
    made.await.unwrap()
}

fn generated(schema: &str, count: u64) -> Vec<Outgoing> {
    let made = (0..count).map(|n| generate::generate(schema, n, AT).unwrap());
    made.map(trailhouse::app::produce::outgoing).collect()
}

/// The logs that a table of each shard has rows of, as topic/partition.
async fn logs(warehouse: &Warehouse, table: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for shard in warehouse.shards() {
        let sql = format!(
            "SELECT DISTINCT concat(kafka_topic, '/', toString(kafka_partition)) AS log \
             FROM {table} ORDER BY log"
        );
        found.push(shard.read(&sql).await.unwrap());
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn each_log_is_stored_on_one_shard_and_every_question_sees_all_of_them_once() {
    let (okta, pace) = (unique("okta"), unique("pace"));
    let loaded = loaded(&[(&okta, "okta_system"), (&pace, "pace")]).await;
    produce(&okta, generated("okta_system", 300)).await;
    produce(&pace, generated("pace", 300)).await;
    let service = serve(&loaded).await;
    let stored = until_stored(&loaded).await;
    assert_eq!((stored.records, stored.quarantined, stored.duplicated), (600, 0, 0));

    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    for table in ["events", "batches"] {
        let [first, second] = &logs(&warehouse, table).await[..] else { panic!("two shards") };
        // Two partitions of a topic are neighbours, so each shard has one of them.
        assert_eq!((first.len(), second.len()), (2, 2), "{table}: {first:?} {second:?}");
        assert!(first.iter().all(|log| !second.contains(log)), "{first:?} {second:?}");
    }

    let everything = Asked::new(TenantScope::All, EVER);
    assert_eq!(warehouse.count(&everything).await.unwrap(), 600);
    let (status, page) = get(&service, "/v1/events?limit=1000&from=2025-01-01T00:00:00Z").await;
    assert_eq!((status, page["events"].as_array().map(Vec::len)), (200, Some(600)));
    service.stop().await.unwrap();

    let report = verify(&loaded, None, None, Scope { digests: true, ..Scope::default() });
    let report = report.await.unwrap();
    assert!(report.good && report.partitions.len() == 4, "{report}");
    for partition in [0, 1] {
        let found = receipt(&loaded, &okta, partition, 0).await.unwrap();
        let found = serde_json::to_value(&found).unwrap();
        assert_eq!(found["state"], "stored", "{found}");
    }
    // The view for people is over all shards, too.
    let seen = "SELECT toString(countIf(empty(retired_by))) FROM audit_events";
    let seen = warehouse.read(seen).await.unwrap();
    assert_eq!(seen, ["600"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_goes_on_where_the_first_stopped_on_either_shard() {
    let topic = unique("again");
    let loaded = loaded(&[(&topic, "cockpit")]).await;
    for _ in 0..2 {
        produce(&topic, generated("cockpit", 100)).await;
        let service = serve(&loaded).await;
        until_stored(&loaded).await;
        service.stop().await.unwrap();
    }
    // Another group begins at the beginning, and finds on each shard what is there.
    let mut other = loaded.clone();
    other.config.kafka.group = unique("other_group");
    produce(&topic, generated("cockpit", 10)).await;
    let service = serve(&other).await;
    until_stored(&other).await;
    service.stop().await.unwrap();
    let stored = tally(&loaded).await;
    assert_eq!((stored.records, stored.duplicated), (210, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantined_rows_of_both_shards_are_replayed_once_on_the_shard_of_their_lane() {
    let topic = unique("shop");
    let loaded = loaded(&[(&topic, "")]).await;
    let mut scene = Scene::over(loaded.clone(), topic.clone()).await;
    scene.mend();
    let first = scene.replay(&Selection::default()).await;
    assert_eq!((first.replayed, first.event_rows), (SOLD, SOLD));
    let second = scene.replay(&Selection::default()).await;
    assert_eq!((second.replayed, second.event_rows), (0, 0));
    scene.assert_stored_once().await;

    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    assert!(logs(&warehouse, "quarantine").await.iter().all(|logs| !logs.is_empty()));
    let lane = vec![format!("@replay/{topic}/0")];
    for table in ["events", "replays"] {
        let mut found = logs(&warehouse, table).await;
        found.sort();
        assert_eq!(found, [vec![], lane.clone()], "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_known_and_revoked_wherever_it_is_asked_for() {
    let loaded = loaded(&[]).await;
    let new = NewKey {
        name: "ci".into(),
        role: Role::Auditor,
        tenants: BTreeSet::new(),
        default_tenant: None,
        actor: None,
        account: None,
        resellers: BTreeSet::new(),
        signs: false,
        expires_at: None,
    };
    let mut out = Vec::new();
    key::create(&loaded, new, &mut out).await.unwrap();
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let prefixes = warehouse.prefixes().await.unwrap();
    let [prefix] = &prefixes.iter().collect::<Vec<_>>()[..] else { panic!("{prefixes:?}") };
    assert!(warehouse.key(prefix).await.unwrap().unwrap().revoked_at.is_none());
    key::revoke(&loaded, prefix, &mut out).await.unwrap();
    assert!(warehouse.key(prefix).await.unwrap().unwrap().revoked_at.is_some());
}

#[test]
fn two_shards_mean_by_a_query_what_the_naive_reader_means() {
    hold_pages_to_naive(&migrated(&cluster_config()), 100);
    hold_ids_to_naive(&migrated(&cluster_config()), 40);
}

#[test]
fn two_shards_count_and_feed_what_the_naive_reader_does() {
    hold_counts_to_naive(&migrated(&cluster_config()), 60);
    // No answer is broken off: a shard of the library ends when the one that asked it hangs up.
    hold_feeds_to_naive(&migrated(&cluster_config()), 25, &[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_computes_the_shard_of_a_log_as_we_do() {
    let (_, warehouse) = fresh().await;
    for (topic, partition) in [("audit.cockpit", 0), ("audit.cockpit", 11), ("@file/ä b", 0)] {
        let sql = format!(
            "SELECT toString((bitShiftRight(reinterpretAsUInt64(reverse(substring(SHA256(concat(\
             'main', '\\0', '{topic}')), 1, 8))), 1) + {partition}) % 2)"
        );
        let computed: usize = warehouse.read(&sql).await.unwrap()[0].parse().unwrap();
        let log = LogId {
            cluster: Arc::from("main"),
            topic: Arc::from(topic),
            incarnation: Arc::from("i"),
            partition,
        };
        let mark = format!("CREATE TABLE IF NOT EXISTS mark_{partition} (x UInt8) ENGINE = Memory");
        warehouse.shard_of(&log).run(&mark).await.unwrap();
        let sql = format!(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND name = 'mark_{partition}'"
        );
        let there = warehouse.shards()[computed].read(&sql).await.unwrap();
        assert_eq!(there.len(), 1, "{topic}/{partition} is on shard {}", computed + 1);
        warehouse.shard_of(&log).run(&format!("DROP TABLE mark_{partition} SYNC")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_in_another_order_or_number_are_refused_at_start() {
    let (config, warehouse) = fresh().await;
    up_to_date(&warehouse).await.unwrap();
    fit_to_insert(&warehouse).await.unwrap();

    let turned = ClickHouseConfig {
        shards: config.shards.iter().rev().cloned().collect(),
        ..config.clone()
    };
    let fewer = ClickHouseConfig { shards: config.shards[..1].to_vec(), ..config.clone() };
    let alone = ClickHouseConfig { cluster: String::new(), shards: Vec::new(), ..config.clone() };
    for (config, words) in [
        (turned, "it is shard 2 of 2, and the settings make it shard 1 of 2"),
        (fewer, "it is shard 1 of 2, and the settings make it shard 1 of 1"),
        (alone, "it is shard 2 of 2; set clickhouse.cluster"),
    ] {
        let other = Warehouse::connect(&config).unwrap();
        let error = up_to_date(&other).await.unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(migrate::up(&other, false).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_servers_tables_do_not_become_a_shard() {
    let config = tokio::task::spawn_blocking(cluster_config).await.unwrap();
    let alone = ClickHouseConfig {
        url: config.shards[0].urls[0].clone(),
        cluster: String::new(),
        shards: Vec::new(),
        ..config.clone()
    };
    migrate::up(&Warehouse::connect(&alone).unwrap(), false).await.unwrap();
    let cluster = Warehouse::connect(&config).unwrap();
    let error = migrate::up(&cluster, false).await.unwrap_err().to_string();
    assert!(error.contains("stands alone"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clickhouse_knows_of_the_cluster_is_compared_with_the_settings() {
    let (config, warehouse) = fresh().await;
    let misnamed = ClickHouseConfig { cluster: "nowhere".into(), ..config };
    let found = Warehouse::connect(&misnamed).unwrap().obstacles().await.unwrap();
    assert!(found.len() == 1 && found[0].contains("knows 0 shards"), "{found:?}");

    // A table of one shard that forgets tokens is told with its shard.
    let forget = "ALTER TABLE gaps MODIFY SETTING non_replicated_deduplication_window = 0";
    warehouse.shards()[1].run(forget).await.unwrap();
    let found = warehouse.obstacles().await.unwrap();
    assert!(found.len() == 1 && found[0].starts_with("shard 2, "), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_the_tables_get_is_seen_over_all_shards_after_migrating() {
    let (_, warehouse) = fresh().await;
    for shard in warehouse.shards() {
        shard.run("ALTER TABLE gaps ADD COLUMN my_own UInt8").await.unwrap();
    }
    assert!(warehouse.read("SELECT toString(any(my_own)) FROM gaps").await.is_err());
    assert!(migrate::up(&warehouse, false).await.unwrap().is_empty());
    warehouse.read("SELECT toString(any(my_own)) FROM gaps").await.unwrap();
    // Nothing is written past the choice of the shard.
    let error = warehouse.run("INSERT INTO gaps (kafka_partition) VALUES (1)").await.unwrap_err();
    assert!(error.to_string().contains("more than one shard"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_away_is_an_error_and_not_a_shorter_answer() {
    let started = tokio::task::spawn_blocking(|| {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths = dirs.each_ref().map(tempfile::TempDir::path);
        (ClickHouseServer::start_shards(&paths, exe()).unwrap(), dirs)
    });
    let (mut servers, _dirs) = started.await.unwrap();
    let shards = servers.iter().map(|server| ShardConfig { urls: vec![server.url()] }).collect();
    let config = ClickHouseConfig {
        url: servers[0].url(),
        user: USER.to_owned(),
        cluster: CLUSTER.to_owned(),
        shards,
        ..ClickHouseConfig::default()
    };
    let warehouse = Warehouse::connect(&config).unwrap();
    migrate::up(&warehouse, false).await.unwrap();
    let everything = Asked::new(TenantScope::All, EVER);
    assert_eq!(warehouse.count(&everything).await.unwrap(), 0);
    // Dropping it kills it.
    servers.truncate(1);
    let error = warehouse.count(&everything).await.unwrap_err();
    assert!(matches!(error, ReadError::Unavailable(_)), "{error}");
    assert!(up_to_date(&warehouse).await.is_err());
    tokio::task::spawn_blocking(move || drop(servers)).await.unwrap();
}
