//! Rules that leave events out, on real engines: nothing is stored, and everything says so.
//!
//! In: records of a noisy tenant and of others, a rule. Out: rows, receipts, metrics, a clean verify.
//!
//! # Invariants
//! - What was left out is looked for by whoever might miss it.
//!
//! Deliberately unknown here: each condition; `src/schema/skip/tests.rs` has them. Rules that change;
//! `tests/faults/matrix/rule.rs`, and `reload.rs` beside this.

use serde_json::{Value, json};
use trailhouse::app::audit::{receipt, verify};
use trailhouse::app::ingest::{FileIngest, run as ingest};
use trailhouse::app::replay::{Selection, run as replay};
use trailhouse::audit::{ReplayedRow, Scope, State};
use trailhouse::config::Loaded;
use trailhouse::gateway::Outgoing;
use trailhouse::schema::SkipConfig;
use trailhouse::source::TopicConfig;
use trailhouse::warehouse::Warehouse;

use crate::harness::{self, broker, get, produce, serve, unique, until};

const PING: &str = r#"{"source":"iam","action":"health.ping","actor":{"id":"probe"}}"#;
const CREATE: &str = r#"{"source":"iam","action":"project.create","actor":{"id":"ann"}}"#;

fn of(tenant: &str, payload: &str) -> Outgoing {
    let headers = vec![("tenant".to_owned(), tenant.to_owned())];
    Outgoing { key: String::new(), headers, payload: payload.into() }
}

/// A topic of one partition, whose `noisy` tenant's pings are left out.
async fn silenced() -> (Loaded, String) {
    let topic = unique("silenced");
    let mut loaded = harness::loaded(&[]).await;
    broker().create_topics(&[(&topic, 1)]).await.unwrap();
    loaded.config.kafka.topics = vec![TopicConfig {
        name: topic.clone(),
        schema: "frontier".to_owned(),
        ..TopicConfig::default()
    }];
    loaded.config.skip = vec![SkipConfig {
        name: "noisy-pings".to_owned(),
        tenants: vec!["noisy".to_owned()],
        actions: vec!["health.*".to_owned()],
        ..SkipConfig::default()
    }];
    (loaded, topic)
}

/// Wait until all of a topic is stored or left out; offsets stored, quarantined, left out.
async fn settled(loaded: &Loaded) -> (u64, u64, u64) {
    let scope = Scope { digests: true, ..Scope::default() };
    until(async || {
        let report = verify(loaded, None, None, scope).await.unwrap();
        let offsets = report.partitions[0].offsets;
        offsets.not_yet == 0 && offsets.lost == 0
    })
    .await;
    let report = verify(loaded, None, None, scope).await.unwrap();
    assert!(report.good, "{report}");
    let offsets = report.partitions[0].offsets;
    (offsets.stored, offsets.quarantined, offsets.skipped)
}

async fn write(address: std::net::SocketAddr, tenant: &str, body: &'static str) -> Value {
    let url = format!("http://{address}/v1/events?schema=frontier&tenant={tenant}");
    let asked = tokio::task::spawn_blocking(move || {
        let request = ureq::post(&url).header("content-type", "application/json");
        request.send(body).unwrap().body_mut().read_to_string().unwrap()
    });
    serde_json::from_str(&asked.await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_noisy_tenants_records_are_left_out_and_whoever_asks_is_told_the_rule() {
    let (loaded, topic) = silenced().await;
    let mixed = format!("[{PING},{CREATE},{PING}]");
    let mut records = vec![
        of("acme", PING),
        of("noisy", PING),
        of("noisy", CREATE),
        of("noisy", &mixed),
        of("noisy", "{"),
    ];
    records.extend((0..40).map(|_| of("noisy", PING)));
    produce(&topic, records).await;
    let service = serve(&loaded).await;
    assert_eq!(settled(&loaded).await, (3, 1, 41));

    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let rows = "SELECT concat(tenant, ' ', action, ' ', toString(kafka_offset), ' ', \
                toString(kafka_index)) FROM events ORDER BY kafka_offset, kafka_index";
    let expected = ["acme health.ping 0 0", "noisy project.create 2 0", "noisy project.create 3 1"];
    assert_eq!(warehouse.read(rows).await.unwrap(), expected);

    let left_out = receipt(&loaded, &topic, 0, 1).await.unwrap();
    assert!(left_out.state == State::Skipped && left_out.is_good(), "{left_out}");
    let told = left_out.to_string();
    assert!(told.contains("skipped\n  skipped index 0 by noisy-pings"), "{told}");
    let in_part = receipt(&loaded, &topic, 0, 3).await.unwrap();
    let indexes: Vec<u32> = in_part.skipped.iter().map(|row| row.index).collect();
    assert_eq!((in_part.state, &indexes[..]), (State::Stored, &[0, 2][..]), "{in_part}");

    let skipped = &service.metrics.pipeline.skipped;
    let counted = skipped.with_label_values(&[&*topic, "frontier", "noisy-pings"]).get();
    assert_eq!(counted, 41 + 2);

    // Who writes is told at once; the record is taken all the same, and left out behind Kafka.
    let loud = write(service.address, "acme", PING).await;
    assert_eq!(loud["receipts"][0]["skipped"], json!(null), "{loud}");
    let silent = write(service.address, "noisy", PING).await;
    let place = &silent["receipts"][0];
    assert_eq!(place["skipped"], json!([{ "index": 0, "rule": "noisy-pings" }]), "{silent}");
    assert_eq!(settled(&loaded).await, (4, 1, 42));
    let path = format!("/v1/receipts/{topic}/0/{}", place["offset"]);
    let (status, body) = get(&service, &path).await;
    assert_eq!((status, &body["state"]), (200, &json!("skipped")), "{body}");
    assert_eq!(body["skipped"], place["skipped"], "{body}");
    assert!(service.stop().await.unwrap().unwrap().drained);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_by_the_same_rules_and_again_adds_nothing() {
    let (mut loaded, _) = silenced().await;
    loaded.config.kafka.topics.clear();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("old.ndjson");
    std::fs::write(&file, format!("{PING}\n{CREATE}\n{PING}\n")).unwrap();
    let what = || FileIngest { file: &file, schema: "frontier", tenant: Some("noisy") };
    let first = ingest(loaded.clone(), what()).await.unwrap();
    assert_eq!((first.records, first.event_rows, first.skipped, first.drained), (3, 1, 2, true));
    let again = ingest(loaded.clone(), what()).await.unwrap();
    assert_eq!((again.event_rows, again.records), (0, 0));
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let skipped = "SELECT toString(arrayMap(s -> (s.1, s.2), skipped)) FROM batches";
    assert_eq!(warehouse.read(skipped).await.unwrap(), ["[('noisy-pings',0),('noisy-pings',2)]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_leaves_out_of_a_replay_is_resolved_and_comes_no_more() {
    let (mut loaded, topic) = silenced().await;
    // Nobody says whose it is.
    let nobodys = |payload: &str| Outgoing { headers: Vec::new(), ..of("", payload) };
    produce(&topic, [nobodys(PING), nobodys(CREATE)]).await;
    let service = serve(&loaded).await;
    assert_eq!(settled(&loaded).await, (0, 2, 0));
    service.stop().await.unwrap();
    loaded.config.kafka.topics[0].tenant = "noisy".to_owned();
    let outcome = replay(&loaded, &Selection::default()).await.unwrap().remove(0);
    assert_eq!((outcome.replayed, outcome.event_rows, outcome.skipped), (2, 1, 1), "{outcome:?}");
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let resolved = "SELECT toString((event_rows, quarantined_rows)) FROM resolutions \
                    ORDER BY kafka_offset";
    assert_eq!(warehouse.read(resolved).await.unwrap(), ["(0,0)", "(1,0)"]);
    let found = receipt(&loaded, &topic, 0, 1).await.unwrap();
    let lane = format!("@replay/{topic}");
    let replayed = ReplayedRow { topic: lane, partition: 0, offset: 1, event_rows: 1 };
    assert_eq!(found.quarantined[0].replayed.as_ref(), Some(&replayed), "{found}");
    assert!(found.to_string().contains(&format!("replayed as @replay/{topic} 0 1, 1 events")));

    let again = replay(&loaded, &Selection::default()).await.unwrap().remove(0);
    assert_eq!((again.replayed, again.still.len()), (0, 0), "{again:?}");
}
