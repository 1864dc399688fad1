//! A backfill without Kafka: a file's lines under positions of its own lane.
//!
//! In: an NDJSON file. Out: rows, once however often it is ingested.
//!
//! # Invariants
//! - Offsets are line numbers from 0.
//!
//! Deliberately unknown here: Kafka.

use std::io::Write as _;

use trailhouse::app::ingest::{FileIngest, run};
use trailhouse::warehouse::Warehouse;

use crate::harness::loaded;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_stored_once_however_often_it_is_ingested() {
    let loaded = loaded(&[]).await;
    let mut file = tempfile::NamedTempFile::with_suffix(".ndjson").unwrap();
    for n in 0..500 {
        let line = format!(
            "{{\"id\":\"{n}\",\"source\":\"iam\",\"action\":\"project.create\",\
             \"actor\":{{\"id\":\"ann\",\"type\":\"user\",\"name\":\"Ann\"}},\
             \"target\":{{\"id\":\"p\",\"type\":\"project\",\"name\":\"P\"}},\
             \"created_at\":\"2026-01-01T00:00:00Z\"}}"
        );
        // Line endings of both kinds, and lines of nothing, are no part of a record.
        write!(file, "{line}{}", if n % 2 == 0 { "\r\n" } else { "\n\n" }).unwrap();
    }
    write!(file, "not json").unwrap();
    file.flush().unwrap();
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    for (run_number, (records, passed_over)) in [(501, 0), (0, 501)].into_iter().enumerate() {
        let mut loaded = loaded.clone();
        // Other batches would have other tokens: what is stored is found, not only swallowed.
        loaded.config.pipeline.batch_records = 100 + 37 * run_number;
        let what = FileIngest { file: file.path(), schema: "frontier", tenant: Some("acme") };
        let done = run(loaded, what).await.unwrap();
        assert!(done.drained);
        assert_eq!((done.records, done.passed_over), (records, passed_over));
        let stored = warehouse.read("SELECT toString(count()) FROM events").await.unwrap();
        assert_eq!(stored, ["500"]);
        let bad = warehouse
            .read("SELECT concat(tenant, ' ', reason, ' ', toString(kafka_offset), ' ', raw) FROM quarantine")
            .await;
        assert_eq!(bad.unwrap(), ["acme not_json 750 not json"]);
    }
    let raw = warehouse.read("SELECT raw FROM events WHERE source_id = '7'").await.unwrap();
    assert!(raw[0].ends_with("Z\"}"), "{raw:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_is_named() {
    let loaded = loaded(&[]).await;
    let file = std::path::Path::new("/nowhere/events.ndjson");
    let what = FileIngest { file, schema: "frontier", tenant: None };
    let error = run(loaded, what).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/events.ndjson"), "{error}");
}
