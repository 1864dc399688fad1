//! SIGHUP: mappings and rules change under a service that goes on, and bad ones change nothing.
//!
//! In: the program, a mapping file that is written anew. Out: by which version records are read.
//!
//! # Invariants
//! - A test waits for the log to say that a reload is over.
//!
//! Deliberately unknown here: what a mapping may say.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};

use tempfile::TempDir;
use trailhouse::config::Loaded;
use trailhouse::schema::SkipConfig;
use trailhouse::warehouse::Warehouse;

use crate::harness::{exe, free_address, loaded, produce, record, unique, until, until_now};

struct Serving {
    child: Child,
    dir: TempDir,
    loaded: Loaded,
}

impl Serving {
    async fn start() -> Serving {
        let topic = unique("reload");
        let mut loaded = loaded(&[(&topic, "")]).await;
        let dir = tempfile::tempdir().unwrap();
        loaded.config.schemas.dir = Some(dir.path().join("schemas"));
        loaded.config.api.listen = free_address();
        loaded.config.kafka.topics[0].schema = "shop".to_owned();
        std::fs::create_dir(dir.path().join("schemas")).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new(exe());
        command.args(["serve", "--config"]).arg(dir.path().join("t.toml"));
        write(&dir, "shop.toml", &mapping(1));
        settings(&dir, &loaded);
        let child = command.stderr(log).spawn().unwrap();
        Serving { child, dir, loaded }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Ring, and wait until the log says these words once more.
    fn reload(&self, words: &str) {
        let before = self.log().matches(words).count();
        let rung = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
        assert!(rung.unwrap().success());
        until_now(|| self.log().matches(words).count() > before);
    }

    /// Send a record, and wait until one is stored that was read by this version.
    async fn is_read_by(&self, version: u32) {
        let topic = &self.loaded.config.kafka.topics[0].name;
        let payload = format!(r#"{{"a":"made","n":"{}"}}"#, unique("n"));
        produce(topic, [record(payload.clone())]).await;
        let warehouse = Warehouse::connect(&self.loaded.config.clickhouse).unwrap();
        let sql = format!("SELECT toString(mapping_version) FROM events WHERE raw = '{payload}'");
        until(async || !warehouse.read(&sql).await.unwrap().is_empty()).await;
        assert_eq!(warehouse.read(&sql).await.unwrap(), [version.to_string()], "{}", self.log());
    }

    fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.loaded.config.api.listen);
        ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(dir: &TempDir, name: &str, text: &str) {
    let path: PathBuf = dir.path().join("schemas").join(name);
    std::fs::write(path, text).unwrap();
}

fn settings(dir: &TempDir, loaded: &Loaded) {
    std::fs::write(dir.path().join("t.toml"), toml::to_string(&loaded.config).unwrap()).unwrap();
}

fn mapping(version: u32) -> String {
    format!(
        "name = \"shop\"\nversion = {version}\nabout = \"x\"\n[when]\nexists = [\"a\"]\n\
         [event]\naction = \"a\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_brings_new_mappings_and_bad_ones_leave_the_old() {
    let mut serving = Serving::start().await;
    serving.is_read_by(1).await;

    write(&serving.dir, "shop.toml", &mapping(2));
    serving.reload("reloaded: ");
    serving.is_read_by(2).await;
    assert!(serving.metrics().contains("trailhouse_config_reload_failed 0"));

    write(&serving.dir, "shop.toml", &mapping(3).replace("action =", "actoin ="));
    serving.reload("not reloaded: ");
    assert!(serving.log().contains("shop.toml:7: event.actoin"), "{}", serving.log());
    serving.is_read_by(2).await;
    let metrics = serving.metrics();
    assert!(metrics.contains("trailhouse_config_reload_failed 1"), "{metrics}");
    let (name, version) = ("schema=\"shop\"", "version=\"2\"");
    let is_shown = |line: &str| line.contains(name) && line.contains(version);
    assert!(metrics.lines().any(is_shown), "{metrics}");

    write(&serving.dir, "shop.toml", &mapping(3));
    serving.loaded.config.log.level = "debug".to_owned();
    serving.loaded.config.pipeline.drain_ms += 1;
    settings(&serving.dir, &serving.loaded);
    serving.reload("reloaded: batches");
    assert!(serving.log().contains("they need a restart"), "{}", serving.log());
    serving.is_read_by(3).await;
    until_now(|| serving.log().contains("DEBUG"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_brings_skip_rules_and_a_bad_one_leaves_the_old() {
    let mut serving = Serving::start().await;
    serving.is_read_by(1).await;
    let rule = SkipConfig {
        name: "quiet".to_owned(),
        actions: vec!["ping".to_owned()],
        ..SkipConfig::default()
    };
    serving.loaded.config.skip = vec![rule.clone()];
    settings(&serving.dir, &serving.loaded);
    serving.reload("1 skip rules: quiet");
    let topic = &serving.loaded.config.kafka.topics[0].name;
    let warehouse = Warehouse::connect(&serving.loaded.config.clickhouse).unwrap();
    let skipped = "SELECT toString(s.1) FROM batches ARRAY JOIN skipped AS s";
    let events = "SELECT toString(count()) FROM events WHERE action = 'ping'";
    produce(topic, [record(r#"{"a":"ping"}"#)]).await;
    until(async || warehouse.read(skipped).await.unwrap() == ["quiet"]).await;
    serving.is_read_by(1).await;

    let bad = SkipConfig { verbs: vec!["reed".to_owned()], ..rule };
    serving.loaded.config.skip = vec![bad];
    settings(&serving.dir, &serving.loaded);
    serving.reload("not reloaded: ");
    assert!(serving.log().contains("there is no verb `reed`"), "{}", serving.log());
    produce(topic, [record(r#"{"a":"ping"}"#)]).await;
    until(async || warehouse.read(skipped).await.unwrap().len() == 2).await;
    assert_eq!(warehouse.read(events).await.unwrap(), ["0"]);
    let told = serving.log();
    assert!(!told.contains("they need a restart"), "{told}");
}
