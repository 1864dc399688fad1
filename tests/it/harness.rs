//! Real engines for the tests: one ClickHouse and one broker for the whole binary.
//!
//! In: nothing. Out: a fresh database, a bootstrap address, a running Trailhouse.
//!
//! # Invariants
//! - Each test has its own database, topics and group; tests run side by side.
//! - The engines die with this process.
//! - With `TRAILHOUSE_REQUIRE_KAFKA=1` the broker is Apache Kafka or the tests fail.
//!
//! Deliberately unknown here: what is tested.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use trailhouse::app::{Role, Service};
use trailhouse::config::{Config, Loaded};
use trailhouse::demo::{Broker, BrokerMode, CLUSTER, ClickHouseServer, USER, watermarks};
use trailhouse::gateway::{Outgoing, Sender};
use trailhouse::source::TopicConfig;
use trailhouse::warehouse::{ClickHouseConfig, ShardConfig, Tally, Warehouse, migrate};

/// How long anything may take before a test gives up on it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The program under test.
pub fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_trailhouse"))
}

/// A name no other test has.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A ClickHouse for all tests.
pub fn clickhouse_server() -> &'static ClickHouseServer {
    static SERVER: OnceLock<(ClickHouseServer, TempDir)> = OnceLock::new();
    let (server, _) = SERVER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        (ClickHouseServer::start(dir.path(), exe()).unwrap(), dir)
    });
    server
}

/// Two that are the shards of one cluster, for all tests.
pub fn clickhouse_shards() -> &'static [ClickHouseServer] {
    static SHARDS: OnceLock<(Vec<ClickHouseServer>, [TempDir; 2])> = OnceLock::new();
    let (shards, _) = SHARDS.get_or_init(|| {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let paths = dirs.each_ref().map(TempDir::path);
        (ClickHouseServer::start_shards(&paths, exe()).unwrap(), dirs)
    });
    shards
}

/// A broker for all tests.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<(Broker, TempDir)> = OnceLock::new();
    let (broker, _) = BROKER.get_or_init(|| {
        let required = std::env::var("TRAILHOUSE_REQUIRE_KAFKA").is_ok_and(|value| value == "1");
        let mode = if required { BrokerMode::Apache } else { BrokerMode::Auto };
        let dir = tempfile::tempdir().unwrap();
        (Broker::choose(&mode, dir.path(), exe()).unwrap(), dir)
    });
    broker
}

/// How to reach a fresh database.
pub fn clickhouse_config() -> ClickHouseConfig {
    ClickHouseConfig {
        url: clickhouse_server().url(),
        database: unique("test"),
        user: USER.to_owned(),
        ..ClickHouseConfig::default()
    }
}

/// How to reach a fresh database over both shards; questions go to the second, which knows no better.
pub fn cluster_config() -> ClickHouseConfig {
    let shards = clickhouse_shards();
    let shard = |server: &ClickHouseServer| ShardConfig { urls: vec![server.url()] };
    ClickHouseConfig {
        url: shards[1].url(),
        cluster: CLUSTER.to_owned(),
        shards: shards.iter().map(shard).collect(),
        ..clickhouse_config()
    }
}

/// A fresh database, up to date.
pub fn clickhouse() -> Warehouse {
    migrated(&clickhouse_config())
}

/// A database, up to date.
pub fn migrated(config: &ClickHouseConfig) -> Warehouse {
    let warehouse = Warehouse::connect(config).unwrap();
    Runtime::new().unwrap().block_on(migrate::up(&warehouse, false)).unwrap();
    warehouse
}

/// A configuration over the engines, with a fresh database, group and these topics of two
/// partitions each, given as (topic, schema).
pub async fn loaded(topics: &[(&str, &str)]) -> Loaded {
    loaded_over(clickhouse_config(), topics).await
}

/// The same over tables of another set-up.
pub async fn loaded_over(clickhouse: ClickHouseConfig, topics: &[(&str, &str)]) -> Loaded {
    let Loaded { mut config, catalog } = Config::load(None).unwrap();
    config.clickhouse = clickhouse;
    config.kafka.brokers = broker().bootstrap();
    config.kafka.group = unique("group");
    config.kafka.cluster = "test".to_owned();
    config.kafka.topic_ids = !matches!(broker(), Broker::InProcess(_));
    config.kafka.topics = topics
        .iter()
        .map(|(name, schema)| TopicConfig {
            name: (*name).to_owned(),
            schema: (*schema).to_owned(),
            tenant: String::new(),
            tenant_from_body: true,
        })
        .collect();
    config.pipeline.batch_age_ms = 200;
    config.pipeline.insert_unready_ms = 0;
    config.api.listen = "127.0.0.1:0".to_owned();
    let wanted: Vec<(&str, i32)> = topics.iter().map(|(name, _)| (*name, 2)).collect();
    if !wanted.is_empty() {
        broker().create_topics(&wanted).await.unwrap();
    }
    let warehouse = Warehouse::connect(&config.clickhouse).unwrap();
    migrate::up(&warehouse, false).await.unwrap();
    Loaded { config, catalog }
}

/// Start what `serve` would.
pub async fn serve(loaded: &Loaded) -> Service {
    Service::start(loaded, Role::All).await.unwrap()
}

/// Put records onto a topic.
pub async fn produce(topic: &str, records: impl IntoIterator<Item = Outgoing>) -> u64 {
    let mut sender = Sender::new(&broker().bootstrap()).unwrap();
    for record in records {
        sender.send(topic, &record).await.unwrap();
    }
    sender.close().await.unwrap()
}

/// A record with a tenant.
pub fn record(payload: impl Into<Vec<u8>>) -> Outgoing {
    let headers = vec![("tenant".to_owned(), "acme".to_owned())];
    Outgoing { key: String::new(), headers, payload: payload.into() }
}

/// What is stored of every topic of a configuration, summed.
pub async fn tally(loaded: &Loaded) -> Tally {
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let mut sum =
        Tally { topic: String::new(), partition: 0, records: 0, quarantined: 0, duplicated: 0 };
    for tally in warehouse.tally("test").await.unwrap() {
        sum.records += tally.records;
        sum.quarantined += tally.quarantined;
        sum.duplicated += tally.duplicated;
    }
    sum
}

/// Records in the topics of a configuration, by the broker's word.
pub async fn in_kafka(loaded: &Loaded) -> u64 {
    let topics: Vec<String> =
        loaded.config.kafka.topics.iter().map(|topic| topic.name.clone()).collect();
    let marks = tokio::task::spawn_blocking(move || {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        watermarks(&broker().bootstrap(), &topics).unwrap()
    });
    marks.await.unwrap().iter().map(|mark| (mark.end - mark.start) as u64).sum()
}

/// Wait until as many records are stored as Kafka has; what is stored then.
pub async fn until_stored(loaded: &Loaded) -> Tally {
    let wanted = in_kafka(loaded).await;
    until(async || tally(loaded).await.records >= wanted).await;
    tally(loaded).await
}

/// Wait for a condition, or fail at the deadline.
pub async fn until(condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "the condition did not come true within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The same, outside async code.
pub fn until_now(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "the condition did not come true within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An address of this machine that nobody listens at.
pub fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// GET a path of a service; the status and the JSON.
pub async fn get(service: &Service, path: &str) -> (u16, serde_json::Value) {
    let url = format!("http://{}{path}", service.address);
    let answer = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(&url).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(text.into()))
    });
    answer.await.unwrap()
}
