//! Who does the faults of a soak: kills, freezes, restarts, and the proxy's, one a turn.
//!
//! In: a seed. Out: counts of what was done.
//!
//! # Invariants
//! - There are as many workers as asked for after each turn, frozen ones among them.
//! - One of them is a static member: when it is killed it comes back under its name, and the group
//!   goes on without a rebalance.
//! - At the end everything runs, nothing is frozen, and what was late has come.
//!
//! Deliberately unknown here: what becomes of the records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use trailhouse::config::Config;
use trailhouse::demo::{ClickHouseServer, KafkaBroker};

use crate::forward::Forward;
use crate::harness;
use crate::proxy::{Asked, Fate};
use crate::scene::{Scene, port};
use crate::worker::{Launch, Worker};

/// Longer than a session, so that a frozen worker loses its partitions.
const FROZEN: Duration = Duration::from_millis(8_500);

/// Where a worker may be told to kill itself.
const PLACES: [&str; 8] = [
    "intent::before",
    "intent::after",
    "insert::before_events",
    "insert::after_events",
    "insert::after_quarantine",
    "insert::after_batches",
    "completion::before",
    "completion::after",
];

/// How often each thing was done.
#[derive(Debug, Default)]
pub struct Counts(pub BTreeMap<&'static str, u64>);

impl Counts {
    fn add(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }
}

/// Random numbers that a seed repeats (splitmix64).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn of(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number, below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// What is left of it.
pub struct Aftermath {
    /// They run.
    pub workers: Vec<Worker>,
    /// What was done.
    pub counts: Counts,
    /// They run for as long as this is held.
    _engines: Option<Own>,
}

/// Engines that may be killed, over their data.
struct Own {
    broker: Option<KafkaBroker>,
    broker_dir: PathBuf,
    clickhouse: Option<ClickHouseServer>,
    clickhouse_dir: PathBuf,
    forward: Forward,
}

/// Faults, one a turn.
pub struct Chaos<'s> {
    scene: &'s mut Scene,
    random: Random,
    config: Config,
    wanted: usize,
    switches: &'static str,
    workers: Vec<Member>,
    /// Static names nobody has.
    names: Vec<&'static str>,
    own: Option<Own>,
    counts: Counts,
}

struct Member {
    worker: Worker,
    /// When it wakes, where it is frozen.
    wakes: Option<Instant>,
    /// Whether it was told to kill or freeze itself at a place.
    armed: bool,
    name: Option<&'static str>,
}

impl<'s> Chaos<'s> {
    /// Starts the workers.
    pub fn begin(scene: &'s mut Scene, seed: u64, workers: usize, intents: bool) -> Chaos<'s> {
        let mut random = Random::of(seed);
        scene.proxy.plan(proxy_plan(Random::of(random.below(u64::MAX))));
        let config = scene.config.clone();
        let switches = if intents { "" } else { "intent::off=return;" };
        let mut chaos = Chaos {
            scene,
            random,
            config,
            wanted: workers,
            switches,
            workers: Vec::new(),
            names: vec!["static"],
            own: None,
            counts: Counts::default(),
        };
        chaos.fill_up();
        chaos
    }

    /// Gives it engines that it may kill.
    pub fn own(
        &mut self,
        broker: KafkaBroker,
        broker_dir: &Path,
        clickhouse: ClickHouseServer,
        clickhouse_dir: &Path,
    ) {
        self.own = Some(Own {
            broker: Some(broker),
            broker_dir: broker_dir.to_owned(),
            clickhouse: Some(clickhouse),
            clickhouse_dir: clickhouse_dir.to_owned(),
            forward: Forward::default(),
        });
    }

    /// How long until the next turn.
    pub fn pause(&mut self) -> Duration {
        Duration::from_millis(300 + self.random.below(2_700))
    }

    /// One fault.
    pub fn turn(&mut self) {
        self.look_after();
        let one = self.random.below(self.workers.len() as u64) as usize;
        match self.random.below(100) {
            0..20 => {
                self.counts.add("workers killed");
                let mut member = self.workers.swap_remove(one);
                member.worker.kill();
                self.names.extend(member.name);
            }
            20..30
                if self.workers[one].wakes.is_none() && self.workers[one].worker.is_running() =>
            {
                self.counts.add("workers frozen");
                self.workers[one].worker.stop();
                self.workers[one].wakes = Some(Instant::now() + FROZEN);
            }
            30..45 => {
                let member = self.workers.swap_remove(one);
                self.end_worker(member);
            }
            45..53 => {
                self.counts.add("workers added and taken away");
                self.start("");
            }
            53..70 if self.scene.proxy.late() > 0 => {
                for _ in self.scene.proxy.send_late() {
                    self.counts.add("late originals sent");
                }
            }
            70..80 => {
                self.counts.add("connections cut");
                self.scene.proxy.deaf(true);
                self.scene.proxy.deaf(false);
            }
            80..85 => self.restart_clickhouse(),
            85..88 => self.restart_broker(),
            _ => {}
        }
        self.fill_up();
    }

    /// Mends everything; the workers, which run, and what was done.
    pub fn end(mut self) -> Aftermath {
        self.scene.proxy.heal();
        if self.scene.proxy.late() > 0 {
            self.scene.proxy.send_late();
        }
        for member in &mut self.workers {
            if member.wakes.take().is_some() {
                member.worker.go_on();
            }
        }
        self.counts.0.extend(self.scene.proxy.counts());
        // The armed ones would die on the way; they have done what they were for.
        self.names.extend(self.workers.iter().filter(|m| m.armed).filter_map(|m| m.name));
        self.workers.retain(|member| !member.armed);
        self.start("");
        let workers = self.workers.into_iter().map(|member| member.worker).collect();
        Aftermath { workers, counts: self.counts, _engines: self.own }
    }

    /// Wakes whose time has come, buries who has ended.
    fn look_after(&mut self) {
        for member in &mut self.workers {
            if member.wakes.is_some_and(|at| Instant::now() >= at) {
                member.worker.go_on();
                member.wakes = None;
            } else if member.wakes.is_none() && member.worker.is_stopped() {
                self.counts.add("frozen at a place");
                member.wakes = Some(Instant::now() + FROZEN);
            }
        }
        let (counts, names) = (&mut self.counts, &mut self.names);
        self.workers.retain_mut(|member| {
            let runs = member.worker.is_running();
            if !runs {
                names.extend(member.name);
                counts.add(if member.armed { "killed at a place" } else { "ended by themselves" });
                if !member.armed {
                    let log = member.worker.log_text();
                    eprintln!("ended by itself: {}", log.lines().last().unwrap_or_default());
                }
            }
            runs
        });
        // One that was added for a while.
        if self.workers.len() > self.wanted {
            let member = self.workers.remove(0);
            self.end_worker(member);
        }
        self.fill_up();
    }

    fn end_worker(&mut self, mut member: Member) {
        if member.wakes.is_some() {
            member.worker.go_on();
        }
        if member.armed {
            // It might freeze at its place while it ends, and nobody would wake it.
            member.worker.kill();
            self.counts.add("workers killed");
        } else if member.worker.is_running() {
            let status = member.worker.terminate();
            let drained = status.success();
            self.counts.add(if drained { "workers ended" } else { "workers ended undrained" });
        }
        self.names.extend(member.name);
    }

    fn fill_up(&mut self) {
        while self.workers.len() < self.wanted {
            let place = PLACES[self.random.below(PLACES.len() as u64) as usize];
            // A completion is committed only when nothing more is there to announce.
            let often = if place.starts_with("completion") { 2 } else { 12 };
            let passages = self.random.below(often);
            match self.random.below(4) {
                0 => self.start(&format!("{place}={passages}*off->return")),
                1 => self.start(&format!("{place}={passages}*off->1*return(stop)->off")),
                _ => self.start(""),
            }
        }
    }

    fn start(&mut self, failpoints: &str) {
        // Two workers seldom agree where a batch ends.
        self.config.pipeline.batch_records = 20 + self.random.below(2_000) as usize;
        self.config.pipeline.batch_age_ms = 50 + self.random.below(1_200);
        let armed = !failpoints.is_empty();
        let failpoints = format!("{}{failpoints}", self.switches);
        let launch = Launch { failpoints: &failpoints, ..Launch::default() };
        let mut config = self.config.clone();
        let name = self.names.pop();
        let identity = name.map(|name| ("group.instance.id".to_owned(), name.to_owned()));
        config.kafka.properties.extend(identity);
        let worker = Worker::start(self.scene.dir.path(), &config, &launch);
        self.workers.push(Member { worker, wakes: None, armed, name });
    }

    fn restart_clickhouse(&mut self) {
        let Some(own) = &mut self.own else { return };
        self.counts.add("clickhouse killed");
        own.clickhouse = None;
        let server = ClickHouseServer::start(&own.clickhouse_dir, harness::exe()).unwrap();
        self.scene.clickhouse_is_at(&server.url());
        own.clickhouse = Some(server);
    }

    fn restart_broker(&mut self) {
        let Some(own) = &mut self.own else { return };
        let Some(broker) = own.broker.take() else { return };
        self.counts.add("broker killed");
        let old = port(&broker.bootstrap());
        drop(broker);
        let broker = KafkaBroker::start(&own.broker_dir, harness::exe()).unwrap();
        own.forward.moved(old, port(&broker.bootstrap()));
        own.broker = Some(broker);
    }
}

/// One request in ten meets something.
fn proxy_plan(mut random: Random) -> impl FnMut(&Asked<'_>) -> Fate + Send {
    move |asked| {
        let slow = Duration::from_millis(random.below(400));
        match random.below(100) {
            0..2 => Fate::Lost,
            2..4 => Fate::ReplyLost,
            4 => Fate::ReplyTorn,
            5 => Fate::Answer(500, "Internal Server Error".to_owned()),
            6 => Fate::Answer(503, "no healthy upstream".to_owned()),
            7..9 => Fate::Slow(slow),
            // Only an insert can do harm when it comes late.
            9 if asked.is_insert() => Fate::Late,
            10 if asked.is_insert() => Fate::AppliedAndLate,
            _ => Fate::Pass,
        }
    }
}
