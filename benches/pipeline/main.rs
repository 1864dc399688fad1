//! Trailhouse beside ClickHouse's own Kafka engine: the same topic, into the same table.
//!
//! In: how many events, partitions, which schema, peers. Out: what each system took, by process:
//! events a second, CPU seconds per million events, peak memory, bytes on disk; and the ratios.
//!
//! ```sh
//! cargo bench --bench pipeline -- --events 2000000 --partitions 12 --runs 3 --json result.json
//! cargo bench --bench pipeline -- --partitions 1,12,64 --alone --runs 1             # a curve
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
//! - Each point of a sweep has a topic and tables of its own, and is written down when it is there.
//! - Every column but the ids must come out the same as Trailhouse's: nobody wins by doing less.
//!
//! Deliberately unknown here: how long anything should take.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod limits;
#[path = "../shared/process.rs"]
mod process;
mod report;
#[path = "../shared/rows.rs"]
mod rows;
mod steady;
mod system;
mod table;
mod workload;

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Parser;
use serde_json::Value;
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
    /// Records of the topic. Of this and all that takes a list, several make a sweep.
    #[arg(long, value_delimiter = ',', default_value = "2000000")]
    events: Vec<u64>,
    /// Partitions of the topic.
    #[arg(long, value_delimiter = ',', default_value = "12")]
    partitions: Vec<i32>,
    /// `mixed` (the five contracts' schemas in turn), one of the generated schemas, or how many of
    /// them in turn. The Kafka engine's view knows the five.
    #[arg(long, value_delimiter = ',', default_value = workload::MIXED)]
    schema: Vec<String>,
    /// Bytes of an event, from 300 on, of the schema `pace`; of large ones there are fewer.
    #[arg(long, value_delimiter = ',')]
    event_bytes: Vec<usize>,
    /// Rows in the table before; 200 bytes of disk each.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    table_rows: Vec<u64>,
    /// Most rows of a batch, of every system.
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
    /// Write what came out to a file, as JSON: a line with an object for each point of the sweep.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Said by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let (kafka_dir, clickhouse_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let kafka = KafkaBroker::start(kafka_dir.path(), system::exe()).unwrap();
    let clickhouse = ClickHouseServer::start(clickhouse_dir.path(), system::exe()).unwrap();
    let runtime = Runtime::new().unwrap();
    let mut json = options.json.as_ref().map(|file| File::create(file).unwrap());
    let mut note = |point: Value| {
        if let Some(file) = &mut json {
            writeln!(file, "{point}").unwrap();
        }
    };
    for workload in workloads(&options) {
        let site = |batch_rows, table_rows| Site {
            kafka: &kafka,
            clickhouse: &clickhouse,
            workload: &workload,
            batch_rows,
            table_rows,
        };
        if let Some(events_per_s) = options.steady {
            let site = site(options.batch_rows[0], 0);
            note(runtime.block_on(steady(&site, events_per_s, options.seconds)));
            continue;
        }
        runtime.block_on(workload.fill(&kafka.bootstrap()));
        for (batch_rows, table_rows) in pairs(&options.batch_rows, &options.table_rows) {
            let site = site(batch_rows, table_rows);
            if options.table {
                note(runtime.block_on(table(&site, &options.change, options.runs)));
                continue;
            }
            let systems = systems(&options, &workload);
            let results = runtime.block_on(compare(&site, &systems, options.runs));
            let limits = if options.limits { runtime.block_on(limits(&site)) } else { Vec::new() };
            note(report(&site, &results, &limits));
        }
    }
}

/// The topics of a sweep.
fn workloads(options: &Options) -> Vec<Workload> {
    let sizes = options.event_bytes.iter().copied().map(Some);
    let sizes: Vec<_> = if sizes.len() == 0 { vec![None] } else { sizes.collect() };
    let shapes = pairs(&options.schema, &sizes);
    let counts = pairs(&options.partitions, &options.events);
    let all = pairs(&shapes, &counts);
    let new = |((schema, size), (partitions, events)): ((String, _), _)| {
        Workload::new(&schema, partitions, events, size)
    };
    all.into_iter().map(new).collect()
}

/// Each with each.
fn pairs<A: Clone, B: Clone>(some: &[A], others: &[B]) -> Vec<(A, B)> {
    let mut all = Vec::new();
    for one in some {
        all.extend(others.iter().map(|other| (one.clone(), other.clone())));
    }
    all
}

fn systems(options: &Options, workload: &Workload) -> Vec<System> {
    let mut systems = vec![System::Trailhouse];
    if !options.alone && workload.is_in_sql() {
        systems.push(System::KafkaEngine);
    }
    systems.extend(options.peer.iter().map(|text| {
        let (name, command) = text.split_once('=').expect("--peer is NAME=COMMAND");
        System::Command { name: name.to_owned(), command: command.to_owned() }
    }));
    systems
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
