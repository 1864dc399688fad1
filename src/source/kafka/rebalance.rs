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

use super::super::{Intake, SourceError};
use super::KafkaSource;
use super::assign::{REQUEST_TIMEOUT, look_up};
use super::client::{Rebalance, unavailable};
use super::lane::Lane;
use crate::event::PartitionId;

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
            let done = match &note {
                Rebalance::Assigned(partitions) => self.assign(partitions, intake),
                Rebalance::Again(partition) => self.assign_again(partition, intake),
                Rebalance::Revoked(partitions) => {
                    for partition in partitions {
                        tracing::info!(%partition, "revoked: draining");
                        intake.revoked(partition);
                    }
                    self.revoking.extend(partitions.iter().cloned());
                    // One that has no lane, or an empty revocation, has nothing to wait for.
                    self.give_up_released()
                }
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
        let assignments = look_up(&self.consumer, &self.cluster, self.topic_ids, partitions)?;
        let mut starts = TopicPartitionList::new();
        for assignment in &assignments {
            let partition = &assignment.partition;
            // The intake may know better; until it has said so, no record is taken.
            let start = Offset::Offset(assignment.reads_from());
            starts
                .add_partition_offset(&partition.topic, partition.partition, start)
                .map_err(|error| unavailable("assigning", &error))?;
            self.lanes.push(Lane::split(&self.consumer, assignment, &self.waker)?);
        }
        let assigned = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(&starts),
            _ => self.consumer.assign(&starts),
        };
        assigned.map_err(|error| SourceError::Fatal(format!("kafka: assigning: {error}")))?;
        self.ids_checked = Instant::now();
        for assignment in assignments {
            tracing::info!(partition = %assignment.partition, incarnation = %assignment.incarnation,
                committed = assignment.committed.as_ref().map(|found| found.next_offset), "assigned");
            intake.assigned(assignment);
        }
        Ok(())
    }

    fn assign_again(
        &mut self,
        partition: &PartitionId,
        intake: &mut dyn Intake,
    ) -> Result<(), SourceError> {
        let found = self.lanes.iter_mut().find(|lane| lane.partition == *partition);
        // An assignment that was lost is revoked next.
        let Some(lane) = found.filter(|_| !self.consumer.assignment_lost()) else {
            return Ok(());
        };
        let partitions = std::slice::from_ref(partition);
        for found in look_up(&self.consumer, &self.cluster, self.topic_ids, partitions)? {
            lane.broken = None;
            lane.reads_from = None;
            lane.incarnation = Arc::clone(&found.incarnation);
            intake.assigned(found);
        }
        Ok(())
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
