//! What Kafka knows of partitions that have just become ours.
//!
//! In: partitions. Out: an [`Assignment`] of each: committed offset and metadata, the ends of its
//! log, its topic's id.
//!
//! # Invariants
//! - Nothing is changed here: a fault that passes leaves nothing half done, and all is asked again.
//!
//! Deliberately unknown here: where reading begins.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::{Assignment, Committed, SourceError, native};
use super::client::{Context, unavailable};
use crate::event::PartitionId;

/// How long one request to the broker may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Ask for everything at once.
pub fn look_up(
    consumer: &BaseConsumer<Context>,
    cluster: &Arc<str>,
    topic_ids: bool,
    partitions: &[PartitionId],
) -> Result<Vec<Assignment>, SourceError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    let list = consumer
        .committed_offsets(list, REQUEST_TIMEOUT)
        .map_err(|error| unavailable("reading committed offsets", &error))?;
    let ids = if topic_ids {
        incarnations(consumer, partitions.iter().map(|partition| &*partition.topic))?
    } else {
        HashMap::new()
    };
    let mut assignments = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let found = list.find_partition(&partition.topic, partition.partition);
        let committed = found.and_then(|found| match found.offset() {
            Offset::Offset(next_offset) => {
                Some(Committed { next_offset, metadata: found.metadata().to_owned() })
            }
            _ => None,
        });
        let (log_start, log_end) = consumer
            .fetch_watermarks(&partition.topic, partition.partition, REQUEST_TIMEOUT)
            .map_err(|error| {
                unavailable(&format!("{partition}: reading its log's ends"), &error)
            })?;
        assignments.push(Assignment {
            partition: partition.clone(),
            cluster: Arc::clone(cluster),
            incarnation: ids.get(&*partition.topic).cloned().unwrap_or_default().into(),
            committed,
            log_start,
            log_end,
        });
    }
    Ok(assignments)
}

/// The ids of topics.
pub fn incarnations<'t>(
    consumer: &BaseConsumer<Context>,
    topics: impl Iterator<Item = &'t str>,
) -> Result<HashMap<String, String>, SourceError> {
    let mut topics: Vec<&str> = topics.collect();
    topics.sort_unstable();
    topics.dedup();
    if topics.is_empty() {
        return Ok(HashMap::new());
    }
    native::topic_ids(consumer, &topics, REQUEST_TIMEOUT).map_err(|cause| {
        SourceError::Unavailable { what: "kafka: reading topic ids".into(), cause }
    })
}
