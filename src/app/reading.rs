//! Who read the log, onto a topic of its own.
//!
//! In: readings, as the API tells them. Out: a record for each.
//!
//! # Invariants
//! - What Kafka did not acknowledge is counted as lost and told in the log; nobody who reads waits
//!   for it.
//! - When the last who tells readings has gone, what is left is written and the writer ends.
//!
//! Deliberately unknown here: what a reading says.

use prometheus::IntCounter;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

use crate::api::{AuditConfig, ReadEvent};
use crate::gateway::{Outgoing, SendError, Sender};
use crate::source::KafkaConfig;

/// Readings that are sent before their acknowledgements are waited for.
const MOST_AT_ONCE: usize = 500;

/// Write readings until nobody tells any more.
pub fn write(
    kafka: &KafkaConfig,
    config: &AuditConfig,
    mut readings: Receiver<ReadEvent>,
    lost: IntCounter,
) -> anyhow::Result<JoinHandle<()>> {
    let mut sender = Sender::over(&kafka.brokers, &kafka.connection()?)?;
    let (topic, tenant) = (config.topic.clone(), config.tenant.clone());
    Ok(tokio::spawn(async move {
        let mut some = Vec::with_capacity(MOST_AT_ONCE);
        while readings.recv_many(&mut some, MOST_AT_ONCE).await > 0 {
            let told = some.len() as u64;
            if let Err(error) = send(&mut sender, &topic, &tenant, some.drain(..)).await {
                // Those before the first that failed may be there; counting them is the safer lie.
                lost.inc_by(told);
                tracing::warn!(%error, topic, readings = told, "who read the log is not written");
            }
        }
        if let Err(error) = sender.close().await {
            tracing::warn!(%error, topic, "who read the log last may not be written");
        }
    }))
}

async fn send(
    sender: &mut Sender,
    topic: &str,
    tenant: &str,
    readings: impl Iterator<Item = ReadEvent>,
) -> Result<(), SendError> {
    for reading in readings {
        let headers = vec![("tenant".to_owned(), tenant.to_owned())];
        // INVARIANT: it is a struct of texts and numbers.
        let payload = serde_json::to_vec(&reading).unwrap_or_default();
        let key = reading.caller.id;
        sender.send(topic, &Outgoing { key, headers, payload }).await?;
    }
    sender.settle().await.map(|_| ())
}
