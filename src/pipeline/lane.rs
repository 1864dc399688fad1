//! A lane: one assigned partition, with one batch filling and at most one on its way.
//!
//! In: records, answers, the clock. Out: commits to ask for and batches to store.
//!
//! ```text
//! Opening ─► Idle ─► Announcing ─► Storing ─► Idle …
//!    │         └──► Completing ─► Idle           (nothing to announce for a while, or leaving)
//!    └─► Halted (a gap, or it is looked up anew after a fenced commit or the log's end)
//! ```
//!
//! # Invariants
//! - At most one batch on its way, so no record overtakes another and no offset tracker is needed.
//! - A batch is stored only after its intent is known to be remembered.
//! - A revoked lane takes no record and begins no batch; what it was filling is dropped, for the
//!   next owner reads it again.
//! - An unanswered commit is repeated with the same ends, never with others.
//!
//! Deliberately unknown here: Kafka, ClickHouse, other lanes.

use std::sync::Arc;
use std::time::Instant;

use self::lag::Lag;
use super::batch::{Batch, Misplaced};
use super::intent::Intent;
use super::limits::{ClosedBy, Limits};
use super::phase::{Asked, Phase};
use super::settle::Job;
use super::start::Start;
use super::turn::Turn;
use crate::event::{OffsetRange, PartitionId, RawRecord, Reason};
use crate::schema::Normaliser;
use crate::source::{Assignment, Commit};
use crate::telemetry::{LaneMetrics, PipelineMetrics};

/// One assigned partition.
pub struct Lane {
    /// What was assigned.
    pub assignment: Assignment,
    /// Tells this assignment of the partition from an earlier one.
    pub generation: u64,
    /// When it is given up whatever is on its way; set once it is ours no longer.
    pub deadline: Option<Instant>,
    /// Records that were there before `Start::offset` or came twice.
    pub passed_over: u64,
    /// What it may do with the batch that is filling.
    pub turn: Turn,
    pub normaliser: Arc<Normaliser>,
    phase: Phase,
    /// It cannot be read on.
    broken: bool,
    start: Start,
    filling: Option<Batch>,
    /// A batch that must end here, and was found to.
    closed: Option<Batch>,
    next_first: i64,
    last_taken: i64,
    /// When it last took a record, or got its turn.
    took: Instant,
    /// Since when a batch that is made again waits for its turn; later, where it was passed over,
    /// and then of any batch.
    waits_since: Instant,
    /// First offset of the batch that had a turn to grow.
    grew: Option<i64>,
    /// Stored up to here and not yet committed, since when.
    uncommitted: Option<(i64, Instant)>,
    lag: Lag,
    metrics: LaneMetrics,
}

impl Lane {
    /// A lane of a partition that has just become ours.
    pub fn new(
        assignment: Assignment,
        normaliser: Arc<Normaliser>,
        generation: u64,
        metrics: &PipelineMetrics,
    ) -> Lane {
        let PartitionId { topic, partition } = &assignment.partition;
        let now = Instant::now();
        Lane {
            generation,
            deadline: None,
            passed_over: 0,
            turn: Turn::Waits,
            phase: Phase::Opening,
            broken: false,
            start: Start { offset: 0, intent_last: None, made_again_to: None },
            filling: None,
            closed: None,
            next_first: 0,
            last_taken: -1,
            took: now,
            waits_since: now,
            grew: None,
            uncommitted: None,
            // Resolved once: looking a label up costs as much as copying the record.
            metrics: metrics.lane(topic, *partition, Reason::ALL.map(Reason::code)),
            lag: Lag::of(&assignment),
            assignment,
            normaliser,
        }
    }

    /// It is known where to begin, and the source does.
    pub fn open(&mut self, start: Start, now: Instant) {
        (self.start, self.next_first, self.last_taken) = (start, start.offset, start.offset - 1);
        (self.took, self.waits_since) = (now, now);
        self.lag.stored_to(start.offset);
        if let Phase::Opening = self.phase {
            self.phase = Phase::Idle;
        }
        if start.intent_last.is_some() && !self.is_revoked() {
            self.filling = Some(Batch::begin(start.offset, start.intent_last, now));
        }
    }

    /// It cannot be read on: what is on its way is finished, and nothing begun. Whether that is news.
    pub fn break_off(&mut self) -> bool {
        self.drop_held();
        !self.is_halted() && !std::mem::replace(&mut self.broken, true)
    }

    /// Whether it was broken off and nothing is on its way.
    pub fn is_broken_off(&self) -> bool {
        self.broken
            && self.uncommitted.is_none()
            && matches!(self.phase, Phase::Opening | Phase::Idle)
    }

    /// It cannot go on.
    pub fn halt(&mut self) {
        self.drop_held();
        self.phase = Phase::Halted;
    }

    /// Whether it waits for an operator.
    pub fn is_halted(&self) -> bool {
        matches!(self.phase, Phase::Halted)
    }

    /// Append a record to the batch that is filling. An error: it belongs into a batch that is
    /// closed already, so what is known of the partition is wrong.
    pub fn take(&mut self, record: &RawRecord<'_>, now: Instant) -> Result<(), Misplaced> {
        if record.offset <= self.last_taken {
            self.passed_over += 1;
            return Ok(());
        }
        if record.offset < self.next_first {
            let (partition, next_first) = (self.assignment.partition.clone(), self.next_first);
            return Err(Misplaced { partition, offset: record.offset, next_first });
        }
        self.metrics.records.inc();
        self.metrics.record_bytes.inc_by(record.payload.len() as u64);
        (self.last_taken, self.took) = (record.offset, now);
        let must_end = self.filling.as_ref().and_then(Batch::must_end);
        if must_end.is_some_and(|last| record.offset > last) {
            self.close_at_end();
        }
        let first = self.next_first;
        self.filling.get_or_insert_with(|| Batch::begin(first, None, now)).push(record);
        if must_end == Some(record.offset) {
            self.close_at_end();
        }
        Ok(())
    }

    /// Every record before `end` has come: a batch that is made again may end without a record.
    pub fn reached_end(&mut self, end: i64) {
        self.lag.read_to(end);
        let must_end = self.filling.as_ref().and_then(Batch::must_end);
        if must_end.is_some_and(|last| last < end) {
            self.close_at_end();
        }
    }

    fn close_at_end(&mut self) {
        self.closed = self.filling.take();
        if let Some(range) = self.closed.as_ref().and_then(Batch::range) {
            self.next_first = range.next_offset();
        }
    }

    /// The commit to ask for now: the intent of a batch that is ready, or a completion.
    pub fn commit_due(&mut self, limits: Limits, ending: bool, now: Instant) -> Option<Commit> {
        match &mut self.phase {
            Phase::Announcing { asked, .. } | Phase::Completing { asked } => asked.due(now),
            Phase::Idle => self.announce(limits, ending, now).or_else(|| {
                let (next_offset, since) = self.uncommitted?;
                let waits = self.filling.is_some() || now.duration_since(since) < limits.age;
                if waits && !ending && !self.broken && !self.is_revoked() {
                    return None;
                }
                let commit = self.commit(next_offset, None);
                self.phase = Phase::Completing { asked: Asked::new(commit.clone()) };
                Some(commit)
            }),
            _ => None,
        }
    }

    fn announce(&mut self, limits: Limits, ending: bool, now: Instant) -> Option<Commit> {
        if self.is_revoked() || self.broken {
            return None;
        }
        let closed_by = match (&self.closed, &self.filling) {
            _ if self.turn != Turn::Closes && !ending => return None,
            (Some(_), _) => ClosedBy::Intent,
            (None, Some(batch)) if batch.must_end().is_some() => return None,
            (None, Some(batch)) => match limits.closes(batch) {
                Some(full) => full,
                None if ending => ClosedBy::End,
                None if now.duration_since(batch.opened) >= limits.age => ClosedBy::Age,
                None => return None,
            },
            (None, None) => return None,
        };
        let batch = self.closed.take().or_else(|| self.filling.take())?;
        let range = batch.range()?;
        self.metrics.closes(batch.bytes(), now.duration_since(batch.opened));
        self.next_first = range.next_offset();
        let commit = self.commit(range.first, Some(range.last));
        let asked = Asked::new(commit.clone());
        self.phase = Phase::Announcing { batch, range, closed_by, asked };
        Some(commit)
    }

    fn commit(&self, next_offset: i64, last: Option<i64>) -> Commit {
        Commit {
            partition: self.assignment.partition.clone(),
            next_offset,
            metadata: Intent::new(&self.assignment.incarnation, last).to_metadata(),
        }
    }

    /// A commit is remembered; the batch it announced, to be stored, if it was an intent.
    pub fn remembered(&mut self, commit: &Commit) -> Option<Job> {
        self.asked(commit)?;
        self.uncommitted = None;
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Announcing { batch, range, closed_by, .. } => {
                let failing = Arc::default();
                let (held, oldest) = (batch.held(), batch.oldest());
                self.phase = Phase::Storing { held, oldest, failing: Arc::clone(&failing) };
                let made_again = self.start.made_again_to.is_some_and(|to| range.first <= to);
                let (log, normaliser) = (self.assignment.log(), Arc::clone(&self.normaliser));
                let generation = self.generation;
                Some(Job {
                    log,
                    generation,
                    normaliser,
                    batch,
                    range,
                    closed_by,
                    made_again,
                    failing,
                })
            }
            _ => None,
        }
    }

    /// Nobody knows whether a commit is remembered: ask for the same again, later.
    pub fn unanswered(&mut self, commit: &Commit, now: Instant) {
        if let Some(asked) = self.asked(commit) {
            asked.later(now);
        }
    }

    /// Another generation is at work, perhaps another owner: nothing of ours is stored, and where
    /// the partition stands is looked up anew. Whether that was about what is on its way now.
    pub fn fenced(&mut self, commit: &Commit) -> bool {
        let is_ours = self.asked(commit).is_some();
        if is_ours {
            self.drop_held();
            self.uncommitted = None;
            self.broken = true;
            self.phase = Phase::Idle;
        }
        is_ours
    }

    fn asked(&mut self, commit: &Commit) -> Option<&mut Asked> {
        self.phase.asked().filter(|asked| asked.is_for(commit))
    }

    /// What is not announced is read again by whoever goes on.
    fn drop_held(&mut self) {
        self.filling = None;
        self.closed = None;
    }

    /// The batch on its way is stored.
    pub fn stored(&mut self, range: OffsetRange, now: Instant) {
        if let Phase::Storing { .. } = self.phase {
            self.phase = Phase::Idle;
            self.uncommitted = Some((range.next_offset(), now));
            self.lag.stored_to(range.next_offset());
        }
    }

    /// The partition is ours no longer; by the deadline it is given up.
    pub fn revoke(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
        self.drop_held();
    }

    /// Whether it is ours no longer.
    pub fn is_revoked(&self) -> bool {
        self.deadline.is_some()
    }

    /// Whether all that was taken is stored and remembered, or never will be by us.
    pub fn is_idle(&self) -> bool {
        match self.phase {
            Phase::Idle if self.broken => self.uncommitted.is_none(),
            Phase::Idle => {
                // A batch that is only half made again is announced already: nothing of it is lost.
                let held = self.cut_by_limits().or(self.closed.as_ref());
                held.is_none() && self.uncommitted.is_none()
            }
            Phase::Opening | Phase::Halted => true,
            _ => false,
        }
    }

    /// When it has something to do by the clock; where it `sends`, another batch may be on its way.
    pub fn due(&self, limits: Limits, sends: bool) -> Option<Instant> {
        match &self.phase {
            Phase::Announcing { asked, .. } | Phase::Completing { asked } => asked.again(),
            Phase::Idle if self.filling.is_some() => {
                // One that is made again waits for its records, not for a time.
                self.cut_by_limits().filter(|_| sends).map(|batch| batch.opened + limits.age)
            }
            Phase::Idle => self.uncommitted.map(|(_, since)| since + limits.age),
            _ => None,
        }
    }
}

mod lag;
mod room;
#[cfg(test)]
mod tests;
