//! Holds, erasure and retention over two shards: a tenant's rows are on both.
//!
//! In: records of several people and tenants, on both partitions of a topic. Out: rows, reports, receipts.
//!
//! # Invariants
//! - Whatever ends, verify with digests finds nothing lost and nothing altered.
//! - What was done is on record beside the rows it was done to, and counted once.
//!
//! Deliberately unknown here: replicas.

use std::collections::BTreeMap;

use trailhouse::app::audit::receipt;
use trailhouse::app::lifecycle::{Holding, Task, run};
use trailhouse::app::retire::{Erasure, erase, retire};
use trailhouse::audit::State;
use trailhouse::config::Loaded;
use trailhouse::gateway::Outgoing;
use trailhouse::warehouse::{NewHold, Warehouse};
use uuid::Uuid;

use super::{fresh, loaded, logs};
use crate::harness::{produce, serve, unique, until_stored};
use crate::lifecycle::{asked, count, days_ago, ended, event, of, one, report, rows, sum};

/// 20 events of ann and 20 of bob, 10 old ones of another tenant, 6 records of ann that are quarantined.
fn records() -> Vec<Outgoing> {
    let (now, old) = (days_ago(1), days_ago(400));
    let ours = (0..40).map(|n| event("acme", ["ann", "bob"][n as usize % 2], "p", &now, n));
    let others = (40..50).map(|n| event("beta", "carl", "p", &old, n));
    let broken = (0..6).map(|_| of("acme", "{\"actor\": \"ann\""));
    let all = ours.chain(others).chain(broken).enumerate();
    // By their keys they are on both partitions, and these on both shards.
    all.map(|(n, record)| Outgoing { key: n.to_string(), ..record }).collect()
}

async fn stored() -> (Loaded, Warehouse) {
    let topic = unique("lifecycle");
    let loaded = loaded(&[(&topic, "frontier")]).await;
    produce(&topic, records()).await;
    let service = serve(&loaded).await;
    until_stored(&loaded).await;
    service.stop().await.unwrap();
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    (loaded, warehouse)
}

async fn told(loaded: &Loaded, task: Task) -> (bool, String) {
    let mut out = Vec::new();
    let is_whole = run(loaded, task, &mut out).await.unwrap();
    (is_whole, String::from_utf8(out).unwrap())
}

/// Rows of a table of each shard by itself.
async fn on_each(warehouse: &Warehouse, table: &str) -> Vec<u64> {
    let mut found = Vec::new();
    for shard in warehouse.shards() {
        found.push(count(shard, table, "1").await);
    }
    found
}

fn of_person(subject: &str, delete: bool) -> Erasure {
    Erasure { tenant: "acme".into(), subject: subject.into(), anywhere: false, delete }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_erased_on_every_shard_and_a_hold_keeps_another_on_every_shard() {
    let (loaded, warehouse) = stored().await;
    let holding = Holding {
        tenant: "acme".into(),
        subject: Some("bob".into()),
        asked: asked(),
        ..Holding::default()
    };
    let (_, out) = told(&loaded, Task::Hold(holding)).await;
    assert!(out.contains("keeps 20 events of acme now"), "{out}");
    assert_eq!(on_each(&warehouse, "holds").await, [1, 1]);

    let outcome = erase(&loaded, &of_person("ann", false), &asked()).await.unwrap();
    assert_eq!(ended(&outcome, "acme"), rows(20, 6, 0));
    let is_there = "tenant = 'acme' AND toString(tuple(*)) LIKE '%ann%'";
    assert_eq!(count(&warehouse, "events", is_there).await, 0);
    assert_eq!(count(&warehouse, "quarantine", "1").await, 0);
    // Beside the rows that ended, on each shard its own; added up, each once.
    let [first, second] = &logs(&warehouse, "retired").await[..] else { panic!("two shards") };
    assert!(first.len() == 1 && second.len() == 1 && first != second, "{first:?} {second:?}");
    assert_eq!(on_each(&warehouse, "retired").await.iter().sum::<u64>(), 26);
    let ended_rows = "SELECT toString(tuple(sum(event_rows), sum(quarantined_rows), uniqExact(id))) \
                      FROM retirements WHERE standing = 'done'";
    assert_eq!(one(&warehouse, ended_rows).await, "(20,6,1)");
    let found = report(&loaded).await;
    assert!(found.good && sum(&found, |offsets| offsets.retired) == 26, "{found}");
    for shard in warehouse.shards() {
        let position = "SELECT concat(kafka_topic, ' ', toString(kafka_partition), ' ', toString(kafka_offset)) \
                        FROM retired WHERE place = 'events' LIMIT 1";
        let position = one(shard, position).await;
        let [topic, partition, offset] = position.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{position}");
        };
        let place = (partition.parse().unwrap(), offset.parse().unwrap());
        let receipt = receipt(&loaded, topic, place.0, place.1).await.unwrap();
        assert_eq!((receipt.state, receipt.is_good()), (State::Retired, true), "{receipt}");
        assert_eq!(&*receipt.retired[0].kind, "erasure", "{receipt}");
    }
    let again = erase(&loaded, &of_person("ann", false), &asked()).await.unwrap();
    assert!(again.tenants.is_empty(), "{again:?}");

    let (is_whole, out) = told(&loaded, Task::Erase(of_person("bob", true), asked())).await;
    assert!(!is_whole && out.contains("20 rows kept by a hold"), "{out}");
    let id = one(&warehouse, "SELECT DISTINCT toString(id) FROM holds").await;
    told(&loaded, Task::Release { id, asked: asked() }).await;
    assert_eq!(on_each(&warehouse, "holds").await, [2, 2]);
    let (_, out) = told(&loaded, Task::Holds).await;
    assert!(out.lines().count() == 2 && out.contains("released by tester"), "{out}");
    let (is_whole, out) = told(&loaded, Task::Erase(of_person("bob", true), asked())).await;
    assert!(is_whole && out.contains("20 events deleted"), "{out}");
    let found = report(&loaded).await;
    assert!(found.good && sum(&found, |offsets| offsets.retired) == 46, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_its_tenants_days_ends_on_every_shard() {
    let (mut loaded, warehouse) = stored().await;
    loaded.config.retention.tenants = BTreeMap::from([("beta".to_owned(), 365)]);
    let outcome = retire(&loaded, &asked()).await.unwrap();
    assert_eq!(ended(&outcome, "beta"), rows(10, 0, 0));
    assert_eq!(outcome.tenants.len(), 1, "{outcome:?}");
    assert_eq!(count(&warehouse, "events", "1").await, 40);
    let found = report(&loaded).await;
    assert!(found.good && sum(&found, |offsets| offsets.retired) == 10, "{found}");
    // Replicas would each look into other tables for themselves.
    loaded.config.clickhouse.replicated = true;
    let refused = retire(&loaded, &asked()).await.unwrap_err().to_string();
    assert!(refused.contains("do not know replicas yet"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_on_one_shard_alone_is_told_and_stands_until_it_is_released_on_all() {
    let (config, warehouse) = fresh().await;
    let mut loaded = loaded(&[]).await;
    loaded.config.clickhouse = config;
    let hold = NewHold {
        id: Uuid::from_u128(7),
        tenant: "acme".into(),
        subject: String::new(),
        since: None,
        until: None,
        reason: "case 17".into(),
        acted_by: "ann".into(),
    };
    // As if the second shard had gone away meanwhile.
    let first = &warehouse.shards()[0];
    first.place_hold(&hold).await.unwrap();
    let (_, out) = told(&loaded, Task::Holds).await;
    assert!(out.contains("stands on 1 of 2 shards: place it again"), "{out}");
    warehouse.place_hold(&hold).await.unwrap();
    let (_, out) = told(&loaded, Task::Holds).await;
    assert!(out.contains("  stands\n"), "{out}");

    let [placed] = &warehouse.holds().await.unwrap()[..] else { panic!("one hold") };
    first.release_hold(placed, "closed", "ann").await.unwrap();
    assert_eq!(warehouse.holds().await.unwrap()[0].released_by, "");
    let (_, out) = told(&loaded, Task::Holds).await;
    assert!(out.contains("stands on 1 of 2 shards"), "{out}");
    told(&loaded, Task::Release { id: placed.id.to_string(), asked: asked() }).await;
    assert_ne!(warehouse.holds().await.unwrap()[0].released_by, "");
}
