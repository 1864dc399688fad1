//! `check --connect` over a cluster: each server of each shard is named with what is wrong with it.
//!
//! In: two ClickHouse servers that are the shards of one cluster, with one fault each. Out: what is
//! found.
//!
//! # Invariants
//! - One fault, one `FAIL`, and it names the shard.
//!
//! Deliberately unknown here: how anything is asked.

use trailhouse::app::doctor::examine;
use trailhouse::config::Loaded;
use trailhouse::warehouse::{Warehouse, migrate};

use super::{failures, now, one, whole};
use crate::harness::cluster_config;

/// A set-up that works, over two shards.
async fn sharded() -> (Loaded, Warehouse) {
    let mut loaded = whole().await;
    loaded.config.clickhouse = tokio::task::spawn_blocking(cluster_config).await.unwrap();
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    migrate::up(&warehouse, false).await.unwrap();
    (loaded, warehouse)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shard_is_told_with_its_version_its_clock_and_its_tables() {
    let (loaded, warehouse) = sharded().await;
    let findings = examine(&loaded, now).await.unwrap();
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.iter().all(|finding| finding.found.is_ok()), "{told:#?}");
    for shard in warehouse.shards() {
        let place = shard.place();
        for wanted in [
            format!("ok    clickhouse {place}: version 2"),
            format!("ok    clock of clickhouse {place}: within"),
            format!("ok    tables of database {} at {place}: up to date", shard.database()),
        ] {
            assert!(told.iter().any(|line| line.starts_with(&wanted)), "{wanted} in {told:#?}");
        }
    }
    let over_all = "questions over all shards at http://";
    assert!(told.iter().any(|line| line.contains(over_all)), "{told:#?}");
    let late = || now() + 3_600_000_000;
    let failed = failures(&loaded, late).await;
    assert!(
        failed.len() == 2 && failed[1].contains("clock of clickhouse shard 2, "),
        "{failed:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_down_is_named_with_its_number_and_the_other_is_looked_at() {
    let (mut loaded, _) = sharded().await;
    loaded.config.clickhouse.shards[1].urls = vec!["http://127.0.0.1:1".to_owned()];
    let words =
        ["clickhouse shard 2, http://127.0.0.1:1: no ClickHouse answers", "clickhouse.shards"];
    one(&loaded, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_missing_on_one_shard_or_over_all_is_named_with_the_place() {
    let (loaded, warehouse) = sharded().await;
    let database = warehouse.database().to_owned();
    let shard = &warehouse.shards()[1];
    let all = format!("DROP TABLE `{database}_all`.gaps SYNC");
    // Questions go to the second server.
    shard.run(&all).await.unwrap();
    let fix = "run `trailhouse migrate up`";
    one(&loaded, &[&format!("table {database}_all.gaps at http://"), fix]).await;
    migrate::up(&warehouse, false).await.unwrap();
    assert_eq!(failures(&loaded, now).await, [""; 0]);

    shard.run("DROP TABLE batches SYNC").await.unwrap();
    let named = format!("table {database}.batches at {}: is not there", shard.place());
    one(&loaded, &[&named, "deploy/clickhouse/0003_batches.sql"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_forgets_tokens_and_one_without_migrations_are_named() {
    let (loaded, warehouse) = sharded().await;
    let shard = &warehouse.shards()[0];
    let forget = "ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 0";
    shard.run(forget).await.unwrap();
    let place = shard.place();
    one(&loaded, &[&format!("at {place}: "), "forgets insert tokens"]).await;
    shard.run("TRUNCATE TABLE schema_migrations").await.unwrap();
    one(&loaded, &[&format!("at {place}: "), "lacks migration 0001_events"]).await;
}
