//! The account of records behind the API: receipts and the quarantine, as the commands have them.
//!
//! In: a position, or which refusals are wanted. Out: the JSON of `trailhouse receipt --format json`
//! and `trailhouse quarantine list --format json`.
//!
//! # Invariants
//! - Kafka is asked first: what is stored meanwhile is beyond what is expected, and no fault.
//! - One client asks Kafka, made by the first question and kept; one that failed is made anew. At most
//!   [`MOST_AT_ONCE`] questions of Kafka are under way, however many are asked of us.
//!
//! Deliberately unknown here: who may ask.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::Semaphore;

use super::quarantine::document;
use crate::audit;
use crate::query::{Answer, Ledger, ReadError, Refused, Told};
use crate::source::kafka::{EndsClient, LogEnds};
use crate::source::{KafkaConfig, SourceError};
use crate::telemetry::ApiMetrics;
use crate::warehouse::{ServerError, Wanted, Warehouse};

/// Questions of Kafka at once: each holds a thread for as long as Kafka takes to answer.
const MOST_AT_ONCE: usize = 4;

/// The account of one cluster's records.
pub struct StoredLedger {
    warehouse: Warehouse,
    kafka: Arc<Kafka>,
    turns: Arc<Semaphore>,
    metrics: ApiMetrics,
}

/// Where records are.
struct Kafka {
    config: KafkaConfig,
    /// `None` until somebody asks, and after a failure.
    client: Mutex<Option<Arc<EndsClient>>>,
}

impl StoredLedger {
    /// The account of what a warehouse has of a cluster's records.
    pub fn of(warehouse: Warehouse, config: KafkaConfig, metrics: &ApiMetrics) -> StoredLedger {
        let kafka = Arc::new(Kafka { config, client: Mutex::default() });
        let turns = Arc::new(Semaphore::new(MOST_AT_ONCE));
        StoredLedger { warehouse, kafka, turns, metrics: metrics.clone() }
    }

    async fn ends(&self, topic: &str, partition: i32) -> Result<Option<LogEnds>, ReadError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let (kafka, topic) = (Arc::clone(&self.kafka), topic.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let ends = kafka.ends(&topic, partition);
            // It outlives a request that is given up.
            drop(turn);
            ends
        });
        match asked.await.map_err(|error| ReadError::Failed(error.to_string()))? {
            Ok(ends) => Ok(ends),
            Err(error @ SourceError::Unavailable { .. }) => {
                Err(ReadError::Unavailable(error.to_string()))
            }
            Err(error) => Err(ReadError::Failed(error.to_string())),
        }
    }

    async fn told(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Option<Told>, ReadError> {
        let Some(ends) = self.ends(topic, partition).await? else { return Ok(None) };
        let receipt = audit::receipt(&self.warehouse, &ends, offset).await?;
        let events = receipt.events.iter().map(|row| row.tenant.clone());
        let tenants = events.chain(receipt.quarantined.iter().map(|row| row.tenant.clone()));
        let tenants = tenants.collect();
        let receipt = serde_json::to_value(&receipt);
        let receipt = receipt.map_err(|error| ReadError::Failed(error.to_string()))?;
        Ok(Some(Told { tenants, receipt }))
    }
}

impl Kafka {
    /// The ends of a partition's log. Blocks.
    fn ends(&self, topic: &str, partition: i32) -> Result<Option<LogEnds>, SourceError> {
        let client = match &mut *self.kept() {
            Some(client) => Arc::clone(client),
            none => Arc::clone(none.insert(Arc::new(EndsClient::new(&self.config)?))),
        };
        let ends = client.of(topic, partition);
        if ends.is_err() {
            self.kept().take();
        }
        ends
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Arc<EndsClient>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for StoredLedger {
    fn has(&self, topic: &str) -> bool {
        self.kafka.config.topic(topic).is_some()
    }

    fn receipt<'a>(
        &'a self,
        topic: &'a str,
        partition: i32,
        offset: i64,
    ) -> Answer<'a, Option<Told>> {
        Box::pin(self.metrics.timed("ledger", self.told(topic, partition, offset)))
    }

    fn refused<'a>(&'a self, wanted: &'a Refused) -> Answer<'a, Vec<Value>> {
        let Refused { topic, reason, mapping, since, limit } = wanted.clone();
        let wanted = Wanted { topic, reason, mapping, since, limit };
        let told = |error: ServerError| match error.may_pass() {
            true => ReadError::Unavailable(error.to_string()),
            false => ReadError::Failed(error.to_string()),
        };
        Box::pin(async move {
            let rows = self.warehouse.quarantined(&wanted);
            let rows = self.metrics.timed("ledger", rows).await.map_err(told)?;
            Ok(rows.iter().map(|row| document(row, false)).collect())
        })
    }
}
