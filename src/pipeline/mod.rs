//! The write side on one page: records in, batches stored, offsets committed.
//!
//! In: a [`Source`]. Out: rows in the warehouse, then commits.
//!
//! ```text
//! Source ─► Lane ─► Batch ─► Settler (normalise, columns, insert) ─► Settled ─► commit
//!  ▲ one thread                 tokio tasks                              │
//!  └──────────────────────── waker ◄─────────────────────────────────────┘
//! ```
//!
//! # Invariants
//! - An offset is committed only when every record before it is stored.
//! - Records and columns in memory stay within `pipeline.memory_bytes`: each lane's share is
//!   cut so that all filling batches and all batches in flight fit.
//! - One thread drives the source; storing never blocks it, so the consumer keeps polling through
//!   any outage.
//!
//! Deliberately unknown here: SQL, JSON, HTTP.

mod batch;
mod config;
pub mod fault;
mod lane;
mod settle;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use self::lane::{Lane, Limits};
use self::settle::{Job, SettleError, Settled, Settler};
use crate::event::{PartitionId, RawRecord};
use crate::schema::Normaliser;
use crate::source::{Assignment, Intake, Source, SourceError, Waker};
use crate::telemetry::{Health, Metrics};
use crate::warehouse::Warehouse;

pub use config::PipelineConfig;

/// The normaliser of a topic.
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

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Records stored as events or quarantined, and committed.
    pub records: u64,
    /// Whether everything taken was stored; otherwise the deadline passed first.
    pub drained: bool,
}

impl Pipeline {
    /// Drive a source on this thread until it ends or is asked to stop.
    pub fn run(self, source: &mut dyn Source, stop: &Stop) -> Result<Done, SourceError> {
        let mut worker = Worker::new(self, source.waker());
        let result = worker.drive(source, stop);
        if result.is_err() {
            // What is in flight may still land; its offsets must not be forgotten for that.
            worker.ending = true;
            worker.await_in_flight(source);
        }
        result
    }
}

struct Worker {
    pipeline: Pipeline,
    settler: Arc<Settler>,
    lanes: FxHashMap<PartitionId, Lane>,
    limits: Limits,
    settled: mpsc::Receiver<Result<Settled, SettleError>>,
    settles: mpsc::Sender<Result<Settled, SettleError>>,
    waker: Arc<Waker>,
    /// Bytes of batches in flight.
    in_flight_bytes: usize,
    /// No further record comes: the source ended, or a stop was asked for.
    ending: bool,
    done: Done,
}

impl Worker {
    fn new(pipeline: Pipeline, waker: Arc<Waker>) -> Worker {
        let (settles, settled) = mpsc::channel();
        let settler = Arc::new(Settler {
            warehouse: pipeline.warehouse.clone(),
            metrics: pipeline.metrics.clone(),
            health: pipeline.health.clone(),
            permits: Semaphore::new(pipeline.config.inserts_in_flight),
        });
        Worker {
            pipeline,
            settler,
            lanes: FxHashMap::default(),
            limits: Limits { records: 0, bytes: 0, age: Duration::ZERO },
            settled,
            settles,
            waker,
            in_flight_bytes: 0,
            ending: false,
            done: Done::default(),
        }
    }

    fn drive(&mut self, source: &mut dyn Source, stop: &Stop) -> Result<Done, SourceError> {
        let mut deadline = None;
        loop {
            if stop.is_asked() && deadline.is_none() {
                self.ending = true;
                deadline =
                    Some(Instant::now() + Duration::from_millis(self.pipeline.config.drain_ms));
            }
            source.poll(self.patience(), self)?;
            self.commit_settled(source)?;
            self.begin_ready();
            self.release_drained(source)?;
            if self.ending && self.lanes.values().all(Lane::is_idle) {
                self.done.drained = true;
                break;
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                tracing::warn!(
                    "stopping with batches unfinished; they are read again at the next start"
                );
                break;
            }
        }
        source.close()?;
        Ok(self.done)
    }

    /// How long the source may wait for records.
    fn patience(&self) -> Duration {
        const LONGEST: Duration = Duration::from_millis(100);
        let due = self.lanes.values().filter_map(|lane| lane.due(self.limits)).min();
        due.map_or(LONGEST, |due| due.saturating_duration_since(Instant::now()).min(LONGEST))
    }

    /// A lane's share: every lane may fill one batch and have one waiting in flight; those being
    /// stored are held again as columns, and as the stream these are sent in.
    fn share(&mut self) {
        let PipelineConfig { batch_records, batch_bytes, batch_age_ms, memory_bytes, .. } =
            self.pipeline.config;
        let shares = 2 * self.lanes.len().max(1) + 4 * self.pipeline.config.inserts_in_flight;
        self.limits = Limits {
            records: batch_records,
            bytes: batch_bytes.min(memory_bytes / shares),
            age: Duration::from_millis(batch_age_ms),
        };
        self.pipeline.metrics.partitions.set(self.lanes.len() as i64);
    }

    fn commit_settled(&mut self, source: &mut dyn Source) -> Result<(), SourceError> {
        while let Ok(settled) = self.settled.try_recv() {
            self.commit(settled, source)?;
        }
        Ok(())
    }

    fn commit(
        &mut self,
        settled: Result<Settled, SettleError>,
        source: &mut dyn Source,
    ) -> Result<(), SourceError> {
        let settled = settled.map_err(|error| SourceError::Fatal(error.to_string()))?;
        let Settled { partition, range, records, bytes } = settled;
        tracing::debug!(%partition, %range, records, "stored");
        self.in_flight_bytes -= bytes;
        self.done.records += records as u64;
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.settled();
            source.commit(&partition, range.next_offset())?;
        }
        Ok(())
    }

    fn begin_ready(&mut self) {
        let (limits, now, ending) = (self.limits, Instant::now(), self.ending);
        for lane in self.lanes.values_mut() {
            let Some((batch, closed_by)) = lane.ready(limits, ending, now) else { continue };
            let Some(range) = batch.range() else { continue };
            self.in_flight_bytes += batch.bytes();
            let job = Job {
                assignment: lane.assignment.clone(),
                normaliser: Arc::clone(&lane.normaliser),
                batch,
                range,
                closed_by,
            };
            let (settler, settles) = (Arc::clone(&self.settler), self.settles.clone());
            let waker = Arc::clone(&self.waker);
            self.pipeline.runtime.spawn(async move {
                let settled = settler.settle(job).await;
                // The receiver is gone only when the run has given up waiting.
                let _ = settles.send(settled);
                waker.ring();
            });
        }
        let filling: usize = self.lanes.values().map(Lane::filling_bytes).sum();
        self.pipeline.metrics.lane_bytes.set((filling + self.in_flight_bytes) as i64);
    }

    fn release_drained(&mut self, source: &mut dyn Source) -> Result<(), SourceError> {
        let drained: Vec<PartitionId> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.revoked && lane.is_idle())
            .map(|(partition, _)| partition.clone())
            .collect();
        for partition in drained {
            self.lanes.remove(&partition);
            source.release(&partition)?;
            self.share();
        }
        Ok(())
    }

    fn await_in_flight(&mut self, source: &mut dyn Source) {
        let deadline = Instant::now() + Duration::from_millis(self.pipeline.config.drain_ms);
        while self.lanes.values().any(Lane::is_busy) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(settled) = self.settled.recv_timeout(left) else { return };
            if let Err(error) = self.commit(settled, source) {
                tracing::warn!(%error, "after the source failed");
            }
        }
        if let Err(error) = source.close() {
            tracing::warn!(%error, "closing the source after it failed");
        }
    }
}

impl Intake for Worker {
    fn assigned(&mut self, assignment: Assignment) {
        let normaliser = (self.pipeline.normaliser)(&assignment.partition.topic);
        let lane = Lane::open(assignment.clone(), normaliser, &self.pipeline.metrics);
        self.lanes.insert(assignment.partition, lane);
        self.share();
    }

    fn revoked(&mut self, partition: &PartitionId) {
        if let Some(lane) = self.lanes.get_mut(partition) {
            lane.revoke();
        }
    }

    fn wants(&self, partition: &PartitionId) -> bool {
        !self.ending && self.lanes.get(partition).is_some_and(|lane| lane.has_room(self.limits))
    }

    fn take(&mut self, partition: &PartitionId, record: &RawRecord<'_>) {
        if let Some(lane) = self.lanes.get_mut(partition) {
            lane.take(record, Instant::now());
        }
    }

    fn ended(&mut self) {
        self.ending = true;
    }
}
