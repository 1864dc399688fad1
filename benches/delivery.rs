//! What exactly-once costs: the same topic stored with and without intents, in turn, in one run.
//!
//! In: how many events and pairs. Out: CPU seconds per million events, of Trailhouse and of it and
//! ClickHouse together, and events a second; medians with their spread, for 1 and 12 partitions.
//!
//! ```sh
//! cargo bench --bench delivery -- --events 500000 --pairs 7
//! ```
//!
//! # Invariants
//! - A pair is two runs one after the other, which of them first alternates; every run has a group
//!   and a database of its own, and ends when as many events are stored as the topic holds.
//! - Without intents everything else is the same: batches, tokens, the row in `batches`. What is left
//!   out is the commit before each insert, by a failpoint that no release has.
//!
//! Deliberately unknown here: how long anything should take.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "shared/process.rs"]
#[allow(dead_code, reason = "memory is another bench's question")]
mod process;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::runtime::Runtime;
use trailhouse::app::produce::outgoing;
use trailhouse::config::Config;
use trailhouse::demo::generate::generate;
use trailhouse::demo::{ClickHouseServer, KafkaBroker, USER, create_topics};
use trailhouse::gateway::Sender;
use trailhouse::source::TopicConfig;
use trailhouse::warehouse::{ClickHouseConfig, Warehouse, migrate};

use self::process::{Worker, cpu_seconds};

const SCHEMA: &str = "aws_cloudtrail";
const AT: i64 = 1_750_000_000_123_456;
/// A run that takes longer is broken.
const DEADLINE: Duration = Duration::from_secs(180);

/// The cost of exactly-once.
#[derive(Parser)]
struct Options {
    /// Events of a run.
    #[arg(long, default_value_t = 500_000)]
    events: u64,
    /// Pairs of runs for each number of partitions.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Said by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What one run took.
#[derive(Clone, Copy)]
struct Cost {
    /// CPU seconds per million events: Trailhouse.
    own: f64,
    /// CPU seconds per million events: Trailhouse and ClickHouse.
    both: f64,
    /// Events a second.
    rate: f64,
}

fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_trailhouse"))
}

fn main() {
    let options = Options::parse();
    let (kafka_dir, clickhouse_dir, dir) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let kafka = KafkaBroker::start(kafka_dir.path(), exe()).unwrap();
    let clickhouse = ClickHouseServer::start(clickhouse_dir.path(), exe()).unwrap();
    let runtime = Runtime::new().unwrap();
    println!("{} events of {SCHEMA}, {} pairs", options.events, options.pairs);
    println!("| partitions | intents | Trailhouse CPU s / M | with ClickHouse | events / s |");
    println!("| --- | --- | --- | --- | --- |");
    for partitions in [1, 12] {
        let topic = format!("cost_{partitions}");
        runtime.block_on(fill(&kafka.bootstrap(), &topic, partitions, options.events));
        let run = |number: usize, intents: bool| {
            let name = format!("cost_{partitions}_{number}_{intents}");
            let config = config(&kafka, &clickhouse, &topic, &name);
            runtime.block_on(run(&config, dir.path(), intents, options.events, clickhouse.pid()))
        };
        // Engines and caches warm up.
        run(options.pairs, true);
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for number in 0..options.pairs {
            for first in [true, false] {
                let intents = first == number.is_multiple_of(2);
                let costs = if intents { &mut with } else { &mut without };
                costs.push(run(number, intents));
            }
        }
        report(partitions, &with, &without);
    }
}

fn report(partitions: i32, with: &[Cost], without: &[Cost]) {
    for (word, costs) in [("on", with), ("off", without)] {
        let shown = |of: fn(&Cost) -> f64| {
            let (low, median, high) = spread(costs.iter().map(of));
            format!("{median:.2} ({low:.2}-{high:.2})")
        };
        println!(
            "| {partitions} | {word} | {} | {} | {} |",
            shown(|cost| cost.own),
            shown(|cost| cost.both),
            shown(|cost| cost.rate),
        );
    }
    let ratio = |of: fn(&Cost) -> f64| {
        let pairs = with.iter().zip(without).map(|(with, without)| of(with) / of(without));
        let (low, median, high) = spread(pairs);
        format!("{median:.3} ({low:.3}-{high:.3})")
    };
    println!(
        "| {partitions} | on / off, by pairs | {} | {} | {} |",
        ratio(|cost| cost.own),
        ratio(|cost| cost.both),
        ratio(|cost| cost.rate),
    );
}

/// Lowest, median, highest.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}

async fn fill(bootstrap: &str, topic: &str, partitions: i32, events: u64) {
    create_topics(bootstrap, &[(topic, partitions)]).await.unwrap();
    let mut sender = Sender::new(bootstrap).unwrap();
    for number in 0..events {
        sender.send(topic, &outgoing(generate(SCHEMA, number, AT).unwrap())).await.unwrap();
    }
    assert_eq!(sender.close().await.unwrap(), events);
}

fn config(kafka: &KafkaBroker, clickhouse: &ClickHouseServer, topic: &str, name: &str) -> Config {
    let mut config = Config::default();
    config.kafka.brokers = kafka.bootstrap();
    config.kafka.group = name.to_owned();
    config.kafka.topics = vec![TopicConfig {
        name: topic.to_owned(),
        schema: SCHEMA.to_owned(),
        tenant: String::new(),
        tenant_from_body: true,
    }];
    config.clickhouse = ClickHouseConfig {
        url: clickhouse.url(),
        database: name.to_owned(),
        user: USER.to_owned(),
        ..ClickHouseConfig::default()
    };
    config.api.listen = "127.0.0.1:0".to_owned();
    config.log.level = "warn".to_owned();
    config
}

async fn run(config: &Config, dir: &Path, intents: bool, events: u64, clickhouse: u32) -> Cost {
    let warehouse = Warehouse::connect(&config.clickhouse).unwrap();
    migrate::up(&warehouse, false).await.unwrap();
    let file = dir.join("run.toml");
    fs::write(&file, toml::to_string(config).unwrap()).unwrap();
    let clickhouse_before = cpu_seconds(clickhouse);
    let begun = Instant::now();
    let mut worker = Command::new(exe());
    worker.args(["serve", "--role", "ingest", "--config"]).arg(&file).stdin(Stdio::null());
    if !intents {
        worker.env("FAILPOINTS", "intent::off=return");
    }
    let worker = Worker(worker.spawn().unwrap());
    let count = "SELECT toString(sum(rows)) FROM (SELECT count() AS rows FROM events \
                 UNION ALL SELECT count() FROM quarantine)";
    while warehouse.read(count).await.unwrap()[0].parse::<u64>().unwrap() < events {
        assert!(begun.elapsed() < DEADLINE, "not stored within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let own = cpu_seconds(worker.0.id());
    worker.stop();
    warehouse.run(&format!("DROP DATABASE `{}` SYNC", warehouse.database())).await.unwrap();
    let engine = cpu_seconds(clickhouse) - clickhouse_before;
    let millions = events as f64 / 1e6;
    Cost { own: own / millions, both: (own + engine) / millions, rate: events as f64 / seconds }
}
