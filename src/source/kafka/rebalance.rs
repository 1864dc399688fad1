//! What follows when the coordinator has decided: partitions assigned, given up, looked at again.
//!
//! In: the notes of the rebalance callback. Out: assignments and revocations for the [`Intake`]; the
//! answer that librdkafka waits for.
//!
//! # Invariants
//! - Notes are acted on in their order. One that Kafka cannot tell enough about now stays the first,
//!   and is tried again.
//! - A revocation is answered once nothing of its partitions is on its way.
//!
//! Deliberately unknown here: records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use rdkafka::consumer::{Consumer as _, RebalanceProtocol};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::{Assignment, Intake, SourceError};
use super::KafkaSource;
use super::assign::{Found, REQUEST_TIMEOUT, look_up};
use super::client::{Rebalance, unavailable};
use super::lane::Lane;
use crate::event::PartitionId;

/// How long until a partition is looked at again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl KafkaSource {
    /// Act on what the callback noted, in its order.
    pub(super) fn rebalance(&mut self, intake: &mut dyn Intake) -> Result<(), SourceError> {
        if self.again.as_ref().is_some_and(|(at, _)| Instant::now() < *at) {
            return Ok(());
        }
        let consumer = Arc::clone(&self.consumer);
        loop {
            // Not held while the note is acted on: Kafka is asked then, and may call back.
            let Some(note) = consumer.context().rebalances().pop_front() else { return Ok(()) };
            let is_lost = consumer.assignment_lost();
            let (kind, done) = match &note {
                Rebalance::Assigned(partitions) => ("assigned", self.assign(partitions, intake)),
                Rebalance::Revoked(partitions) if is_lost => {
                    ("lost", self.revoke(partitions, intake))
                }
                Rebalance::Revoked(partitions) => ("revoked", self.revoke(partitions, intake)),
            };
            match done {
                Err(SourceError::Unavailable { what, cause }) => {
                    consumer.context().is_down(&format!("{what}: {cause}"));
                    self.try_again(&what, &cause);
                    consumer.context().rebalances().push_front(note);
                    return Ok(());
                }
                done => done?,
            }
            self.metrics.rebalances.with_label_values(&[kind]).inc();
            self.again = None;
        }
    }

    fn try_again(&mut self, what: &str, cause: &str) {
        let fresh = || {
            let schedule = ExponentialBuilder::new().with_max_delay(Duration::from_secs(10));
            schedule.with_jitter().without_max_times().build()
        };
        let mut delays = self.again.take().map_or_else(fresh, |(_, delays)| delays);
        let delay = delays.next().unwrap_or(REQUEST_TIMEOUT);
        tracing::warn!(cause, delay_ms = delay.as_millis() as u64, "{what}; trying again");
        self.again = Some((Instant::now() + delay, delays));
    }

    fn assign(
        &mut self,
        partitions: &[PartitionId],
        intake: &mut dyn Intake,
    ) -> Result<(), SourceError> {
        let all = look_up(&self.consumer, &self.cluster, self.topic_ids, partitions)?;
        let mut starts = TopicPartitionList::new();
        for Found { partition, committed, assignment } in &all {
            // The intake may know better; until it has said so, no record is taken.
            let start = match (assignment, committed) {
                (Ok(assignment), _) => Offset::Offset(assignment.reads_from()),
                (Err(_), Some(committed)) => Offset::Offset(committed.next_offset),
                (Err(_), None) => Offset::Beginning,
            };
            starts
                .add_partition_offset(&partition.topic, partition.partition, start)
                .map_err(|error| unavailable("assigning", &error))?;
            let mut lane = Lane::split(&self.consumer, partition, &self.waker)?;
            lane.reads_from = assignment.as_ref().ok().map(Assignment::reads_from);
            self.lanes.push(lane);
        }
        let assigned = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(&starts),
            _ => self.consumer.assign(&starts),
        };
        assigned.map_err(|error| SourceError::Fatal(format!("kafka: assigning: {error}")))?;
        for found in all {
            match found.assignment {
                Ok(assignment) => self.tell(assignment, intake),
                Err(error) => self.look_later(found.partition, &error),
            }
        }
        Ok(())
    }

    fn tell(&mut self, assignment: Assignment, intake: &mut dyn Intake) {
        let found = self.lanes.iter_mut().find(|lane| lane.partition == assignment.partition);
        let Some(lane) = found else { return };
        lane.incarnation = Arc::clone(&assignment.incarnation);
        lane.id_seen = Instant::now();
        lane.is_told = true;
        tracing::info!(partition = %assignment.partition, incarnation = %assignment.incarnation,
            committed = assignment.committed.as_ref().map(|found| found.next_offset), "assigned");
        intake.assigned(assignment);
    }

    fn look_later(&mut self, partition: PartitionId, error: &SourceError) {
        tracing::warn!(%partition, %error, "looking again");
        self.consumer.context().is_down(&error.to_string());
        self.looking.push((partition, Instant::now() + LOOK_AGAIN));
    }

    /// Look again at one partition whose time has come. While the assignment is lost, none is: it
    /// is not known whose they are.
    pub(super) fn look(&mut self, intake: &mut dyn Intake) -> Result<(), SourceError> {
        let now = Instant::now();
        let due = self.looking.iter().position(|(_, at)| *at <= now);
        let Some(due) = due.filter(|_| !self.consumer.assignment_lost()) else { return Ok(()) };
        let (partition, _) = self.looking.swap_remove(due);
        let partitions = std::slice::from_ref(&partition);
        let found = look_up(&self.consumer, &self.cluster, self.topic_ids, partitions);
        let found = found.map(|mut all| all.pop().map(|found| found.assignment));
        match found {
            Ok(Some(Ok(assignment))) => {
                if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.partition == partition) {
                    (lane.broken, lane.reads_from) = (None, None);
                }
                self.tell(assignment, intake);
            }
            Ok(Some(Err(error))) | Err(error) => self.look_later(partition, &error),
            Ok(None) => {}
        }
        Ok(())
    }

    fn revoke(
        &mut self,
        partitions: &[PartitionId],
        intake: &mut dyn Intake,
    ) -> Result<(), SourceError> {
        self.looking.retain(|(partition, _)| !partitions.contains(partition));
        // The intake has nothing of those it was never told of.
        self.lanes.retain(|lane| lane.is_told || !partitions.contains(&lane.partition));
        for partition in partitions {
            tracing::info!(%partition, "revoked: draining");
            intake.revoked(partition);
        }
        self.revoking.extend(partitions.iter().cloned());
        // One that has no lane, or an empty revocation, has nothing to wait for.
        self.give_up_released()
    }

    /// Answer a revocation once every lane of it is released. One call for all of them: the group
    /// goes on to its next assignment after it.
    pub(super) fn give_up_released(&mut self) -> Result<(), SourceError> {
        let is_open =
            |partition: &PartitionId| self.lanes.iter().any(|lane| lane.partition == *partition);
        if self.revoking.iter().any(is_open) {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for partition in self.revoking.drain(..) {
            list.add_partition(&partition.topic, partition.partition);
        }
        let unassigned = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_unassign(&list),
            _ => self.consumer.unassign(),
        };
        unassigned.map_err(|error| unavailable("unassigning", &error))
    }
}
