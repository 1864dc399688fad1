//! Counts, histograms, facets and exports are held to the naive reader, as pages are.
//!
//! In: the events and the filters that pages are asked with. Out: nothing, or the question on which
//! ClickHouse and the naive reader differ.
//!
//! # Invariants
//! - Times are microseconds since the Unix epoch.
//!
//! Deliberately unknown here: HTTP.

use std::future::poll_fn;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value};
use trailhouse::event::StoredEvent;
use trailhouse::query::memory::MemoryReader;
use trailhouse::query::{
    Chunks, EventReader, ExportFormat, Facet, Filter, Interval, ReadError, Selection, TenantScope,
    Window,
};
use trailhouse::warehouse::Warehouse;

use crate::harness;
use crate::reading::{event, field, filter, sample, scope, store, window};

const EVER: Window = Window { from: i64::MIN, to: i64::MAX };

fn selection() -> impl Strategy<Value = Selection> {
    let filter = prop_oneof![1 => Just(Filter::everything()), 3 => filter()];
    (scope(), window(), filter).prop_map(|(tenants, window, filter)| Selection {
        tenants,
        window,
        filter,
    })
}

fn facet() -> impl Strategy<Value = Facet> {
    let words = select(Facet::WORDS.map(|(_, facet)| facet).to_vec());
    prop_oneof![4 => field().prop_map(Facet::Text), 1 => words]
}

fn all(tenants: TenantScope) -> Selection {
    Selection::new(tenants, EVER)
}

#[test]
fn clickhouse_counts_what_the_naive_reader_counts() {
    hold_counts_to_naive(&harness::clickhouse(), 150);
}

pub(crate) fn hold_counts_to_naive(warehouse: &Warehouse, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let events = sample(&mut runner);
    runtime.block_on(store(warehouse, &events));
    let naive = MemoryReader { events };

    let interval = select(Interval::ALL.to_vec());
    let limit = select(vec![0_u32, 1, 2, 100]);
    runner
        .run(&(selection(), interval, facet(), limit), |(selection, interval, facet, limit)| {
            runtime.block_on(async {
                let ours = warehouse.count(&selection).await.unwrap();
                prop_assert_eq!(ours, naive.count(&selection).await.unwrap());
                let ours = warehouse.histogram(&selection, interval).await.unwrap();
                prop_assert_eq!(ours, naive.histogram(&selection, interval).await.unwrap());
                let ours = warehouse.facets(&selection, &facet, limit).await.unwrap();
                prop_assert_eq!(ours, naive.facets(&selection, &facet, limit).await.unwrap());
                Ok(())
            })
        })
        .unwrap();
}

#[test]
fn an_export_as_ndjson_is_the_events_of_the_native_api() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let warehouse = harness::clickhouse();
    let mut runner =
        TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let mut events = sample(&mut runner);
    for event in &mut events {
        event.raw = Some(format!("{{\"action\":{}}}", serde_json::json!(event.action)));
    }
    runtime.block_on(store(&warehouse, &events));
    let naive = MemoryReader { events };

    let limit = select(vec![None, Some(0), Some(7)]);
    runner
        .run(&(selection(), limit), |(selection, limit)| {
            let lines = |reader: &dyn EventReader| {
                let chunks = reader.export(&selection, ExportFormat::Ndjson, limit);
                let bytes = runtime.block_on(async { taken(chunks.await.unwrap()).await.unwrap() });
                let text = String::from_utf8(bytes).unwrap();
                let line = |line: &str| as_native(serde_json::from_str(line).unwrap());
                text.lines().map(line).collect::<Vec<Value>>()
            };
            let (ours, naive) = (lines(&warehouse), lines(&naive));
            let place = |event: &Value| (event["occurred_at"].to_string(), event["id"].to_string());
            let places = |events: &[Value]| events.iter().map(place).collect::<Vec<_>>();
            prop_assert_eq!(places(&ours), places(&naive), "newest first");
            // Repeats stand in no order.
            let sorted = |mut events: Vec<Value>| {
                events.sort_by_key(Value::to_string);
                events
            };
            if limit.is_none() {
                prop_assert_eq!(sorted(ours), sorted(naive));
            }
            Ok(())
        })
        .unwrap();
}

/// What the native API would say: nothing of what is absent, no `raw`, `changes` as JSON.
fn as_native(mut event: Value) -> Value {
    for change in event["changes"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(text) = change.as_str().filter(|text| !text.is_empty()) {
            *change = serde_json::from_str(text).unwrap();
        }
    }
    let event = event.as_object_mut().unwrap();
    for left_out in ["raw", "repeats"] {
        event.remove(left_out);
    }
    for field in ["actor", "target", "changes", "kafka"] {
        if let Some(Value::Object(parts)) = event.get_mut(field) {
            parts.retain(|_, part| *part != Value::String(String::new()));
        }
    }
    for target in event.get_mut("targets").and_then(Value::as_array_mut).into_iter().flatten() {
        target.as_object_mut().unwrap().retain(|_, part| *part != Value::String(String::new()));
    }
    let is_absent = |value: &Value| match value {
        Value::String(text) => text.is_empty(),
        Value::Object(parts) => parts.is_empty(),
        Value::Array(parts) => parts.is_empty(),
        _ => false,
    };
    // An actor, an action and the changes' null are there even when they are empty.
    event.retain(|name, value| ["actor", "action"].contains(&&**name) || !is_absent(value));
    Value::Object(event.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_of_csv_that_a_spreadsheet_would_run_is_made_harmless() {
    let warehouse = fresh().await;
    let texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "plain", "a=b", "'=1", "\"q\",\n"];
    let mut runner = TestRunner::deterministic();
    let mut events: Vec<StoredEvent> = Vec::new();
    for (number, text) in texts.into_iter().enumerate() {
        let mut event = event().new_tree(&mut runner).unwrap().current();
        event.occurred_at = 1_706_745_600_000_000 - number as i64;
        event.tenant = "acme".into();
        event.action = text.into();
        event.attributes = [(text.to_owned(), text.to_owned())].into();
        events.push(event);
    }
    store(&warehouse, &events).await;
    let chunks = warehouse.export(&all(TenantScope::All), ExportFormat::Csv, None).await.unwrap();
    let text = String::from_utf8(taken(chunks).await.unwrap()).unwrap();
    let rows = csv(&text);
    let column = |name: &str| rows[0].iter().position(|column| column == name).unwrap();
    let actions: Vec<&str> = rows[1..].iter().map(|row| row[column("action")].as_str()).collect();
    let wanted = ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "'\r=1", "plain", "a=b", "'=1"];
    assert_eq!(actions[..9], wanted);
    assert_eq!(actions[9], "\"q\",\n");
    assert_eq!(rows[1][column("actor.id")], events[0].actor.id);
    assert_eq!(rows[1][column("occurred_at")], "2024-02-01T00:00:00.000000Z");
    for cell in rows.iter().flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_is_whole_and_an_empty_scope_takes_nothing_away() {
    let warehouse = fresh().await;
    let mut runner = TestRunner::deterministic();
    let mut events = vec![event().new_tree(&mut runner).unwrap().current()];
    events[0].tenant = "acme".into();
    store(&warehouse, &events).await;
    let everything = all(TenantScope::All);
    let chunks = warehouse.export(&everything, ExportFormat::Parquet, None).await.unwrap();
    let bytes = taken(chunks).await.unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{} bytes", bytes.len());
    let nobody = all(TenantScope::Only(Vec::new()));
    let chunks = warehouse.export(&nobody, ExportFormat::Ndjson, None).await.unwrap();
    assert_eq!(taken(chunks).await.unwrap(), b"");
    assert_eq!(warehouse.count(&nobody).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_fails_behind_its_first_bytes_ends_with_an_error() {
    let warehouse = fresh().await;
    for statement in [
        "INSERT INTO events (id, tenant, occurred_at, message, kafka_offset)
         SELECT toUUID('00000000-0000-0000-0000-000000000001'), 'acme',
                fromUnixTimestamp64Micro(1706745600000000 - toInt64(number), 'UTC'),
                repeat('x', 500), number FROM numbers(60000)",
        "RENAME TABLE events TO stored",
        // The oldest row cannot be read, long after the newest have gone out.
        "CREATE VIEW events AS SELECT * REPLACE (
             if(throwIf(kafka_offset = 59999) = 0, message, '') AS message) FROM stored",
    ] {
        warehouse.run(statement).await.unwrap();
    }
    let acme = all(TenantScope::Only(vec!["acme".into()]));
    for format in ExportFormat::ALL {
        let chunks = warehouse.export(&acme, format, None).await;
        let told = match chunks {
            Ok(chunks) => taken(chunks).await,
            // Parquet has a first byte only when it has a whole group of rows.
            Err(error) => Err((Vec::new(), error)),
        };
        let (before, error) = told.unwrap_err();
        assert!(matches!(error, ReadError::Failed(_)), "{format:?}: {error}");
        assert_eq!(before.is_empty(), format == ExportFormat::Parquet, "{format:?}");
    }
}

async fn fresh() -> Warehouse {
    tokio::task::spawn_blocking(harness::clickhouse).await.unwrap()
}

/// All bytes of an export; where it fails, those before and the error.
async fn taken(mut chunks: Chunks) -> Result<Vec<u8>, (Vec<u8>, ReadError)> {
    let mut bytes = Vec::new();
    while let Some(chunk) = poll_fn(|context| chunks.as_mut().poll_next(context)).await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => return Err((bytes, error)),
        }
    }
    Ok(bytes)
}

/// Rows of cells: quoted ones may hold commas, lines and doubled quotes.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => cell.extend(rest.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    rows
}
