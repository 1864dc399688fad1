//! Copies of records that could not be normalised, onto a topic of their own.
//!
//! In: [`DeadLetter`]s. Out: nothing, once every in-sync replica has each of them.
//!
//! # Invariants
//! - A copy counts when it is acknowledged. Where one of several is not, all are to be sent again:
//!   at least once.
//! - What the topic does not take for its size goes without its value, and says so in a header: one
//!   large record must not hold up the others for ever.
//! - Copies on their way are about [`WINDOW_BYTES`] at most, or one.
//!
//! Deliberately unknown here: what is wrong with a record, how often to try again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Quiet, SendError, client};
use crate::event::Headers;

/// Bytes of copies that are waited for together.
const WINDOW_BYTES: usize = 8 << 20;

/// The client's own properties.
const OWN: [(&str, &str); 3] = [
    ("client.id", "trailhouse-dead-letters"),
    // As large as librdkafka allows: what is too large the topic says itself.
    ("message.max.bytes", "1000000000"),
    ("message.timeout.ms", "30000"),
];

/// Says how many bytes were left out of a copy.
const OMITTED: &str = "trailhouse.omitted_bytes";

/// A copy to send.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'l> {
    /// The record's key.
    pub key: Option<&'l [u8]>,
    /// The record's headers, and what is wrong with it.
    pub headers: Headers<'l>,
    /// The record's bytes.
    pub payload: &'l [u8],
}

impl DeadLetter<'_> {
    fn bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.headers.as_bytes().len() + self.payload.len()
    }
}

/// The way to a dead-letter topic.
pub struct DeadLetters {
    /// With what librdkafka says is wrong.
    producer: Mutex<(FutureProducer<Quiet>, Quiet)>,
    brokers: String,
    properties: BTreeMap<String, String>,
    topic: String,
}

impl DeadLetters {
    /// A producer for this topic; the properties are librdkafka's, and those of a consumer mean
    /// nothing to it.
    pub fn new(
        brokers: &str,
        properties: &BTreeMap<String, String>,
        topic: &str,
    ) -> Result<DeadLetters, SendError> {
        Ok(DeadLetters {
            producer: Mutex::new(client(brokers, properties, &OWN)?),
            brokers: brokers.to_owned(),
            properties: properties.clone(),
            topic: topic.to_owned(),
        })
    }

    /// Refuse a topic that is not there. Blocks.
    pub fn expect_topic(&self) -> Result<(), SendError> {
        const TIMEOUT: Duration = Duration::from_secs(10);
        let (producer, heard) = self.producer()?;
        // All of them: who asks for one may make the broker create it, as nobody meant it.
        let metadata = producer.client().fetch_metadata(None, TIMEOUT).map_err(|error| {
            let heard = heard.heard();
            let cause = if heard.is_empty() { error.to_string() } else { heard };
            SendError::Unreachable(self.brokers.clone(), cause)
        })?;
        match metadata.topics().iter().any(|topic| topic.name() == self.topic) {
            true => Ok(()),
            false => {
                let unknown = RDKafkaErrorCode::UnknownTopicOrPartition;
                Err(SendError::Topic(self.topic.clone(), unknown))
            }
        }
    }

    /// Send copies; when it returns without an error all are safe.
    pub async fn send(&self, letters: &[DeadLetter<'_>]) -> Result<(), SendError> {
        let (producer, _) = self.producer()?;
        let mut too_large = Vec::new();
        let mut rest = letters;
        while !rest.is_empty() {
            let (window, others) = rest.split_at(window(rest));
            rest = others;
            let waiting: Vec<_> =
                window.iter().map(|letter| self.give(&producer, letter, None)).collect();
            for (letter, waiting) in window.iter().zip(waiting) {
                match acknowledged(waiting).await {
                    Err(error) if is_too_large(&error) => too_large.push(letter),
                    answer => answer?,
                }
            }
        }
        for letter in too_large {
            // Alone: the broker refuses a request as a whole for one record of it.
            match acknowledged(self.give(&producer, letter, None)).await {
                Err(error) if is_too_large(&error) => {
                    let omitted = letter.payload.len().to_string();
                    acknowledged(self.give(&producer, letter, Some(&omitted))).await?;
                }
                answer => answer?,
            }
        }
        Ok(())
    }

    /// The producer; another where it has given up for good.
    fn producer(&self) -> Result<(FutureProducer<Quiet>, Quiet), SendError> {
        let mut made = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, why)) = made.0.client().fatal_error() {
            tracing::warn!(?code, why, "the producer of dead letters is made anew");
            *made = client(&self.brokers, &self.properties, &OWN)?;
        }
        Ok(made.clone())
    }

    fn give(
        &self,
        producer: &FutureProducer<Quiet>,
        letter: &DeadLetter<'_>,
        omitted: Option<&str>,
    ) -> Result<DeliveryFuture, SendError> {
        let mut headers = OwnedHeaders::new();
        for (key, value) in letter.headers.iter() {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut record = FutureRecord::<[u8], [u8]>::to(&self.topic);
        match omitted {
            None => record = record.payload(letter.payload),
            Some(bytes) => headers = headers.insert(Header { key: OMITTED, value: Some(bytes) }),
        }
        record = record.headers(headers);
        if let Some(key) = letter.key {
            record = record.key(key);
        }
        let given = producer.send_result(record);
        given.map_err(|(error, _)| SendError::Refused(self.topic.clone(), error))
    }
}

/// How many of these are sent before they are waited for.
fn window(letters: &[DeadLetter<'_>]) -> usize {
    let mut bytes = 0;
    let fits = |letter: &&DeadLetter<'_>| {
        bytes += letter.bytes();
        bytes <= WINDOW_BYTES
    };
    letters.iter().take_while(fits).count().max(1)
}

async fn acknowledged(given: Result<DeliveryFuture, SendError>) -> Result<(), SendError> {
    match given?.await.map_err(|_| SendError::Gone)? {
        Ok(_) => Ok(()),
        Err((error, _)) => Err(SendError::Unacknowledged(error)),
    }
}

fn is_too_large(error: &SendError) -> bool {
    let (SendError::Refused(_, error) | SendError::Unacknowledged(error)) = error else {
        return false;
    };
    let code = RDKafkaErrorCode::MessageSizeTooLarge;
    matches!(error, KafkaError::MessageProduction(found) if *found == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_sent_in_windows_of_so_many_bytes_and_a_large_one_alone() {
        let payload = vec![0; WINDOW_BYTES];
        let of = |bytes: usize| DeadLetter {
            key: None,
            headers: Headers::default(),
            payload: &payload[..bytes],
        };
        let half = WINDOW_BYTES / 2;
        for (letters, wanted) in [
            (vec![of(10), of(10)], 2),
            (vec![of(half), of(half), of(1)], 2),
            (vec![of(WINDOW_BYTES), of(1)], 1),
            (vec![of(half), of(WINDOW_BYTES)], 1),
        ] {
            assert_eq!(window(&letters), wanted);
        }
        // Larger than any window, and sent all the same.
        let key = [0; 1];
        let large = DeadLetter { key: Some(&key), ..of(WINDOW_BYTES) };
        assert_eq!(window(&[large, of(1)]), 1);
    }
}
