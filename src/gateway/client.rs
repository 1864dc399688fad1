//! What every producer here is made of: a librdkafka client, a record, and why one is not safe.
//!
//! In: brokers, properties, an [`Outgoing`] record. Out: a client that acknowledges by all in-sync
//! replicas and repeats nothing, and the record as it takes it.
//!
//! # Invariants
//! - Acknowledged means by all in-sync replicas; the client is idempotent, so a retry inside
//!   librdkafka repeats nothing.
//! - librdkafka's own lines are for debugging: what matters of them is in the errors, once.
//!
//! Deliberately unknown here: who sends, what a record means.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;

/// A record to produce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The key; empty for none.
    pub key: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Outgoing {
    /// The record as librdkafka takes it.
    pub(super) fn for_topic<'r>(&'r self, topic: &'r str) -> FutureRecord<'r, str, Vec<u8>> {
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (key, value) in &self.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let record = FutureRecord::to(topic).payload(&self.payload).headers(headers);
        if self.key.is_empty() { record } else { record.key(&self.key) }
    }
}

/// A client for these brokers. Its own properties come after those of the connection.
pub(super) fn client(
    brokers: &str,
    connection: &BTreeMap<String, String>,
    own: &[(&str, &str)],
) -> Result<(FutureProducer<Quiet>, Quiet), SendError> {
    let context = Quiet::default();
    let mut config = ClientConfig::new();
    for (name, value) in connection {
        config.set(name, value);
    }
    config
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("message.max.bytes", "10485760")
        // Every record's fate is known by its acknowledgement; the rest is noise at start.
        .set_log_level(RDKafkaLogLevel::Error);
    for (name, value) in own {
        config.set(*name, *value);
    }
    let producer = config.create_with_context(context.clone()).map_err(SendError::Client)?;
    Ok((producer, context))
}

/// Keeps librdkafka's word on what is wrong, instead of a line for every try.
#[derive(Clone, Default)]
pub struct Quiet {
    heard: Arc<Mutex<String>>,
}

impl Quiet {
    /// What was wrong last; empty where nothing was.
    pub fn heard(&self) -> String {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "kafka: {reason}");
        let all_down = RDKafkaErrorCode::AllBrokersDown;
        // It comes after the reason, and says less.
        if error.rdkafka_error_code() != Some(all_down) {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = reason.to_owned();
        }
    }
}

/// Why a record is not surely in Kafka.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The client cannot work with these brokers.
    #[error("kafka producer: {0}")]
    Client(KafkaError),
    /// Nobody answers, or nobody whom librdkafka understands.
    #[error(
        "no Kafka broker answers at {0}: {1}; start it, or name another (kafka.brokers, --brokers); \
         where it wants TLS or SASL, say so in [kafka.security]"
    )]
    Unreachable(String, String),
    /// The topic is not there, or not for us.
    #[error("topic {0}: {1:?}; create it first")]
    Topic(String, RDKafkaErrorCode),
    /// No broker takes a record this long.
    #[error(
        "topic {0}: the record is longer than is taken there (max.message.bytes); send less at \
         once, or raise it"
    )]
    TooLong(String),
    /// The client refused the record.
    #[error("topic {0}: {1}")]
    Refused(String, KafkaError),
    /// The brokers did not acknowledge it; it may be there all the same.
    #[error("a record was not acknowledged: {0}")]
    Unacknowledged(KafkaError),
    /// The client was dropped while records were on their way.
    #[error("the producer is gone; records on their way may be there")]
    Gone,
}
