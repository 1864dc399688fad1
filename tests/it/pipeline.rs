//! The write side on real engines: whatever is produced is stored once, or quarantined with its
//! bytes.
//!
//! In: records on Kafka topics. Out: rows.
//!
//! # Invariants
//! - What should be there is asked of the broker, what is there of ClickHouse; never of counters.
//!
//! Deliberately unknown here: crashes; `tests/faults` has those.

use trailhouse::app::Service;
use trailhouse::demo::generate::{self, SCHEMAS};
use trailhouse::gateway::Outgoing;
use trailhouse::warehouse::Warehouse;

use crate::harness::{
    self, get, in_kafka, loaded, produce, record, serve, tally, unique, until, until_stored,
};

/// 2026-01-01.
const AT: i64 = 1_767_225_600_000_000;

fn generated(schema: &str, count: u64) -> Vec<Outgoing> {
    let made = (0..count).map(|n| generate::generate(schema, n, AT).unwrap());
    made.map(trailhouse::app::produce::outgoing).collect()
}

fn partitions(service: &Service) -> i64 {
    service.metrics.pipeline.partitions.get()
}

async fn strings(warehouse: &Warehouse, sql: &str) -> Vec<String> {
    warehouse.read(sql).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_nine_schemas_becomes_events_and_every_broken_one_a_quarantine_row() {
    let names: Vec<(String, &str)> =
        SCHEMAS.iter().map(|schema| (unique(schema), *schema)).collect();
    let mixed = unique("mixed");
    let mut topics: Vec<(&str, &str)> =
        names.iter().map(|(name, schema)| (&**name, *schema)).collect();
    topics.push((&mixed, ""));
    let loaded = loaded(&topics).await;
    for (topic, schema) in &names {
        produce(topic, generated(schema, 40)).await;
        produce(&mixed, generated(schema, 10)).await;
    }
    let broken: Vec<Vec<u8>> = (0..20).map(generate::broken).collect();
    produce(
        &mixed,
        broken.iter().map(|payload| Outgoing { payload: payload.clone(), ..Outgoing::default() }),
    )
    .await;

    let service = serve(&loaded).await;
    let stored = until_stored(&loaded).await;
    let done = service.stop().await.unwrap().unwrap();

    assert_eq!(stored.records, 9 * 50 + 20);
    assert_eq!((stored.quarantined, stored.duplicated), (20, 0));
    assert!(done.drained);
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let schemas = strings(&warehouse, "SELECT DISTINCT schema FROM events ORDER BY schema").await;
    let mut expected = SCHEMAS.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(schemas, expected);
    let kept = strings(&warehouse, "SELECT hex(raw) FROM quarantine ORDER BY raw").await;
    let mut expected: Vec<String> = broken
        .iter()
        .map(|payload| payload.iter().map(|byte| format!("{byte:02X}")).collect())
        .collect();
    expected.sort();
    assert_eq!(kept, expected, "quarantine keeps the bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_goes_on_where_the_first_stopped() {
    let topic = unique("again");
    let loaded = loaded(&[(&topic, "cockpit")]).await;
    for round in 1..=3 {
        produce(&topic, generated("cockpit", 100)).await;
        let service = serve(&loaded).await;
        until_stored(&loaded).await;
        service.stop().await.unwrap();
        let stored = tally(&loaded).await;
        assert_eq!((stored.records, stored.duplicated), (round * 100, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_move_between_workers_without_loss_or_repeat() {
    // Three topics of two partitions: three partitions are revoked at once.
    let topics = ["a", "b", "c"].map(|name| unique(&format!("moving_{name}")));
    let named = topics.each_ref().map(|topic| (topic.as_str(), "okta_system"));
    let loaded = loaded(&named).await;
    let produce_all = async || {
        for topic in &topics {
            produce(topic, generated("okta_system", 200)).await;
        }
    };
    let one = serve(&loaded).await;
    produce_all().await;
    let two = serve(&loaded).await;
    until(async || partitions(&two) == 3 && partitions(&one) == 3).await;
    produce_all().await;
    one.stop().await.unwrap();
    produce_all().await;
    until(async || partitions(&two) == 6).await;
    let stored = until_stored(&loaded).await;
    two.stop().await.unwrap();
    assert_eq!((stored.records, stored.duplicated), (1_800, 0));
    assert_eq!(in_kafka(&loaded).await, 1_800);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_is_refused_is_repeated_until_it_is_taken_and_readiness_says_so() {
    let topic = unique("refused");
    let loaded = loaded(&[(&topic, "pace")]).await;
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let service = serve(&loaded).await;
    warehouse.run("RENAME TABLE events TO events_away").await.unwrap();
    produce(&topic, generated("pace", 50)).await;
    let names_the_topic = async || get(&service, "/readyz").await.1.to_string().contains(&topic);
    until(names_the_topic).await;
    assert_eq!(get(&service, "/readyz").await.0, 503);
    warehouse.run("RENAME TABLE events_away TO events").await.unwrap();
    let stored = until_stored(&loaded).await;
    until(async || get(&service, "/readyz").await.0 == 200).await;
    service.stop().await.unwrap();
    assert_eq!((stored.records, stored.duplicated), (50, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_batch_is_one_part_however_it_is_sent() {
    let topic = unique("parts");
    let mut loaded = loaded(&[(&topic, "bloodhound")]).await;
    loaded.config.pipeline.batch_age_ms = 3_000;
    produce(&topic, generated("bloodhound", 3_000)).await;
    let service = serve(&loaded).await;
    until_stored(&loaded).await;
    let batches = service.metrics.pipeline.batch_records.get_sample_count();
    service.stop().await.unwrap();
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let sql = "SELECT toString(countDistinct(name)) FROM system.part_log \
               WHERE event_type = 'NewPart' AND table = 'events' AND database = currentDatabase()";
    let parts = match warehouse.read(sql).await {
        Ok(parts) if parts != ["0"] => parts,
        // Without a part log: merges may only have made them fewer.
        _ => warehouse
            .read("SELECT toString(count()) FROM system.parts WHERE table = 'events' AND active AND database = currentDatabase()")
            .await
            .unwrap(),
    };
    let parts: u64 = parts[0].parse().unwrap();
    assert!(parts <= batches, "{parts} parts of {batches} batches");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_found_by_its_fields_and_its_raw_bytes_are_what_was_sent() {
    let topic = unique("asked");
    let loaded = loaded(&[(&topic, "cockpit")]).await;
    let payload = r#"{ "id":"6f7c1c9e-0000-4000-8000-000000000001", "timestamp":"2026-01-02T03:04:05.678901+01:00",
        "operation":"CreateOrder","status":{"name":"Succeded"},"user":"ann@acme.example","origin":{"name":"User"},
        "entityType":"Order","entityId":"6f7c1c9e-0000-4000-8000-00000000000a","oldValues":null,"newValues":{"a": 1.50}}"#;
    produce(&topic, [record(payload)]).await;
    let service = serve(&loaded).await;
    until_stored(&loaded).await;
    let window = "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z";
    for filter in [
        "tenant=acme",
        "actor.id=ann%40acme.example",
        "action=CreateOrder",
        "verb=create",
        "target.type=Order",
        "outcome=success",
        "schema=cockpit",
    ] {
        let (status, page) = get(&service, &format!("/v1/events?{window}&{filter}")).await;
        assert_eq!(status, 200, "{page}");
        assert_eq!(page["events"].as_array().unwrap().len(), 1, "{filter}: {page}");
    }
    let (_, page) = get(&service, &format!("/v1/events?{window}")).await;
    let event = &page["events"][0];
    assert_eq!(event["occurred_at"], "2026-01-02T02:04:05.678901Z");
    assert_eq!(event["changes"].to_string(), r#"{"new":{"a":1.5},"old":null}"#);
    assert!(event.get("raw").is_none());
    let id = event["id"].as_str().unwrap();
    let (status, one) = get(&service, &format!("/v1/events/{id}")).await;
    assert_eq!(status, 200);
    assert_eq!(one["raw"], payload);
    assert_eq!(one["kafka"]["topic"], topic.as_str());
    service.stop().await.unwrap();
}

#[test]
fn the_enums_of_the_table_are_the_words_of_the_event() {
    use trailhouse::event::{Origin, Outcome, Verb};
    let warehouse = harness::clickhouse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sql = "SELECT type FROM system.columns WHERE database = currentDatabase() AND \
               table = 'events' AND name IN ('verb', 'outcome', 'origin') ORDER BY name";
    let types = runtime.block_on(warehouse.read(sql)).unwrap();
    let check = |kind: &str, words: Vec<(&str, i8)>| {
        assert_eq!(kind.matches(" = ").count(), words.len(), "{kind}");
        for (word, code) in words {
            assert!(kind.contains(&format!("'{word}' = {code}")), "{word} = {code} in {kind}");
        }
    };
    check(&types[0], Origin::ALL.map(|word| (word.as_str(), word.code())).to_vec());
    check(&types[1], Outcome::ALL.map(|word| (word.as_str(), word.code())).to_vec());
    check(&types[2], Verb::ALL.map(|word| (word.as_str(), word.code())).to_vec());
}
