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
use super::limits::Limits;
use super::open::{Refusal, open};
use super::settle::{SettleError, Settled, Settler};
use super::start::Start;
use super::{Done, Pipeline, Stop, fault};
use crate::event::{PartitionId, RawRecord};
use crate::source::{Answer, Assignment, Commit, Intake, Source, SourceError, Waker};

/// What a task sends.
enum Event {
    Opened { partition: PartitionId, generation: u64, start: Result<Start, Refusal> },
    Settled(Result<Settled, SettleError>),
}

/// Drives a source.
pub struct Worker {
    pipeline: Pipeline,
    settler: Arc<Settler>,
    lanes: FxHashMap<PartitionId, Lane>,
    /// The task that works for a lane.
    tasks: FxHashMap<PartitionId, AbortHandle>,
    limits: Limits,
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    waker: Arc<Waker>,
    /// Lanes that may begin, once the source does.
    beginning: Vec<(PartitionId, u64, Start)>,
    generation: u64,
    /// No further record comes: the source ended, or a stop was asked for.
    ending: bool,
    done: Done,
}

impl Worker {
    /// A worker without lanes.
    pub fn new(pipeline: Pipeline, waker: Arc<Waker>) -> Worker {
        let (sender, events) = mpsc::channel();
        let settler = Arc::new(Settler {
            warehouse: pipeline.warehouse.clone(),
            metrics: pipeline.metrics.clone(),
            health: pipeline.health.clone(),
            permits: Semaphore::new(pipeline.config.inserts_in_flight),
        });
        Worker {
            limits: Limits::share(&pipeline.config, 0),
            pipeline,
            settler,
            lanes: FxHashMap::default(),
            tasks: FxHashMap::default(),
            events,
            sender,
            waker,
            beginning: Vec::new(),
            generation: 0,
            ending: false,
            done: Done::default(),
        }
    }

    /// Until the source ends, or a stop is asked for.
    pub fn drive(mut self, source: &mut dyn Source, stop: &Stop) -> Result<Done, SourceError> {
        let mut deadline = None;
        loop {
            if stop.is_asked() && deadline.is_none() {
                self.ending = true;
                deadline = Some(self.deadline());
            }
            source.poll(self.patience(), &mut self)?;
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
            self.measure();
            if self.ending && self.lanes.values().all(Lane::is_idle) {
                self.done.drained = true;
                break;
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                tracing::warn!("stopping with batches unfinished; the next owner makes them again");
                break;
            }
        }
        for task in self.tasks.values() {
            task.abort();
        }
        self.done.passed_over += self.lanes.values().map(|lane| lane.passed_over).sum::<u64>();
        Ok(self.done)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.pipeline.config.drain_ms)
    }

    /// How long the source may wait for records.
    fn patience(&self) -> Duration {
        const LONGEST: Duration = Duration::from_millis(100);
        let due = self.lanes.values().filter_map(|lane| lane.due(self.limits)).min();
        due.map_or(LONGEST, |due| due.saturating_duration_since(Instant::now()).min(LONGEST))
    }

    fn act_on(&mut self, event: Event) -> Result<(), SourceError> {
        let now = Instant::now();
        match event {
            Event::Opened { partition, generation, start } => match start {
                Ok(start) => self.beginning.push((partition, generation, start)),
                Err(why) => self.halt(&partition, generation, &why),
            },
            Event::Settled(settled) => {
                let settled = settled.map_err(|error| SourceError::Fatal(error.to_string()))?;
                let Settled { partition, generation, range, .. } = &settled;
                tracing::debug!(%partition, %range, records = settled.records, "stored");
                self.done.records += settled.records;
                self.done.event_rows += settled.event_rows;
                self.done.quarantined_rows += settled.quarantined_rows;
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
        beginning.retain(|(partition, generation, start)| {
            let lane = self.lanes.get_mut(partition);
            let Some(lane) = lane.filter(|lane| lane.generation == *generation) else {
                return false;
            };
            match source.begin(partition, start.offset) {
                Ok(()) => {
                    let Start { offset, made_again_to, .. } = *start;
                    tracing::info!(%partition, offset, made_again_to, "reading");
                    lane.open(*start, Instant::now());
                    false
                }
                Err(error) => {
                    tracing::warn!(%partition, %error, "trying again");
                    true
                }
            }
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

    fn spawn(
        &mut self,
        partition: PartitionId,
        task: impl Future<Output = Event> + Send + 'static,
    ) {
        let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
        let task = self.pipeline.runtime.spawn(async move {
            // The receiver is gone only when the run has ended.
            let _ = sender.send(task.await);
            waker.ring();
        });
        self.tasks.insert(partition, task.abort_handle());
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

    /// End what is done for a lane.
    fn forget(&mut self, partition: &PartitionId) {
        if let Some(lane) = self.lanes.remove(partition) {
            self.done.passed_over += lane.passed_over;
            if !lane.is_idle() {
                tracing::warn!(%partition, "given up unfinished; the next owner makes its batch again");
            }
        }
        if let Some(task) = self.tasks.remove(partition) {
            task.abort();
        }
        for part in [
            partition.to_string(),
            format!("inserts of {partition}"),
            format!("looking up {partition}"),
        ] {
            self.pipeline.health.works(&part);
        }
        self.limits = Limits::share(&self.pipeline.config, self.lanes.len());
    }

    fn measure(&self) {
        let metrics = &self.pipeline.metrics;
        metrics.lane_bytes.set(self.lanes.values().map(Lane::bytes).sum::<usize>() as i64);
        metrics.partitions.set(self.lanes.len() as i64);
    }
}

impl Intake for Worker {
    fn assigned(&mut self, assignment: Assignment) {
        let partition = assignment.partition.clone();
        // A lane of an earlier assignment, whose end nobody told us.
        self.forget(&partition);
        self.generation += 1;
        let generation = self.generation;
        let Pipeline { warehouse, metrics, health, accept_gap, normaliser, .. } = &self.pipeline;
        let (warehouse, metrics, health) = (warehouse.clone(), metrics.clone(), health.clone());
        let accepts = accept_gap.contains(&partition);
        let lane =
            Lane::new(assignment.clone(), normaliser(&partition.topic), generation, &metrics);
        self.lanes.insert(partition.clone(), lane);
        self.limits = Limits::share(&self.pipeline.config, self.lanes.len());
        self.spawn(partition.clone(), async move {
            let start = open(warehouse, metrics, health, assignment, accepts).await;
            Event::Opened { partition, generation, start }
        });
    }

    fn revoked(&mut self, partition: &PartitionId) {
        let deadline = self.deadline();
        if let Some(lane) = self.lanes.get_mut(partition) {
            lane.revoke(deadline);
        }
    }

    fn committed(&mut self, commit: &Commit, answer: Answer) {
        let Commit { partition, next_offset, .. } = commit;
        let what = if announces(commit) { "intent" } else { "completion" };
        let label = match &answer {
            Answer::Done => "done",
            Answer::Fenced(_) => "fenced",
            Answer::Unknown(_) => "unknown",
        };
        self.pipeline.metrics.commits.with_label_values(&[what, label]).inc();
        let Some(lane) = self.lanes.get_mut(partition) else { return };
        match answer {
            Answer::Done => {
                fault::point(if announces(commit) { "intent::after" } else { "completion::after" });
                if let Some(job) = lane.remembered(commit) {
                    let settler = Arc::clone(&self.settler);
                    let settled = async move { Event::Settled(settler.settle(job).await) };
                    self.spawn(partition.clone(), settled);
                }
            }
            Answer::Fenced(why) => {
                if lane.fenced(commit) {
                    tracing::warn!(%partition, next_offset, why, "fenced: its batch is dropped, and where it stands is looked up anew");
                }
            }
            Answer::Unknown(why) => {
                tracing::warn!(%partition, next_offset, why, "unclear whether the {what} is remembered; asking again");
                lane.unanswered(commit, Instant::now());
            }
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

    fn reached_end(&mut self, partition: &PartitionId) {
        if let Some(lane) = self.lanes.get_mut(partition) {
            lane.reached_end();
        }
    }

    fn broken(&mut self, partition: &PartitionId, why: &str) {
        if let Some(lane) = self.lanes.get_mut(partition)
            && lane.break_off()
        {
            tracing::error!(%partition, "cannot be read on: {why}");
        }
    }

    fn ended(&mut self) {
        self.ending = true;
    }
}
