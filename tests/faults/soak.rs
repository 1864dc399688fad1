//! All faults mixed, from a seed: for half a minute with every test run, for hours when asked for.
//!
//! In: a seed, and how long, how many workers, partitions and records a second. Out: an account of
//! every record, and counts of what was done to them.
//!
//! ```sh
//! SOAK_SEED=7 SOAK_MINUTES=60 cargo test --test faults -- --ignored --exact --nocapture soak::soak
//! ```
//!
//! # Invariants
//! - The seed decides what is done, in which order and to whom; only how far the workers have come
//!   then is left to the machine.
//! - Pauses pace the faults; whatever is asserted is waited for.
//!
//! Deliberately unknown here: how exactly-once is done, except that it can be switched off.

use std::fmt;
use std::time::{Duration, Instant};

use trailhouse::demo::{ClickHouseServer, KafkaBroker};

use crate::chaos::{Chaos, Counts};
use crate::harness;
use crate::ledger::{Account, Ranges};
use crate::scene::{Engines, Scene};
use crate::trickle::Trickle;

/// How hard, how long.
struct Soak {
    seed: u64,
    length: Duration,
    workers: usize,
    partitions: i32,
    /// Records a second.
    rate: u64,
    intents: bool,
}

impl Soak {
    /// As the environment says, else this long.
    fn of_environment(length: Duration) -> Soak {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        Soak {
            seed: number("SOAK_SEED").unwrap_or(1),
            length: number("SOAK_MINUTES").map_or(length, |n| Duration::from_secs(n * 60)),
            workers: number("SOAK_WORKERS").unwrap_or(3) as usize,
            partitions: number("SOAK_PARTITIONS").unwrap_or(8) as i32,
            rate: number("SOAK_RATE").unwrap_or(500),
            intents: true,
        }
    }

    async fn run(&self) -> Report {
        let (kafka_dir, clickhouse_dir) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let broker = KafkaBroker::start(kafka_dir.path(), harness::exe()).unwrap();
        let server = ClickHouseServer::start(clickhouse_dir.path(), harness::exe()).unwrap();
        let engines = Engines { bootstrap: broker.bootstrap(), clickhouse: server.url() };
        let mut scene = Scene::without_topic("soak", engines).await;
        scene.partitions = self.partitions;
        scene.config.log.level = "info".to_owned();
        scene.kafka.create(&scene.topic, self.partitions, &[]).await;

        let producer = Trickle::begin(&scene.kafka, &scene.topic, self.partitions, self.rate);
        let mut chaos = Chaos::begin(&mut scene, self.seed, self.workers, self.intents);
        chaos.own(broker, kafka_dir.path(), server, clickhouse_dir.path());
        let end = Instant::now() + self.length;
        while Instant::now() < end {
            chaos.turn();
            tokio::time::sleep(chaos.pause()).await;
        }
        producer.end();
        let mut aftermath = chaos.end();

        let Scene { ledger, topic, dir, .. } = &mut scene;
        ledger.patience = Duration::from_secs(180);
        let records = {
            let (kafka, topic) = (ledger.kafka.clone(), topic.clone());
            tokio::task::spawn_blocking(move || kafka.records(&[&topic])).await.unwrap()
        };
        ledger.await_account(&records).await;
        for worker in &mut aftermath.workers {
            worker.terminate();
        }
        // What was on its way when a worker ended has landed by now, or never will.
        let account = ledger.account(&records).await;
        let logs = logs(dir.path());
        Report { seed: self.seed, account, counts: aftermath.counts, logs }
    }
}

/// Phrases of the workers' logs that stand for something.
const PHRASES: [(&str, &str); 4] = [
    ("assignments", " assigned partition="),
    ("batches fenced", " fenced: "),
    ("batches made again", "start.made_again_to="),
    ("outcomes unclear, looked up", "looking, then again"),
];

fn logs(dir: &std::path::Path) -> Vec<(&'static str, usize)> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let texts: Vec<String> = logs.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let count = |phrase: &str| texts.iter().map(|text| text.matches(phrase).count()).sum();
    PHRASES.map(|(name, phrase)| (name, count(phrase))).to_vec()
}

/// What a soak found.
struct Report {
    seed: u64,
    account: Account,
    counts: Counts,
    logs: Vec<(&'static str, usize)>,
}

impl Report {
    fn wrong(&self) -> u64 {
        let Account { missing, duplicated, .. } = &self.account;
        missing.values().chain(duplicated.values()).map(Ranges::len).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        for (name, count) in &self.counts.0 {
            writeln!(f, "{count:>8} {name}")?;
        }
        for (name, count) in &self.logs {
            writeln!(f, "{count:>8} {name} (by the logs)")?;
        }
        write!(f, "{}", self.account)
    }
}

/// The short run, with every `cargo test`.
#[tokio::test(flavor = "multi_thread")]
async fn all_faults_mixed_for_half_a_minute_lose_and_repeat_nothing() {
    let soak = Soak { rate: 400, ..Soak::of_environment(Duration::from_secs(30)) };
    let report = soak.run().await;
    println!("{report}");
    assert_eq!(report.wrong(), 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "for minutes to hours; asked for by name"]
async fn soak() {
    let report = Soak::of_environment(Duration::from_secs(600)).run().await;
    println!("{report}");
    assert_eq!(report.wrong(), 0, "{report}");
}

/// What the faults would do without intents; a soak that cannot see that would prove nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "for minutes; asked for by name"]
async fn a_soak_with_intents_off_sees_records_lost_or_repeated() {
    let soak = Soak { intents: false, ..Soak::of_environment(Duration::from_secs(120)) };
    let report = soak.run().await;
    println!("{report}");
    assert!(report.wrong() > 0, "{report}");
}
