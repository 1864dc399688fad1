//! Records onto a topic, sure of every one.
//!
//! In: a topic, an [`Outgoing`] record. Out: an acknowledgement by all in-sync replicas.
//!
//! # Invariants
//! - What counts as sent was acknowledged; the producer is idempotent, so a retry inside
//!   librdkafka repeats nothing.
//! - At most [`IN_FLIGHT`] records wait for their acknowledgement.
//!
//! - librdkafka's own lines are for debugging: what matters of them is in the errors, once.
//!
//! Deliberately unknown here: what a record means.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
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

/// A producer that is sure of every record it counts.
pub struct Sender {
    producer: FutureProducer<Quiet>,
    brokers: String,
    context: Quiet,
    waiting: Vec<DeliveryFuture>,
    acknowledged: u64,
}

/// Records on their way at most, before the oldest are waited for.
pub const IN_FLIGHT: usize = 10_000;

impl Sender {
    /// A producer for these brokers.
    pub fn new(brokers: &str) -> Result<Sender, SendError> {
        let context = Quiet::default();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("client.id", "trailhouse-produce")
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            .set("message.max.bytes", "10485760")
            .set("message.timeout.ms", "30000")
            // Every record's fate is known by its acknowledgement; the rest is noise at start.
            .set_log_level(RDKafkaLogLevel::Error)
            .create_with_context(context.clone())
            .map_err(SendError::Client)?;
        let brokers = brokers.to_owned();
        Ok(Sender { producer, brokers, context, waiting: Vec::new(), acknowledged: 0 })
    }

    /// Refuse a topic that is not there, at once instead of after every retry.
    pub fn expect_topic(&self, topic: &str) -> Result<(), SendError> {
        let metadata = self.metadata(Some(topic))?;
        match metadata.topics().iter().find_map(|found| found.error()) {
            None => Ok(()),
            Some(error) => Err(SendError::Topic(topic.to_owned(), error.into())),
        }
    }

    /// Refuse brokers that do not answer.
    pub fn expect_broker(&self) -> Result<(), SendError> {
        self.metadata(None).map(|_| ())
    }

    fn metadata(&self, topic: Option<&str>) -> Result<Metadata, SendError> {
        const TIMEOUT: Duration = Duration::from_secs(10);
        let metadata = self.producer.client().fetch_metadata(topic, TIMEOUT);
        metadata.map_err(|error| {
            let heard = self.context.heard();
            let cause = if heard.is_empty() { error.to_string() } else { heard };
            SendError::Unreachable(self.brokers.clone(), cause)
        })
    }

    /// Send one record; waits for older ones where too many are on their way.
    pub async fn send(&mut self, topic: &str, record: &Outgoing) -> Result<(), SendError> {
        if self.waiting.len() >= IN_FLIGHT {
            self.settle().await?;
        }
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut outgoing = FutureRecord::to(topic).payload(&record.payload).headers(headers);
        if !record.key.is_empty() {
            outgoing = outgoing.key(&record.key);
        }
        match self.producer.send_result(outgoing) {
            Ok(delivery) => self.waiting.push(delivery),
            Err((error, _)) => return Err(SendError::Refused(topic.to_owned(), error)),
        }
        Ok(())
    }

    /// Wait for every record on its way; how many were acknowledged in all.
    pub async fn settle(&mut self) -> Result<u64, SendError> {
        for delivery in self.waiting.drain(..) {
            match delivery.await.map_err(|_| SendError::Gone)? {
                Ok(_) => self.acknowledged += 1,
                Err((error, _)) => return Err(SendError::Unacknowledged(error)),
            }
        }
        Ok(self.acknowledged)
    }

    /// Make everything last and leave.
    pub async fn close(mut self) -> Result<u64, SendError> {
        let acknowledged = self.settle().await?;
        self.producer.flush(Duration::from_secs(10)).map_err(SendError::Client)?;
        Ok(acknowledged)
    }
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
        "no Kafka broker answers at {0}: {1}; start it, or name another (kafka.brokers, --brokers)"
    )]
    Unreachable(String, String),
    /// The topic is not there, or not for us.
    #[error("topic {0}: {1:?}; create it first")]
    Topic(String, RDKafkaErrorCode),
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
