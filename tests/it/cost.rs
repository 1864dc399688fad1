//! What a question may cost: what is held of its answer is bounded, whatever is stored and asked.
//!
//! In: events that came very often, that are very long, of tenants with very long names; filters
//! of very many conditions. Out: an answer, or the error that says it costs too much.
//!
//! # Invariants
//! - Times are microseconds since the Unix epoch.
//!
//! Deliberately unknown here: HTTP, what a filter means.

use trailhouse::event::Micros;
use trailhouse::query::{
    Direction, EventReader, Field, Filter, Order, Page, Query, ReadError, Selection, Start,
    TenantScope, TextTest, TimeField, Window,
};
use trailhouse::warehouse::{ReadCost, Warehouse};

use crate::harness;

/// 2026-01-01
const AT: Micros = 1_767_225_600_000_000;
const MEGABYTE: u64 = 1_000_000;

/// A store of which one page may hold a megabyte.
fn narrow() -> Warehouse {
    harness::clickhouse().with_cost(ReadCost { page_bytes: MEGABYTE, ..ReadCost::default() })
}

fn everything(limit: u32) -> Query {
    let window = Window { from: AT, to: AT + 1_000_000 };
    Query::new(Selection::new(TenantScope::All, window), limit)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_by_arrival_holds_none_of_the_repeats_that_arrived_at_another_time() {
    let warehouse = tokio::task::spawn_blocking(narrow).await.unwrap();
    let insert = format!(
        "INSERT INTO events (id, tenant, occurred_at, received_at, message, kafka_offset)
         SELECT toUUID('00000000-0000-8000-8000-000000000001'), 'acme',
                fromUnixTimestamp64Micro({AT}, 'UTC'),
                fromUnixTimestamp64Micro({AT} + toInt64(number), 'UTC'),
                repeat('x', 1000), number FROM numbers(20000)"
    );
    warehouse.run(&insert).await.unwrap();
    let order = Order::Time(TimeField::ReceivedAt, Direction::Descending);
    let mut query = Query { order, ..everything(10) };
    let mut arrived = Vec::new();
    for _ in 0..2 {
        let Page { events, next } = warehouse.page(&query).await.unwrap();
        arrived.extend(events.iter().map(|event| event.received_at - AT));
        query.start = Start::After(next.unwrap());
    }
    let newest_first: Vec<Micros> = (19_980..20_000).rev().collect();
    assert_eq!(arrived, newest_first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_would_be_too_long_is_too_costly_and_a_shorter_one_is_answered() {
    let warehouse = tokio::task::spawn_blocking(narrow).await.unwrap();
    let insert = format!(
        "INSERT INTO events (id, tenant, occurred_at, raw)
         SELECT generateUUIDv4(), 'acme', fromUnixTimestamp64Micro({AT} + toInt64(number), 'UTC'),
                repeat('x', 100000) FROM numbers(40)"
    );
    warehouse.run(&insert).await.unwrap();
    let asked = |limit| Query { raw: true, ..everything(limit) };
    let refused = warehouse.page(&asked(40)).await;
    let Err(ReadError::TooCostly(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("1000000 bytes"), "{why}");
    assert_eq!(warehouse.page(&asked(5)).await.unwrap().events.len(), 5);
    let without_raw = Query { raw: false, ..asked(40) };
    assert_eq!(warehouse.page(&without_raw).await.unwrap().events.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_conditions_than_a_statement_holds_are_too_costly_and_no_defect() {
    let warehouse = tokio::task::spawn_blocking(harness::clickhouse).await.unwrap();
    let any_of = |count: usize, bytes: usize| {
        let one = |number| {
            let text = format!("{number:0bytes$}");
            Filter::Text(Field::TargetId, TextTest::Is(text))
        };
        let mut query = everything(1);
        query.selection.filter = Filter::Any((0..count).map(one).collect());
        query
    };
    assert!(warehouse.page(&any_of(1_000, 500)).await.is_ok());
    for (count, bytes) in [(30_000, 1), (200, 30_000)] {
        let (page, query) = (warehouse.page(&any_of(count, bytes)).await, any_of(count, bytes));
        let Err(ReadError::TooCostly(why)) = page else { panic!("{count} of {bytes}: {page:?}") };
        assert!(why.contains("conditions"), "{why}");
        let count = warehouse.count(&query.selection).await;
        assert!(matches!(count, Err(ReadError::TooCostly(_))), "{count:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_tenants_with_long_names_is_answered() {
    let warehouse = tokio::task::spawn_blocking(harness::clickhouse).await.unwrap();
    let insert = format!(
        "INSERT INTO events (id, tenant, occurred_at)
         SELECT toUUID('00000000-0000-8000-8000-000000000001'), repeat('t', 500),
                fromUnixTimestamp64Micro({AT} + toInt64(number % 900), 'UTC') FROM numbers(1000)"
    );
    warehouse.run(&insert).await.unwrap();
    let page = warehouse.page(&everything(1_000)).await.unwrap();
    assert_eq!((page.events.len(), page.next), (900, None));
}
