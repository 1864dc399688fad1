//! What stands between us and Kafka, asked step by step without joining the group.
//!
//! In: [`KafkaConfig`]. Out: what there is, or a [`Trouble`] that says which step failed.
//!
//! # Invariants
//! - Nothing is subscribed to, committed or written: workers do not notice.
//! - A broker that refuses us is not waited for like one that is not there.
//!
//! Deliberately unknown here: what would mend it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::super::{KafkaConfig, SourceError, native};
use super::assign::REQUEST_TIMEOUT;
use super::client::client_config;

/// How long one look for a broker takes; what was heard meanwhile decides about the next.
const LOOK: Duration = Duration::from_millis(500);

/// A client that looks and touches nothing.
pub struct Probe {
    consumer: BaseConsumer<Heard>,
}

/// A cluster that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its id.
    pub id: String,
    /// How many brokers it has now.
    pub brokers: usize,
}

/// A topic that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readable {
    /// How many partitions it has.
    pub partitions: usize,
    /// Offsets between the first and the last, all partitions together.
    pub records: i64,
    /// The timestamp of the newest record of the partition that has most, milliseconds since the
    /// Unix epoch.
    pub newest_ms: Option<i64>,
}

/// A topic that is there to be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writable {
    /// How many partitions it has.
    pub partitions: usize,
    /// Whether it is ours to write, by the brokers' word; or why they do not say.
    pub is_ours: Result<bool, String>,
}

/// Why a step fails; the text is librdkafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody answers.
    #[error("no broker answers: {0}")]
    Unreachable(String),
    /// Somebody answers, but there is no encrypted connection.
    #[error("no encrypted connection: {0}")]
    Tls(String),
    /// The brokers do not believe us who we are.
    #[error("the brokers do not let us in: {0}")]
    Denied(String),
    /// There is no such topic.
    #[error("there is no such topic")]
    Missing,
    /// We may not see or read it.
    #[error("it is not for us: {0}")]
    Forbidden(String),
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl Probe {
    /// A client; it asks nobody yet.
    pub fn new(config: &KafkaConfig) -> Result<Probe, SourceError> {
        let made = client_config(config)?.create_with_context(Heard::default());
        let consumer = made.map_err(|error| SourceError::Fatal(format!("kafka: {error}")))?;
        Ok(Probe { consumer })
    }

    /// The cluster. Blocks.
    pub fn cluster(&self) -> Result<Cluster, Trouble> {
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        loop {
            let failure = match self.consumer.fetch_metadata(None, LOOK) {
                Ok(metadata) => {
                    let id = self.consumer.client().fetch_cluster_id(REQUEST_TIMEOUT);
                    let brokers = metadata.brokers().len();
                    return Ok(Cluster { id: id.unwrap_or_default(), brokers });
                }
                Err(error) => error.to_string(),
            };
            self.listen();
            let heard = self.consumer.context().last();
            match heard.clone() {
                Some(trouble @ (Trouble::Denied(_) | Trouble::Tls(_))) => return Err(trouble),
                Some(trouble) if Instant::now() > deadline => return Err(trouble),
                None if Instant::now() > deadline => return Err(Trouble::Unreachable(failure)),
                Some(_) | None => {}
            }
        }
    }

    /// Whether a topic is there, and ours to write. Nothing is written for it. Blocks.
    pub fn write(&self, topic: &str) -> Result<Writable, Trouble> {
        let partitions = self.partitions(topic)?;
        let told = native::may_write(&self.consumer, topic, REQUEST_TIMEOUT);
        let is_ours = told.and_then(|told| told.ok_or_else(|| "the brokers tell no rights".into()));
        Ok(Writable { partitions, is_ours })
    }

    /// Whether a topic is there, and how many partitions it has.
    fn partitions(&self, topic: &str) -> Result<usize, Trouble> {
        let metadata = self.consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT);
        let metadata = metadata.map_err(|error| self.trouble(&error))?;
        let found = metadata.topics().first().ok_or(Trouble::Missing)?;
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(found.partitions().len()),
            Some(code) => Err(of_code(code, &code.to_string())),
        }
    }

    /// Whether a topic is there and gives us its records. Blocks.
    pub fn read(&self, topic: &str) -> Result<Readable, Trouble> {
        let partitions = self.partitions(topic)?;
        let (mut records, mut most) = (0, (0, 0));
        for partition in 0..partitions as i32 {
            let ends = self.consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT);
            let (start, end) = ends.map_err(|error| self.trouble(&error))?;
            records += end - start;
            most = most.max((end - start, partition));
        }
        let from = if most.0 > 0 { Offset::OffsetTail(1) } else { Offset::End };
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(topic, most.1, from);
        let assigned = added.and_then(|()| self.consumer.assign(&list));
        assigned.map_err(|error| Trouble::Other(error.to_string()))?;
        let newest_ms = self.newest();
        // What is still fetched of it is of no interest.
        let _ = self.consumer.assign(&TopicPartitionList::new());
        Ok(Readable { partitions, records, newest_ms: newest_ms? })
    }

    /// The first answer of what was assigned: a record's time, or the end.
    fn newest(&self) -> Result<Option<i64>, Trouble> {
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        while Instant::now() < deadline {
            match self.consumer.poll(LOOK) {
                None => {}
                Some(Ok(record)) => return Ok(record.timestamp().to_millis()),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error)) => return Err(self.trouble(&error)),
            }
        }
        Err(Trouble::Other(format!("nothing was fetched within {REQUEST_TIMEOUT:?}")))
    }

    /// Whether the group's offsets are for us to see. Blocks.
    pub fn group(&self, topic: &str) -> Result<(), Trouble> {
        // What was heard of topics is told, and says nothing here.
        self.listen();
        self.consumer.context().last().take();
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, 0);
        match self.consumer.committed_offsets(list, REQUEST_TIMEOUT) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.trouble(&error)),
        }
    }

    /// What an error means: where time is up, what was heard meanwhile says more.
    fn trouble(&self, error: &KafkaError) -> Trouble {
        self.listen();
        let words = error.to_string();
        let code = error.rdkafka_error_code();
        let told = code.map_or(Trouble::Other(words.clone()), |code| of_code(code, &words));
        match (told, self.consumer.context().last().take()) {
            (Trouble::Unreachable(_) | Trouble::Other(_), Some(heard)) => heard,
            (told, _) => told,
        }
    }

    /// librdkafka tells what it has met when it is polled.
    fn listen(&self) {
        for _ in 0..100 {
            match self.consumer.poll(Duration::ZERO) {
                None if self.consumer.context().is_quiet() => return,
                // Of the others the callback has told the reason, in more words.
                Some(Err(error)) => {
                    let code = error.rdkafka_error_code();
                    let met = code.map(|code| of_code(code, &error.to_string()));
                    if matches!(met, Some(Trouble::Forbidden(_))) {
                        *self.consumer.context().last() = met;
                    }
                }
                None | Some(Ok(_)) => {}
            }
        }
    }
}

fn of_code(code: RDKafkaErrorCode, words: &str) -> Trouble {
    use RDKafkaErrorCode as E;
    let words = words.to_owned();
    match code {
        E::UnknownTopic | E::UnknownTopicOrPartition | E::UnknownPartition => Trouble::Missing,
        E::TopicAuthorizationFailed
        | E::GroupAuthorizationFailed
        | E::ClusterAuthorizationFailed => Trouble::Forbidden(words),
        E::Authentication | E::SaslAuthenticationFailed | E::UnsupportedSASLMechanism => {
            Trouble::Denied(words)
        }
        E::SSL => Trouble::Tls(words),
        E::BrokerTransportFailure | E::AllBrokersDown | E::Resolve | E::OperationTimedOut => {
            Trouble::Unreachable(words)
        }
        _ => Trouble::Other(words),
    }
}

/// Keeps what librdkafka says is wrong.
#[derive(Default)]
struct Heard {
    last: Mutex<Option<Trouble>>,
    is_new: Mutex<bool>,
}

impl Heard {
    fn last(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing was said since this was last asked.
    fn is_quiet(&self) -> bool {
        !std::mem::take(&mut *self.is_new.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Heard {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "{message}");
        *self.is_new.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "kafka: {reason}");
        *self.is_new.lock().unwrap_or_else(PoisonError::into_inner) = true;
        let Some(code) = error.rdkafka_error_code() else { return };
        // It comes after the reason, and says less.
        if code != RDKafkaErrorCode::AllBrokersDown {
            let mut last = self.last();
            // A broker that is away says nothing about one that refused us.
            if !matches!(*last, Some(Trouble::Denied(_) | Trouble::Tls(_))) {
                *last = Some(of_code(code, reason));
            }
        }
    }
}

impl ConsumerContext for Heard {}
