//! What came out, as a table and as JSON.
//!
//! In: the runs of each system. Out: medians with their spread, and ratios to the Kafka engine.
//!
//! # Invariants
//! - A ratio is of medians, over the same runs.
//!
//! Deliberately unknown here: what is good.

use serde_json::{Value, json};

use super::limits::Limit;
use super::system::{Cost, Site};

/// The runs of a system.
pub struct Result {
    pub name: String,
    pub runs: Vec<Cost>,
}

impl Result {
    /// Lowest, median, highest.
    fn spread(&self, of: impl Fn(&Cost) -> f64) -> (f64, f64, f64) {
        let mut values: Vec<f64> = self.runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        (values[0], values[values.len() / 2], values[values.len() - 1])
    }

    fn median(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        self.spread(of).1
    }
}

/// CPU seconds of the system and ClickHouse together, per million events.
fn whole(cost: &Cost) -> f64 {
    cost.own + cost.clickhouse
}

/// Print tables; the same as JSON.
pub fn report(site: &Site<'_>, results: &[Result], limits: &[Limit]) -> Value {
    let workload = site.workload;
    let (schema, records) = (&workload.schema, workload.records);
    let (partitions, batch_rows) = (workload.partitions, site.batch_rows);
    let (event_bytes, table_rows) = (workload.event_bytes(), site.table_rows);
    let runs = results[0].runs.len();
    println!(
        "\n{records} events of {schema}, {event_bytes} bytes each, {partitions} partitions, batches of \
         {batch_rows} rows, {table_rows} rows before; medians of {runs} runs (lowest-highest); CPU in \
         seconds per million events\n"
    );
    println!(
        "| system | events / s | CPU, whole | its own | ClickHouse | Kafka | peak MB, its own | \
         ClickHouse | bytes an event |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut systems = serde_json::Map::new();
    for result in results {
        let (low, rate, high) = result.spread(|cost| cost.events_per_s);
        let (least, cpu, most) = result.spread(whole);
        let own = result.median(|cost| cost.own);
        let clickhouse = result.median(|cost| cost.clickhouse);
        let kafka = result.median(|cost| cost.kafka);
        let peak = result.median(|cost| cost.own_peak_mb);
        let clickhouse_peak = result.median(|cost| cost.clickhouse_peak_mb);
        let bytes = result.median(|cost| cost.bytes_an_event);
        println!(
            "| {} | {rate:.0} ({low:.0}-{high:.0}) | {cpu:.2} ({least:.2}-{most:.2}) | {own:.2} | \
             {clickhouse:.2} | {kafka:.2} | {peak:.0} | {clickhouse_peak:.0} | {bytes:.0} |",
            result.name
        );
        let value = json!({
            "events_per_s": rate,
            "cpu_s_per_million": cpu,
            "own_cpu_s_per_million": own,
            "clickhouse_cpu_s_per_million": clickhouse,
            "kafka_cpu_s_per_million": kafka,
            "own_peak_mb": peak,
            "clickhouse_peak_mb": clickhouse_peak,
            "bytes_per_event": bytes,
        });
        systems.insert(result.name.clone(), value);
    }
    let find = |name: &str| results.iter().find(|result| result.name == name);
    let engine = find("kafka_engine").map(|engine| engine.median(whole));
    let mut ratios = serde_json::Map::new();
    if let Some(engine) = engine {
        for result in results.iter().filter(|result| result.name != "kafka_engine") {
            let ratio = result.median(whole) / engine;
            println!("\n{}: {ratio:.3} times the Kafka engine's CPU, whole system", result.name);
            ratios.insert(result.name.clone(), json!(ratio));
        }
    }
    let trailhouse = find("trailhouse");
    let rate = trailhouse.map_or(0.0, |result| result.median(|cost| cost.events_per_s));
    json!({
        "limits": alone(limits, rate),
        "events": records,
        "schema": schema,
        "partitions": partitions,
        "schemas": workload.schemas(),
        "event_bytes": event_bytes,
        "batch_rows": batch_rows,
        "table_rows": table_rows,
        "runs": runs,
        "systems": systems,
        "ratios_cpu_vs_kafka_engine": ratios,
        "ratio_cpu_vs_kafka_engine": ratios.get("trailhouse"),
        "trailhouse_cpu_s_per_million": trailhouse.map(|result| result.median(|cost| cost.own)),
        "trailhouse_peak_mb": trailhouse.map(|result| result.median(|cost| cost.own_peak_mb)),
    })
}

/// What each part takes alone.
fn alone(limits: &[Limit], rate: f64) -> Value {
    let Some(slowest) = limits.iter().map(|limit| limit.events_per_s).min_by(f64::total_cmp) else {
        return Value::Null;
    };
    println!("\n| alone | events / s | CPU | ClickHouse |\n| --- | --- | --- | --- |");
    let mut parts = serde_json::Map::new();
    for Limit { name, events_per_s, own, clickhouse } in limits {
        println!("| {name} | {events_per_s:.0} | {own:.2} | {clickhouse:.2} |");
        let value = json!({
            "events_per_s": events_per_s,
            "own_cpu_s_per_million": own,
            "clickhouse_cpu_s_per_million": clickhouse,
        });
        parts.insert((*name).to_owned(), value);
    }
    println!("\nthe whole has {:.2} times the rate of the slowest part", rate / slowest);
    json!({ "parts": parts, "rate_to_slowest": rate / slowest })
}
