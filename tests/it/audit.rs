//! Proof on real engines: what is good is found good, and what a hand has changed is found where.
//!
//! In: a topic that was stored, and rows deleted, doubled, altered, forged. Out: reports, receipts.
//!
//! # Invariants
//! - Every topic here has one partition, so a record's offset is its number.
//!
//! Deliberately unknown here: how chunks are cut; `src/audit/tests.rs` has that.

use std::process::Command;

use serde_json::Value;
use trailhouse::app::audit::{receipt, verify};
use trailhouse::audit::{Finding, Receipt, Report, Scope, State};
use trailhouse::config::Loaded;
use trailhouse::event::id::digest;
use trailhouse::gateway::Outgoing;
use trailhouse::source::TopicConfig;
use trailhouse::source::kafka::log_ends;
use trailhouse::warehouse::Warehouse;

use crate::harness::{
    self, broker, exe, get, in_kafka, produce, record, serve, unique, until_stored,
};

const ONE: &str = r#"{"source":"iam","action":"project.create","actor":{"id":"ann"}}"#;

/// The record that cannot be normalised, and the one of three elements; 102 to 109 follow.
const BROKEN: i64 = 100;
const OF_THREE: i64 = 101;
const RECORDS: u64 = 110;

/// A configuration over one topic of one partition.
async fn one_partition() -> (Loaded, String) {
    let topic = unique("audited");
    let mut loaded = harness::loaded(&[]).await;
    broker().create_topics(&[(&topic, 1)]).await.unwrap();
    loaded.config.kafka.topics = vec![TopicConfig {
        name: topic.clone(),
        schema: "frontier".to_owned(),
        tenant: String::new(),
        tenant_from_body: true,
    }];
    (loaded, topic)
}

/// The same, with [`RECORDS`] records that are stored.
async fn stored() -> (Loaded, String, Warehouse) {
    let (loaded, topic) = one_partition().await;
    let three = format!("[{ONE},{ONE},{ONE}]");
    let numbered = |n: i64| ONE.replace("iam", &format!("iam-{n}"));
    // A digest that ends in a zero byte, which ClickHouse drops from a FixedString made a String.
    let zero_ended = (0..).map(numbered).find(|text| digest(text.as_bytes())[31] == 0).unwrap();
    let payload = |n: i64| match n {
        1 => zero_ended.clone(),
        BROKEN => "{".to_owned(),
        OF_THREE => three.clone(),
        _ => numbered(n),
    };
    let records: Vec<Outgoing> = (0..RECORDS as i64).map(|n| record(payload(n))).collect();
    produce(&topic, records).await;
    let service = serve(&loaded).await;
    until_stored(&loaded).await;
    assert!(service.stop().await.unwrap().unwrap().drained);
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    (loaded, topic, warehouse)
}

async fn report(loaded: &Loaded, digests: bool) -> Report {
    verify(loaded, None, None, Scope { digests, ..Scope::default() }).await.unwrap()
}

async fn of(loaded: &Loaded, topic: &str, offset: i64) -> Receipt {
    receipt(loaded, topic, 0, offset).await.unwrap()
}

/// Change rows by hand, and wait until it is done.
async fn by_hand(warehouse: &Warehouse, statement: &str) {
    warehouse.run(&format!("{statement} SETTINGS mutations_sync = 2")).await.unwrap();
}

async fn double(warehouse: &Warehouse, offset: i64) {
    let again = format!(
        "INSERT INTO events SETTINGS insert_deduplicate = 0 \
         SELECT * FROM events WHERE kafka_offset = {offset}"
    );
    warehouse.run(&again).await.unwrap();
}

fn finding(first: i64, last: i64, records: u64, rows: u64) -> Finding {
    Finding { first, last, records, rows }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_found_good_and_every_change_by_hand_is_found_where_it_was_made() {
    let (loaded, topic, warehouse) = stored().await;
    let good = report(&loaded, true).await;
    let [partition] = &good.partitions[..] else { panic!("{good}") };
    assert!(good.good, "{good}");
    assert_eq!((partition.offsets.stored, partition.offsets.quarantined), (RECORDS - 1, 1));
    assert_eq!((partition.rows.events, partition.rows.quarantine), (RECORDS - 1 + 2, 1));
    assert_eq!((partition.offsets.not_yet, partition.offsets.lost), (0, 0));
    assert_eq!((partition.to - partition.from + 1) as u64, in_kafka(&loaded).await);

    // A record beyond what is stored is no fault.
    produce(&topic, [record(ONE)]).await;
    let behind = report(&loaded, false).await;
    assert!(behind.good && behind.partitions[0].offsets.not_yet == 1, "{behind}");

    // Altered bytes: only their digests tell.
    by_hand(&warehouse, "ALTER TABLE events UPDATE raw = '{}' WHERE kafka_offset = 105").await;
    assert!(report(&loaded, false).await.good);
    let altered = report(&loaded, true).await;
    let [change] = altered.partitions[0].findings.altered.ranges[..] else { panic!("{altered}") };
    assert!(!altered.good && (change.first..=change.last).contains(&105), "{altered}");

    by_hand(&warehouse, "ALTER TABLE events DELETE WHERE kafka_offset BETWEEN 17 AND 19").await;
    double(&warehouse, 40).await;
    let gone = format!("kafka_offset = {OF_THREE} AND kafka_index = 1");
    by_hand(&warehouse, &format!("ALTER TABLE events DELETE WHERE {gone}")).await;
    let bad = report(&loaded, false).await;
    let found = &bad.partitions[0].findings;
    let lost = [finding(17, 19, 3, 3), finding(OF_THREE, OF_THREE, 0, 1)];
    assert_eq!(found.lost.ranges, lost, "{bad}");
    assert_eq!(found.duplicated.ranges, [finding(40, 40, 1, 1)], "{bad}");
    assert_eq!((bad.good, found.unaccounted.rows), (false, 0), "{bad}");

    // The quarantine's rows count too, and a row at a place that had none is told apart.
    by_hand(&warehouse, "ALTER TABLE quarantine DELETE WHERE 1").await;
    let forged = "INSERT INTO events SETTINGS insert_deduplicate = 0 \
                  SELECT * REPLACE (7 AS kafka_index) FROM events WHERE kafka_offset = 50";
    warehouse.run(forged).await.unwrap();
    let worse = report(&loaded, false).await;
    let found = &worse.partitions[0].findings;
    assert!(found.lost.ranges.contains(&finding(BROKEN, BROKEN, 1, 1)), "{worse}");
    assert!(worse.partitions[0].offsets.lost == 4, "{worse}");

    // A range is widened to whole batches, and may leave the faults out.
    let scope = Scope { from: Some(RECORDS as i64), ..Scope::default() };
    assert!(verify(&loaded, Some(&topic), Some(0), scope).await.unwrap().good);
    let scope = Scope { from: Some(18), to: Some(18), ..Scope::default() };
    let part = verify(&loaded, Some(&topic), Some(0), scope).await.unwrap();
    assert!(part.partitions[0].findings.lost.ranges.contains(&finding(17, 19, 3, 3)), "{part}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_says_where_a_record_ended() {
    let (loaded, topic, warehouse) = stored().await;
    let stored = of(&loaded, &topic, 3).await;
    assert_eq!((stored.state, stored.events.len()), (State::Stored, 1));
    assert_eq!((&*stored.events[0].tenant, &*stored.events[0].action), ("acme", "project.create"));
    let batch = stored.batch.as_ref().unwrap();
    assert!(batch.first <= 3 && batch.last >= 3, "{stored}");
    assert!(batch.token.ends_with(&format!("/0/{}-{}", batch.first, batch.last)), "{stored}");

    let broken = of(&loaded, &topic, BROKEN).await;
    assert_eq!(broken.state, State::Quarantined);
    assert_eq!(broken.quarantined[0].reason, "truncated");
    let indexes = |receipt: &Receipt| receipt.events.iter().map(|e| e.index).collect::<Vec<_>>();
    assert_eq!(indexes(&of(&loaded, &topic, OF_THREE).await), [0, 1, 2]);

    let end = RECORDS as i64;
    assert_eq!(of(&loaded, &topic, end).await.state, State::Unknown);
    produce(&topic, [record(ONE)]).await;
    let later = of(&loaded, &topic, end).await;
    assert_eq!((later.state, later.stored_to), (State::NotYet, Some(end - 1)));
    assert!(later.is_good() && later.to_string().contains("up to 109"), "{later}");

    by_hand(&warehouse, "ALTER TABLE events DELETE WHERE kafka_offset = 3").await;
    let gone = format!("kafka_offset = {OF_THREE} AND kafka_index = 1");
    by_hand(&warehouse, &format!("ALTER TABLE events DELETE WHERE {gone}")).await;
    double(&warehouse, 40).await;
    let lost = of(&loaded, &topic, 3).await;
    assert!(lost.state == State::Lost && !lost.is_good(), "{lost}");
    let element = of(&loaded, &topic, OF_THREE).await;
    assert_eq!((element.state, &element.lost_indexes[..]), (State::Lost, &[1][..]));
    assert_eq!(of(&loaded, &topic, 40).await.duplicated, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_without_a_row_are_told_apart_by_what_batches_and_gaps_say() {
    let (loaded, topic) = one_partition().await;
    produce(&topic, (0..12).map(|_| record(ONE))).await;
    let config = loaded.config.kafka.clone();
    let name = topic.clone();
    let ends = tokio::task::spawn_blocking(move || log_ends(&config, &[&name]).unwrap());
    let log = ends.await.unwrap().remove(0).log;
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let key = format!("'{}', '{}', '{}', 0", log.cluster, log.topic, log.incarnation);
    let batch =
        "INSERT INTO batches (kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition,
                     first_offset, last_offset, skipped, empty_ranges, token) VALUES";
    for statement in [
        // Twice the same offsets: they were set back.
        format!("{batch} ({key}, 0, 4, [('no_health_pings', 0, 0), ('no_health_pings', 1, 0)], [(2, 4)], 'a')"),
        format!("{batch} ({key}, 1, 5, [('no_health_pings', 1, 0)], [(2, 5)], 'b')"),
        format!("{batch} ({key}, 9, 9, [], [(9, 9)], 'c')"),
        format!("{batch} ('{}', '{topic}', 'as it was', 0, 0, 7, [], [(0, 7)], 'd')", log.cluster),
        format!(
            "INSERT INTO gaps (kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition,
                first_offset, last_offset, kind, accepted)
             VALUES ({key}, 6, 7, 'deleted', false), ({key}, 6, 7, 'deleted', true), ({key}, 8, 8, 'recreated', true), ({key}, 11, 20, 'truncated', true)"
        ),
    ] {
        warehouse.run(&statement).await.unwrap();
    }
    let found = report(&loaded, false).await;
    let partition = &found.partitions[0];
    let offsets = partition.offsets;
    assert_eq!((offsets.skipped, offsets.empty, offsets.gap, offsets.not_yet), (2, 5, 2, 2));
    assert_eq!(partition.findings.lost.ranges, [finding(8, 8, 1, 1)], "{found}");
    assert_eq!((partition.gaps.len(), partition.gaps[0].accepted, partition.to), (2, true, 11));
    assert_eq!(found.other_incarnations.len(), 1);
    assert_eq!(found.other_incarnations[0].incarnation, "as it was");
    for (offset, state) in [
        (1, State::Skipped),
        (5, State::Empty),
        (7, State::Gap),
        (8, State::Lost),
        (9, State::Empty),
        (10, State::NotYet),
        (11, State::NotYet),
        (20, State::Gap),
        (21, State::Unknown),
    ] {
        let receipt = of(&loaded, &topic, offset).await;
        assert_eq!(receipt.state, state, "{receipt}");
    }
    let skipped = of(&loaded, &topic, 1).await;
    assert_eq!((skipped.skipped.len(), &*skipped.skipped[0].rule), (1, "no_health_pings"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_answer_in_text_or_json_and_with_their_exit_codes() {
    let (loaded, topic, warehouse) = stored().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.toml");
    let (kafka, clickhouse) = (&loaded.config.kafka, &loaded.config.clickhouse);
    let text = format!(
        "[kafka]\nbrokers = {:?}\ncluster = {:?}\ntopic_ids = {}\n[[kafka.topics]]\nname = {topic:?}\n\
         [clickhouse]\nurl = {:?}\ndatabase = {:?}\nuser = {:?}\n",
        kafka.brokers,
        kafka.cluster,
        kafka.topic_ids,
        clickhouse.url,
        clickhouse.database,
        clickhouse.user,
    );
    std::fs::write(&file, text).unwrap();
    let run = |arguments: &[&str]| {
        let output =
            Command::new(exe()).args(arguments).arg("--config").arg(&file).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), told)
    };
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();

    let (code, out, told) = run(&["verify"]);
    assert_eq!((code, &*told), (0, ""), "{out}");
    let last = "1 partition: 109 stored, 1 quarantined, 0 skipped, 0 empty, 0 gap, 0 not yet; 0 rows lost, 0 duplicated";
    assert_eq!(out.lines().last(), Some(last), "{out}");
    let (code, out, _) = run(&["receipt", &topic, "0", "100", "--output", "json"]);
    let answer = json(&out);
    assert_eq!((code, &answer["state"]), (0, &Value::from("quarantined")), "{out}");
    assert_eq!(answer["quarantined"][0]["reason"], "truncated", "{out}");

    by_hand(&warehouse, "ALTER TABLE events DELETE WHERE kafka_offset = 7").await;
    double(&warehouse, 8).await;
    let (code, out, _) = run(&["verify", "--output", "json"]);
    let answer = json(&out);
    assert_eq!((code, &answer["good"]), (1, &Value::from(false)), "{out}");
    let partition = &answer["partitions"][0];
    assert_eq!((&partition["topic"], &partition["to"]), (&topic.as_str().into(), &109.into()));
    assert_eq!(
        (&partition["offsets"]["stored"], &partition["offsets"]["lost"]),
        (&108.into(), &1.into())
    );
    let range = |first| serde_json::json!({"first": first, "last": first, "records": 1, "rows": 1});
    assert_eq!(partition["lost"]["ranges"], serde_json::json!([range(7)]), "{out}");
    assert_eq!(partition["duplicated"]["ranges"], serde_json::json!([range(8)]), "{out}");
    let (code, out, _) = run(&["verify", "--topic", &topic, "--partition", "0"]);
    let has = |line: &str| out.lines().any(|l| l.split_whitespace().eq(line.split(' ')));
    assert!(code == 1 && has("lost 7 1 row") && has("duplicated 8 1 row"), "{out}");
    let (code, out, _) = run(&["receipt", &topic, "0", "7"]);
    assert!(code == 1 && out.contains("LOST"), "{out}");

    for (arguments, code, words) in [
        (&["verify", "--topic", "nope"][..], 75, "Kafka has no topic `nope`"),
        (&["verify", "--topic", &topic, "--partition", "9"], 75, "has no partition 9"),
        (&["verify", "--from", "3"], 2, "--partition"),
        (&["receipt", &topic, "9", "3"], 1, "has no partition 9"),
    ] {
        let (found, _, told) = run(arguments);
        assert!(found == code && told.contains(words), "{arguments:?}: {found}: {told}");
    }

    // What was found is an exit code of its own, even where it can be written nowhere.
    let unwritable = dir.path().join("nowhere").join("trailhouse.prom");
    let (code, out, told) = run(&["verify", "--metrics-file", unwritable.to_str().unwrap()]);
    assert!(code == 1 && out.contains("1 row lost") && told.contains("nowhere"), "{out}{told}");

    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&kafka.brokers, "127.0.0.1:1")).unwrap();
    let (code, _, told) = run(&["verify"]);
    assert!(code == 75 && told.lines().count() == 1 && told.contains("127.0.0.1:1: "), "{told}");
    assert!(told.contains("Connection refused"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_over_http_are_those_of_the_command_again_and_again() {
    let (loaded, topic, _) = stored().await;
    let service = serve(&loaded).await;
    for offset in [3, 4, BROKEN] {
        let (status, body) = get(&service, &format!("/v1/receipts/{topic}/0/{offset}")).await;
        let of_command = serde_json::to_value(of(&loaded, &topic, offset).await).unwrap();
        assert_eq!((status, &body), (200, &of_command));
    }
    for absent in [format!("{topic}/9/3"), "never-read/0/3".to_owned()] {
        let (status, body) = get(&service, &format!("/v1/receipts/{absent}")).await;
        assert_eq!(status, 404, "{absent}: {body}");
    }
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_takes_the_topics_that_a_pattern_finds_and_receipt_one_of_them() {
    let (mut loaded, topic) = one_partition().await;
    let later = format!("{topic}_later");
    loaded.config.kafka.topics[0].name = format!("^{topic}");
    // Before the first topic fits, that is said, and no empty report called good.
    let mut none = loaded.clone();
    none.config.kafka.topics[0].name = "^nobody[.]has[.]this".to_owned();
    let error = verify(&none, None, None, Scope::default()).await.unwrap_err().to_string();
    assert!(error.contains("no topic that"), "{error}");

    broker().create_topics(&[(&later, 1)]).await.unwrap();
    for topic in [&topic, &later] {
        produce(topic, (0..5).map(|_| record(ONE))).await;
    }
    let service = serve(&loaded).await;
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let rows = "SELECT toString(count()) FROM events";
    harness::until(async || warehouse.read(rows).await.unwrap() == ["10"]).await;
    assert!(service.stop().await.unwrap().unwrap().drained);
    let report = report(&loaded, true).await;
    let topics: Vec<&str> = report.partitions.iter().map(|found| &*found.topic).collect();
    assert!(report.good && topics == [&*topic, &*later], "{report}");
    assert!(receipt(&loaded, &later, 0, 4).await.unwrap().is_good());
}
