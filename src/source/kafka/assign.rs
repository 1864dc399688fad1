//! What Kafka knows of partitions that have just become ours.
//!
//! In: partitions. Out: an [`Assignment`] of each: committed offset and metadata, the ends of its
//! log, its topic's id.
//!
//! # Invariants
//! - Nothing is changed here: a fault that passes leaves nothing half done, and is asked again.
//! - No id is a broker's word that it has none; an error is not.
//!
//! Deliberately unknown here: where reading begins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::native::{self, TopicIds};
use super::super::{Assignment, Committed, SourceError};
use super::client::{Context, unavailable};
use crate::event::PartitionId;

/// How long one request to the broker may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A partition, and what is known of it.
pub struct Found {
    /// Which.
    pub partition: PartitionId,
    /// What the group remembers.
    pub committed: Option<Committed>,
    /// All of it; or why that cannot be said now.
    pub assignment: Result<Assignment, SourceError>,
}

/// Ask for everything, in all for no longer than one request may take. Without the group's
/// coordinator nothing is known; without a partition's leader, that partition.
pub fn look_up(
    consumer: &BaseConsumer<Context>,
    cluster: &Arc<str>,
    topic_ids: bool,
    partitions: &[PartitionId],
) -> Result<Vec<Found>, SourceError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    let left = || deadline.saturating_duration_since(Instant::now());
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    let list = consumer
        .committed_offsets(list, left())
        .map_err(|error| unavailable("reading committed offsets", &error))?;
    let ids = if topic_ids {
        incarnations(consumer, partitions.iter().map(|partition| &*partition.topic), left())?
    } else {
        TopicIds::new()
    };
    let mut all = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let element = list.find_partition(&partition.topic, partition.partition);
        let committed = element.and_then(|element| match element.offset() {
            Offset::Offset(next_offset) => {
                Some(Committed { next_offset, metadata: element.metadata().to_owned() })
            }
            _ => None,
        });
        let ends = consumer
            .fetch_watermarks(&partition.topic, partition.partition, left())
            .map_err(|error| unavailable(&format!("{partition}: reading its log's ends"), &error));
        let id = ids.get(&*partition.topic).cloned();
        let id =
            id.unwrap_or_else(|| if topic_ids { Err("not told".into()) } else { Ok("".into()) });
        let id = id.map_err(|cause| SourceError::Unavailable {
            what: format!("kafka: {partition}: reading its topic's id"),
            cause,
        });
        let assignment = ends.and_then(|(log_start, log_end)| {
            Ok(Assignment {
                partition: partition.clone(),
                cluster: Arc::clone(cluster),
                incarnation: id?.into(),
                committed: committed.clone(),
                log_start,
                log_end,
            })
        });
        all.push(Found { partition: partition.clone(), committed, assignment });
    }
    Ok(all)
}

/// The ids of topics.
pub fn incarnations<'t>(
    consumer: &BaseConsumer<Context>,
    topics: impl Iterator<Item = &'t str>,
    timeout: Duration,
) -> Result<TopicIds, SourceError> {
    let mut topics: Vec<&str> = topics.collect();
    topics.sort_unstable();
    topics.dedup();
    if topics.is_empty() {
        return Ok(TopicIds::new());
    }
    native::topic_ids(consumer, &topics, timeout).map_err(|cause| SourceError::Unavailable {
        what: "kafka: reading topic ids".into(),
        cause,
    })
}
