//! What is stored of a log, and the record of it: reading back, `batches`, `gaps`.
//!
//! In: a [`LogId`], an offset range. Out: positions, the end of the contiguous batches, rows of the
//! two ledgers.
//!
//! # Invariants
//! - A position is looked for in `events`, in `quarantine` and in `retired`: found in any, it is
//!   stored, whatever mapping put it there. So what was retired is not stored again when its offsets
//!   are read again, and a batch counts it where it was.
//! - Ranges in `batches` may overlap, where offsets were set back; they are read as a union.
//!
//! Deliberately unknown here: what follows from an answer.

use clickhouse::Row;
use clickhouse::error::Error;
use clickhouse::query::Query;
use serde::{Deserialize, Serialize};

use super::insert::{Table, Token};
use super::outcome::InsertError;
use super::{READ_TIMEOUT, Warehouse};
use crate::event::{LogId, OffsetRange};

/// How far a log is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    /// Last offset before the first hole in `batches`; `None` where there are none.
    pub contiguous_end: Option<i64>,
    /// Highest offset of any row or batch.
    pub highest: Option<i64>,
}

/// One row of `batches`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct BatchRow {
    /// The log's cluster.
    pub kafka_cluster: String,
    /// The log's topic.
    pub kafka_topic: String,
    /// The log's incarnation.
    pub kafka_incarnation: String,
    /// The log's partition.
    pub kafka_partition: i32,
    /// First offset, included.
    pub first_offset: i64,
    /// Last offset, included.
    pub last_offset: i64,
    /// Rows in `events`.
    pub event_rows: u64,
    /// Rows in `quarantine`.
    pub quarantined_rows: u64,
    /// What a rule left out: rule, offset, index.
    pub skipped: Vec<(String, i64, u32)>,
    /// Ranges that held no record.
    pub empty_ranges: Vec<(i64, i64)>,
    /// Mappings that made the rows.
    pub mapping_versions: Vec<(String, u16)>,
    /// Token of the events.
    pub token: String,
    /// SHA-256 over the SHA-256 of each row's raw bytes, in the order of positions.
    pub digest: [u8; 32],
}

/// What is stored of a range, as a row of `batches` says it.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Summary {
    /// Rows in `events`.
    pub event_rows: u64,
    /// Rows in `quarantine`.
    pub quarantined_rows: u64,
    /// Mappings that made the rows of `events`.
    pub mapping_versions: Vec<(String, u16)>,
    /// SHA-256 over the SHA-256 of each row's raw bytes, in the order of positions.
    pub digest: [u8; 32],
    /// Rows of `batches` with these very ends.
    pub batches: u64,
}

/// What made records unreadable before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapKind {
    /// Deleted by retention, or by hand.
    Deleted,
    /// The log ends before the committed offset.
    Truncated,
    /// The topic was made again.
    Recreated,
}

impl GapKind {
    /// As `gaps.kind` has it, and the metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            GapKind::Deleted => "deleted",
            GapKind::Truncated => "truncated",
            GapKind::Recreated => "recreated",
        }
    }
}

/// One row of `gaps`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct GapRow {
    /// The log's cluster.
    pub kafka_cluster: String,
    /// The log's topic.
    pub kafka_topic: String,
    /// The log's incarnation.
    pub kafka_incarnation: String,
    /// The log's partition.
    pub kafka_partition: i32,
    /// First offset, included.
    pub first_offset: i64,
    /// Last offset, included.
    pub last_offset: i64,
    /// What happened.
    pub kind: String,
    /// Whether an operator has accepted it.
    pub accepted: bool,
}

/// Where a position may be found.
const PLACES: [&str; 3] = ["events", "quarantine", "retired"];

/// Rows of one log, as a condition with four `?`.
pub(super) const IS_LOG: &str =
    "kafka_cluster = ? AND kafka_topic = ? AND kafka_incarnation = ? AND kafka_partition = ?";

impl Warehouse {
    /// How far a log is stored; where its batches end without a hole only if that is asked for,
    /// since all of them are looked at for it.
    pub async fn reach(&self, log: &LogId, contiguous: bool) -> Result<Reach, Error> {
        self.catch_up(log).await?;
        let contiguous_end = if contiguous { self.contiguous_end(log).await? } else { None };
        let in_batches = format!("SELECT maxOrNull(last_offset) FROM batches WHERE {IS_LOG}");
        let in_batches: Option<i64> =
            soon(self.of_log(&in_batches, log).await?.fetch_one()).await?;
        let mut highest = in_batches;
        for table in PLACES {
            let sql = format!(
                "SELECT maxOrNull(kafka_offset) FROM {table} WHERE {IS_LOG} AND kafka_offset > ?"
            );
            let above = in_batches.unwrap_or(-1);
            let query = self.of_log(&sql, log).await?.bind(above);
            let found: Option<i64> = soon(query.fetch_one()).await?;
            highest = highest.max(found);
        }
        Ok(Reach { contiguous_end, highest })
    }

    async fn contiguous_end(&self, log: &LogId) -> Result<Option<i64>, Error> {
        let sql = format!(
            "SELECT coalesce(minOrNullIf(reach, first_offset > reach + 1 AND number > 1), maxOrNull(last_offset)) FROM (
                SELECT first_offset, last_offset, row_number() OVER batch AS number,
                       max(last_offset) OVER (batch ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach
                FROM (
                    SELECT first_offset, last_offset FROM batches WHERE {IS_LOG}
                    UNION ALL
                    SELECT first_offset, last_offset FROM gaps WHERE {IS_LOG} AND accepted
                )
                WINDOW batch AS (ORDER BY first_offset, last_offset)
            )"
        );
        soon(bind(self.of_log(&sql, log).await?, log).fetch_one()).await
    }

    /// Which positions of a range are stored, or were and are retired, as (offset, index).
    pub async fn stored(&self, log: &LogId, range: OffsetRange) -> Result<Vec<(i64, u32)>, Error> {
        self.catch_up(log).await?;
        let mut found = Vec::new();
        for table in PLACES {
            let sql = format!(
                "SELECT kafka_offset, kafka_index FROM {table} WHERE {IS_LOG} AND kafka_offset BETWEEN ? AND ?"
            );
            let query = self.of_log(&sql, log).await?.bind(range.first).bind(range.last);
            found.extend(soon(query.fetch_all::<(i64, u32)>()).await?);
        }
        Ok(found)
    }

    /// What is stored of a range; what was retired of it counts as it was.
    pub async fn summary(&self, log: &LogId, range: OffsetRange) -> Result<Summary, Error> {
        let within = format!("{IS_LOG} AND kafka_offset BETWEEN ? AND ?");
        let position = "kafka_offset, kafka_index";
        let zero = super::act::ZERO;
        // A row that was redacted has other bytes, and its digest stands in `retired`.
        let whole = format!(
            "SELECT {position} FROM events WHERE {within} AND retired_by = {zero}
             UNION ALL SELECT {position} FROM quarantine WHERE {within}"
        );
        // In hex, for a FixedString that becomes a String loses the zero bytes at its end.
        let sql = format!(
            "SELECT countIf(place = 'events') AS event_rows,
                    countIf(place = 'quarantine') AS quarantined_rows,
                    arraySort(groupUniqArrayIf((mapping, version), place = 'events' AND mapping != '')) AS mapping_versions,
                    SHA256(unhex(arrayStringConcat(arrayMap(row -> row.3,
                        arraySort(groupArray((kafka_offset, kafka_index, hex(digest)))))))) AS digest,
                    assumeNotNull((SELECT count() FROM batches
                     WHERE {IS_LOG} AND first_offset = ? AND last_offset = ?)) AS batches
             FROM (
                 SELECT 'events' AS place, {position}, toString(schema) AS mapping, mapping_version AS version,
                        SHA256(raw) AS digest
                 FROM events WHERE {within} AND retired_by = {zero}
                 UNION ALL
                 SELECT 'quarantine', {position}, '', toUInt16(0), SHA256(raw) FROM quarantine WHERE {within}
                 UNION ALL
                 SELECT toString(any(r.place)), {position}, '', toUInt16(0), any(r.digest)
                 FROM retired AS r WHERE {within} AND ({position}) NOT IN ({whole})
                 GROUP BY {position}
             )"
        );
        let mut query = self.of_log(&sql, log).await?.bind(range.first).bind(range.last);
        for _ in ["events", "quarantine", "retired", "events", "quarantine"] {
            query = bind(query, log).bind(range.first).bind(range.last);
        }
        soon(query.fetch_one()).await
    }

    /// Add a row to `batches`; a repeat under the same token changes nothing.
    pub async fn add_batch(&self, token: &Token, row: &BatchRow) -> Result<(), InsertError> {
        self.add(Table::Batches, token, std::slice::from_ref(row)).await
    }

    /// Add a row to `gaps`; a repeat under the same token changes nothing.
    pub async fn add_gap(&self, token: &Token, row: &GapRow) -> Result<(), InsertError> {
        self.add(Table::Gaps, token, std::slice::from_ref(row)).await
    }

    /// Add a few rows as one block under a token; a repeat changes nothing.
    pub(super) async fn add<R>(
        &self,
        table: Table,
        token: &Token,
        rows: &[R],
    ) -> Result<(), InsertError>
    where
        R: clickhouse::RowOwned + clickhouse::RowWrite,
    {
        // The client cannot read the types of named tuples, so it must not check them; columns are
        // matched by name all the same.
        let client = self.under(table, token).with_validation(false);
        let insert = client.insert::<R>(table.name()).await?;
        let mut insert = insert.with_timeouts(Some(READ_TIMEOUT), Some(READ_TIMEOUT));
        for row in rows {
            insert.write(row).await?;
        }
        Ok(insert.end().await?)
    }

    /// Wait until the server that is asked has every block its shard has taken: a replica may lag behind
    /// the one that took it, and what read-back does not find is stored again.
    async fn catch_up(&self, log: &LogId) -> Result<(), Error> {
        let shard = self.shard_of(log);
        if shard.is_replicated {
            for table in [Table::Events, Table::Quarantine, Table::Batches] {
                let sql = format!("SYSTEM SYNC REPLICA {} LIGHTWEIGHT", table.name());
                soon(shard.client().query_raw(&sql).execute()).await?;
            }
        }
        Ok(())
    }

    /// A question about one log, to its shard.
    pub(super) async fn of_log(&self, sql: &str, log: &LogId) -> Result<Query, Error> {
        Ok(bind(self.shard_of(log).reader().await?.query(sql), log))
    }
}

/// A connection that says nothing must not hold a partition for ever.
pub(super) async fn soon<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(READ_TIMEOUT, answer).await.unwrap_or(Err(Error::TimedOut))
}

pub(super) fn bind(query: Query, log: &LogId) -> Query {
    query.bind(&*log.cluster).bind(&*log.topic).bind(&*log.incarnation).bind(log.partition)
}
