//! A steady stream: how fresh events are, and how many inserts and parts that takes.
//!
//! In: events a second, partitions, seconds. Out: milliseconds from a record's timestamp in Kafka to
//! its row being there to be read; inserts a second, most parts minute by minute, CPU, memory.
//!
//! # Invariants
//! - A row counts as there when its batch's row in `batches` is seen, which is written after it; that
//!   is looked for every [`LOOK`]. So a figure is rather too high, by [`LOOK`] and an insert.
//! - Both ends of a figure are read from the clock of one machine.
//!
//! Deliberately unknown here: what is fresh enough.

use std::cell::RefCell;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trailhouse::demo::create_topics;
use trailhouse::gateway::Sender;
use trailhouse::warehouse::{Warehouse, migrate};

use super::process::{Worker, cpu_seconds, forget_peak, peak_bytes};
use super::system::{Site, exe, until};

/// How often it is looked which rows are there.
const LOOK: Duration = Duration::from_millis(50);
/// How often parts are counted.
const COUNT: Duration = Duration::from_secs(1);
/// How often records are sent.
const TICK: Duration = Duration::from_millis(10);
/// Records before those that count: what takes long before the first event is starting, not storing.
const WARM_UP: u64 = 1_000;

/// Let Trailhouse store so many events a second, for so many seconds.
pub async fn steady(site: &Site<'_>, events_per_s: u64, seconds: u64) -> Value {
    let database = format!("steady_{}", site.workload.partitions);
    let config = site.config(&database, &database);
    let warehouse = Warehouse::connect(&config.clickhouse).unwrap();
    migrate::up(&warehouse, false).await.unwrap();
    let seen = "CREATE TABLE seen (partition Int32, last Int64, at DateTime64(3)) ENGINE = Memory";
    warehouse.run(seen).await.unwrap();
    let topic = (&*site.workload.topic, site.workload.partitions);
    create_topics(&site.kafka.bootstrap(), &[topic]).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trailhouse.toml");
    std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
    let mut worker = Command::new(exe());
    worker.args(["serve", "--role", "ingest", "--config"]).arg(&file).stdin(Stdio::null());
    let worker = Worker(worker.spawn().unwrap());
    let mut sender = Sender::new(&site.kafka.bootstrap()).unwrap();
    let mut sent = 0;
    site.workload.send(&mut sender, &mut sent, WARM_UP).await;
    sender.settle().await.unwrap();
    until(Instant::now(), || async { rows(&warehouse).await >= site.workload.rows_of(sent) }).await;

    let (own, clickhouse) = (worker.0.id(), site.clickhouse.pid());
    forget_peak(own);
    let cpu = (cpu_seconds(own), cpu_seconds(clickhouse));
    let batches_before = one(&warehouse, "SELECT count() FROM batches").await;
    let begun_at = one(&warehouse, "SELECT toUnixTimestamp64Micro(now64(6))").await;
    let begun = Instant::now();
    let parts = RefCell::new(Vec::new());
    let sending = async {
        let mut tick = tokio::time::interval(TICK);
        while begun.elapsed() < Duration::from_secs(seconds) {
            tick.tick().await;
            let due = (begun.elapsed().as_secs_f64() * events_per_s as f64) as u64;
            site.workload.send(&mut sender, &mut sent, WARM_UP + due).await;
        }
    };
    let looking = async {
        loop {
            look(&warehouse).await;
            tokio::time::sleep(LOOK).await;
        }
    };
    let counting = async {
        loop {
            count_parts(&warehouse, begun, &parts).await;
            tokio::time::sleep(COUNT).await;
        }
    };
    tokio::select! {
        () = sending => {}
        () = looking => {}
        () = counting => {}
    }
    assert_eq!(sender.close().await.unwrap(), sent);
    let batches = one(&warehouse, "SELECT count() FROM batches").await - batches_before;
    until(Instant::now(), || async {
        look(&warehouse).await;
        rows(&warehouse).await >= site.workload.rows_of(sent)
    })
    .await;
    look(&warehouse).await;
    let events = (sent - WARM_UP) as f64 / 1e6;
    let freshness = format!(
        "SELECT arrayStringConcat(arrayMap(q -> toString(q), \
         quantilesExact(0.5, 0.95, 0.99, 1)(dateDiff('millisecond', received_at, at))), ' ') \
         FROM (SELECT kafka_partition AS partition, kafka_offset AS last, received_at FROM events \
         WHERE received_at >= fromUnixTimestamp64Micro({begun_at})) AS stored \
         ASOF JOIN seen ON stored.partition = seen.partition AND stored.last <= seen.last"
    );
    let freshness = warehouse.read(&freshness).await.unwrap().swap_remove(0);
    let freshness: Vec<f64> = freshness.split(' ').map(|value| value.parse().unwrap()).collect();
    let parts = parts.into_inner();
    let result = json!({
        "events_per_s": events_per_s,
        "seconds": seconds,
        "partitions": site.workload.partitions,
        "freshness_ms": {
            "p50": freshness[0], "p95": freshness[1], "p99": freshness[2], "max": freshness[3],
        },
        "inserts_per_s": batches as f64 / seconds as f64,
        "most_parts": parts.iter().max(),
        "most_parts_by_minute": parts,
        "own_cpu_s_per_million": (cpu_seconds(own) - cpu.0) / events,
        "clickhouse_cpu_s_per_million": (cpu_seconds(clickhouse) - cpu.1) / events,
        "own_peak_mb": peak_bytes(own) as f64 / 1e6,
    });
    worker.stop();
    warehouse.run(&format!("DROP DATABASE {database} SYNC")).await.unwrap();
    println!("{}", serde_json::to_string_pretty(&result).unwrap());
    result
}

/// Note which rows are there.
async fn look(warehouse: &Warehouse) {
    // What is older was seen before.
    let seen = "INSERT INTO seen SELECT kafka_partition, max(last_offset), now64(3) FROM batches \
                WHERE ingested_at > now64(3) - INTERVAL 1 MINUTE GROUP BY kafka_partition";
    warehouse.run(seen).await.unwrap();
}

/// Note how many parts there are at most, minute by minute since it has begun.
async fn count_parts(warehouse: &Warehouse, begun: Instant, parts: &RefCell<Vec<i64>>) {
    let active = "SELECT count() FROM system.parts WHERE active AND table = 'events' \
                  AND database = currentDatabase()";
    let (active, minute) = (one(warehouse, active).await, begun.elapsed().as_secs() as usize / 60);
    let mut parts = parts.borrow_mut();
    let minutes = parts.len().max(minute + 1);
    parts.resize(minutes, 0);
    parts[minute] = parts[minute].max(active);
}

async fn rows(warehouse: &Warehouse) -> u64 {
    one(warehouse, "SELECT count() FROM events").await as u64
}

async fn one(warehouse: &Warehouse, sql: &str) -> i64 {
    let sql = format!("SELECT toString(assumeNotNull(({sql})))");
    warehouse.read(&sql).await.unwrap()[0].parse().unwrap()
}
