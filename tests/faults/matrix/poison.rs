//! Records that nobody wants: each is stored or quarantined, and holds up none beside it.
//!
//! In: a table of payloads. Out: for each the reason of its quarantine, or its event.
//!
//! ```sh
//! SOAK_RECORDS=1000000 cargo test --test faults -- --ignored --exact --nocapture \
//!     matrix::poison::one_million_records_with_poison
//! ```
//!
//! # Invariants
//! - A good record stands between any two.
//!
//! Deliberately unknown here: how records are read; `tests/it/schema` has that.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::kafka::Record;
use crate::scene::{Scene, event};

const MAX_RECORD_BYTES: usize = 65_536;

/// Payload, and the reason it is quarantined for; none where it is an event.
fn poison() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = event(0, "2026-01-15T00:00:00Z");
    let with = |from: &str, to: &[u8]| {
        let text = String::from_utf8(good.clone()).unwrap();
        let (before, after) = text.split_once(from).unwrap();
        [before.as_bytes(), to, after.as_bytes()].concat()
    };
    let deep = format!("\"x\":{}1{},\"id\"", "[".repeat(5_000), "]".repeat(5_000));
    let large = format!("\"x\":\"{}\",\"id\"", "a".repeat(MAX_RECORD_BYTES));
    let date = |text: &str| event(1, text);
    vec![
        ("oversized", with("\"id\"", large.as_bytes()), "too_large"),
        ("not JSON", b"<xml/>".to_vec(), "not_json"),
        ("cut off", good[..good.len() - 5].to_vec(), "truncated"),
        ("nothing", Vec::new(), "empty"),
        ("deep nesting", with("\"id\"", deep.as_bytes()), "too_deep"),
        ("a key twice", with("\"id\"", b"\"id\":\"2\",\"id\""), "duplicate_key"),
        ("bad UTF-8", with("iam", b"i\xffm"), "bad_utf8"),
        ("a number", b"17".to_vec(), "not_an_object"),
        ("no source", with("\"source\"", b"\"sauce\""), "missing_field"),
        ("a zero byte", with("iam", b"i\\u0000m"), ""),
        ("a lone surrogate", with("iam", b"i\\ud800m"), "not_json"),
        ("the year 1", date("0001-01-01T00:00:00Z"), ""),
        ("1890", date("1890-05-05T00:00:00Z"), ""),
        ("the year 9999", date("9999-12-31T23:59:59Z"), ""),
        ("the year 2290", date("2290-01-01T00:00:00Z"), ""),
        ("no date", date("soon"), ""),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_records_are_quarantined_or_stored_and_hold_up_nothing() {
    let mut scene = Scene::new("poison", 1).await;
    scene.config.pipeline.max_record_bytes = MAX_RECORD_BYTES;
    let poison = poison();
    let good = || Record { payload: event(0, "2026-01-15T00:00:00Z"), ..Record::default() };
    let records = poison.iter().flat_map(|(_, payload, _)| {
        [good(), Record { payload: payload.clone(), ..Record::default() }]
    });
    scene.kafka.produce(&scene.topic, records);
    // Kafka's own timestamps, from 1970; what is later than now the broker itself refuses.
    let old = |at| Record { timestamp_ms: Some(at), ..good() };
    scene.kafka.produce(&scene.topic, [old(0), old(1)]);
    let account = scene.finish([scene.worker()]).await;
    assert_eq!(account.records, 2 * poison.len() as u64 + 2, "{account}");

    let reasons =
        "SELECT concat(toString(kafka_offset), ' ', reason) FROM quarantine ORDER BY kafka_offset";
    let refused = poison.iter().enumerate().filter(|(_, (_, _, reason))| !reason.is_empty());
    let wanted: Vec<String> =
        refused.map(|(at, (_, _, reason))| format!("{} {reason}", 2 * at + 1)).collect();
    assert_eq!(scene.ask(reasons).await, wanted);
    let months = scene.ask("SELECT toString(uniqExact(toYYYYMM(occurred_at))) FROM events").await;
    assert!(
        months[0].parse::<u32>().unwrap() <= 3,
        "dates sprayed over {months:?} table partitions"
    );
}

/// A worker with the product's own limits over records of which about one in ten thousand is poison.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "for minutes; asked for by name"]
async fn one_million_records_with_poison() {
    const PARTITIONS: u64 = 4;
    let records = std::env::var("SOAK_RECORDS").map_or(1_000_000, |text| text.parse().unwrap());
    let mut scene = Scene::new("million", PARTITIONS as i32).await;
    scene.ledger.patience = Duration::from_secs(1_200);
    let defaults = trailhouse::pipeline::PipelineConfig::default();
    scene.config.pipeline.batch_records = defaults.batch_records;
    scene.config.pipeline.batch_age_ms = defaults.batch_age_ms;
    scene.config.pipeline.max_record_bytes = MAX_RECORD_BYTES;
    scene.config.log.level = "info".to_owned();
    let mut poison = poison();
    poison.retain(|(_, _, reason)| !reason.is_empty());
    // A prime, so that it falls on every partition and now and then on the first of a batch.
    let which =
        |n: u64| n.is_multiple_of(9_973).then(|| &poison[(n / 9_973) as usize % poison.len()]);

    let begun = Instant::now();
    let mut wanted = Vec::new();
    for first in (0..records).step_by(50_000) {
        let numbers = first..records.min(first + 50_000);
        scene.kafka.produce(
            &scene.topic,
            numbers.map(|n| {
                let partition = n % PARTITIONS;
                let payload = which(n).map(|(_, payload, reason)| {
                    wanted.push((partition, n / PARTITIONS, *reason));
                    payload.clone()
                });
                let payload = payload.unwrap_or_else(|| event(n, "2026-01-15T00:00:00Z"));
                Record { partition: partition as i32, payload, ..Record::default() }
            }),
        );
    }
    let produced = begun.elapsed();
    let begun = Instant::now();
    let worker = scene.worker();
    // Settled means: no record is missing, none is there twice, and no partition has a lag.
    scene.settle().await;
    let settled = begun.elapsed();
    let retries = worker.metric("trailhouse_insert_retries_total").unwrap();
    let account = scene.finish([worker]).await;

    wanted.sort_unstable();
    let rows = "SELECT concatWithSeparator(' ', toString(kafka_partition), toString(kafka_offset), reason) \
                FROM quarantine ORDER BY kafka_partition, kafka_offset";
    let wanted: Vec<String> = wanted
        .iter()
        .map(|(partition, offset, why)| format!("{partition} {offset} {why}"))
        .collect();
    assert_eq!(scene.ask(rows).await, wanted, "exactly the poison is quarantined");
    let good = records - wanted.len() as u64;
    assert_eq!((account.records, account.stored), (records, good), "{account}");
    assert_eq!(retries, 0.0, "poison is no reason to insert again");
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &wanted {
        *reasons.entry(row.rsplit(' ').next().unwrap()).or_default() += 1;
    }
    let batches = scene.ask("SELECT toString(count()) FROM batches").await;
    println!("{account}\n  {} batches, lag 0", batches[0]);
    println!("  produced in {produced:.1?}, settled {settled:.1?} after the worker's start");
    println!("  quarantined: {reasons:?}");
}
