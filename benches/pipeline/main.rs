//! Trailhouse beside ClickHouse's own Kafka engine: the same topic, into the same table.
//!
//! In: how many events, partitions, which schema, peers. Out: what each system took, by process:
//! events a second, CPU seconds per million events, peak memory, bytes on disk; and the ratios.
//!
//! ```sh
//! cargo bench --bench pipeline -- --events 2000000 --partitions 12 --runs 3 --json result.json
//! cargo bench --bench pipeline -- --partitions 1,12,64 --batch-rows 20000,100000   # a sweep
//! cargo bench --bench pipeline -- --peer 'vector=vector -c vector.yaml'             # one more
//! cargo bench --bench pipeline -- --steady 5000 --seconds 300                       # freshness
//! cargo bench --bench pipeline -- --table --events 200000 --batch-rows 25000,100000 # what columns cost
//! ```
//!
//! # Invariants
//! - Systems run in turn, one at a time, in an order that turns round with each run, each in a
//!   consumer group and a database of its own, over the same broker and the same ClickHouse.
//! - A run ends when as many rows are stored as the topic's records make, and nothing merges any
//!   more: what a system leaves to ClickHouse is counted as its cost.
//! - Every column but the ids must come out the same as Trailhouse's: nobody wins by doing less.
//!
//! Deliberately unknown here: how long anything should take.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod limits;
#[path = "../shared/process.rs"]
mod process;
mod report;
mod steady;
mod system;
mod table;
mod workload;

use std::path::PathBuf;

use clap::Parser;
use tokio::runtime::Runtime;
use trailhouse::demo::{ClickHouseServer, KafkaBroker};

use self::limits::limits;
use self::report::{Result, report};
use self::steady::steady;
use self::system::{Site, System};
use self::table::table;
use self::workload::Workload;

/// The pipeline beside its peers.
#[derive(Parser)]
struct Options {
    /// Records of the topic.
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Partitions of the topic; several make a sweep.
    #[arg(long, value_delimiter = ',', default_value = "12")]
    partitions: Vec<i32>,
    /// `mixed` (the five contracts' schemas in turn), or one of the generated schemas. The Kafka
    /// engine's view knows the five.
    #[arg(long, default_value = workload::MIXED)]
    schema: String,
    /// Most rows of a batch, of every system; several make a sweep.
    #[arg(long, value_delimiter = ',', default_value = "100000")]
    batch_rows: Vec<u64>,
    /// Runs of each system; medians are told.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// One more system, as NAME=COMMAND. It is told KAFKA_BROKERS, KAFKA_TOPIC, KAFKA_GROUP,
    /// CLICKHOUSE_URL, CLICKHOUSE_USER, CLICKHOUSE_DATABASE and BATCH_ROWS by its environment, writes
    /// into the table `events` that is there, and ends by SIGTERM. May be repeated.
    #[arg(long)]
    peer: Vec<String>,
    /// Only Trailhouse.
    #[arg(long)]
    alone: bool,
    /// Measure what each part of the way takes alone, too.
    #[arg(long)]
    limits: bool,
    /// Instead: what each part of the table costs ClickHouse.
    #[arg(long)]
    table: bool,
    /// Of --table: a further variant, as the statement that makes it. May be repeated.
    #[arg(long)]
    change: Vec<String>,
    /// Instead of a lag: so many events a second for so many --seconds, and how fresh they are stored.
    #[arg(long)]
    steady: Option<u64>,
    /// Of --steady.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Write what came out to a file, as JSON: an array with an object for each point of the sweep.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Said by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let mut systems = vec![System::Trailhouse];
    if !options.alone && workload::IN_SQL.contains(&options.schema.as_str()) {
        systems.push(System::KafkaEngine);
    }
    systems.extend(options.peer.iter().map(|text| {
        let (name, command) = text.split_once('=').expect("--peer is NAME=COMMAND");
        System::Command { name: name.to_owned(), command: command.to_owned() }
    }));
    let (kafka_dir, clickhouse_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let kafka = KafkaBroker::start(kafka_dir.path(), system::exe()).unwrap();
    let clickhouse = ClickHouseServer::start(clickhouse_dir.path(), system::exe()).unwrap();
    let runtime = Runtime::new().unwrap();
    let mut points = Vec::new();
    for partitions in options.partitions {
        let workload = Workload::new(&options.schema, partitions, options.events);
        let site = |batch_rows| Site {
            kafka: &kafka,
            clickhouse: &clickhouse,
            workload: &workload,
            batch_rows,
        };
        if let Some(events_per_s) = options.steady {
            let site = site(options.batch_rows[0]);
            points.push(runtime.block_on(steady(&site, events_per_s, options.seconds)));
            continue;
        }
        runtime.block_on(workload.fill(&kafka.bootstrap()));
        for batch_rows in &options.batch_rows {
            let site = site(*batch_rows);
            if options.table {
                points.push(runtime.block_on(table(&site, &options.change, options.runs)));
                continue;
            }
            let results = runtime.block_on(compare(&site, &systems, options.runs));
            let limits = if options.limits { runtime.block_on(limits(&site)) } else { Vec::new() };
            points.push(report(&site, &results, &limits));
        }
    }
    if let Some(file) = options.json {
        std::fs::write(file, serde_json::to_string_pretty(&points).unwrap()).unwrap();
    }
}

async fn compare(site: &Site<'_>, systems: &[System], runs: usize) -> Vec<Result> {
    let results = systems.iter().map(|system| Result { name: system.name(), runs: Vec::new() });
    let mut results: Vec<Result> = results.collect();
    let mut expected = None;
    for run in 0..runs {
        let mut order: Vec<usize> = (0..systems.len()).collect();
        order.rotate_left(run % systems.len());
        for at in order {
            let (cost, sums) = site.run(&systems[at], run).await;
            let expected = expected.get_or_insert_with(|| (systems[at].name(), sums.clone()));
            let differing = sums.iter().zip(&expected.1).filter(|(one, other)| one != other);
            let differing: Vec<&str> = differing.map(|((column, _), _)| column.as_str()).collect();
            let (name, first) = (systems[at].name(), &expected.0);
            assert!(differing.is_empty(), "{name} and {first} differ in {differing:?}");
            eprintln!("{name}, run {}: {cost}", run + 1);
            results[at].runs.push(cost);
        }
    }
    results
}
