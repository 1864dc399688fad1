//! The systems, and one run of one of them.
//!
//! In: a [`Site`], a [`System`]. Out: a [`Cost`], and a sum over each column of what was stored.
//!
//! # Invariants
//! - Every run gets the project's own tables, freshly made, and leaves nothing behind.
//!
//! Deliberately unknown here: what comes out.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use trailhouse::config::Config;
use trailhouse::demo::{ClickHouseServer, KafkaBroker, USER};
use trailhouse::source::TopicConfig;
use trailhouse::warehouse::{ClickHouseConfig, Warehouse, migrate};

use super::process::{Worker, cpu_seconds, forget_peak, peak_bytes};
use super::rows::insert_rows;
use super::workload::{self, Workload};

/// A run that takes longer is broken.
const DEADLINE: Duration = Duration::from_secs(900);
/// What the rows before go back to: three months, in microseconds.
const TABLE_SPAN: i64 = 90 * 86_400_000_000;
/// What is the system's own affair: its random ids, its clock, names it cannot know.
const OWN_AFFAIR: &str = "'id', 'ingested_at', 'kafka_cluster', 'kafka_incarnation'";

/// Where all run.
pub struct Site<'a> {
    pub kafka: &'a KafkaBroker,
    pub clickhouse: &'a ClickHouseServer,
    pub workload: &'a Workload,
    pub batch_rows: u64,
    /// Rows in the table before.
    pub table_rows: u64,
}

/// What reads the topic.
pub enum System {
    Trailhouse,
    KafkaEngine,
    Command { name: String, command: String },
}

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Events a second, until all were stored.
    pub events_per_s: f64,
    /// CPU seconds per million events: the system's own process.
    pub own: f64,
    /// The same of ClickHouse, merges included.
    pub clickhouse: f64,
    /// The same of the broker.
    pub kafka: f64,
    /// Most memory of the system's own process, MB.
    pub own_peak_mb: f64,
    /// The same of ClickHouse.
    pub clickhouse_peak_mb: f64,
    /// What an event takes on disk.
    pub bytes_an_event: f64,
}

/// Sums over columns, by their names.
pub type Sums = Vec<(String, String)>;

pub fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_trailhouse"))
}

impl System {
    pub fn name(&self) -> String {
        match self {
            System::Trailhouse => "trailhouse".to_owned(),
            System::KafkaEngine => "kafka_engine".to_owned(),
            System::Command { name, .. } => name.clone(),
        }
    }
}

impl Site<'_> {
    /// Let a system store the whole topic.
    pub async fn run(&self, system: &System, run: usize) -> (Cost, Sums) {
        let database = format!("bench_{}_{run}", system.name());
        let (topic, batch_rows, before) = (&self.workload.topic, self.batch_rows, self.table_rows);
        let group = format!("{database}_{topic}_{batch_rows}_{before}");
        let config = self.config(&database, &group);
        let warehouse = Warehouse::connect(&config.clickhouse).unwrap();
        migrate::up(&warehouse, false).await.unwrap();
        if self.table_rows > 0 {
            let rows = insert_rows(self.table_rows, workload::AT - TABLE_SPAN, workload::AT);
            warehouse.run(&rows).await.unwrap();
        }
        until_merged(&warehouse).await;
        let bytes_before = bytes_on_disk(&warehouse).await;
        let (clickhouse, kafka) = (self.clickhouse.pid(), self.kafka.pid());
        forget_peak(clickhouse);
        let before = (cpu_seconds(clickhouse), cpu_seconds(kafka));
        let dir = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let worker = match system {
            System::KafkaEngine => {
                for statement in self.in_sql(&group) {
                    warehouse.run(&statement).await.unwrap();
                }
                None
            }
            System::Trailhouse => {
                let file = dir.path().join("trailhouse.toml");
                fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
                let mut worker = Command::new(exe());
                worker.args(["serve", "--role", "ingest", "--config"]).arg(&file);
                Some(Worker(worker.stdin(Stdio::null()).spawn().unwrap()))
            }
            System::Command { command, .. } => {
                let mut worker = Command::new("sh");
                worker.args(["-c", &format!("exec {command}")]).stdin(Stdio::null());
                worker.env("KAFKA_BROKERS", self.kafka.bootstrap());
                worker.env("KAFKA_TOPIC", &self.workload.topic).env("KAFKA_GROUP", &group);
                worker.env("CLICKHOUSE_URL", self.clickhouse.url()).env("CLICKHOUSE_USER", USER);
                worker.env("CLICKHOUSE_DATABASE", &database);
                worker.env("BATCH_ROWS", self.batch_rows.to_string());
                Some(Worker(worker.spawn().unwrap()))
            }
        };
        let rows = self.workload.rows();
        until(begun, || async {
            let count = "SELECT toString(sum(rows)) FROM (SELECT count() AS rows FROM events \
                         UNION ALL SELECT count() FROM quarantine)";
            let stored = warehouse.read(count).await.unwrap()[0].parse::<u64>().unwrap();
            stored >= self.table_rows + rows
        })
        .await;
        let seconds = begun.elapsed().as_secs_f64();
        let refused = warehouse.read("SELECT toString(count()) FROM quarantine").await.unwrap();
        assert_eq!(refused, ["0"], "there are no such events");
        until_merged(&warehouse).await;
        let own = worker.as_ref().map(|worker| worker.0.id());
        let per_million = 1e6 / self.workload.records as f64;
        let cost = Cost {
            events_per_s: self.workload.records as f64 / seconds,
            own: own.map_or(0.0, cpu_seconds) * per_million,
            clickhouse: (cpu_seconds(clickhouse) - before.0) * per_million,
            kafka: (cpu_seconds(kafka) - before.1) * per_million,
            own_peak_mb: own.map_or(0, peak_bytes) as f64 / 1e6,
            clickhouse_peak_mb: peak_bytes(clickhouse) as f64 / 1e6,
            bytes_an_event: (bytes_on_disk(&warehouse).await - bytes_before) / rows as f64,
        };
        if let Some(worker) = worker {
            worker.stop();
        }
        let sums = sums(&warehouse, &self.workload.topic).await;
        if matches!(system, System::KafkaEngine) {
            warehouse.run("DROP TABLE normalised SYNC").await.unwrap();
            warehouse.run("DROP TABLE queue SYNC").await.unwrap();
        }
        warehouse.run(&format!("DROP DATABASE `{database}` SYNC")).await.unwrap();
        (cost, sums)
    }

    /// What Trailhouse is told.
    pub fn config(&self, database: &str, group: &str) -> Config {
        let mut config = Config::default();
        config.kafka.brokers = self.kafka.bootstrap();
        config.kafka.group = group.to_owned();
        config.kafka.topics = vec![TopicConfig {
            name: self.workload.topic.clone(),
            schema: self.workload.named_schema().to_owned(),
            tenant: String::new(),
            tenant_from_body: true,
        }];
        config.clickhouse = ClickHouseConfig {
            url: self.clickhouse.url(),
            database: database.to_owned(),
            user: USER.to_owned(),
            ..ClickHouseConfig::default()
        };
        config.pipeline.batch_records = self.batch_rows as usize;
        config.api.listen = "127.0.0.1:0".to_owned();
        config.log.level = "warn".to_owned();
        config
    }

    /// The statements that make the Kafka engine read the topic.
    fn in_sql(&self, group: &str) -> Vec<String> {
        let cores = std::thread::available_parallelism().unwrap().get();
        let consumers = cores.min(self.workload.partitions as usize);
        let sql: String = include_str!("kafka_engine.sql")
            .lines()
            .filter(|line| !line.starts_with("--"))
            .map(|line| format!("{line}\n"))
            .collect();
        let sql = sql
            .replace("{brokers}", &self.kafka.bootstrap())
            .replace("{topics}", &self.workload.topic)
            .replace("{group}", group)
            .replace("{consumers}", &consumers.to_string())
            .replace("{batch_rows}", &self.batch_rows.to_string());
        sql.split(";\n").map(str::trim).filter(|part| !part.is_empty()).map(String::from).collect()
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.own + self.clickhouse;
        write!(f, "{:.0} events/s, {:.2} CPU s per million ", self.events_per_s, whole)?;
        write!(f, "({:.2} own, {:.2} ClickHouse)", self.own, self.clickhouse)
    }
}

/// Wait until something holds.
pub async fn until<F: Future<Output = bool>>(begun: Instant, holds: impl Fn() -> F) {
    while !holds().await {
        assert!(begun.elapsed() < DEADLINE, "not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Wait until nothing merges: looked at twice, for one merge may follow another.
pub async fn until_merged(warehouse: &Warehouse) {
    let merges = "SELECT toString(count()) FROM system.merges";
    for _ in 0..2 {
        until(Instant::now(), || async { warehouse.read(merges).await.unwrap()[0] == "0" }).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

pub async fn bytes_on_disk(warehouse: &Warehouse) -> f64 {
    let bytes = "SELECT toString(sum(bytes_on_disk)) FROM system.parts \
                 WHERE active AND database = currentDatabase()";
    warehouse.read(bytes).await.unwrap()[0].parse().unwrap()
}

/// For each column a number that tells whether it was stored the same, row by row.
async fn sums(warehouse: &Warehouse, topic: &str) -> Sums {
    let columns = format!(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'events' \
         AND name NOT IN ({OWN_AFFAIR}) ORDER BY position"
    );
    let columns = warehouse.read(&columns).await.unwrap();
    let mut sums = Vec::new();
    for column in columns {
        let value = match column.as_str() {
            // A map's order says nothing.
            "attributes" | "headers" => format!("mapSort({column})"),
            _ => format!("`{column}`"),
        };
        let sum = format!(
            "SELECT toString(sum(cityHash64(kafka_topic, kafka_partition, kafka_offset, kafka_index, \
             {value}))) FROM events WHERE kafka_topic = '{topic}'"
        );
        let sum = warehouse.read(&sum).await.unwrap().swap_remove(0);
        sums.push((column, sum));
    }
    sums
}
