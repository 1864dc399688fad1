//! Records onto a topic, one after another, sure of every one.
//!
//! In: a topic, an [`Outgoing`] record. Out: an acknowledgement by all in-sync replicas.
//!
//! # Invariants
//! - What counts as sent was acknowledged.
//! - At most [`IN_FLIGHT`] records wait for their acknowledgement.
//!
//! Deliberately unknown here: what a record means.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::metadata::Metadata;
use rdkafka::producer::{DeliveryFuture, FutureProducer, Producer as _};

use super::client::{Outgoing, Quiet, SendError, client};

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
        Sender::over(brokers, &BTreeMap::new())
    }

    /// The same, with the connection's further properties.
    pub fn over(brokers: &str, properties: &BTreeMap<String, String>) -> Result<Sender, SendError> {
        let own = [
            ("client.id", "trailhouse-produce"),
            ("linger.ms", "20"),
            ("message.timeout.ms", "30000"),
        ];
        let (producer, context) = client(brokers, properties, &own)?;
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
        match self.producer.send_result(record.for_topic(topic)) {
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
