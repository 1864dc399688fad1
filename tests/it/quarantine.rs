//! What could not be normalised: looked at, and replayed once.
//!
//! In: records that no mapping claims, or that are no events. Out: events on the lane
//! `@replay/TOPIC`, each once, resolutions, and the rest where it was.
//!
//! # Invariants
//! - No row of `quarantine` is changed or deleted by a replay.
//!
//! Deliberately unknown here: how a plan is stored.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;
use trailhouse::app::ingest::{FileIngest, run as ingest};
use trailhouse::app::replay::{Outcome, Selection, run};
use trailhouse::config::{Config, Loaded};
use trailhouse::gateway::Outgoing;
use trailhouse::warehouse::Warehouse;

use crate::harness::{exe, loaded, produce, record, serve, unique, until_stored};

const SHOP: &str = r#"
name = "shop"
version = 3
about = "A shop."
[when]
exists = ["sold"]
[envelope]
each = "rows"
[event]
source_id = "id"
action = "sold"
occurred_at = { time = "at", formats = ["rfc3339"] }
verb = { const = "create" }
"#;

/// A topic with records of a shop that nobody has a mapping for, and others that are no JSON.
pub(crate) struct Scene {
    loaded: Loaded,
    topic: String,
    warehouse: Warehouse,
    dir: TempDir,
}

pub(crate) const SOLD: u64 = 40;
const BROKEN: u64 = 3;

impl Scene {
    async fn new() -> Scene {
        let topic = unique("shop");
        let loaded = loaded(&[(&topic, "")]).await;
        Scene::over(loaded, topic).await
    }

    /// The same, over tables of another set-up.
    pub(crate) async fn over(loaded: Loaded, topic: String) -> Scene {
        let sold = (0..SOLD).map(|n| {
            let sold = record(format!(
                r#"{{"id":"{n}","sold":"apples","at":"2026-0{}-01T00:00:00Z","n":{n}}}"#,
                1 + n % 3
            ));
            // On more than one partition, wherever the others go.
            Outgoing { key: n.to_string(), ..sold }
        });
        let broken = (0..BROKEN).map(|_| record(vec![b'{', 0xff, 0x00]));
        produce(&topic, sold.chain(broken)).await;
        let service = serve(&loaded).await;
        let stored = until_stored(&loaded).await;
        service.stop().await.unwrap();
        assert_eq!((stored.records, stored.quarantined), (SOLD + BROKEN, SOLD + BROKEN));
        let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
        let scene = Scene { loaded, topic, warehouse, dir: tempfile::tempdir().unwrap() };
        scene.write_settings();
        scene
    }

    /// From now on there is a mapping.
    pub(crate) fn mend(&mut self) {
        std::fs::write(self.schemas().join("shop.toml"), SHOP).unwrap();
        self.loaded.catalog = Config::load(Some(&self.settings())).unwrap().catalog;
    }

    fn schemas(&self) -> PathBuf {
        let schemas = self.dir.path().join("schemas");
        std::fs::create_dir_all(&schemas).unwrap();
        schemas
    }

    fn settings(&self) -> PathBuf {
        self.dir.path().join("t.toml")
    }

    /// A settings file for the program itself.
    fn write_settings(&self) {
        let clickhouse = &self.loaded.config.clickhouse;
        let text = format!(
            "[clickhouse]\nurl = {:?}\ndatabase = {:?}\nuser = {:?}\n[schemas]\ndir = {:?}\n\
             [[kafka.topics]]\nname = {:?}\ntenant_from_body = true\n",
            clickhouse.url,
            clickhouse.database,
            clickhouse.user,
            self.schemas(),
            self.topic
        );
        std::fs::write(self.settings(), text).unwrap();
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut program = Command::new(exe());
        program.args(["quarantine", "--config"]).arg(self.settings()).args(arguments);
        program
    }

    pub(crate) async fn replay(&self, selection: &Selection) -> Outcome {
        let mut outcomes = run(&self.loaded, selection).await.unwrap();
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        outcomes.remove(0)
    }

    async fn one(&self, sql: &str) -> String {
        self.warehouse.read(sql).await.unwrap().remove(0)
    }

    /// Every sold thing is an event of the lane, once; all that was quarantined still is.
    pub(crate) async fn assert_stored_once(&self) {
        let lane = format!("@replay/{}", self.topic);
        let sql = format!(
            "SELECT concat(toString(count()), ' ', toString(uniqExact(source_id)), ' ', \
             toString(uniqExact(kafka_offset)), ' ', toString(max(kafka_offset)), ' ', \
             toString(uniqExact(mapping_version))) FROM events WHERE kafka_topic = '{lane}' \
             AND schema = 'shop' AND mapping_version = 3 AND tenant = 'acme'"
        );
        let last = SOLD - 1;
        assert_eq!(self.one(&sql).await, format!("{SOLD} {SOLD} {SOLD} {last} 1"));
        let all = self.one("SELECT toString(count()) FROM events").await;
        assert_eq!(all, SOLD.to_string());
        let rows = self.one("SELECT toString(count()) FROM quarantine").await;
        assert_eq!(rows, (SOLD + BROKEN).to_string());
        // The resolution of a row leads to the event made of its very bytes.
        let sql = "SELECT toString(count()) FROM \
            (SELECT DISTINCT * EXCEPT ingested_at FROM resolutions) r \
            INNER JOIN quarantine q USING (kafka_cluster, kafka_topic, kafka_incarnation, \
                kafka_partition, kafka_offset, kafka_index) \
            INNER JOIN events e ON e.kafka_topic = r.replay_topic AND \
                e.kafka_offset = r.replay_offset AND e.kafka_cluster = r.kafka_cluster \
            WHERE e.raw = q.raw AND r.mapping = 'shop' AND r.mapping_version = 3 AND r.event_rows = 1";
        assert_eq!(self.one(sql).await, SOLD.to_string());
    }
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

fn broken() -> BTreeMap<&'static str, u64> {
    BTreeMap::from([("bad_utf8", BROKEN)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_replayed_once_when_its_mapping_is_there_and_what_still_fails_stays() {
    let mut scene = Scene::new().await;
    let before = scene.replay(&Selection::default()).await;
    assert_eq!((before.replayed, before.event_rows), (0, 0));
    assert_eq!(before.still["no_mapping"], SOLD);

    scene.mend();
    let try_only = Selection { dry_run: true, ..Selection::default() };
    let tried = scene.replay(&try_only).await;
    assert_eq!((tried.replayed, tried.still), (SOLD, broken()));
    assert_eq!(scene.one("SELECT toString(count()) FROM events").await, "0");
    assert_eq!(scene.one("SELECT toString(count()) FROM replays").await, "0");

    let reason = Some("bad_utf8".to_owned());
    let others = scene.replay(&Selection { reason, ..Selection::default() }).await;
    assert_eq!((others.replayed, others.still), (0, broken()));

    let first = scene.replay(&Selection::default()).await;
    assert_eq!((first.replayed, first.event_rows, first.still), (SOLD, SOLD, broken()));
    scene.assert_stored_once().await;
    let second = scene.replay(&Selection::default()).await;
    assert_eq!((second.replayed, second.event_rows, second.still), (0, 0, broken()));
    scene.assert_stored_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_resolutions_are_written_again_and_no_event_is() {
    let mut scene = Scene::new().await;
    scene.mend();
    scene.replay(&Selection::default()).await;
    for table in ["resolutions", "batches"] {
        // Without the batch's row too: as if it had ended between the events and that.
        for table in [table, "resolutions"] {
            let delete = format!("ALTER TABLE {table} DELETE WHERE 1 SETTINGS mutations_sync = 2");
            scene.warehouse.run(&delete).await.unwrap();
        }
        let again = scene.replay(&Selection::default()).await;
        assert_eq!((again.replayed, again.event_rows), (SOLD, 0), "{table}");
        scene.assert_stored_once().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_killed_anywhere_is_finished_by_the_next() {
    for point in ["insert::before_events", "insert::after_events", "insert::after_batches"] {
        let mut scene = Scene::new().await;
        scene.mend();
        let mut program = scene.program(&["replay"]);
        let output = program.env("FAILPOINTS", format!("{point}=return(kill)")).output().unwrap();
        assert!(!output.status.success(), "{point}: {}", text(&output));
        let left = scene.one("SELECT toString(count()) FROM resolutions").await;
        assert_eq!(left, "0", "{point}");
        let planned = scene.one("SELECT toString(count()) FROM replays").await;
        assert_eq!(planned, SOLD.to_string(), "{point}");
        let output = scene.program(&["replay"]).output().unwrap();
        assert!(output.status.success(), "{point}: {}", text(&output));
        let told = text(&output);
        assert!(told.contains(&format!("{SOLD} replayed")), "{point}: {told}");
        assert!(told.contains("3 stay: bad_utf8 3"), "{point}: {told}");
        scene.assert_stored_once().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_at_the_same_time_store_everything_once() {
    let mut scene = Scene::new().await;
    scene.mend();
    let start = || scene.program(&["replay"]).output();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        let outputs = all.into_iter().map(|one| one.join().unwrap().unwrap());
        let outputs: Vec<Output> = outputs.collect();
        assert!(outputs.iter().any(|output| output.status.success()));
        for output in outputs.iter().filter(|output| !output.status.success()) {
            assert!(text(output).contains("another replay"), "{}", text(output));
        }
    });
    scene.replay(&Selection::default()).await;
    scene.assert_stored_once().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_fans_out_is_replayed_whole_and_its_bad_elements_stand_for_themselves() {
    let scene = Scene::new().await;
    let file = scene.dir.path().join("more.ndjson");
    let sold = |id| format!(r#"{{"id":"{id}","sold":"pears","at":"2026-01-01T00:00:00Z"}}"#);
    let (one, two, other) = (sold("one"), sold("two"), r#"{"pears":7}"#);
    // An array is opened whoever claims its elements; a wrapper only by the mapping that knows it.
    std::fs::write(&file, format!("[{one},{other}]\n{{\"rows\":[{other},{two}]}}\n")).unwrap();
    let what = FileIngest { file: &file, schema: "", tenant: Some("acme") };
    ingest(scene.loaded.clone(), what).await.unwrap();
    let topic = "@file/more.ndjson";
    let places = async |table: &str, topic: &str| {
        let sql = format!(
            "SELECT arrayStringConcat(arraySort(groupArray(concat(toString(kafka_offset), '/', \
             toString(kafka_index)))), ' ') FROM {table} WHERE kafka_topic = '{topic}'"
        );
        scene.warehouse.read(&sql).await.unwrap().remove(0)
    };
    assert_eq!(places("quarantine", topic).await, "0/0 0/1 1/0");

    let mut mended = scene.loaded.clone();
    std::fs::write(scene.schemas().join("shop.toml"), SHOP).unwrap();
    mended.catalog = Config::load(Some(&scene.settings())).unwrap().catalog;
    let selection = Selection { topic: Some(topic.to_owned()), ..Selection::default() };
    // An element, and the wrapper whole.
    let outcome = run(&mended, &selection).await.unwrap().remove(0);
    let counts = (outcome.replayed, outcome.event_rows, outcome.quarantined_rows);
    assert_eq!(counts, (2, 2, 1), "{outcome:?}");
    assert_eq!(outcome.still, BTreeMap::from([("no_mapping", 1)]));
    let lane = "@replay/@file/more.ndjson";
    assert_eq!(places("events", lane).await, "0/0 1/1");
    assert_eq!(places("quarantine", lane).await, "1/0");
    let raw = scene.warehouse.read("SELECT raw FROM events ORDER BY kafka_offset").await.unwrap();
    assert_eq!(raw, [one, two]);

    // What failed of the wrapper stands for itself, and is asked for with its topic.
    let outcome = run(&mended, &selection).await.unwrap().remove(0);
    assert_eq!((outcome.replayed, outcome.event_rows), (0, 0), "{outcome:?}");
    assert_eq!(outcome.still, BTreeMap::from([("no_mapping", 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_clickhouse_refuses_is_tried_again_only_when_asked_and_stored_once_it_is_taken()
{
    let mut scene = Scene::new().await;
    scene.mend();
    let refuse = "ALTER TABLE events ADD CONSTRAINT no_apples CHECK source_id != '7'";
    scene.warehouse.run(refuse).await.unwrap();
    let outcome = scene.replay(&Selection::default()).await;
    let counts = (outcome.replayed, outcome.event_rows, outcome.quarantined_rows);
    assert_eq!(counts, (SOLD, SOLD - 1, 1));
    // The row on the lane stands for its origin now.
    let refused = BTreeMap::from([("bad_utf8", BROKEN), ("refused", 1)]);
    let outcome = scene.replay(&Selection::default()).await;
    assert_eq!((outcome.replayed, outcome.still), (0, refused));
    scene.warehouse.run("ALTER TABLE events DROP CONSTRAINT no_apples").await.unwrap();
    let reason = Some("refused".to_owned());
    let selection = Selection { reason, ..Selection::default() };
    for (replayed, event_rows) in [(1, 1), (0, 0)] {
        let outcome = scene.replay(&selection).await;
        assert_eq!((outcome.replayed, outcome.event_rows), (replayed, event_rows));
    }
    let sql = "SELECT concat(toString(count()), ' ', toString(uniqExact(source_id))) FROM events";
    assert_eq!(scene.one(sql).await, format!("{SOLD} {SOLD}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_quarantine_is_listed_shown_and_given_out_byte_for_byte() {
    let mut scene = Scene::new().await;
    scene.mend();
    scene.replay(&Selection::default()).await;
    let topic = scene.topic.as_str();
    let ask = |arguments: &[&str]| {
        let output = scene.program(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        output.stdout
    };
    let lines = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let text = String::from_utf8(ask(arguments)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let json = ["list", "--output", "json"];
    assert_eq!(lines(&json).len(), 43);
    assert_eq!(lines(&[&json[..], &["--limit", "5"]].concat()).len(), 5);
    assert_eq!(lines(&[&json[..], &["--since", "1h"]].concat()).len(), 43);
    assert_eq!(lines(&[&json[..], &["--since", "2100-01-01T00:00:00Z"]].concat()).len(), 0);
    assert_eq!(lines(&[&json[..], &["--topic", "other"]].concat()).len(), 0);
    let sold = lines(&[&json[..], &["--reason", "no_mapping", "--topic", topic]].concat());
    assert_eq!(sold.len(), 40);
    let is_replayed = |row: &serde_json::Value| {
        row["resolution"]["mapping"] == "shop" && row["resolution"]["event_rows"] == 1
    };
    assert!(sold.iter().all(is_replayed), "{}", sold[0]);
    let newest_first: Vec<&str> =
        sold.iter().map(|row| row["quarantined_at"].as_str().unwrap()).collect();
    assert!(newest_first.is_sorted_by(|a, b| a >= b));

    let broken = lines(&[&json[..], &["--reason", "bad_utf8"]].concat()).remove(0);
    assert_eq!(broken["resolution"], serde_json::Value::Null);
    let of = |name: &str| broken["kafka"][name].to_string();
    let (partition, offset) = (of("partition"), of("offset"));
    let show = ["show", topic, &partition, &offset];
    assert_eq!(ask(&[&show[..], &["--raw"]].concat()), [b'{', 0xff, 0x00]);
    let whole = lines(&[&show[..], &["--output", "json", "--index", "0"]].concat()).remove(0);
    assert_eq!(whole["raw_base64"], "e/8A");
    assert_eq!(whole["headers"][0], serde_json::json!({"name": "tenant", "value": "acme"}));
    let shown = String::from_utf8(ask(&show)).unwrap();
    for wanted in ["bad_utf8", "not replayed", "tenant: acme", "base64: e/8A"] {
        assert!(shown.contains(wanted), "{wanted}\nin\n{shown}");
    }
    let told = String::from_utf8(ask(&["list", "--reason", "no_mapping"])).unwrap();
    assert!(told.contains(&format!("replayed as @replay/{topic} 0 ")), "{told}");
    let nowhere = scene.program(&["show", topic, "9", "9"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere).contains(&format!("nothing of {topic} 9 9 is in quarantine")));
}
