//! The account of records behind the API: receipts and the quarantine, as the commands have them.
//!
//! In: a position, or which refusals are wanted. Out: the JSON of `trailhouse receipt --format json`
//! and `trailhouse quarantine list --format json`.
//!
//! # Invariants
//! - Kafka is asked first: what is stored meanwhile is beyond what is expected, and no fault.
//!
//! Deliberately unknown here: who may ask.

use serde_json::Value;

use super::quarantine::document;
use crate::audit;
use crate::query::{Answer, Ledger, ReadError, Refused, Told};
use crate::source::kafka::log_ends;
use crate::source::{KafkaConfig, SourceError};
use crate::warehouse::{ServerError, Wanted, Warehouse};

/// The account of one cluster's records.
pub struct StoredLedger {
    /// Where rows are.
    pub warehouse: Warehouse,
    /// Where records are.
    pub kafka: KafkaConfig,
}

impl StoredLedger {
    async fn told(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Option<Told>, ReadError> {
        let (kafka, name) = (self.kafka.clone(), topic.to_owned());
        let asked = tokio::task::spawn_blocking(move || log_ends(&kafka, &[&name])).await;
        let ends = match asked.map_err(|error| ReadError::Failed(error.to_string()))? {
            Ok(ends) => ends,
            Err(error @ SourceError::Unavailable { .. }) => {
                return Err(ReadError::Unavailable(error.to_string()));
            }
            Err(error) => return Err(ReadError::Failed(error.to_string())),
        };
        let mut ends = ends.iter();
        let Some(ends) =
            ends.find(|end| &*end.log.topic == topic && end.log.partition == partition)
        else {
            return Ok(None);
        };
        let receipt = audit::receipt(&self.warehouse, ends, offset).await?;
        let events = receipt.events.iter().map(|row| row.tenant.clone());
        let tenants = events.chain(receipt.quarantined.iter().map(|row| row.tenant.clone()));
        let tenants = tenants.collect();
        let receipt = serde_json::to_value(&receipt);
        let receipt = receipt.map_err(|error| ReadError::Failed(error.to_string()))?;
        Ok(Some(Told { tenants, receipt }))
    }
}

impl Ledger for StoredLedger {
    fn receipt<'a>(
        &'a self,
        topic: &'a str,
        partition: i32,
        offset: i64,
    ) -> Answer<'a, Option<Told>> {
        Box::pin(self.told(topic, partition, offset))
    }

    fn refused<'a>(&'a self, wanted: &'a Refused) -> Answer<'a, Vec<Value>> {
        let Refused { topic, reason, mapping, since, limit } = wanted.clone();
        let wanted = Wanted { topic, reason, mapping, since, limit };
        let told = |error: ServerError| match error.may_pass() {
            true => ReadError::Unavailable(error.to_string()),
            false => ReadError::Failed(error.to_string()),
        };
        Box::pin(async move {
            let rows = self.warehouse.quarantined(&wanted).await.map_err(told)?;
            Ok(rows.iter().map(|row| document(row, false)).collect())
        })
    }
}
