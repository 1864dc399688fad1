//! Where logs begin and end, asked without joining the group.
//!
//! In: [`KafkaConfig`], topics. Out: a [`LogEnds`] of every partition, or of one, by a client that
//! may be kept ([`EndsClient`]).
//!
//! # Invariants
//! - Nothing is subscribed to, assigned or committed: workers do not notice.
//!
//! Deliberately unknown here: what is stored.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BlockingRetryable as _, ConstantBuilder};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::super::{KafkaConfig, SourceError, TopicConfig, native};
use super::assign::REQUEST_TIMEOUT;
use super::client::client_config;
use crate::event::LogId;

/// How often, and how many times, a partition without a leader is asked again: ten seconds.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS: usize = 100;

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

/// The topics of a configuration that are there: those it names, whether they are there or not,
/// and those its patterns find. Blocks.
pub fn topics(config: &KafkaConfig) -> Result<Vec<String>, SourceError> {
    let is_pattern = |topic: &&TopicConfig| topic.is_pattern();
    let (patterns, named): (Vec<_>, Vec<_>) = config.topics.iter().partition(is_pattern);
    let mut names: BTreeSet<String> = named.into_iter().map(|topic| topic.name.clone()).collect();
    if !patterns.is_empty() {
        let consumer = client(config)?;
        let metadata = consumer.fetch_metadata(None, REQUEST_TIMEOUT);
        let metadata = metadata
            .map_err(|error| failed(&consumer, config, "listing the topics", error.to_string()))?;
        let all = metadata.topics().iter().map(|topic| topic.name());
        names.extend(all.filter(|name| config.topic(name).is_some()).map(str::to_owned));
    }
    Ok(names.into_iter().collect())
}

fn client(config: &KafkaConfig) -> Result<BaseConsumer<Quiet>, SourceError> {
    let client = client_config(config)?.create_with_context(Quiet::default());
    client.map_err(|error| SourceError::Fatal(format!("kafka: {error}")))
}

fn failed(
    consumer: &BaseConsumer<Quiet>,
    config: &KafkaConfig,
    what: &str,
    cause: String,
) -> SourceError {
    SourceError::Unavailable {
        what: format!("kafka at {}: {what}", config.brokers),
        cause: heard(consumer).unwrap_or(cause),
    }
}

/// The ends of every partition of some topics. Blocks.
pub fn log_ends(config: &KafkaConfig, topics: &[&str]) -> Result<Vec<LogEnds>, SourceError> {
    let client = EndsClient::new(config)?;
    client.logs(topics)?.into_iter().map(|log| client.ends(log)).collect()
}

/// A client that is kept for many questions, and may be asked several at once. It joins no group.
pub struct EndsClient {
    consumer: BaseConsumer<Quiet>,
    config: KafkaConfig,
}

impl EndsClient {
    /// A client; it asks nobody yet.
    pub fn new(config: &KafkaConfig) -> Result<EndsClient, SourceError> {
        Ok(EndsClient { consumer: client(config)?, config: config.clone() })
    }

    /// The ends of one partition; `None` where Kafka has no such. Blocks.
    pub fn of(&self, topic: &str, partition: i32) -> Result<Option<LogEnds>, SourceError> {
        forget(&self.consumer);
        let mut logs = self.logs(&[topic])?.into_iter();
        logs.find(|log| log.partition == partition).map(|log| self.ends(log)).transpose()
    }

    /// The log of every partition of some topics.
    fn logs(&self, topics: &[&str]) -> Result<Vec<LogId>, SourceError> {
        let cluster: Arc<str> = match self.config.cluster.as_str() {
            "" => cluster_id_by(&self.consumer, &self.config)?.into(),
            name => name.into(),
        };
        let ids = match self.config.topic_ids {
            true => native::topic_ids(&self.consumer, topics, REQUEST_TIMEOUT)
                .map_err(|cause| self.failed("reading topic ids", cause))?,
            false => native::TopicIds::new(),
        };
        let mut logs = Vec::new();
        for topic in topics {
            let metadata = self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT);
            let metadata = metadata.map_err(|error| {
                self.failed(&format!("listing the partitions of {topic}"), error.to_string())
            })?;
            let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
            let mut partitions: Vec<i32> = partitions.map(|partition| partition.id()).collect();
            partitions.sort_unstable();
            // A topic that is not there has no partition, which says it better than its id's error.
            let id = ids.get(*topic).cloned().filter(|_| !partitions.is_empty());
            let id = id.unwrap_or_else(|| Ok(String::new()));
            let id =
                id.map_err(|cause| self.failed(&format!("reading the id of {topic}"), cause))?;
            logs.extend(partitions.into_iter().map(|partition| LogId {
                cluster: Arc::clone(&cluster),
                topic: (*topic).into(),
                incarnation: id.as_str().into(),
                partition,
            }));
        }
        Ok(logs)
    }

    fn ends(&self, log: LogId) -> Result<LogEnds, SourceError> {
        let ask = || self.consumer.fetch_watermarks(&log.topic, log.partition, REQUEST_TIMEOUT);
        let asked = ask
            .retry(ConstantBuilder::new().with_delay(LOOK_EVERY).with_max_times(LOOKS))
            .when(has_no_leader)
            .call();
        let (start, end) = asked.map_err(|error| {
            let what = format!("reading the ends of {}/{}", log.topic, log.partition);
            self.failed(&what, error.to_string())
        })?;
        Ok(LogEnds { log, start, end })
    }

    fn failed(&self, what: &str, cause: String) -> SourceError {
        failed(&self.consumer, &self.config, what, cause)
    }
}

/// The id of a configuration's cluster, by its own word. Blocks.
pub fn cluster_id(config: &KafkaConfig) -> Result<String, SourceError> {
    cluster_id_by(&client(config)?, config)
}

fn cluster_id_by(
    consumer: &BaseConsumer<Quiet>,
    config: &KafkaConfig,
) -> Result<String, SourceError> {
    let id = consumer.client().fetch_cluster_id(REQUEST_TIMEOUT);
    id.ok_or_else(|| failed(consumer, config, "asking for the cluster's id", "no answer".into()))
}

/// A topic that was made a moment ago, or a leader that moves: the broker is still about to lead.
fn has_no_leader(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition, UnknownTopicOrPartition};
    matches!(
        error.rdkafka_error_code(),
        Some(LeaderNotAvailable | NotLeaderForPartition | UnknownTopicOrPartition)
    )
}

/// Why nobody answers, as librdkafka knows it once it is polled.
fn heard(consumer: &BaseConsumer<Quiet>) -> Option<String> {
    for _ in 0..100 {
        let _ = consumer.poll(Duration::ZERO);
        let heard = consumer.context().heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.is_some() {
            return heard.clone();
        }
    }
    None
}

/// Forget what was heard before a question: it is not why this one fails.
fn forget(consumer: &BaseConsumer<Quiet>) {
    while heard(consumer).is_some() {
        consumer.context().heard.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Tells nobody but the log, at its lowest: the answer has the cause.
#[derive(Default)]
struct Quiet {
    heard: Mutex<Option<String>>,
}

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "kafka: {reason}");
        // It comes after the reason, and says less.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Quiet {}
