//! The way of quarantined records' copies: from the pipeline, which knows no Kafka, through the gateway.
//!
//! In: `kafka.dead_letter_topic`. Out: a [`Post`] for the pipeline; or a refusal of a topic that is not
//! there.
//!
//! # Invariants
//! - Without a topic there is no producer and nothing is copied.
//!
//! Deliberately unknown here: when something is copied.

use std::sync::Arc;

use crate::event::Headers;
use crate::gateway::{DeadLetter, DeadLetters, SendError};
use crate::pipeline::{Letter, Post};
use crate::source::{KafkaConfig, SourceError};

/// The producer, where a topic is named.
pub fn dead_letters(kafka: &KafkaConfig) -> anyhow::Result<Option<Arc<DeadLetters>>> {
    let KafkaConfig { brokers, dead_letter_topic, .. } = kafka;
    if dead_letter_topic.is_empty() {
        return Ok(None);
    }
    let made = DeadLetters::new(brokers, &kafka.connection()?, dead_letter_topic)?;
    Ok(Some(Arc::new(made)))
}

/// What the pipeline gives its copies to.
pub fn post(topic: &str, dead_letters: Arc<DeadLetters>) -> Post {
    let topic: Arc<str> = topic.into();
    Arc::new(move |letters| {
        let (topic, dead_letters) = (Arc::clone(&topic), Arc::clone(&dead_letters));
        Box::pin(async move {
            let letters: Vec<DeadLetter<'_>> = letters.iter().map(outgoing).collect();
            let sent = dead_letters.send(&letters).await;
            sent.map_err(|error| format!("dead-letter topic {topic}: {error}"))
        })
    })
}

/// Refuse a topic that is not there; brokers that do not answer may come. Blocks.
pub fn expect_topic(dead_letters: &DeadLetters, kafka: &KafkaConfig) -> Result<(), SourceError> {
    let brokers = &kafka.brokers;
    dead_letters.expect_topic().map_err(|error| match error {
        SendError::Unreachable(brokers, cause) => {
            SourceError::Unavailable { what: format!("kafka: {brokers}"), cause }
        }
        // Whoever names one must make it: its partitions and retention are nobody's default.
        SendError::Topic(topic, _) => SourceError::Fatal(format!(
            "the dead-letter topic {topic} is not there, or not for us to see; create it, such as with \
             `kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic}`"
        )),
        error => SourceError::Fatal(error.to_string()),
    })
}

fn outgoing(letter: &Letter) -> DeadLetter<'_> {
    DeadLetter {
        key: letter.key.as_deref(),
        headers: Headers::packed(&letter.headers),
        payload: &letter.payload,
    }
}
