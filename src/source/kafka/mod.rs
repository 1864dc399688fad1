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
//! - A commit is asked for only while its partition is our own, and its topic's id was what it
//!   should be at most five seconds ago: the coordinator checks member and generation, no more.
//! - A revoked partition stays assigned until its lane is released.
//!
//! Deliberately unknown here: batches, and when an offset may be committed.

mod assign;
mod client;
mod ends;
mod lane;
mod probe;
mod rebalance;
mod statistics;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use backon::ExponentialBackoff;
use rdkafka::consumer::{BaseConsumer, Consumer as _, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use self::assign::{REQUEST_TIMEOUT, incarnations};
use self::client::{Context, Rebalance, client_config, unavailable};
use self::lane::{Lane, hand_over};
use self::rebalance::LOOK_AGAIN;
use super::{Answer, Commit, Intake, KafkaConfig, Source, SourceError, Waker, native};
use crate::event::PartitionId;
use crate::telemetry::{Health, SourceMetrics};

pub use ends::{EndsClient, LogEnds, cluster_id, log_ends, topics};
pub use probe::{Cluster, Probe, Readable, Trouble, Writable};

/// How long reading from elsewhere may take to begin: the polling thread waits for it.
const SEEK_TIMEOUT: Duration = Duration::from_secs(2);

/// A consumer of topics.
pub struct KafkaSource {
    consumer: Arc<BaseConsumer<Context>>,
    cluster: Arc<str>,
    topic_ids: bool,
    lanes: Vec<Lane>,
    /// Partitions being revoked: given up together, when the last of them is released.
    revoking: Vec<PartitionId>,
    /// When an assignment that Kafka could not tell us enough about is tried again.
    again: Option<(Instant, ExponentialBackoff)>,
    /// Partitions to look at again, and when.
    looking: Vec<(PartitionId, Instant)>,
    /// When topics' ids could not be told, and why.
    ids_unknown: Option<(Instant, String)>,
    /// When a broker was last looked for, while none can be reached.
    looked: Instant,
    /// Answers to commits that were never sent.
    refused: Vec<(Commit, Answer)>,
    /// Scratch for packing a record's headers.
    headers: Vec<u8>,
    metrics: SourceMetrics,
    waker: Arc<Waker>,
}

impl KafkaSource {
    /// Connect and join the group; the waker rings when there are records.
    pub fn connect(
        config: &KafkaConfig,
        waker: Arc<Waker>,
        health: Health,
        metrics: &SourceMetrics,
    ) -> Result<KafkaSource, SourceError> {
        let mut consumer: BaseConsumer<Context> = client_config(config)?
            .set("statistics.interval.ms", statistics::EVERY_MS)
            .create_with_context(Context::new(health))
            .map_err(|error| SourceError::Fatal(format!("kafka: {error}")))?;
        let ring = Arc::clone(&waker);
        consumer.set_nonempty_callback(move || ring.ring());
        let topics: Vec<&str> = config.topics.iter().map(|topic| topic.name.as_str()).collect();
        consumer.subscribe(&topics).map_err(|error| unavailable("subscribing", &error))?;
        let cluster = if config.cluster.is_empty() {
            cluster_of(&consumer, &config.brokers)?
        } else {
            config.cluster.clone()
        };
        Ok(KafkaSource {
            consumer: Arc::new(consumer),
            cluster: cluster.into(),
            topic_ids: config.topic_ids,
            lanes: Vec::new(),
            revoking: Vec::new(),
            again: None,
            looking: Vec::new(),
            ids_unknown: None,
            looked: Instant::now(),
            refused: Vec::new(),
            headers: Vec::new(),
            metrics: metrics.clone(),
            waker,
        })
    }

    /// Look whether the topics of these commits are still those that were assigned.
    fn check_ids(&mut self, commits: &[Commit], now: Instant) {
        const PATIENCE: Duration = Duration::from_secs(2);
        let failed_just_now =
            self.ids_unknown.as_ref().is_some_and(|(at, _)| at.elapsed() < PATIENCE);
        let is_old = |lane: &&Lane| lane.id_is_old(now);
        let commits_to = |lane: &&Lane| commits.iter().any(|c| c.partition == lane.partition);
        let old = self.lanes.iter().filter(is_old).filter(commits_to);
        let old: Vec<Arc<str>> = old.map(|lane| Arc::clone(&lane.partition.topic)).collect();
        if !self.topic_ids || old.is_empty() || failed_just_now {
            return;
        }
        let ids = incarnations(&self.consumer, old.iter().map(|topic| &**topic), PATIENCE);
        self.ids_unknown = ids.as_ref().err().map(|error| (Instant::now(), error.to_string()));
        for lane in &mut self.lanes {
            let id = ids.as_ref().ok().and_then(|ids| ids.get(&*lane.partition.topic));
            let Some(Ok(id)) = id else { continue };
            lane.id_seen = Instant::now();
            if **id != *lane.incarnation && lane.broken.is_none() {
                let was = &lane.incarnation;
                lane.broken = Some(format!("its topic was made again: id {was} before, {id} now"));
            }
        }
    }

    /// librdkafka says when it has lost the last broker, not when it has found one again.
    fn look_for_brokers(&mut self) {
        const EVERY: Duration = Duration::from_secs(2);
        if !self.consumer.context().seems_down() || self.looked.elapsed() < EVERY {
            return;
        }
        // Asked for, not remembered, as the id of the cluster is.
        if self.consumer.fetch_metadata(None, Duration::from_millis(500)).is_ok() {
            self.consumer.context().is_up();
        }
        self.looked = Instant::now();
    }

    fn send(&mut self, commits: &[Commit]) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for Commit { partition, next_offset, metadata } in commits {
            let mut element = list.add_partition(&partition.topic, partition.partition);
            element.set_metadata(metadata);
            element
                .set_offset(Offset::Offset(*next_offset))
                .map_err(|error| unavailable("committing", &error))?;
        }
        native::commit(&self.consumer, &list).map_err(|error| unavailable("committing", &error))
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, timeout: Duration, intake: &mut dyn Intake) -> Result<(), SourceError> {
        let consumer = Arc::clone(&self.consumer);
        let mut idle = true;
        loop {
            match consumer.poll(Duration::ZERO) {
                None if consumer.context().was_called() => {}
                None => break,
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    return Err(SourceError::Fatal(format!("kafka: fatal: {code}")));
                }
                Some(Err(error)) => tracing::warn!(%error, "kafka"),
                // Queues are split off before they are assigned, so none comes this way; if one
                // did, it must not be lost.
                Some(Ok(message)) => {
                    idle = false;
                    let lane = self.lanes.iter().find(|lane| lane.holds(&message));
                    if let Some(lane) = lane {
                        hand_over(&lane.partition, &message, &mut self.headers, intake);
                    }
                }
            }
        }
        let answers = std::mem::take(&mut *consumer.context().answers());
        for answer in answers.into_iter().chain(self.refused.drain(..).map(Ok)) {
            let (commit, answer) = answer?;
            if answer == Answer::Done {
                consumer.context().is_up();
            }
            intake.committed(&commit, answer);
        }
        self.look_for_brokers();
        self.rebalance(intake)?;
        self.look(intake)?;
        let ends = std::mem::take(&mut *consumer.context().log_ends());
        for lane in self.lanes.iter().filter(|lane| !ends.is_empty() && lane.is_told) {
            if let Some(end) = ends.of(&lane.partition) {
                intake.log_end(&lane.partition, end);
            }
        }
        // Each time another begins: where there is room for few records, not always for the same lane's.
        if !self.lanes.is_empty() {
            self.lanes.rotate_left(1);
        }
        for lane in &mut self.lanes {
            idle &= !lane.drain(&consumer, &mut self.headers, intake);
        }
        if idle && self.refused.is_empty() {
            self.waker.wait(timeout);
        }
        Ok(())
    }

    fn commit(&mut self, commits: Vec<Commit>) -> Result<(), SourceError> {
        // One time for all: an id must not grow old between the two looks at it.
        let now = Instant::now();
        self.check_ids(&commits, now);
        let is_lost = self.consumer.assignment_lost();
        let mut ours = Vec::with_capacity(commits.len());
        for commit in commits {
            let lane = self.lanes.iter().find(|lane| lane.partition == commit.partition);
            let answer = match lane {
                None => Answer::Fenced("the partition is not assigned".into()),
                Some(_) if is_lost => Answer::Fenced("the assignment was lost".into()),
                Some(Lane { broken: Some(why), .. }) => Answer::Fenced(why.clone()),
                Some(lane) if self.topic_ids && lane.id_is_old(now) => {
                    let why = self.ids_unknown.as_ref().map_or("not told", |(_, why)| why);
                    Answer::Unknown(format!("the topic's id: {why}"))
                }
                Some(_) => {
                    ours.push(commit);
                    continue;
                }
            };
            self.refused.push((commit, answer));
        }
        if ours.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.send(&ours) {
            let unknown = Answer::Unknown(error.to_string());
            self.refused.extend(ours.into_iter().map(|commit| (commit, unknown.clone())));
        }
        Ok(())
    }

    fn begin(&mut self, partition: &PartitionId, offset: i64) -> Result<(), SourceError> {
        let found = self.lanes.iter_mut().find(|lane| lane.partition == *partition);
        let Some(lane) = found.filter(|lane| lane.reads_from != Some(offset)) else {
            return Ok(());
        };
        let failed =
            |error: KafkaError| unavailable(&format!("{partition}: reading from {offset}"), &error);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(offset))
            .map_err(failed)?;
        // What was prefetched is of an older version to librdkafka then, and dropped by it.
        let sought = self.consumer.seek_partitions(list.clone(), SEEK_TIMEOUT).map_err(failed)?;
        let sought = sought.elements().iter().try_for_each(|element| element.error());
        let is_quiet = self.revoking.is_empty()
            && self.consumer.context().rebalances().is_empty()
            && !self.consumer.assignment_lost();
        match (sought, self.consumer.rebalance_protocol()) {
            (Ok(()), _) => {}
            // librdkafka seeks only in a partition that it still fetches, and not in one whose log
            // has broken off: that is assigned anew. Not in a rebalance, to which it would answer.
            (Err(_), RebalanceProtocol::Cooperative) if is_quiet => {
                if let Err(error) = self.consumer.incremental_unassign(&list) {
                    tracing::debug!(%partition, %error, "unassigned before, it seems");
                }
                self.consumer.incremental_assign(&list).map_err(failed)?;
            }
            (Err(error), _) => return Err(failed(error)),
        }
        lane.reads_from = Some(offset);
        Ok(())
    }

    fn look_again(&mut self, partition: &PartitionId) {
        self.looking.push((partition.clone(), Instant::now() + LOOK_AGAIN));
    }

    fn release(&mut self, partition: &PartitionId) -> Result<(), SourceError> {
        self.lanes.retain(|lane| lane.partition != *partition);
        self.looking.retain(|(other, _)| other != partition);
        self.give_up_released()
    }

    fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }
}

fn cluster_of(consumer: &BaseConsumer<Context>, brokers: &str) -> Result<String, SourceError> {
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
        // A decision that was noted and never answered would keep the consumer from closing.
        for note in std::mem::take(&mut *self.consumer.context().rebalances()) {
            match note {
                Rebalance::Revoked(partitions) => self.revoking.extend(partitions),
                Rebalance::Assigned(_) => {
                    let none = TopicPartitionList::new();
                    let answered = match self.consumer.rebalance_protocol() {
                        RebalanceProtocol::Cooperative => self.consumer.incremental_assign(&none),
                        _ => self.consumer.assign(&none),
                    };
                    if let Err(error) = answered {
                        tracing::debug!(%error, "leaving the group");
                    }
                }
            }
        }
        if !self.revoking.is_empty()
            && let Err(error) = self.give_up_released()
        {
            tracing::debug!(%error, "leaving the group");
        }
    }
}
