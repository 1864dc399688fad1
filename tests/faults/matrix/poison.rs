//! Records that nobody wants: each is stored or quarantined, and holds up none beside it.
//!
//! In: a table of payloads. Out: for each the reason of its quarantine, or its event.
//!
//! # Invariants
//! - A good record stands between any two.
//!
//! Deliberately unknown here: how records are read; `tests/it/schema` has that.

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
