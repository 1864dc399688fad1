//! Records onto a topic, sure of every one.
//!
//! In: a topic, an [`Outgoing`] record. Out: an acknowledgement by all in-sync replicas.
//!
//! # Invariants
//! - What counts as sent was acknowledged; the producer is idempotent, so a retry inside
//!   librdkafka repeats nothing.
//! - At most [`IN_FLIGHT`] records wait for their acknowledgement.
//!
//! Deliberately unknown here: what a record means.

use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::message::{Header, OwnedHeaders};
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
    producer: FutureProducer,
    waiting: Vec<DeliveryFuture>,
    acknowledged: u64,
}

/// Records on their way at most, before the oldest are waited for.
pub const IN_FLIGHT: usize = 10_000;

impl Sender {
    /// A producer for these brokers.
    pub fn new(brokers: &str) -> anyhow::Result<Sender> {
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
            .create()
            .context("kafka producer")?;
        Ok(Sender { producer, waiting: Vec::new(), acknowledged: 0 })
    }

    /// Refuse a topic that is not there, at once instead of after every retry.
    pub fn expect_topic(&self, topic: &str) -> anyhow::Result<()> {
        const TIMEOUT: Duration = Duration::from_secs(10);
        let metadata = self.producer.client().fetch_metadata(Some(topic), TIMEOUT);
        let metadata = metadata.context("asking the brokers for the topic")?;
        match metadata.topics().iter().find_map(|found| found.error()) {
            None => Ok(()),
            Some(error) => {
                bail!("topic {topic}: {:?}; create it first", RDKafkaErrorCode::from(error))
            }
        }
    }

    /// Send one record; waits for older ones where too many are on their way.
    pub async fn send(&mut self, topic: &str, record: &Outgoing) -> anyhow::Result<()> {
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
            Err((error, _)) => bail!("topic {topic}: {error}"),
        }
        Ok(())
    }

    /// Wait for every record on its way; how many were acknowledged in all.
    pub async fn settle(&mut self) -> anyhow::Result<u64> {
        for delivery in self.waiting.drain(..) {
            match delivery.await.context("the producer is gone")? {
                Ok(_) => self.acknowledged += 1,
                Err((error, _)) => bail!("a record was not acknowledged: {error}"),
            }
        }
        Ok(self.acknowledged)
    }

    /// Make everything last and leave.
    pub async fn close(mut self) -> anyhow::Result<u64> {
        let acknowledged = self.settle().await?;
        self.producer.flush(Duration::from_secs(10)).context("flushing")?;
        Ok(acknowledged)
    }
}
