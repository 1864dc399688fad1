//! The librdkafka client: its properties, and what it calls back.
//!
//! In: [`KafkaConfig`]. Out: a [`ClientConfig`] that delivery can rest on, and a [`Context`] that
//! notes rebalances and answers to commits, and passes librdkafka's log on.
//!
//! # Invariants
//! - What delivery rests on is set last, over the user's own properties.
//! - Callbacks only note: they run inside a poll, where waiting would stall every lane.
//!
//! Deliberately unknown here: lanes, what an offset stands for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaErrorCode;

use super::super::{Answer, Commit, KafkaConfig, SourceError};
use super::statistics::Ends;
use crate::event::PartitionId;
use crate::telemetry::Health;

/// The part of readiness that the brokers stand for.
pub const PART: &str = "kafka";

/// The client's properties.
pub fn client_config(config: &KafkaConfig) -> Result<ClientConfig, SourceError> {
    let mut client = ClientConfig::new();
    // The newer protocol assigns on the broker's side, and refuses the settings of the older.
    let broker_assigns = config.properties.get("group.protocol").is_some_and(|p| p == "consumer");
    if !broker_assigns {
        client
            .set("session.timeout.ms", config.session_timeout_ms.to_string())
            .set("partition.assignment.strategy", "cooperative-sticky");
    }
    client.extend(config.connection()?);
    client
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", &config.group)
        .set("client.id", "trailhouse")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        // A batch that is made again ends at its last record, or where there are no more.
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", (config.prefetch_bytes / 1024).to_string())
        // How soon a full queue is looked at again: the default of a second starves a fast lane.
        .set("fetch.queue.backoff.ms", "50")
        .set_log_level(RDKafkaLogLevel::Warning);
    Ok(client)
}

/// What the coordinator decided.
pub enum Rebalance {
    Assigned(Vec<PartitionId>),
    Revoked(Vec<PartitionId>),
}

/// What librdkafka calls back.
#[derive(Default)]
pub struct Context {
    /// What the callback noted; the polling thread acts on it.
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// Answers to commits; a fatal one ends the source.
    answers: Mutex<Vec<Result<(Commit, Answer), SourceError>>>,
    /// The source is being dropped: answer the last rebalance at once.
    pub leaving: AtomicBool,
    /// Something was called back since this was last asked.
    called: AtomicBool,
    /// No broker can be reached.
    down: AtomicBool,
    /// Where logs end, when librdkafka last said so.
    log_ends: Mutex<Ends>,
    health: Health,
}

impl Context {
    /// Notes nothing yet.
    pub fn new(health: Health) -> Context {
        Context { health, ..Context::default() }
    }

    /// What the callback has noted.
    pub fn rebalances(&self) -> MutexGuard<'_, VecDeque<Rebalance>> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers that have come.
    pub fn answers(&self) -> MutexGuard<'_, Vec<Result<(Commit, Answer), SourceError>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where logs end, since this was last asked.
    pub fn log_ends(&self) -> MutexGuard<'_, Ends> {
        self.log_ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something was called back since this was last asked: a poll that was spent on that
    /// returns nothing, though more may wait behind it.
    pub fn was_called(&self) -> bool {
        self.called.swap(false, Ordering::Relaxed)
    }

    /// A broker answered.
    pub fn is_up(&self) {
        if self.down.swap(false, Ordering::Relaxed) {
            self.health.works(PART);
        }
    }

    /// Whether no broker could be reached, last we knew.
    pub fn seems_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// A request failed for want of a broker.
    pub fn is_down(&self, why: &str) {
        self.down.store(true, Ordering::Relaxed);
        self.health.fails(PART, why);
    }
}

impl ClientContext for Context {
    fn stats_raw(&self, statistics: &[u8]) {
        self.called.store(true, Ordering::Relaxed);
        match Ends::read(statistics) {
            Ok(ends) => *self.log_ends() = ends,
            Err(error) => tracing::debug!(%error, "librdkafka's statistics cannot be read"),
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.called.store(true, Ordering::Relaxed);
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::error!(facility, "{message}"),
            RDKafkaLogLevel::Warning => tracing::warn!(facility, "{message}"),
            _ => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.called.store(true, Ordering::Relaxed);
        // Told of every partition's every end; the partition's own queue says it too.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.is_down(reason);
        }
        tracing::warn!(%error, "kafka: {reason}");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: Code, list: &mut TopicPartitionList) {
        if self.leaving.load(Ordering::Acquire) {
            // Dropping the consumer polls until it has left the group, and nobody acts on notes.
            let left = match consumer.rebalance_protocol() {
                RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
                _ => consumer.unassign(),
            };
            if let Err(error) = left {
                tracing::debug!(%error, "leaving the group");
            }
            return;
        }
        self.called.store(true, Ordering::Relaxed);
        let partitions = list.elements().iter().map(partition_of).collect();
        self.rebalances().push_back(match code {
            Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assigned(partitions),
            _ => Rebalance::Revoked(partitions),
        });
    }

    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        self.called.store(true, Ordering::Relaxed);
        let mut answers = self.answers();
        for element in list.elements() {
            // A request that failed as a whole leaves its elements without an error of their own.
            let failed = element.error().err().or_else(|| result.clone().err());
            let commit = Commit {
                partition: partition_of(&element),
                next_offset: if let Offset::Offset(offset) = element.offset() {
                    offset
                } else {
                    -1
                },
                metadata: element.metadata().to_owned(),
            };
            answers.push(match failed {
                None => Ok((commit, Answer::Done)),
                Some(error) => answer(&commit, &error).map(|answer| (commit, answer)),
            });
        }
    }
}

fn partition_of(element: &TopicPartitionListElem<'_>) -> PartitionId {
    PartitionId { topic: element.topic().into(), partition: element.partition() }
}

/// What a failed commit means, by Kafka's error codes
/// (<https://kafka.apache.org/protocol#protocol_error_codes>).
fn answer(commit: &Commit, error: &KafkaError) -> Result<Answer, SourceError> {
    use RDKafkaErrorCode as E;
    let why = error.to_string();
    match error.rdkafka_error_code() {
        // Somebody else has the partition, or will: our generation is over.
        Some(E::IllegalGeneration | E::UnknownMemberId | E::AssignmentLost) => {
            Ok(Answer::Fenced(why))
        }
        Some(
            E::FencedInstanceId
            | E::GroupAuthorizationFailed
            | E::TopicAuthorizationFailed
            | E::OffsetMetadataTooLarge
            | E::InvalidCommitOffsetSize,
        ) => Err(SourceError::Fatal(format!("kafka: {}: committing: {why}", commit.partition))),
        // Timeouts, a coordinator that moved, a rebalance or a newer epoch: ask again.
        _ => Ok(Answer::Unknown(why)),
    }
}

/// An error that may pass.
pub fn unavailable(what: &str, error: &KafkaError) -> SourceError {
    SourceError::Unavailable { what: format!("kafka: {what}"), cause: error.to_string() }
}
