//! How many records a broker's topics hold, by its own word.
//!
//! In: bootstrap servers, topics. Out: the cluster's id, and each partition's offsets.
//!
//! # Invariants
//! - Asked of the broker, never counted by us: the demo's last line must not believe its own
//!   counters.
//!
//! Deliberately unknown here: what was stored.

use std::time::Duration;

use anyhow::Context as _;
use backon::{BlockingRetryable as _, ConstantBuilder};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

const TIMEOUT: Duration = Duration::from_secs(10);

/// How often, and how many times, a partition that has no leader yet is asked again: ten seconds.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS: usize = 100;

/// A partition's offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermarks {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The oldest offset it holds.
    pub start: i64,
    /// The offset its next record will have.
    pub end: i64,
}

fn consumer(bootstrap: &str) -> anyhow::Result<BaseConsumer> {
    ClientConfig::new().set("bootstrap.servers", bootstrap).create().context("kafka client")
}

/// The id of a cluster.
pub fn cluster_id(bootstrap: &str) -> anyhow::Result<String> {
    let id = consumer(bootstrap)?.client().fetch_cluster_id(TIMEOUT);
    id.with_context(|| format!("{bootstrap}: no broker told its cluster id"))
}

/// The offsets of every partition of some topics.
pub fn watermarks(bootstrap: &str, topics: &[&str]) -> anyhow::Result<Vec<Watermarks>> {
    let consumer = consumer(bootstrap)?;
    let mut found = Vec::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        for partition in partitions.map(|partition| partition.id()) {
            let ask = || consumer.fetch_watermarks(topic, partition, TIMEOUT);
            let (start, end) = ask
                .retry(ConstantBuilder::new().with_delay(LOOK_EVERY).with_max_times(LOOKS))
                .when(has_no_leader)
                .call()
                .with_context(|| format!("offsets of {topic}/{partition}"))?;
            found.push(Watermarks { topic: (*topic).to_owned(), partition, start, end });
        }
    }
    Ok(found)
}

/// A topic that was made a moment ago: the broker is still about to lead it.
fn has_no_leader(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition, UnknownTopicOrPartition};
    matches!(
        error.rdkafka_error_code(),
        Some(LeaderNotAvailable | NotLeaderForPartition | UnknownTopicOrPartition)
    )
}
