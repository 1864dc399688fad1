//! The write side on one page: records in, batches stored, offsets committed.
//!
//! In: a [`Source`]. Out: rows in the warehouse, and commits that say how far they reach.
//!
//! ```text
//! Source ─► Lane ─► Batch ─► intent committed ─► Settler (normalise, columns, insert) ─► Settled
//!  ▲ one thread                                     tokio tasks                            │
//!  └───────────────── waker ◄───── next intent, or completion, committed ◄─────────────────┘
//! ```
//!
//! `docs/DELIVERY.md` is the protocol, step by step; each step is a file here: `start` (where a
//! partition begins), `lane` (one partition's order of things), `batch`, `intent`, `settle` (insert,
//! read back, repair), `columns`, `poison`, `swell`, `letter` (copies of what is
//! quarantined), `record`.
//!
//! # Invariants
//! - An offset is committed only when every record before it is stored.
//! - A batch is stored only after Kafka has taken its intent from us as the partition's owner.
//! - Records and columns in memory stay within `pipeline.memory_bytes`.
//! - One thread drives the source; storing never blocks it, so the consumer keeps polling through
//!   any outage.
//!
//! Deliberately unknown here: SQL, JSON, HTTP.

mod batch;
mod columns;
mod config;
pub mod fault;
mod intake;
mod intent;
mod lane;
mod letter;
mod limits;
mod open;
mod phase;
mod poison;
mod record;
mod settle;
mod start;
mod swell;
mod turn;
mod worker;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backon::ExponentialBuilder;
use tokio::runtime::Handle;

use self::worker::Worker;
use crate::event::PartitionId;
use crate::schema::Normaliser;
use crate::source::{Source, SourceError, Waker};
use crate::telemetry::{Health, Metrics};
use crate::warehouse::Warehouse;

pub use config::PipelineConfig;
pub use letter::{Letter, Post, Posting};

/// Between two tries, at most; jitter comes on top.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// The normaliser of a topic, asked for at each batch: the mappings may change.
pub type NormaliserOf = Box<dyn Fn(&str) -> Arc<Normaliser> + Send>;

/// What a run needs.
pub struct Pipeline {
    /// Limits.
    pub config: PipelineConfig,
    /// How a topic's records are read.
    pub normaliser: NormaliserOf,
    /// Where rows go.
    pub warehouse: Warehouse,
    /// Counted here.
    pub metrics: Metrics,
    /// Told while something fails.
    pub health: Health,
    /// Takes copies of what is quarantined, where they are wanted.
    pub post: Option<Post>,
    /// Partitions whose lost records an operator has accepted.
    pub accept_gap: BTreeSet<PartitionId>,
    /// Where storing runs.
    pub runtime: Handle,
}

/// Asks a run to stop: no further record is taken, batches in memory are stored and committed.
#[derive(Debug, Clone)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stop {
    /// A handle for the run of a source with this waker.
    pub fn of(waker: Arc<Waker>) -> Stop {
        Stop { asked: Arc::default(), waker }
    }

    /// Ask.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.waker.ring();
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }
}

/// How often what failed is tried again: soon at first, every few seconds then, and without end.
fn patience() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(LONGEST_DELAY)
        .with_jitter()
        .without_max_times()
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Records of batches that are stored.
    pub records: u64,
    /// Rows inserted into `events`.
    pub event_rows: u64,
    /// Rows inserted into `quarantine`.
    pub quarantined_rows: u64,
    /// Elements of records that rules leave out.
    pub skipped: u64,
    /// Records passed over, for an earlier run had stored them.
    pub passed_over: u64,
    /// Whether everything taken was stored and committed; otherwise the deadline passed first.
    pub drained: bool,
}

impl Pipeline {
    /// Drive a source on this thread until it ends or is asked to stop.
    pub fn run(self, source: &mut dyn Source, stop: &Stop) -> Result<Done, SourceError> {
        Worker::new(self, source.waker()).drive(source, stop)
    }
}
