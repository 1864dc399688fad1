//! The thread that drives a source: lanes opened, fed, announced, stored, given up.
//!
//! In: what the source hands over, what storing sends back. Out: commits, tasks, releases.
//!
//! # Invariants
//! - All lanes are changed on this one thread; storing and looking up are tasks that send an
//!   [`Event`] and ring.
//! - What a task sends is for the assignment it was begun for, and for no later one.
//! - A partition is released when nothing of it is on its way, or at its deadline: then its task is
//!   ended, and its intent tells the next owner what may have been stored.
//!
//! Deliberately unknown here: SQL, JSON, Kafka's protocol.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::intent::announces;
use super::lane::Lane;
use super::limits::{Limits, slices_bytes};
use super::open::Refusal;
use super::settle::{SettleError, Settled, Settler};
use super::start::Start;
use super::turn::{self, Room};
use super::{Done, Pipeline, Stop, fault};
use crate::event::PartitionId;
use crate::source::{Answer, Commit, Intake as _, Source, SourceError, Waker};

/// How long until a source that could not begin is asked again.
const BEGIN_AGAIN: Duration = Duration::from_millis(500);

/// What a task sends.
pub(super) enum Event {
    Opened { partition: PartitionId, generation: u64, start: Result<Start, Refusal> },
    Settled(Result<Settled, SettleError>),
    Panicked(PartitionId),
}

/// A lane that may begin, as soon as the source does.
struct Beginning {
    partition: PartitionId,
    generation: u64,
    start: Start,
    not_before: Instant,
}

/// Drives a source.
pub struct Worker {
    pub(super) pipeline: Pipeline,
    pub(super) settler: Arc<Settler>,
    pub(super) lanes: FxHashMap<PartitionId, Lane>,
    /// The task that works for a lane.
    tasks: FxHashMap<PartitionId, AbortHandle>,
    pub(super) limits: Limits,
    /// What all lanes may take.
    pub(super) room: Room,
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    waker: Arc<Waker>,
    /// Lanes that may begin, once the source does.
    beginning: Vec<Beginning>,
    /// Why it cannot go on.
    pub(super) fatal: Option<String>,
    pub(super) generation: u64,
    /// No further record comes: the source ended, or a stop was asked for.
    pub(super) ending: bool,
    done: Done,
}

impl Worker {
    /// A worker without lanes.
    pub fn new(pipeline: Pipeline, waker: Arc<Waker>) -> Worker {
        let (sender, events) = mpsc::channel();
        let settler = Arc::new(Settler {
            warehouse: pipeline.warehouse.clone(),
            metrics: pipeline.metrics.pipeline.clone(),
            health: pipeline.health.clone(),
            patience: Duration::from_millis(pipeline.config.insert_unready_ms),
            config: pipeline.config.clone(),
            permits: Semaphore::new(pipeline.config.inserts_in_flight),
            post: pipeline.post.clone(),
            posting: Semaphore::new(1),
        });
        let limits = Limits::share(&pipeline.config, 0);
        Worker {
            limits,
            room: Room::of(limits),
            pipeline,
            settler,
            lanes: FxHashMap::default(),
            tasks: FxHashMap::default(),
            events,
            sender,
            waker,
            beginning: Vec::new(),
            fatal: None,
            generation: 0,
            ending: false,
            done: Done::default(),
        }
    }

    /// Until the source ends, or a stop is asked for.
    pub fn drive(mut self, source: &mut dyn Source, stop: &Stop) -> Result<Done, SourceError> {
        let config = &self.pipeline.config;
        let limit = self.limits.held + slices_bytes(config, config.inserts_in_flight);
        self.pipeline.metrics.pipeline.memory_limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        let ended = self.go_on(source, stop);
        for task in self.tasks.values() {
            task.abort();
        }
        self.done.passed_over += self.lanes.values().map(|lane| lane.passed_over).sum::<u64>();
        ended.map(|()| self.done)
    }

    fn go_on(&mut self, source: &mut dyn Source, stop: &Stop) -> Result<(), SourceError> {
        let mut deadline = None;
        loop {
            if stop.is_asked() && deadline.is_none() {
                self.ending = true;
                deadline = Some(self.deadline());
            }
            source.poll(self.patience(), self)?;
            // Before anything is given back: what is held now is the most.
            self.measure();
            if let Some(why) = self.fatal.take() {
                return Err(SourceError::Fatal(why));
            }
            while let Ok(event) = self.events.try_recv() {
                self.act_on(event)?;
            }
            self.begin(source);
            self.commit_due(source)?;
            self.release_drained(source)?;
            for (partition, lane) in &mut self.lanes {
                if lane.is_broken_off() {
                    lane.halt();
                    source.look_again(partition);
                }
            }
            if self.ending && self.lanes.values().all(Lane::is_idle) {
                self.done.drained = true;
                break;
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                tracing::warn!("stopping with batches unfinished; the next owner makes them again");
                break;
            }
        }
        Ok(())
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.pipeline.config.drain_ms)
    }

    /// How long the source may wait for records.
    fn patience(&self) -> Duration {
        const LONGEST: Duration = Duration::from_millis(100);
        let due =
            self.lanes.values().filter_map(|lane| lane.due(self.limits, self.room.sends)).min();
        due.map_or(LONGEST, |due| due.saturating_duration_since(Instant::now()).min(LONGEST))
    }

    fn act_on(&mut self, event: Event) -> Result<(), SourceError> {
        let now = Instant::now();
        match event {
            Event::Opened { partition, generation, start } => match start {
                Ok(start) => {
                    let not_before = now;
                    self.beginning.push(Beginning { partition, generation, start, not_before });
                }
                Err(why) => self.halt(&partition, generation, &why),
            },
            Event::Panicked(partition) => {
                let why = format!("{partition}: a task panicked; the log has the place");
                return Err(SourceError::Fatal(why));
            }
            Event::Settled(settled) => {
                let settled = settled.map_err(|error| SourceError::Fatal(error.to_string()))?;
                let Settled { partition, generation, range, .. } = &settled;
                tracing::debug!(%partition, %range, records = settled.records, "stored");
                self.done.records += settled.records;
                self.done.event_rows += settled.event_rows;
                self.done.quarantined_rows += settled.quarantined_rows;
                self.done.skipped += settled.skipped;
                if let Some(lane) = self.lanes.get_mut(partition)
                    && lane.generation == *generation
                {
                    self.tasks.remove(partition);
                    lane.stored(*range, now);
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, source: &mut dyn Source) {
        let mut beginning = std::mem::take(&mut self.beginning);
        beginning.retain_mut(|Beginning { partition, generation, start, not_before }| {
            let is_its = |lane: &&mut Lane| lane.generation == *generation && !lane.is_revoked();
            let Some(lane) = self.lanes.get_mut(partition).filter(is_its) else { return false };
            let now = Instant::now();
            if now < *not_before {
                return true;
            }
            if let Err(error) = source.begin(partition, start.offset) {
                tracing::warn!(%partition, %error, "trying again");
                *not_before = now + BEGIN_AGAIN;
                return true;
            }
            tracing::info!(%partition, offset = start.offset, start.made_again_to, "reading");
            lane.open(*start, now);
            false
        });
        self.beginning = beginning;
    }

    fn halt(&mut self, partition: &PartitionId, generation: u64, why: &str) {
        if let Some(lane) = self.lanes.get_mut(partition)
            && lane.generation == generation
        {
            lane.halt();
            self.pipeline.health.fails(&partition.to_string(), why);
            tracing::error!(%partition, "stands still: {why}");
        }
    }

    fn commit_due(&mut self, source: &mut dyn Source) -> Result<(), SourceError> {
        let (limits, ending, now) = (self.limits, self.ending, Instant::now());
        self.room = turn::give(self.lanes.values_mut(), limits, now);
        let due = |lane: &mut Lane| lane.commit_due(limits, ending, now);
        let mut commits: Vec<Commit> = self.lanes.values_mut().filter_map(due).collect();
        if commits.is_empty() {
            return Ok(());
        }
        if fault::is_on("intent::off") {
            let (intents, others) = commits.into_iter().partition(announces);
            commits = others;
            for intent in &intents {
                self.committed(intent, Answer::Done);
            }
        }
        let is_intent = commits.iter().any(announces);
        fault::point(if is_intent { "intent::before" } else { "completion::before" });
        source.commit(commits)
    }

    pub(super) fn spawn(
        &mut self,
        partition: PartitionId,
        task: impl Future<Output = Event> + Send + 'static,
    ) {
        let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
        let task = self.pipeline.runtime.spawn(task);
        let (abort, of) = (task.abort_handle(), partition.clone());
        self.pipeline.runtime.spawn(async move {
            let event = match task.await {
                Ok(event) => event,
                Err(ended) if ended.is_cancelled() => return,
                Err(_) => Event::Panicked(of),
            };
            // The receiver is gone only when the run has ended.
            let _ = sender.send(event);
            waker.ring();
        });
        self.tasks.insert(partition, abort);
    }

    fn release_drained(&mut self, source: &mut dyn Source) -> Result<(), SourceError> {
        let now = Instant::now();
        let given_up = |lane: &Lane| {
            let is_late = lane.deadline.is_some_and(|deadline| deadline < now);
            lane.is_revoked() && (lane.is_idle() || is_late)
        };
        let given_up = self.lanes.iter().filter(|(_, lane)| given_up(lane));
        let given_up: Vec<PartitionId> = given_up.map(|(partition, _)| partition.clone()).collect();
        for partition in given_up {
            self.forget(&partition);
            source.release(&partition)?;
        }
        Ok(())
    }

    /// End what is done for a lane. What its task told of failing ends with the task: only then,
    /// for it may still be at work when it is told to end.
    pub(super) fn forget(&mut self, partition: &PartitionId) {
        if let Some(lane) = self.lanes.remove(partition) {
            self.done.passed_over += lane.passed_over;
            if !lane.is_idle() {
                tracing::warn!(%partition, "given up unfinished; the next owner makes its batch again");
            }
        }
        if let Some(task) = self.tasks.remove(partition) {
            task.abort();
        }
        self.pipeline.health.works(&partition.to_string());
        self.limits = Limits::share(&self.pipeline.config, self.lanes.len());
    }

    fn measure(&self) {
        let metrics = &self.pipeline.metrics.pipeline;
        let held: usize = self.lanes.values().map(Lane::held).sum();
        metrics.lane_bytes.set(held as i64);
        let config = &self.pipeline.config;
        let storing = config.inserts_in_flight - self.settler.permits.available_permits();
        let used = (held + slices_bytes(config, storing)) as i64;
        metrics.memory_used.set(used);
        metrics.memory_peak.set(metrics.memory_peak.get().max(used));
        metrics.partitions.set(self.lanes.len() as i64);
        let is_paused = |lane: &&Lane| !lane.has_room(self.limits, self.room);
        metrics.paused.set(self.lanes.values().filter(is_paused).count() as i64);
    }
}
