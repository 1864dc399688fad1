//! What a running service says of itself at `/metrics`, after load and in trouble.
//!
//! In: records, questions, a table that is away. Out: samples.
//!
//! # Invariants
//! - What is counted is held against what was produced and asked, here.
//!
//! Deliberately unknown here: dashboards, alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use trailhouse::app::Service;
use trailhouse::demo::generate;
use trailhouse::gateway::Outgoing;
use trailhouse::warehouse::Warehouse;

use crate::harness::{get, loaded, produce, serve, unique, until, until_stored};

/// Every sample, by its name with labels, as the text has it.
struct Scrape {
    samples: BTreeMap<String, f64>,
    text: String,
}

impl Scrape {
    async fn of(service: &Service) -> Scrape {
        let (status, text) = get(service, "/metrics").await;
        assert_eq!(status, 200);
        let text = text.as_str().unwrap().to_owned();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse::<f64>().unwrap())
        };
        Scrape { samples: lines.map(sample).collect(), text }
    }

    /// A sample; labels in the order of their names.
    fn value(&self, name: &str) -> f64 {
        let value = self.samples.get(name).copied();
        value.unwrap_or_else(|| panic!("no {name} in\n{}", self.text))
    }

    /// All samples of a metric.
    fn all(&self, metric: &str) -> Vec<f64> {
        let of = |(name, _): &(&String, &f64)| name.split('{').next() == Some(metric);
        self.samples.iter().filter(of).map(|(_, value)| *value).collect()
    }

    /// Their sum; there is one at least.
    fn sum(&self, metric: &str) -> f64 {
        let all = self.all(metric);
        assert!(!all.is_empty(), "no {metric} in\n{}", self.text);
        all.into_iter().sum()
    }
}

const LAG: [&str; 2] = ["trailhouse_consumer_lag_records", "trailhouse_consumer_lag_seconds"];

/// What happens now, as producers send it.
fn events(count: u64) -> Vec<Outgoing> {
    let now = chrono::Utc::now().timestamp_micros();
    let made = (0..count).map(|n| generate::generate("cockpit", n, now).unwrap());
    made.map(trailhouse::app::produce::outgoing).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_asked_and_refused_is_counted_and_nobody_is_named() {
    let topic = unique("measured");
    let mut loaded = loaded(&[(&topic, "cockpit")]).await;
    // Of 60 events a few fit.
    loaded.config.api.limits.page_bytes = 20_000;
    produce(&topic, events(60)).await;
    let broken = Outgoing { payload: b"no JSON".to_vec(), ..Outgoing::default() };
    produce(&topic, [broken.clone(), broken.clone(), broken]).await;
    let service = serve(&loaded).await;
    until_stored(&loaded).await;
    until(async || get(&service, "/startupz").await.0 == 200).await;
    for (path, status) in [
        ("/v1/events?limit=5", 200),
        ("/v1/events?limit=0", 400),
        ("/v1/events?limit=100", 422),
        ("/v1/events/count", 200),
        ("/nowhere/at/all", 404),
    ] {
        assert_eq!(get(&service, path).await.0, status, "{path}");
    }
    // The last batch is counted behind its being there, and lag when librdkafka tells of it.
    until(async || {
        let told = Scrape::of(&service).await;
        let parts = told.all("trailhouse_clickhouse_parts").iter().sum::<f64>();
        told.all("trailhouse_freshness_seconds_count") == [63.0]
            && told.all("trailhouse_consumer_lag_records") == [0.0, 0.0]
            && parts >= 1.0
    })
    .await;
    let told = Scrape::of(&service).await;
    let of_topic =
        |name: &str, label: &str| told.value(&format!("{name}{{{label},topic=\"{topic}\"}}"));
    assert_eq!(of_topic("trailhouse_events_stored_total", "schema=\"cockpit\""), 60.0);
    assert_eq!(of_topic("trailhouse_records_quarantined_total", "reason=\"not_json\""), 3.0);
    assert_eq!(of_topic("trailhouse_records_quarantined_total", "reason=\"no_tenant\""), 0.0);
    assert_eq!(told.sum("trailhouse_freshness_seconds_count"), 63.0);
    assert_eq!(told.sum("trailhouse_consumer_lag_seconds"), 0.0);
    assert_eq!(
        told.sum("trailhouse_batch_bytes_count"),
        told.sum("trailhouse_batch_records_count")
    );
    let batches = told.sum("trailhouse_batches_stored_total");
    assert_eq!(told.value("trailhouse_inserts_total{outcome=\"clean\"}"), batches);
    assert_eq!(told.value("trailhouse_inserts_total{outcome=\"failed\"}"), 0.0);
    assert!(told.sum("trailhouse_insert_duration_seconds_count") >= 2.0);
    assert!(told.value("trailhouse_rebalances_total{kind=\"assigned\"}") >= 1.0);
    assert_eq!(told.value("trailhouse_partitions_assigned"), 2.0);
    assert_eq!(told.value("trailhouse_partitions_paused"), 0.0);
    let pipeline = &loaded.config.pipeline;
    // One record more may come, in a segment of its own.
    let others = pipeline.memory_bytes - pipeline.max_record_bytes - (1 << 20);
    assert_eq!(told.value("trailhouse_memory_limit_bytes"), others as f64);
    assert_eq!(told.value("trailhouse_query_duration_seconds_count{question=\"page\"}"), 2.0);
    assert_eq!(told.value("trailhouse_rate_limited_total{limit=\"cost\"}"), 1.0);
    assert!(told.value("trailhouse_clickhouse_read_rows_total") >= 5.0);
    assert!(told.value("trailhouse_clickhouse_read_bytes_total") > 0.0);
    let requests = |route: &str, status: u16| {
        let labels = format!("{{method=\"GET\",route=\"{route}\",status=\"{status}\"}}");
        told.value(&format!("trailhouse_api_request_duration_seconds_count{labels}"))
    };
    assert_eq!((requests("/v1/events", 200), requests("/v1/events", 400)), (1.0, 1.0));
    assert_eq!(requests("other", 404), 1.0);
    assert_eq!(told.value("trailhouse_ready"), 1.0);
    for one in ["build_info", "config_info"] {
        assert_eq!(told.sum(&format!("trailhouse_{one}")), 1.0);
    }
    assert_eq!(told.sum("trailhouse_mapping_info") as usize, loaded.catalog.mappings().count());
    let listed: BTreeSet<&str> = service.metrics.listed.iter().map(|listed| listed.name).collect();
    for name in told.samples.keys().filter(|name| !name.starts_with("process_")) {
        let name = name.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(listed.contains(name) || listed.contains(base.unwrap_or(name)), "{name}");
    }
    for told_nowhere in ["nowhere", "acme", "limit=5"] {
        assert!(!told.text.contains(told_nowhere), "{told_nowhere} in\n{}", told.text);
    }
    assert_eq!(complaints_of_promtool(&told.text), None);
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_grows_in_seconds_while_inserts_fail_and_is_nothing_again_behind_it() {
    let topic = unique("lagging");
    let loaded = loaded(&[(&topic, "cockpit")]).await;
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let service = serve(&loaded).await;
    // Its partitions are being read by then.
    produce(&topic, events(40)).await;
    until_stored(&loaded).await;
    warehouse.run("RENAME TABLE events TO events_away").await.unwrap();
    produce(&topic, events(40)).await;
    until(async || {
        let told = Scrape::of(&service).await;
        let [records, seconds] = LAG.map(|metric| told.all(metric).iter().sum::<f64>());
        records == 40.0 && seconds > 1.0
    })
    .await;
    let told = Scrape::of(&service).await;
    assert_eq!(told.value("trailhouse_ready"), 0.0);
    assert!(told.value("trailhouse_inserts_total{outcome=\"failed\"}") >= 1.0);
    let failed = "trailhouse_insert_duration_seconds_count{outcome=\"error\",table=\"events\"}";
    assert!(told.value(failed) >= 1.0);
    assert_eq!(get(&service, "/startupz").await.0, 200, "it has started, whatever fails now");
    warehouse.run("RENAME TABLE events_away TO events").await.unwrap();
    until_stored(&loaded).await;
    until(async || {
        let told = Scrape::of(&service).await;
        LAG.iter().all(|metric| told.sum(metric) == 0.0) && told.value("trailhouse_ready") == 1.0
    })
    .await;
    let told = Scrape::of(&service).await;
    assert!(told.value("trailhouse_inserts_total{outcome=\"retried\"}") >= 1.0);
    service.stop().await.unwrap();
}

/// What `promtool check metrics` says, where it is there and not content.
fn complaints_of_promtool(text: &str) -> Option<String> {
    let mut check = Command::new("promtool");
    check.args(["check", "metrics"]).stdin(Stdio::piped());
    let Ok(mut running) = check.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() else {
        eprintln!("promtool is not here: what it would say is not known");
        return None;
    };
    running.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success() || !said.is_empty()).then_some(said)
}
