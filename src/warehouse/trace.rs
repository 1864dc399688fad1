//! What is stored of one record: the questions that a receipt asks.
//!
//! In: a [`LogId`], an offset. Out: its rows in `events` and `quarantine`, where these were replayed,
//! those that were retired, and the batches over it.
//!
//! # Invariants
//! - Rows come in the order of their index; a repeated row comes as often as it is there.
//!
//! Deliberately unknown here: what follows from an answer.

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::Warehouse;
use super::ledger::IS_LOG;
use crate::event::{LogId, Micros};
use crate::query::ReadError;

/// A row of `events`, in short.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct EventTrace {
    /// Place inside a record that fans out.
    pub index: u32,
    /// Its id.
    #[serde(with = "clickhouse::serde::uuid")]
    pub id: Uuid,
    /// Whose log it is.
    pub tenant: String,
    /// The mapping that made it.
    pub schema: String,
    /// What was done.
    pub action: String,
    /// When it happened.
    pub occurred_at: Micros,
    /// When ClickHouse took it, microseconds since the Unix epoch.
    pub ingested_at: Micros,
}

/// A row of `quarantine`, in short.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct QuarantineTrace {
    /// Place inside a record that fans out.
    pub index: u32,
    /// Whose log it would have been.
    pub tenant: String,
    /// Stable code of the class of fault.
    pub reason: String,
    /// The thing, the place and what would mend it.
    pub sentence: String,
    /// When ClickHouse took it, microseconds since the Unix epoch.
    pub ingested_at: Micros,
}

/// A row that was retired.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct RetiredTrace {
    /// Place inside a record that fans out.
    pub index: u32,
    /// The event's id; zero for a quarantined row.
    #[serde(with = "clickhouse::serde::uuid")]
    pub id: Uuid,
    /// `deleted` or `redacted`.
    pub form: String,
    /// SHA-256 of its bytes as they were stored, in hex.
    pub digest: String,
    /// The act.
    #[serde(with = "clickhouse::serde::uuid")]
    pub retirement: Uuid,
    /// Why: `retention` or `erasure`.
    pub kind: String,
    /// When, microseconds since the Unix epoch.
    pub retired_at: Micros,
}

/// Where a replay has put a quarantined row.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct ReplayTrace {
    /// Place inside its record.
    pub index: u32,
    /// The lane's topic.
    pub topic: String,
    /// The lane's partition.
    pub partition: i32,
    /// Where in the lane.
    pub offset: i64,
    /// Rows there in `events`.
    pub event_rows: u64,
}

/// A batch over an offset.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct BatchTrace {
    /// First offset, included.
    pub first: i64,
    /// Last offset, included.
    pub last: i64,
    /// Its token.
    pub token: String,
    /// When ClickHouse took its row, microseconds since the Unix epoch.
    pub ingested_at: Micros,
    /// What a rule left out at the offset: rule, index.
    pub skipped: Vec<(String, u32)>,
    /// Whether the offset held no record.
    pub empty: bool,
}

impl Warehouse {
    /// The rows of a record in `events`.
    pub async fn events_at(&self, log: &LogId, offset: i64) -> Result<Vec<EventTrace>, ReadError> {
        let sql = format!(
            "SELECT kafka_index AS index, id, tenant, schema, action, occurred_at,
                    toUnixTimestamp64Milli(t.ingested_at) * 1000 AS ingested_at
             FROM events AS t WHERE {IS_LOG} AND kafka_offset = ? ORDER BY kafka_index"
        );
        self.in_time(async { self.of_log(&sql, log).await?.bind(offset).fetch_all().await }).await
    }

    /// The rows of a record in `quarantine`.
    pub async fn quarantine_at(
        &self,
        log: &LogId,
        offset: i64,
    ) -> Result<Vec<QuarantineTrace>, ReadError> {
        let sql = format!(
            "SELECT kafka_index AS index, tenant, reason, sentence, toUnixTimestamp64Milli(t.ingested_at) * 1000 AS ingested_at
             FROM quarantine AS t WHERE {IS_LOG} AND kafka_offset = ? ORDER BY kafka_index"
        );
        self.in_time(async { self.of_log(&sql, log).await?.bind(offset).fetch_all().await }).await
    }

    /// Where replays have put the rows of a record in `quarantine`.
    pub async fn replayed_at(
        &self,
        log: &LogId,
        offset: i64,
    ) -> Result<Vec<ReplayTrace>, ReadError> {
        // The lane's own shard has them, not the log's.
        let sql = format!(
            "SELECT kafka_index AS index, any(replay_topic) AS topic, any(replay_partition) AS partition,
                    any(replay_offset) AS offset, max(r.event_rows) AS event_rows
             FROM resolutions AS r WHERE {IS_LOG} AND kafka_offset = ? GROUP BY index ORDER BY index"
        );
        self.in_time(async {
            let query = self.reader().await?.query(&sql);
            super::ledger::bind(query, log).bind(offset).fetch_all().await
        })
        .await
    }

    /// The rows of a record that are retired: gone, or redacted. One that a hold has kept is not.
    pub async fn retired_at(
        &self,
        log: &LogId,
        offset: i64,
    ) -> Result<Vec<RetiredTrace>, ReadError> {
        let zero = super::act::ZERO;
        let whole = format!(
            "SELECT kafka_index FROM events WHERE {IS_LOG} AND kafka_offset = ? AND retired_by = {zero}
             UNION ALL SELECT kafka_index FROM quarantine WHERE {IS_LOG} AND kafka_offset = ?"
        );
        let sql = format!(
            "SELECT t.kafka_index AS index, any(t.id) AS id,
                    toString(argMin(t.form, t.at)) AS form, lower(hex(any(t.digest))) AS digest,
                    argMin(t.retirement, t.at) AS retirement, argMin(r.kind, t.at) AS kind,
                    toUnixTimestamp64Milli(min(t.at)) * 1000 AS retired_at
             FROM retired AS t
             LEFT JOIN (SELECT id, toString(any(kind)) AS kind FROM retirements GROUP BY id) AS r
             ON t.retirement = r.id
             WHERE {IS_LOG} AND kafka_offset = ? AND kafka_index NOT IN ({whole})
             GROUP BY index ORDER BY index"
        );
        self.in_time(async {
            let mut query = self.of_log(&sql, log).await?.bind(offset);
            for _ in ["events", "quarantine"] {
                query = super::ledger::bind(query, log).bind(offset);
            }
            query.fetch_all().await
        })
        .await
    }

    /// The batches over an offset, the first that was stored before the others.
    pub async fn batches_at(&self, log: &LogId, offset: i64) -> Result<Vec<BatchTrace>, ReadError> {
        let sql = format!(
            "SELECT first_offset AS first, last_offset AS last, token, toUnixTimestamp64Milli(t.ingested_at) * 1000 AS ingested_at,
                    arrayMap(s -> (s.1, s.3), arrayFilter(s -> s.2 = ?, t.skipped)) AS skipped,
                    toBool(arrayExists(e -> ? BETWEEN e.1 AND e.2, empty_ranges)) AS empty
             FROM batches AS t WHERE {IS_LOG} AND first_offset <= ? AND last_offset >= ?
             ORDER BY ingested_at, first_offset"
        );
        self.in_time(async {
            let query = self.shard_of(log).reader().await?.query(&sql).bind(offset).bind(offset);
            super::ledger::bind(query, log).bind(offset).bind(offset).fetch_all().await
        })
        .await
    }
}
