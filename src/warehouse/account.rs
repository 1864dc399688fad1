//! What a log's rows add up to: the questions that `verify` asks, chunk by chunk.
//!
//! In: a [`LogId`], a range of offsets. Out: [`Stretch`]es of offsets with as many rows each, and
//! what `batches` and `gaps` say of the range.
//!
//! # Invariants
//! - An answer has at most a line for each offset of the range asked for, or for each batch that
//!   begins in it; where offsets are alike it has few.
//! - Lines are in ascending order of their first offset.
//!
//! Deliberately unknown here: what should be there.

use clickhouse::Row;
use serde::Deserialize;

use super::Warehouse;
use super::ledger::{IS_LOG, bind};
use crate::event::{LogId, OffsetRange};
use crate::query::ReadError;

/// Consecutive offsets with as many rows each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Row, Deserialize)]
pub struct Stretch {
    /// First offset, included.
    pub first: i64,
    /// Last offset, included.
    pub last: i64,
    /// Positions in `events`, an offset.
    pub events: u64,
    /// Positions in `quarantine`, an offset.
    pub quarantined: u64,
    /// Positions in either, or retired, an offset.
    pub positions: u64,
    /// Positions that only a rule left out, an offset.
    pub skipped: u64,
    /// Rows whose position another row has too, an offset.
    pub repeats: u64,
    /// Positions below the highest that are neither stored, retired nor left out, an offset.
    pub holes: u64,
    /// Positions in neither that were retired from `events`, an offset.
    pub gone_events: u64,
    /// Positions in neither that were retired from `quarantine`, an offset.
    pub gone_quarantined: u64,
    /// Positions in `events` that were to be redacted, an offset.
    pub redacted: u64,
    /// Positions in either that a batch says a rule left out, an offset: it was read again.
    pub taken_back: u64,
}

/// A row of `batches`, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub struct BatchLine {
    /// First offset, included.
    pub first: i64,
    /// Last offset, included.
    pub last: i64,
    /// Rows it has in `events`.
    pub event_rows: u64,
    /// Rows it has in `quarantine`.
    pub quarantined_rows: u64,
    /// Digest of its rows.
    pub digest: [u8; 32],
}

/// A row of `gaps`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct GapLine {
    /// First offset, included.
    pub first: i64,
    /// Last offset, included.
    pub last: i64,
    /// What happened.
    pub kind: String,
    /// Whether an operator has accepted it.
    pub accepted: bool,
}

/// A topic as it once was, by what is stored of it.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize, serde::Serialize)]
pub struct Incarnation {
    /// The topic.
    pub topic: String,
    /// Its id.
    pub incarnation: String,
    /// How many partitions there are batches of.
    pub partitions: u64,
    /// Rows in `events` and `quarantine`, by its batches.
    pub rows: u64,
}

/// What offsets of a stretch have alike.
const COUNTS: &str = "events, quarantined, positions, skipped, repeats, holes, gone_events, gone_quarantined, redacted, taken_back";

/// Places of the question behind the two tables and what a rule left out.
const WAS_EVENT: u8 = 3;
const WAS_QUARANTINED: u8 = 4;

impl Warehouse {
    /// Offsets of a range that have a row, had one that was retired, or were left out by a rule.
    pub async fn stretches(
        &self,
        log: &LogId,
        range: OffsetRange,
    ) -> Result<Vec<Stretch>, ReadError> {
        let sql = format!(
            "SELECT min(o) AS first, max(o) AS last, {COUNTS} FROM (
                SELECT *, o - toInt64(row_number() OVER (PARTITION BY {COUNTS} ORDER BY o)) AS island
                FROM (
                    SELECT o, countIf(in_events > 0) AS events, countIf(in_quarantine > 0) AS quarantined,
                           countIf(rows > 0 OR was > 0) AS positions, countIf(rows = 0 AND was = 0) AS skipped,
                           toUInt64(sum(rows) - countIf(rows > 0)) AS repeats,
                           toUInt64(max(i) + 1 - count()) AS holes,
                           countIf(rows = 0 AND was = {WAS_EVENT}) AS gone_events,
                           countIf(rows = 0 AND was = {WAS_QUARANTINED}) AS gone_quarantined,
                           countIf(in_events > 0 AND is_redacted) AS redacted,
                           countIf(rows > 0 AND is_left_out) AS taken_back
                    FROM (
                        SELECT o, i, countIf(place = 0) AS in_events, countIf(place = 1) AS in_quarantine,
                               in_events + in_quarantine AS rows, maxIf(place, place >= {WAS_EVENT}) AS was,
                               countIf(redacted_there) > 0 AS is_redacted, countIf(place = 2) > 0 AS is_left_out
                        FROM (
                            SELECT kafka_offset AS o, kafka_index AS i, 0 AS place, false AS redacted_there FROM events
                            WHERE {IS_LOG} AND kafka_offset BETWEEN ? AND ?
                            UNION ALL
                            SELECT kafka_offset, kafka_index, 1, false FROM quarantine
                            WHERE {IS_LOG} AND kafka_offset BETWEEN ? AND ?
                            UNION ALL
                            SELECT left_out.2, left_out.3, 2, false FROM batches ARRAY JOIN skipped AS left_out
                            WHERE {IS_LOG} AND last_offset >= ? AND first_offset <= ?
                              AND left_out.2 BETWEEN ? AND ?
                            UNION ALL
                            SELECT kafka_offset, kafka_index,
                                   if(retired.place = 'events', {WAS_EVENT}, {WAS_QUARANTINED}), form = 'redacted'
                            FROM retired WHERE {IS_LOG} AND kafka_offset BETWEEN ? AND ?
                        ) GROUP BY o, i
                    ) GROUP BY o
                )
            ) GROUP BY {COUNTS}, island ORDER BY first"
        );
        self.in_time(async {
            let mut query = self.of_log(&sql, log).await?.bind(range.first).bind(range.last);
            for _ in ["quarantine", "batches"] {
                query = bind(query, log).bind(range.first).bind(range.last);
            }
            query = bind(query.bind(range.first).bind(range.last), log);
            query.bind(range.first).bind(range.last).fetch_all().await
        })
        .await
    }

    /// The batches that begin in a range.
    pub async fn batches(
        &self,
        log: &LogId,
        range: OffsetRange,
    ) -> Result<Vec<BatchLine>, ReadError> {
        let sql = format!(
            "SELECT first_offset AS first, last_offset AS last, event_rows, quarantined_rows, digest FROM batches
             WHERE {IS_LOG} AND first_offset BETWEEN ? AND ? ORDER BY first, last"
        );
        self.in_time(async {
            self.of_log(&sql, log).await?.bind(range.first).bind(range.last).fetch_all().await
        })
        .await
    }

    /// Offsets of a range that held no record when a batch passed them.
    pub async fn empty_ranges(
        &self,
        log: &LogId,
        range: OffsetRange,
    ) -> Result<Vec<(i64, i64)>, ReadError> {
        let sql = format!(
            "SELECT empty.1 AS first, empty.2 AS last FROM batches ARRAY JOIN empty_ranges AS empty
             WHERE {IS_LOG} AND last_offset >= ? AND first_offset <= ? AND last >= ? AND first <= ?
             ORDER BY first, last"
        );
        self.in_time(async {
            let query = self.of_log(&sql, log).await?.bind(range.first).bind(range.last);
            query.bind(range.first).bind(range.last).fetch_all().await
        })
        .await
    }

    /// The digest of what is stored of a range, as `batches` has it.
    pub async fn digest(&self, log: &LogId, range: OffsetRange) -> Result<[u8; 32], ReadError> {
        self.in_time(async { Ok(self.summary(log, range).await?.digest) }).await
    }

    /// From the first to the last offset of the batches that touch a range; `None` without one.
    pub async fn batches_around(
        &self,
        log: &LogId,
        range: OffsetRange,
    ) -> Result<Option<OffsetRange>, ReadError> {
        let sql = format!(
            "SELECT minOrNull(first_offset), maxOrNull(last_offset) FROM batches
             WHERE {IS_LOG} AND last_offset >= ? AND first_offset <= ?"
        );
        let ends: (Option<i64>, Option<i64>) = self
            .in_time(async {
                self.of_log(&sql, log).await?.bind(range.first).bind(range.last).fetch_one().await
            })
            .await?;
        Ok(ends.0.zip(ends.1).map(|(first, last)| OffsetRange { first, last }))
    }

    /// Offsets that were lost before they could be read. What stands there of a topic that was made
    /// again names an offset of its forerunner, so it is left out.
    pub async fn gaps(&self, log: &LogId) -> Result<Vec<GapLine>, ReadError> {
        let sql = format!(
            "SELECT first_offset AS first, last_offset AS last, any(gaps.kind) AS kind,
                    max(gaps.accepted) AS accepted
             FROM gaps WHERE {IS_LOG} AND gaps.kind != 'recreated'
             GROUP BY first, last ORDER BY first, last"
        );
        self.in_time(async { self.of_log(&sql, log).await?.fetch_all().await }).await
    }

    /// Every topic of a cluster as it is and as it was, by its batches.
    pub async fn incarnations(
        &self,
        cluster: &str,
        topics: &[&str],
    ) -> Result<Vec<Incarnation>, ReadError> {
        let sql = "SELECT kafka_topic AS topic, kafka_incarnation AS incarnation,
                          uniqExact(kafka_partition) AS partitions,
                          sum(event_rows) + sum(quarantined_rows) AS rows
                   FROM batches WHERE kafka_cluster = ? AND has(?, kafka_topic)
                   GROUP BY topic, incarnation ORDER BY topic, incarnation";
        self.in_time(async {
            self.reader().await?.query(sql).bind(cluster).bind(topics).fetch_all().await
        })
        .await
    }
}
