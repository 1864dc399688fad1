//! What a token stands for: one insert as a whole, in however many slices it was sent.
//!
//! In: inserts under one token, in slices cut here or there. Out: the rows that are stored.
//!
//! # Invariants
//! - The engine is a real one: which block has which token is ClickHouse's own doing.
//!
//! Deliberately unknown here: Kafka, who inserts when.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use trailhouse::event::{
    Actor, AuditEvent, LogId, Micros, OffsetRange, Origin, Outcome, Target, TimeSource, Verb,
};
use trailhouse::warehouse::block::EventBlock;
use trailhouse::warehouse::{InsertError, RowStream, Table, Token, Warehouse};
use uuid::Uuid;

use crate::harness::clickhouse;

/// Rows by offset and month of 2026; one list for each slice.
type Slices = &'static [&'static [(i64, i64)]];

const MONTH: Micros = 31 * 86_400 * 1_000_000;
/// 2026-01-01.
const BEGIN: Micros = 1_767_225_600_000_000;

fn log() -> LogId {
    let (cluster, topic, incarnation) = ("c".into(), "t".into(), "i".into());
    LogId { cluster, topic, incarnation, partition: 0 }
}

fn event(word: &str, occurred_at: Micros) -> AuditEvent<'_> {
    AuditEvent {
        source_id: word,
        tenant: "acme",
        schema: "shop",
        mapping_version: 1,
        occurred_at,
        time_source: TimeSource::Event,
        service: word,
        action: word,
        verb: Verb::Other,
        outcome: Outcome::Unknown,
        reason: "",
        actor: Actor::default(),
        target: Target::default(),
        targets: &[],
        origin: Origin::Unknown,
        client_ip: Ipv6Addr::UNSPECIFIED,
        user_agent: "",
        country: "",
        region: "",
        session_id: "",
        request_id: "",
        correlation_id: "",
        message: "",
        changes_old: "",
        changes_new: "",
        attributes: &[],
        written_by: "",
        headers: &[],
        raw: "{}",
    }
}

/// Insert slices under the one token of these tests.
async fn insert(warehouse: &Warehouse, slices: Slices) {
    let token = Token::of(&log(), OffsetRange { first: 0, last: 9 });
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match warehouse.insert(Table::Events, &token, 4 << 20, making(slices)).await {
            Ok(()) => return,
            // The one before is answered, and still listed as running.
            Err(InsertError::Retry(why)) if why.contains("Code: 216") => {
                assert!(Instant::now() < deadline, "{why}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn making(
    slices: Slices,
) -> impl FnOnce(&mut RowStream) -> Result<(), InsertError> + Send + 'static {
    move |to| {
        for slice in slices {
            let mut block = EventBlock::new(&log());
            for (offset, month) in *slice {
                // Each slice has other words in its dictionaries.
                let word = format!("word-{offset}");
                let event = event(&word, BEGIN + month * MONTH);
                block.push(&event, Uuid::from_u128(*offset as u128), (*offset, 0), BEGIN).unwrap();
            }
            to.push(&block.finish().unwrap()).unwrap();
        }
        Ok(())
    }
}

async fn stored(warehouse: &Warehouse) -> Vec<String> {
    let rows =
        "SELECT concat(toString(kafka_offset), ' ', action) FROM events ORDER BY kafka_offset";
    warehouse.read(rows).await.unwrap()
}

async fn fresh() -> Warehouse {
    tokio::task::spawn_blocking(clickhouse).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_of_one_insert_become_one_part_and_each_keeps_its_words() {
    let warehouse = fresh().await;
    insert(&warehouse, &[&[(0, 0), (1, 0)], &[(2, 0)], &[(3, 0), (4, 0)]]).await;
    let expected: Vec<String> = (0..5).map(|offset| format!("{offset} word-{offset}")).collect();
    assert_eq!(stored(&warehouse).await, expected);
    let parts = "SELECT toString(count()) FROM system.parts WHERE active AND table = 'events' \
                 AND database = currentDatabase()";
    assert_eq!(warehouse.read(parts).await.unwrap(), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_is_swallowed_however_it_is_cut() {
    let warehouse = fresh().await;
    insert(&warehouse, &[&[(0, 0), (1, 0)]]).await;
    let before = stored(&warehouse).await;
    // As a version that cuts more finely would send it, late.
    insert(&warehouse, &[&[(0, 0)], &[(1, 0)], &[(2, 0)]]).await;
    assert_eq!(stored(&warehouse).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_original_of_more_slices_adds_nothing_to_what_was_missing_of_it() {
    let warehouse = fresh().await;
    let original: Slices = &[&[(0, 0), (1, 1)], &[(2, 0), (3, 1)], &[(4, 0), (5, 1)]];
    insert(&warehouse, original).await;
    let before = stored(&warehouse).await;
    // As if the second month's part had failed: what is missing is made again, in fewer slices.
    warehouse.run("ALTER TABLE events DROP PARTITION 202602").await.unwrap();
    insert(&warehouse, &[&[(1, 1), (3, 1), (5, 1)]]).await;
    insert(&warehouse, original).await;
    // ClickHouse remembers the token of a part that was dropped, too: nothing is stored twice.
    let after = stored(&warehouse).await;
    let rows: std::collections::BTreeSet<&String> = after.iter().collect();
    assert_eq!(rows.len(), after.len(), "{after:?}");
    assert!(after.iter().all(|row| before.contains(row)), "{after:?}");
}
