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

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;

use super::Warehouse;
use crate::event::PartitionId;
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
              AND kafka_offset >= transform(concat(kafka_topic, '/', toString(kafka_partition)), ?, ?, 0)
            UNION ALL
            SELECT kafka_topic, kafka_partition, kafka_incarnation, kafka_offset, kafka_index, 1 AS is_bad
            FROM quarantine WHERE kafka_cluster = ?
              AND kafka_offset >= transform(concat(kafka_topic, '/', toString(kafka_partition)), ?, ?, 0)
        )
        GROUP BY kafka_topic, kafka_partition, kafka_incarnation, kafka_offset
    )
    GROUP BY kafka_topic, kafka_partition ORDER BY topic, partition";

impl Warehouse {
    /// What is stored of a cluster's partitions.
    pub async fn tally(&self, cluster: &str) -> Result<Vec<Tally>, ReadError> {
        self.tally_from(cluster, &HashMap::new()).await
    }

    /// The same, of each partition from an offset on; from 0 where none is given.
    pub async fn tally_from(
        &self,
        cluster: &str,
        starts: &HashMap<PartitionId, i64>,
    ) -> Result<Vec<Tally>, ReadError> {
        let failed = |error| ReadError::Failed(self.explain(error).to_string());
        // An array without elements has no type: no partition is called so.
        let (mut partitions, mut firsts) = (vec![String::new()], vec![0_i64]);
        for (partition, first) in starts {
            partitions.push(partition.to_string());
            firsts.push(*first);
        }
        let mut query = self.reader().await.map_err(failed)?.query(SQL);
        // Once for each of the two tables.
        for _ in 0..2 {
            query = query.bind(cluster).bind(&partitions).bind(&firsts);
        }
        query.fetch_all().await.map_err(failed)
    }
}
