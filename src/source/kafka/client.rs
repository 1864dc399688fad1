//! The librdkafka client: its properties, and what it calls back.
//!
//! In: [`KafkaConfig`]. Out: a [`ClientConfig`] that delivery can rest on, and a [`Context`] that
//! notes rebalances and passes librdkafka's log on.
//!
//! # Invariants
//! - What delivery rests on is set last, over the user's own properties.
//! - Callbacks only note: they run inside a poll, where waiting would stall every lane.
//!
//! Deliberately unknown here: lanes, offsets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::super::{KafkaConfig, SourceError};
use crate::event::PartitionId;

/// The client's properties.
pub fn client_config(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    for (name, value) in &config.properties {
        client.set(name, value);
    }
    client
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", &config.group)
        .set("client.id", "trailhouse")
        .set("session.timeout.ms", config.session_timeout_ms.to_string())
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("queued.max.messages.kbytes", (config.prefetch_bytes / 1024).to_string())
        // How soon a full queue is looked at again: the default of a second starves a fast lane.
        .set("fetch.queue.backoff.ms", "50")
        .set_log_level(RDKafkaLogLevel::Warning);
    client
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
    rebalances: Mutex<Vec<Rebalance>>,
    /// The source is being dropped: answer the last rebalance at once.
    pub leaving: AtomicBool,
}

impl Context {
    /// What the callback has noted.
    pub fn rebalances(&self) -> MutexGuard<'_, Vec<Rebalance>> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
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
        let partitions = list.elements().into_iter().map(|element| PartitionId {
            topic: element.topic().into(),
            partition: element.partition(),
        });
        let partitions = partitions.collect();
        self.rebalances().push(match code {
            Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assigned(partitions),
            _ => Rebalance::Revoked(partitions),
        });
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(%error, "a commit failed; the next one repeats it");
        }
    }
}

/// Errors librdkafka mends by itself are told once; the others end the source.
pub fn report(error: &KafkaError) -> Result<(), SourceError> {
    match error {
        KafkaError::MessageConsumptionFatal(code) => {
            Err(SourceError::Fatal(format!("kafka: fatal: {code}")))
        }
        KafkaError::MessageConsumption(rdkafka::types::RDKafkaErrorCode::AutoOffsetReset) => {
            Err(SourceError::Fatal(
                "kafka: a committed offset is outside its partition: records were deleted before \
                 they were read, or the topic was recreated; look with kafka-consumer-groups, then \
                 reset the group's offset by hand"
                    .into(),
            ))
        }
        KafkaError::PartitionEOF(_) => Ok(()),
        error => {
            tracing::warn!(%error, "kafka");
            Ok(())
        }
    }
}

/// An error that may pass.
pub fn unavailable(what: &str, error: &KafkaError) -> SourceError {
    SourceError::Unavailable { what: format!("kafka: {what}"), cause: error.to_string() }
}
