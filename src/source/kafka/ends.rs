//! Where logs begin and end, asked without joining the group.
//!
//! In: [`KafkaConfig`], topics. Out: a [`LogEnds`] of every partition.
//!
//! # Invariants
//! - Nothing is subscribed to, assigned or committed: workers do not notice.
//!
//! Deliberately unknown here: what is stored.

use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::super::{KafkaConfig, SourceError};
use super::assign::{REQUEST_TIMEOUT, incarnations};
use super::client::{Context, client_config, unavailable};
use super::cluster_id;
use crate::event::LogId;
use crate::telemetry::Health;

/// A partition's log, and what of it Kafka holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnds {
    /// Which log.
    pub log: LogId,
    /// The first offset it still holds.
    pub start: i64,
    /// One past its last offset.
    pub end: i64,
}

/// The ends of every partition of some topics. Blocks.
pub fn log_ends(config: &KafkaConfig, topics: &[&str]) -> Result<Vec<LogEnds>, SourceError> {
    let consumer: BaseConsumer<Context> = client_config(config)
        .create_with_context(Context::new(Health::default()))
        .map_err(|error| SourceError::Fatal(format!("kafka: {error}")))?;
    let cluster: Arc<str> = match config.cluster.as_str() {
        "" => cluster_id(&consumer, &config.brokers)?.into(),
        name => name.into(),
    };
    let ids = match config.topic_ids {
        true => incarnations(&consumer, topics.iter().copied())?,
        false => HashMap::new(),
    };
    let mut found = Vec::new();
    for topic in topics {
        let metadata = consumer
            .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
            .map_err(|error| unavailable(&format!("{topic}: listing its partitions"), &error))?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let mut partitions: Vec<i32> = partitions.map(|partition| partition.id()).collect();
        partitions.sort_unstable();
        for partition in partitions {
            let (start, end) =
                consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT).map_err(|error| {
                    unavailable(&format!("{topic}/{partition}: reading its log's ends"), &error)
                })?;
            let log = LogId {
                cluster: Arc::clone(&cluster),
                topic: (*topic).into(),
                incarnation: ids.get(*topic).cloned().unwrap_or_default().into(),
                partition,
            };
            found.push(LogEnds { log, start, end });
        }
    }
    Ok(found)
}
