//! One fault's surroundings: a topic, a database and a group of its own, and a proxy between.
//!
//! In: engines. Out: workers, records, an account.
//!
//! # Invariants
//! - The engines are shared by all tests unless a test brings its own, which it may kill.
//! - Every tenth record cannot be normalised, so that each batch has rows in both tables.
//! - Batches are of 50 records, so that a few hundred records pass every place several times.
//!
//! Deliberately unknown here: which fault it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use trailhouse::config::{Config, Loaded};
use trailhouse::demo::{Broker, USER};
use trailhouse::source::{KafkaConfig, TopicConfig};
use trailhouse::warehouse::{ClickHouseConfig, Warehouse, migrate};

use crate::harness::{self, DEADLINE, unique};
use crate::kafka::{Kafka, Record};
use crate::ledger::{Account, Ledger};
use crate::proxy::Proxy;
use crate::worker::{Launch, Worker};

/// The cluster's name in positions.
pub const CLUSTER: &str = "test";
/// The shortest the broker allows: how long a killed worker's partitions stay its own.
const SESSION_MS: u64 = 6_000;

/// Where a scene plays.
pub struct Engines {
    /// Bootstrap servers.
    pub bootstrap: String,
    /// ClickHouse's HTTP address.
    pub clickhouse: String,
}

impl Engines {
    /// Those of all tests.
    pub fn shared() -> Engines {
        let broker = harness::broker();
        assert!(
            !matches!(broker, Broker::InProcess(_)),
            "the fault tests need Apache Kafka: install Java 17 and Maven"
        );
        Engines { bootstrap: broker.bootstrap(), clickhouse: harness::clickhouse_server().url() }
    }
}

/// One fault's surroundings.
pub struct Scene {
    /// The settings of its workers; may be changed before they start.
    pub config: Config,
    /// Its topic.
    pub topic: String,
    /// How many partitions the topic has.
    pub partitions: i32,
    /// Between its workers and ClickHouse.
    pub proxy: Proxy,
    /// Compares.
    pub ledger: Ledger,
    /// The broker.
    pub kafka: Kafka,
    /// For its files.
    pub dir: TempDir,
    produced: AtomicU64,
}

impl Scene {
    /// A scene over the shared engines, with a topic of so many partitions.
    pub async fn new(name: &str, partitions: i32) -> Scene {
        let scene = Scene::without_topic(name, Engines::shared()).await;
        scene.kafka.create(&scene.topic, partitions, &[]).await;
        Scene { partitions, ..scene }
    }

    /// A scene whose topic is still to be made.
    pub async fn without_topic(name: &str, engines: Engines) -> Scene {
        let Loaded { mut config, .. } = Config::load(None).unwrap();
        let topic = unique(name);
        config.clickhouse = ClickHouseConfig {
            url: engines.clickhouse,
            database: unique("faults"),
            user: USER.to_owned(),
            ..ClickHouseConfig::default()
        };
        let warehouse = Warehouse::connect(&config.clickhouse).unwrap();
        migrate::up(&warehouse, false).await.unwrap();
        let proxy = Proxy::start(port(&config.clickhouse.url));
        config.clickhouse.url = proxy.url();
        config.kafka.brokers.clone_from(&engines.bootstrap);
        config.kafka.group = unique("group");
        config.kafka.cluster = CLUSTER.to_owned();
        config.kafka.session_timeout_ms = SESSION_MS;
        for (name, value) in [
            // A rebalance is noticed with a heartbeat, a partition with the metadata.
            ("heartbeat.interval.ms", "300"),
            ("topic.metadata.refresh.interval.ms", "1000"),
            ("reconnect.backoff.max.ms", "500"),
        ] {
            config.kafka.properties.insert(name.to_owned(), value.to_owned());
        }
        config.kafka.topics = vec![TopicConfig {
            name: topic.clone(),
            schema: "frontier".to_owned(),
            ..TopicConfig::default()
        }];
        config.pipeline.batch_records = 50;
        config.pipeline.batch_age_ms = 200;
        config.pipeline.drain_ms = 5_000;
        config.api.listen = "127.0.0.1:0".to_owned();
        config.log.level = "info,trailhouse=debug".to_owned();
        let kafka = Kafka { bootstrap: engines.bootstrap };
        let ledger = Ledger {
            kafka: kafka.clone(),
            warehouse,
            group: config.kafka.group.clone(),
            patience: DEADLINE,
        };
        let dir = tempfile::tempdir().unwrap();
        let produced = AtomicU64::new(0);
        Scene { config, topic, partitions: 1, proxy, ledger, kafka, dir, produced }
    }

    /// Has the broker assign partitions (KIP-848).
    pub fn broker_assigns(&mut self) {
        let kafka = &mut self.config.kafka;
        // With this protocol the broker says both.
        kafka.properties.remove("heartbeat.interval.ms");
        kafka.session_timeout_ms = KafkaConfig::default().session_timeout_ms;
        kafka.properties.insert("group.protocol".to_owned(), "consumer".to_owned());
    }

    /// A worker.
    pub fn worker(&self) -> Worker {
        self.worker_at("")
    }

    /// A worker with these failpoints.
    pub fn worker_at(&self, failpoints: &str) -> Worker {
        let launch = Launch { failpoints, ..Launch::default() };
        Worker::start(self.dir.path(), &self.config, &launch)
    }

    /// A worker of an older release, where `TRAILHOUSE_OLD_PROGRAM` names one; else of this one.
    pub fn old_worker(&self) -> Worker {
        let program = std::env::var_os("TRAILHOUSE_OLD_PROGRAM").map(Into::into);
        Worker::start(self.dir.path(), &self.config, &Launch { program, ..Launch::default() })
    }

    /// A worker that would close its batches elsewhere than those before it.
    pub fn successor(&self) -> Worker {
        let mut config = self.config.clone();
        config.pipeline.batch_records = 70;
        Worker::start(self.dir.path(), &config, &Launch::default())
    }

    /// A worker that reaches ClickHouse through a proxy of its own.
    pub fn worker_behind(&self, proxy: &Proxy, failpoints: &str) -> Worker {
        let mut config = self.config.clone();
        config.clickhouse.url = proxy.url();
        Worker::start(self.dir.path(), &config, &Launch { failpoints, ..Launch::default() })
    }

    /// A worker that is told to go on behind the gaps of these partitions.
    pub fn accepting(&self, partitions: &[i32]) -> Worker {
        let gaps: Vec<String> = partitions.iter().map(|p| format!("{}/{p}", self.topic)).collect();
        let arguments: Vec<&str> =
            gaps.iter().flat_map(|gap| ["--accept-gap", gap.as_str()]).collect();
        let launch = Launch { arguments: &arguments, ..Launch::default() };
        Worker::start(self.dir.path(), &self.config, &launch)
    }

    /// A worker with a static identity in the group.
    pub fn static_worker(&self, instance: &str) -> Worker {
        let mut config = self.config.clone();
        config.kafka.properties.insert("group.instance.id".to_owned(), instance.to_owned());
        Worker::start(self.dir.path(), &config, &Launch::default())
    }

    /// So many further records, to the partitions in turn.
    pub fn produce(&self, count: u64) {
        let first = self.produced.fetch_add(count, Ordering::Relaxed);
        let partitions = self.partitions as u64;
        let record = |n: u64| Record {
            partition: (n % partitions) as i32,
            // Every tenth of each partition, whatever their number.
            payload: if (n / partitions) % 10 == 9 {
                format!("no event {n}").into_bytes()
            } else {
                event(n, "2026-01-15T00:00:00Z")
            },
            ..Record::default()
        };
        self.kafka.produce(&self.topic, (first..first + count).map(record));
    }

    /// Waits until all that is in Kafka now is stored and committed, once.
    pub async fn settle(&self) -> Account {
        self.ledger.settle(&[&self.topic]).await
    }

    /// Settles, has the workers end by themselves, and looks again: what was on its way has landed.
    pub async fn finish(&self, workers: impl IntoIterator<Item = Worker>) -> Account {
        self.settle().await;
        for mut worker in workers {
            let status = worker.terminate();
            assert!(status.success(), "a worker ended with {status}");
        }
        let account = self.settle().await;
        assert!(account.records > 0, "nothing was produced");
        account
    }

    /// ClickHouse has been started again, and is elsewhere.
    pub fn clickhouse_is_at(&mut self, url: &str) {
        self.proxy.target(port(url));
        let direct = ClickHouseConfig { url: url.to_owned(), ..self.config.clickhouse.clone() };
        self.ledger.warehouse = Warehouse::connect(&direct).unwrap();
    }

    /// Runs a statement in the scene's database, past the proxy.
    pub async fn sql(&self, statement: &str) {
        let done = self.ledger.warehouse.run(statement).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// A query's one text column.
    pub async fn ask(&self, query: &str) -> Vec<String> {
        let found = self.ledger.warehouse.read(query).await;
        found.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// How many gaps are reported; also before there is a table of them.
    pub async fn gaps(&self) -> u64 {
        let sql = "SELECT toString(ifNull(sum(total_rows), 0)) FROM system.tables \
                   WHERE database = currentDatabase() AND name = 'gaps'";
        self.ask(sql).await[0].parse().unwrap()
    }

    /// Waits until rows are there.
    pub async fn await_rows(&self, table: &str, least: u64) {
        let sql = format!("SELECT toString(count()) FROM {table}");
        harness::until(async || self.ask(&sql).await[0].parse::<u64>().unwrap() >= least).await;
    }
}

/// An event of the schema `frontier`.
pub fn event(n: u64, created_at: &str) -> Vec<u8> {
    format!(
        r#"{{"id":"{n}","source":"iam","action":"project.create","actor":{{"id":"ann"}},"created_at":"{created_at}"}}"#
    )
    .into_bytes()
}

/// The port of an address.
pub fn port(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

/// Waits until these workers have so many partitions each.
pub async fn await_partitions(workers: &mut [&mut Worker], wanted: &[i64]) {
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        let found: Vec<i64> = workers
            .iter_mut()
            .map(|worker| worker.metric("trailhouse_partitions_assigned").unwrap_or(-1.0) as i64)
            .collect();
        if found == wanted {
            return;
        }
        let late = std::time::Instant::now() > deadline;
        assert!(!late, "partitions: {found:?}, not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
