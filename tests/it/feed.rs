//! A feed is held to the naive reader: walked to its end, both tell the same rows of each log.
//!
//! In: events over several logs, batches over some of them, filters. Out: nothing, or the feed on
//! which ClickHouse and the naive reader differ.
//!
//! # Invariants
//! - A walk ends: what a page does not tell moves the positions on all the same.
//!
//! Deliberately unknown here: HTTP, tails.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use trailhouse::event::{LogId, OffsetRange, StoredEvent};
use trailhouse::query::memory::MemoryReader;
use trailhouse::query::{EventReader, Extents, FeedQuery, Filter, Positions, TenantScope, log_of};
use trailhouse::warehouse::{ReadCost, Warehouse};

use crate::harness;
use crate::reading::{filter, sample, scope, store};

/// Each event into one of five logs, three rows to a record, and a hole here and there.
fn spread(events: &mut [StoredEvent]) {
    for (number, event) in events.iter_mut().enumerate() {
        let (log, place) = (number % 5, number / 5);
        event.kafka.topic = if log < 3 { "audit".into() } else { "@file/old".into() };
        event.kafka.incarnation = if log == 4 { "j".into() } else { "i".into() };
        event.kafka.partition = log as i32 % 3;
        event.kafka.offset = 1_000 + (place / 3 + place / 20 * 7) as i64;
        event.kafka.index = place as u32 % 3;
    }
}

/// Batches over each log up to an offset.
async fn complete(warehouse: &Warehouse, extents: &Extents) {
    for (log, range) in extents {
        let LogId { cluster, topic, incarnation, partition } = log;
        let middle = (range.first + range.last) / 2;
        for (first, last) in [(range.first, middle), (middle + 1, range.last)] {
            let insert = format!(
                "INSERT INTO batches (kafka_cluster, kafka_topic, kafka_incarnation, \
                 kafka_partition, first_offset, last_offset) VALUES ('{cluster}', '{topic}', \
                 '{incarnation}', {partition}, {first}, {last})"
            );
            warehouse.shard_of(log).run(&insert).await.unwrap();
        }
    }
}

/// What a feed tells of each log from its beginning, and where it stands then.
async fn walk(
    reader: &dyn EventReader,
    mut query: FeedQuery,
) -> (BTreeMap<LogId, Vec<String>>, Positions) {
    let mut told: BTreeMap<LogId, Vec<String>> = BTreeMap::new();
    while query.after.is_behind(&query.until) {
        let page = reader.feed(&query).await.unwrap();
        assert!(page.events.len() <= query.limit as usize);
        assert_ne!(page.next, query.after, "a page moves the feed on");
        for event in page.events {
            let text = serde_json::to_string(&event).unwrap();
            told.entry(log_of(&event.kafka)).or_default().push(text);
        }
        query.after = page.next;
    }
    (told, query.after)
}

#[test]
fn clickhouse_tells_of_each_log_what_the_naive_reader_tells() {
    hold_feeds_to_naive(&harness::clickhouse(), 40, &[0, 50_000]);
}

/// `page_bytes` are the limits of a page to choose from; one that is met breaks an answer off.
pub(crate) fn hold_feeds_to_naive(warehouse: &Warehouse, cases: u32, page_bytes: &'static [u64]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let mut events = sample(&mut runner);
    spread(&mut events);
    runtime.block_on(store(warehouse, &events));
    let naive = MemoryReader { events };
    let mut stored = runtime.block_on(naive.extents()).unwrap();
    // The last batch of each log is still on its way, and one log has none yet.
    stored.pop_last();
    for range in stored.values_mut() {
        *range = OffsetRange { first: range.first, last: range.last - 2 };
    }
    runtime.block_on(complete(warehouse, &stored));
    let until = runtime.block_on(warehouse.extents()).unwrap();
    assert_eq!(until, stored);

    let filter = prop_oneof![1 => Just(Filter::everything()), 3 => filter()];
    let limit = select(vec![20_u32, 100, 1000]);
    let page_bytes = select(page_bytes);
    runner
        .run(&(scope(), filter, limit, page_bytes), |(tenants, filter, limit, page_bytes)| {
            let cost = ReadCost { page_bytes, ..ReadCost::default() };
            let warehouse = warehouse.clone().with_cost(cost);
            let after = Positions::default();
            let query = FeedQuery { tenants, filter, after, until: until.clone(), limit };
            let (ours, naive) = runtime.block_on(async {
                (walk(&warehouse, query.clone()).await, walk(&naive, query.clone()).await)
            });
            prop_assert_eq!(ours, naive);
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_much_to_tell_does_not_keep_the_others_waiting() {
    let warehouse = tokio::task::spawn_blocking(harness::clickhouse).await.unwrap();
    for statement in [
        "INSERT INTO events (tenant, kafka_cluster, kafka_topic, kafka_partition, kafka_offset)
         SELECT 'acme', 'c', 'audit', 0, number FROM numbers(5000)",
        "INSERT INTO events (tenant, kafka_cluster, kafka_topic, kafka_partition, kafka_offset)
         SELECT 'acme', 'c', 'audit', 1, number FROM numbers(3)",
        "INSERT INTO batches (kafka_cluster, kafka_topic, kafka_partition, first_offset, last_offset)
         VALUES ('c', 'audit', 0, 0, 4999), ('c', 'audit', 1, 0, 2)",
    ] {
        warehouse.run(statement).await.unwrap();
    }
    let query = FeedQuery {
        tenants: TenantScope::Only(vec!["acme".into()]),
        filter: Filter::everything(),
        after: Positions::default(),
        until: warehouse.extents().await.unwrap(),
        limit: 10,
    };
    let page = warehouse.feed(&query).await.unwrap();
    let of = |partition| page.events.iter().filter(|e| e.kafka.partition == partition).count();
    assert_eq!((of(0), of(1)), (7, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_long_events_has_fewer_of_them_and_the_next_goes_on_behind() {
    let warehouse = tokio::task::spawn_blocking(harness::clickhouse).await.unwrap();
    for statement in [
        "INSERT INTO events (tenant, kafka_cluster, kafka_topic, kafka_partition, kafka_offset, changes_old)
         SELECT 'acme', 'c', 'audit', number % 2, intDiv(number, 2), repeat('x', 300000)
         FROM numbers(40)",
        "INSERT INTO batches (kafka_cluster, kafka_topic, kafka_partition, first_offset, last_offset)
         VALUES ('c', 'audit', 0, 0, 19), ('c', 'audit', 1, 0, 19)",
    ] {
        warehouse.run(statement).await.unwrap();
    }
    let megabyte = ReadCost { page_bytes: 1_000_000, ..ReadCost::default() };
    let warehouse = warehouse.with_cost(megabyte);
    let mut query = FeedQuery {
        tenants: TenantScope::All,
        filter: Filter::everything(),
        after: Positions::default(),
        until: warehouse.extents().await.unwrap(),
        limit: 1_000,
    };
    let mut told: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    while query.after.is_behind(&query.until) {
        let page = warehouse.feed(&query).await.unwrap();
        assert!((1..=3).contains(&page.events.len()), "{} of 300 kB", page.events.len());
        for event in page.events {
            told.entry(event.kafka.partition).or_default().push(event.kafka.offset);
        }
        query.after = page.next;
    }
    let all: Vec<i64> = (0..20).collect();
    assert_eq!(told, BTreeMap::from([(0, all.clone()), (1, all)]));
}
