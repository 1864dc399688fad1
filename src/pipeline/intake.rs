//! What a source hands to the worker: assignments, records, answers.
//!
//! In: calls of the [`Intake`], all on the driving thread. Out: lanes changed, tasks begun.
//!
//! # Invariants
//! - Nothing here waits, and nothing calls back into the source.
//! - A batch is stored only when the answer to its intent is that it is remembered.
//!
//! Deliberately unknown here: when batches close.

use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;

use super::intent::announces;
use super::lane::Lane;
use super::limits::Limits;
use super::open::open;
use super::worker::{Event, Worker};
use super::{Pipeline, fault};
use crate::event::{PartitionId, RawRecord};
use crate::source::{Answer, Assignment, Commit, Intake};

impl Intake for Worker {
    fn assigned(&mut self, assignment: Assignment) {
        let partition = assignment.partition.clone();
        // A lane of an earlier assignment, whose end nobody told us.
        self.forget(&partition);
        self.generation += 1;
        let generation = self.generation;
        // A word for one start: a gap that is met later is another.
        let accepts = self.pipeline.accept_gap.remove(&partition);
        let Pipeline { warehouse, metrics, health, normaliser, .. } = &self.pipeline;
        let (warehouse, metrics, health) = (warehouse.clone(), metrics.clone(), health.clone());
        let lane = Lane::new(
            assignment.clone(),
            normaliser(&partition.topic),
            generation,
            &metrics.pipeline,
        );
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
        let is_intent = announces(commit);
        let what = if is_intent { "intent" } else { "completion" };
        let label = match &answer {
            Answer::Done => "done",
            Answer::Fenced(_) => "fenced",
            Answer::Unknown(_) => "unknown",
        };
        self.pipeline.metrics.pipeline.commits.with_label_values(&[what, label]).inc();
        let Some(lane) = self.lanes.get_mut(partition) else { return };
        match answer {
            Answer::Done => {
                fault::point(if is_intent { "intent::after" } else { "completion::after" });
                if is_intent {
                    // Mappings may have been read anew since the batch before.
                    lane.normaliser = (self.pipeline.normaliser)(&partition.topic);
                }
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
        !self.ending
            && self.lanes.get(partition).is_some_and(|lane| lane.has_room(self.limits, self.room))
    }

    fn take(&mut self, partition: &PartitionId, record: &RawRecord<'_>) {
        let Some(lane) = self.lanes.get_mut(partition) else { return };
        let before = lane.filled();
        if let Err(misplaced) = lane.take(record, Instant::now()) {
            self.fatal = Some(misplaced.to_string());
        }
        self.room.take(lane.turn, lane.filled().saturating_sub(before));
    }

    fn reached_end(&mut self, partition: &PartitionId, end: i64) {
        if let Some(lane) = self.lanes.get_mut(partition) {
            lane.reached_end(end);
        }
    }

    fn log_end(&mut self, partition: &PartitionId, end: i64) {
        if let Some(lane) = self.lanes.get_mut(partition) {
            lane.log_end(end, Utc::now().timestamp_micros());
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
