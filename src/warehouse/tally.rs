//! Counting what is stored, by position: the bottom line of a demo and of the tests.
//!
//! In: a cluster's name. Out: for each partition how many records are stored, how many of them
//! quarantined, how many rows are there twice.
//!
//! # Invariants
//! - A record that fans out counts once; it counts as quarantined where any of its elements is.
//! - Every row is looked at: this is for small tables, `verify` is for large ones.
//!
//! Deliberately unknown here: how many records there should be.

use clickhouse::Row;
use serde::Deserialize;

use super::Warehouse;
use crate::query::ReadError;

/// What is stored of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Tally {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Distinct records with any row.
    pub records: u64,
    /// Those of them with a row in `quarantine`.
    pub quarantined: u64,
    /// Rows whose position another row has too.
    pub duplicated: u64,
}

const SQL: &str = "
    SELECT kafka_topic AS topic, kafka_partition AS partition,
           count() AS records, countIf(bad > 0) AS quarantined, toUInt64(sum(rows - positions)) AS duplicated
    FROM (
        SELECT kafka_topic, kafka_partition, kafka_incarnation, kafka_offset,
               sum(is_bad) AS bad, count() AS rows, uniqExact(kafka_index) AS positions
        FROM (
            SELECT kafka_topic, kafka_partition, kafka_incarnation, kafka_offset, kafka_index, 0 AS is_bad
            FROM events WHERE kafka_cluster = ?
            UNION ALL
            SELECT kafka_topic, kafka_partition, kafka_incarnation, kafka_offset, kafka_index, 1 AS is_bad
            FROM quarantine WHERE kafka_cluster = ?
        )
        GROUP BY kafka_topic, kafka_partition, kafka_incarnation, kafka_offset
    )
    GROUP BY kafka_topic, kafka_partition ORDER BY topic, partition";

impl Warehouse {
    /// What is stored of a cluster's partitions.
    pub async fn tally(&self, cluster: &str) -> Result<Vec<Tally>, ReadError> {
        let failed = |error| ReadError::Failed(self.explain(error).to_string());
        let reader = self.reader().await.map_err(failed)?;
        reader.query(SQL).bind(cluster).bind(cluster).fetch_all().await.map_err(failed)
    }
}
