//! The way in for requests: many at a time, each answered with its record's place.
//!
//! In: a topic, an [`Outgoing`] record, its time. Out: a [`Receipt`] once all in-sync replicas have
//! it, or within [`PATIENCE`] why they may not.
//!
//! # Invariants
//! - One shared client; requests wait beside each other, never for each other.
//! - A record that is not acknowledged in time is given up: it may be there all the same.
//! - While Kafka is away every request is refused in time; when it is back the same client works.
//!
//! Deliberately unknown here: HTTP, what a record means.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use rdkafka::producer::FutureProducer;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Outgoing, Quiet, SendError, client};
use crate::event::Micros;

/// How long a request may wait for its acknowledgement: callers are promised an answer in 5 s.
const PATIENCE: Duration = Duration::from_millis(4_500);

/// The client's own properties.
const OWN: [(&str, &str); 6] = [
    ("client.id", "trailhouse-gateway"),
    // A request waits for it: only what comes at the same moment shares a batch.
    ("linger.ms", "2"),
    ("message.timeout.ms", "4000"),
    // Back within a second of Kafka, not within ten.
    ("reconnect.backoff.max.ms", "1000"),
    // What waits is in memory; beyond this, requests are refused.
    ("queue.buffering.max.kbytes", "65536"),
    ("queue.buffering.max.messages", "20000"),
];

/// A record's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset; `None` where a retry met the record, and Kafka did not say where.
    pub offset: Option<i64>,
}

/// A write on its way; boxed, so that the API can hold any way in.
pub type Writing<'a> = Pin<Box<dyn Future<Output = Result<Receipt, SendError>> + Send + 'a>>;

/// A way in for records.
pub trait Recorder: Send + Sync {
    /// Write a record of a time; its place, once it is safe.
    fn write<'a>(&'a self, topic: &'a str, record: &'a Outgoing, at: Micros) -> Writing<'a>;
}

/// The way onto Kafka.
pub struct Gateway {
    producer: FutureProducer<Quiet>,
    brokers: String,
    heard: Quiet,
}

impl Gateway {
    /// A way onto these brokers, with the connection's further properties. It does not wait for
    /// them to answer.
    pub fn new(brokers: &str, properties: &BTreeMap<String, String>) -> Result<Gateway, SendError> {
        let (producer, heard) = client(brokers, properties, &OWN)?;
        Ok(Gateway { producer, brokers: brokers.to_owned(), heard })
    }

    async fn send(&self, topic: &str, record: &Outgoing, at: Micros) -> Result<Receipt, SendError> {
        let outgoing = record.for_topic(topic).timestamp(at.div_euclid(1_000));
        let sent = self.producer.send_result(outgoing);
        let delivery = sent.map_err(|(error, _)| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => SendError::TooLong(topic.to_owned()),
            _ => SendError::Refused(topic.to_owned(), error),
        })?;
        let Ok(delivered) = tokio::time::timeout(PATIENCE, delivery).await else {
            return Err(self.unreachable("no acknowledgement in time"));
        };
        match delivered.map_err(|_| SendError::Gone)? {
            Ok(delivery) => Ok(Receipt {
                topic: topic.to_owned(),
                partition: delivery.partition,
                offset: Some(delivery.offset).filter(|offset| *offset >= 0),
            }),
            Err((error, _)) => Err(match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::MessageTimedOut) => self.unreachable(&error.to_string()),
                Some(
                    code @ (RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownTopicOrPartition),
                ) => SendError::Topic(topic.to_owned(), code),
                // The topic may take less than the client.
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => SendError::TooLong(topic.to_owned()),
                _ => SendError::Unacknowledged(error),
            }),
        }
    }

    /// What librdkafka last said is wrong tells more than that time is up.
    fn unreachable(&self, otherwise: &str) -> SendError {
        let heard = self.heard.heard();
        let cause = if heard.is_empty() { otherwise.to_owned() } else { heard };
        SendError::Unreachable(self.brokers.clone(), cause)
    }
}

impl Recorder for Gateway {
    fn write<'a>(&'a self, topic: &'a str, record: &'a Outgoing, at: Micros) -> Writing<'a> {
        Box::pin(self.send(topic, record, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::InProcessBroker;

    fn record(payload: &str) -> Outgoing {
        Outgoing { payload: payload.as_bytes().to_vec(), ..Outgoing::default() }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn records_of_many_requests_each_get_their_own_place() {
        let broker = InProcessBroker::start().unwrap();
        broker.create_topics(&[("audit", 2)]).unwrap();
        let gateway =
            std::sync::Arc::new(Gateway::new(&broker.bootstrap(), &BTreeMap::new()).unwrap());
        let mut writes = tokio::task::JoinSet::new();
        for number in 0..50 {
            let gateway = gateway.clone();
            writes.spawn(async move {
                gateway.write("audit", &record(&number.to_string()), 1_000_000).await.unwrap()
            });
        }
        let mut places: Vec<_> = writes.join_all().await;
        places.sort_by_key(|receipt| (receipt.partition, receipt.offset));
        places.dedup();
        assert_eq!(places.len(), 50);
        assert!(places.iter().all(|receipt| receipt.offset.is_some()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_that_is_longer_than_is_taken_is_told_apart() {
        let broker = InProcessBroker::start().unwrap();
        broker.create_topics(&[("audit", 1)]).unwrap();
        let gateway = Gateway::new(&broker.bootstrap(), &BTreeMap::new()).unwrap();
        let outgoing = record(&"x".repeat(11 << 20));
        let refused = gateway.write("audit", &outgoing, 0).await;
        assert!(matches!(refused, Err(SendError::TooLong(_))), "{refused:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_a_broker_a_write_is_refused_within_five_seconds() {
        let broker = InProcessBroker::start().unwrap();
        let address = broker.bootstrap();
        drop(broker);
        let gateway = Gateway::new(&address, &BTreeMap::new()).unwrap();
        let outgoing = record("x");
        let write = gateway.write("audit", &outgoing, 0);
        let refused = tokio::time::timeout(Duration::from_secs(5), write).await.unwrap();
        assert!(matches!(refused, Err(SendError::Unreachable(..))), "{refused:?}");
    }
}
