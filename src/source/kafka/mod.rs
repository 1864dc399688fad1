//! The Kafka consumer: one thread polls, assigns, commits and unassigns.
//!
//! In: [`KafkaConfig`]. Out: a [`Source`] with a queue for each partition.
//!
//! Each assigned partition is split off into a queue of its own *before* it is assigned, so none
//! of its records ever pass through the main queue. A partition whose lane is full is not polled;
//! librdkafka then stops fetching it at its prefetch limit. (Pausing would throw the prefetched
//! records away and fetch them again.)
//!
//! # Invariants
//! - The rebalance callback only notes what happened. Assigning, unassigning and committing follow
//!   on the polling thread, outside the callback: waiting in it would stall every lane.
//! - Every start offset is explicit: the committed one, else the start of the log.
//! - A revoked partition stays assigned until its lane is released, then its last offset is
//!   committed and it is given up.
//!
//! Deliberately unknown here: batches, and when an offset may be committed.

mod client;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, RebalanceProtocol};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use self::client::{Context, Rebalance, client_config, report, unavailable};
use super::{Assignment, Intake, KafkaConfig, Source, SourceError, Waker, native};
use crate::event::{Headers, PartitionId, RawRecord};

/// How long one request to the broker may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Records taken from one partition before the next has its turn.
const TURN: usize = 2_000;

/// A consumer of topics.
pub struct KafkaSource {
    consumer: Arc<BaseConsumer<Context>>,
    cluster: Arc<str>,
    topic_ids: bool,
    lanes: Vec<Lane>,
    /// Partitions being revoked: given up together, when the last of them is released.
    revoking: Vec<PartitionId>,
    /// Scratch for packing a record's headers.
    headers: Vec<u8>,
    waker: Arc<Waker>,
}

struct Lane {
    partition: PartitionId,
    queue: PartitionQueue<Context>,
    /// What was last asked to be committed.
    next_offset: Option<i64>,
}

impl KafkaSource {
    /// Connect and join the group; the waker rings when there are records.
    pub fn connect(config: &KafkaConfig, waker: Arc<Waker>) -> Result<KafkaSource, SourceError> {
        let context = Context::default();
        let mut consumer: BaseConsumer<Context> = client_config(config)
            .create_with_context(context)
            .map_err(|error| SourceError::Fatal(format!("kafka: {error}")))?;
        let ring = Arc::clone(&waker);
        consumer.set_nonempty_callback(move || ring.ring());
        let topics: Vec<&str> = config.topics.iter().map(|topic| topic.name.as_str()).collect();
        consumer.subscribe(&topics).map_err(|error| unavailable("subscribing", &error))?;
        let cluster = if config.cluster.is_empty() {
            cluster_id(&consumer, &config.brokers)?
        } else {
            config.cluster.clone()
        };
        Ok(KafkaSource {
            consumer: Arc::new(consumer),
            cluster: cluster.into(),
            topic_ids: config.topic_ids,
            lanes: Vec::new(),
            revoking: Vec::new(),
            headers: Vec::new(),
            waker,
        })
    }

    fn rebalance(&mut self, intake: &mut dyn Intake) -> Result<(), SourceError> {
        let rebalances = std::mem::take(&mut *self.consumer.context().rebalances());
        for rebalance in rebalances {
            match rebalance {
                Rebalance::Assigned(partitions) => self.assign(&partitions, intake)?,
                Rebalance::Revoked(partitions) => {
                    for partition in &partitions {
                        tracing::info!(%partition, "revoked: draining");
                        intake.revoked(partition);
                    }
                    self.revoking.extend(partitions);
                    // One that has no lane, or an empty revocation, has nothing to wait for.
                    self.give_up_released()?;
                }
            }
        }
        Ok(())
    }

    fn assign(
        &mut self,
        partitions: &[PartitionId],
        intake: &mut dyn Intake,
    ) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition);
        }
        let list = self
            .consumer
            .committed_offsets(list, REQUEST_TIMEOUT)
            .map_err(|error| unavailable("reading committed offsets", &error))?;
        let incarnations = self.incarnations(partitions)?;
        let mut starts = TopicPartitionList::new();
        for partition in partitions {
            let committed = list
                .find_partition(&partition.topic, partition.partition)
                .map(|found| found.offset());
            let start = match committed {
                Some(Offset::Offset(offset)) => offset,
                _ => self.log_start(partition)?,
            };
            starts
                .add_partition_offset(&partition.topic, partition.partition, Offset::Offset(start))
                .map_err(|error| unavailable("assigning", &error))?;
            let queue = self.split(partition)?;
            self.lanes.push(Lane { partition: partition.clone(), queue, next_offset: None });
            let incarnation = incarnations.get(&*partition.topic).cloned().unwrap_or_default();
            tracing::info!(%partition, start, %incarnation, "assigned");
            intake.assigned(Assignment {
                partition: partition.clone(),
                cluster: Arc::clone(&self.cluster),
                incarnation: incarnation.into(),
                start,
            });
        }
        let assigned = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(&starts),
            _ => self.consumer.assign(&starts),
        };
        assigned.map_err(|error| unavailable("assigning", &error))
    }

    fn split(&self, partition: &PartitionId) -> Result<PartitionQueue<Context>, SourceError> {
        let split = self.consumer.split_partition_queue(&partition.topic, partition.partition);
        let mut queue = split
            .ok_or_else(|| SourceError::Fatal(format!("{partition}: librdkafka has no queue")))?;
        let ring = Arc::clone(&self.waker);
        queue.set_nonempty_callback(move || ring.ring());
        Ok(queue)
    }

    fn log_start(&self, partition: &PartitionId) -> Result<i64, SourceError> {
        let (low, _) = self
            .consumer
            .fetch_watermarks(&partition.topic, partition.partition, REQUEST_TIMEOUT)
            .map_err(|error| unavailable(&format!("{partition}: reading the log start"), &error))?;
        Ok(low)
    }

    fn incarnations(
        &self,
        partitions: &[PartitionId],
    ) -> Result<HashMap<String, String>, SourceError> {
        let mut topics: Vec<&str> = partitions.iter().map(|p| &*p.topic).collect();
        topics.sort_unstable();
        topics.dedup();
        if topics.is_empty() || !self.topic_ids {
            return Ok(HashMap::new());
        }
        let ids = native::topic_ids(&self.consumer, &topics, REQUEST_TIMEOUT);
        ids.map_err(|cause| SourceError::Unavailable {
            what: "kafka: reading topic ids".into(),
            cause,
        })
    }

    /// Answer a revocation once every lane of it is released. One call for all of them: the group
    /// goes on to its next assignment after it.
    fn give_up_released(&mut self) -> Result<(), SourceError> {
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

    fn commit_now(&self, lanes: &[&Lane]) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::new();
        for lane in lanes {
            if let Some(next) = lane.next_offset {
                let (topic, partition) = (&lane.partition.topic, lane.partition.partition);
                let offset = Offset::Offset(next);
                list.add_partition_offset(topic, partition, offset)
                    .map_err(|error| unavailable("committing", &error))?;
            }
        }
        // Who has lost its assignment is fenced: a commit would only wait for its refusal.
        if list.count() == 0 || self.consumer.assignment_lost() {
            return Ok(());
        }
        self.consumer
            .commit(&list, CommitMode::Sync)
            .map_err(|error| unavailable("committing", &error))
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, timeout: Duration, intake: &mut dyn Intake) -> Result<(), SourceError> {
        let consumer = Arc::clone(&self.consumer);
        let mut idle = true;
        match consumer.poll(Duration::ZERO) {
            None => {}
            Some(Err(error)) => report(&error)?,
            // Queues are split off before they are assigned, so none comes this way; if one did, it
            // must not be lost.
            Some(Ok(message)) => {
                idle = false;
                let is_its = |lane: &&Lane| {
                    lane.partition.partition == message.partition()
                        && *lane.partition.topic == *message.topic()
                };
                if let Some(lane) = self.lanes.iter().find(is_its) {
                    hand_over(&lane.partition, &message, &mut self.headers, intake);
                }
            }
        }
        self.rebalance(intake)?;
        for lane in &self.lanes {
            for _ in 0..TURN {
                if !intake.wants(&lane.partition) {
                    break;
                }
                match lane.queue.poll(Duration::ZERO) {
                    None => break,
                    Some(Ok(message)) => {
                        idle = false;
                        hand_over(&lane.partition, &message, &mut self.headers, intake);
                    }
                    Some(Err(error)) => {
                        report(&error)?;
                        break;
                    }
                }
            }
        }
        if idle {
            self.waker.wait(timeout);
        }
        Ok(())
    }

    fn commit(&mut self, partition: &PartitionId, next_offset: i64) -> Result<(), SourceError> {
        // The one place that commits checks that the partition is still its own: the coordinator
        // checks member and generation, not ownership.
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.partition == *partition) else {
            return Ok(());
        };
        lane.next_offset = Some(next_offset);
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(next_offset);
        list.add_partition_offset(&partition.topic, partition.partition, offset)
            .and_then(|()| self.consumer.commit(&list, CommitMode::Async))
            .map_err(|error| unavailable(&format!("{partition}: committing"), &error))
    }

    fn release(&mut self, partition: &PartitionId) -> Result<(), SourceError> {
        let Some(at) = self.lanes.iter().position(|lane| lane.partition == *partition) else {
            return Ok(());
        };
        let lane = self.lanes.swap_remove(at);
        if let Err(error) = self.commit_now(&[&lane]) {
            tracing::warn!(%partition, %error, "the last commit before giving up failed");
        }
        self.give_up_released()
    }

    fn close(&mut self) -> Result<(), SourceError> {
        self.commit_now(&self.lanes.iter().collect::<Vec<_>>())?;
        Ok(())
    }

    fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }
}

fn hand_over(
    partition: &PartitionId,
    message: &BorrowedMessage<'_>,
    headers: &mut Vec<u8>,
    intake: &mut dyn Intake,
) {
    headers.clear();
    for header in message.headers().into_iter().flat_map(|found| found.iter()) {
        Headers::pack(headers, header.key, header.value.unwrap_or_default());
    }
    let record = RawRecord {
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().map(|millis| millis.saturating_mul(1_000)),
        key: message.key(),
        headers: Headers::packed(headers),
        payload: message.payload().unwrap_or_default(),
    };
    intake.take(partition, &record);
}

fn cluster_id(consumer: &BaseConsumer<Context>, brokers: &str) -> Result<String, SourceError> {
    consumer.client().fetch_cluster_id(REQUEST_TIMEOUT).ok_or_else(|| SourceError::Unavailable {
        what: format!("kafka: {brokers}"),
        cause: "no broker told its cluster id; is it up, or set kafka.cluster".into(),
    })
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        // The queues hold the consumer: without them it is dropped, and leaves, with `self`.
        self.lanes.clear();
        self.consumer.context().leaving.store(true, Ordering::Release);
        // A revocation that was noted and never answered would keep the consumer from closing.
        for note in std::mem::take(&mut *self.consumer.context().rebalances()) {
            if let Rebalance::Revoked(partitions) = note {
                self.revoking.extend(partitions);
            }
        }
        if !self.revoking.is_empty()
            && let Err(error) = self.give_up_released()
        {
            tracing::debug!(%error, "leaving the group");
        }
    }
}
