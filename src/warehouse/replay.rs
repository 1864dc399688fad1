//! Plans of replays, and what came of them.
//!
//! In: quarantined rows that are to be replayed. Out: their places in the lane `@replay/TOPIC`, for
//! ever; the rows of a plan; rows in `resolutions`.
//!
//! # Invariants
//! - A quarantined row stands in one plan at most, if [`Warehouse::next_replay`] was asked before
//!   [`Warehouse::candidates`]: a plan's token is its first offset alone, so of two plans made of the
//!   same state one is swallowed whole, and a later state leaves out what a plan has.
//! - A resolution is written of what is stored, never of what was meant to be.
//!
//! Deliberately unknown here: what normalising makes of a row.

use clickhouse::Row;
use clickhouse::error::Error;
use clickhouse::query::Query;
use serde::{Deserialize, Serialize};

use super::insert::{Table, Token};
use super::ledger::{IS_LOG, bind, soon};
use super::outcome::InsertError;
use super::quarantine::Origin;
use super::{ServerError, Warehouse};
use crate::event::{LogId, Micros, OffsetRange, REPLAY};

/// A quarantined row's bytes, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Candidate {
    /// Its offset in the lane; 0 for one that has none yet.
    pub sequence: i64,
    /// Where it was quarantined.
    pub origin: Origin,
    /// Why.
    pub reason: String,
    /// Timestamp of its record.
    pub received_at: Micros,
    /// Key of its record; empty when absent.
    pub key: Vec<u8>,
    /// Headers of its record.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The bytes at fault.
    pub raw: Vec<u8>,
}

/// One row of `replays`.
#[derive(Debug, Clone, Row, Serialize, Deserialize)]
struct PlanRow {
    kafka_cluster: String,
    kafka_topic: String,
    kafka_incarnation: String,
    kafka_partition: i32,
    kafka_offset: i64,
    first_offset: i64,
    origin_topic: String,
    origin_incarnation: String,
    origin_partition: i32,
    origin_offset: i64,
    origin_index: u32,
    planned_by: String,
}

const POSITION: &str =
    "(kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index)";
const ORIGIN: &str =
    "(origin_topic, origin_incarnation, origin_partition, origin_offset, origin_index)";

/// Which rows without a plan are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Unplanned<'u> {
    /// Of this lane's topic, or of the lane itself.
    pub lane: &'u LogId,
    /// Of the lane only those before this offset: what a replay itself adds is for the next one.
    pub before: i64,
    /// Only those quarantined for this reason.
    pub reason: Option<&'u str>,
}

impl Unplanned<'_> {
    /// For `IS_UNPLANNED`.
    fn bind(self, query: Query) -> Query {
        let (cluster, topic) = (&*self.lane.cluster, &*self.lane.topic);
        let query = query.bind(cluster).bind(self.lane.replayed_topic()).bind(topic);
        let reason = self.reason.unwrap_or_default();
        query.bind(self.before).bind(reason).bind(reason).bind(cluster).bind(topic)
    }
}

/// An `Unplanned`, as a condition with eight `?`.
const IS_UNPLANNED: &str = "kafka_cluster = ?
    AND (kafka_topic = ? OR kafka_topic = ? AND kafka_offset < ?) AND (? = '' OR reason = ?)
    AND (kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index) NOT IN (
        SELECT origin_topic, origin_incarnation, origin_partition, origin_offset, origin_index
        FROM replays WHERE kafka_cluster = ? AND kafka_topic = ?)";

impl Warehouse {
    /// The lanes that anything could be replayed on, of every topic or of one.
    pub async fn replay_lanes(&self, topic: Option<&str>) -> Result<Vec<LogId>, ServerError> {
        let sql = "SELECT DISTINCT kafka_cluster, if(startsWith(kafka_topic, ?), substring(kafka_topic, length(?) + 1), toString(kafka_topic)) AS topic
                   FROM quarantine WHERE ? OR topic = ? ORDER BY topic, kafka_cluster";
        let topic = topic.map(|topic| topic.strip_prefix(REPLAY).unwrap_or(topic));
        let asked = async {
            let query = self.reader().await?.query(sql).bind(REPLAY).bind(REPLAY);
            let query = query.bind(topic.is_none()).bind(topic.unwrap_or_default());
            soon(query.fetch_all::<(String, String)>()).await
        };
        let found = asked.await.map_err(|error| self.explain(error))?;
        Ok(found.iter().map(|(cluster, topic)| LogId::of_replay(cluster, topic)).collect())
    }

    /// Plans of a lane whose rows are not all resolved, in order.
    pub async fn unfinished_replays(&self, lane: &LogId) -> Result<Vec<OffsetRange>, ServerError> {
        let sql = format!(
            "SELECT first_offset, max(kafka_offset) FROM replays WHERE {IS_LOG} GROUP BY first_offset
             HAVING countIf(kafka_offset NOT IN (SELECT replay_offset FROM resolutions
                 WHERE kafka_cluster = ? AND replay_topic = ?)) > 0
             ORDER BY first_offset"
        );
        let asked = async {
            let query = self.of_log(&sql, lane).await?.bind(&*lane.cluster).bind(&*lane.topic);
            soon(query.fetch_all::<(i64, i64)>()).await
        };
        let found = asked.await.map_err(|error| self.explain(error))?;
        Ok(found.into_iter().map(|(first, last)| OffsetRange { first, last }).collect())
    }

    /// Where a lane's next plan begins.
    pub async fn next_replay(&self, lane: &LogId) -> Result<i64, ServerError> {
        let sql = format!("SELECT maxOrNull(kafka_offset) FROM replays WHERE {IS_LOG}");
        let asked = async {
            let planned: Option<i64> = soon(self.of_log(&sql, lane).await?.fetch_one()).await?;
            // Beyond every row, too, should plans have been deleted.
            Ok(planned.max(self.reach(lane, false).await?.highest).map_or(0, |last| last + 1))
        };
        asked.await.map_err(|error| self.explain(error))
    }

    /// How many rows [`Warehouse::candidates`] has in all.
    pub async fn count_candidates(&self, wanted: Unplanned<'_>) -> Result<u64, ServerError> {
        let sql = format!("SELECT count() FROM quarantine WHERE {IS_UNPLANNED}");
        let asked = async {
            let query = self.reader().await?.query(&sql);
            soon(wanted.bind(query).fetch_one::<u64>()).await
        };
        asked.await.map_err(|error| self.explain(error))
    }

    /// Rows that could be planned, behind a position, in the order of positions: so many at most, and
    /// no more once they have so many bytes.
    pub async fn candidates(
        &self,
        wanted: Unplanned<'_>,
        after: Option<&Origin>,
        most_rows: u64,
        most_bytes: usize,
    ) -> Result<Vec<Candidate>, ServerError> {
        let behind = match after {
            Some(_) => format!("{POSITION} > (?, ?, ?, ?, ?)"),
            None => "1".to_owned(),
        };
        let sql = format!(
            "SELECT toInt64(0), {POSITION}, reason, toUnixTimestamp64Micro(received_at), key, headers, raw
             FROM quarantine WHERE {behind} AND {IS_UNPLANNED}
             ORDER BY kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index
             LIMIT ?"
        );
        let asked = async {
            let client = self.reader().await?.client.clone().with_validation(false);
            let mut query = client.query(&sql);
            if let Some(Origin { topic, incarnation, partition, offset, index }) = after {
                query = query.bind(topic).bind(incarnation).bind(partition).bind(offset);
                query = query.bind(index);
            }
            let mut rows = wanted.bind(query).bind(most_rows).fetch::<Candidate>()?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            while bytes < most_bytes {
                let Some(row) = soon(rows.next()).await? else { break };
                bytes += row.raw.len();
                found.push(row);
            }
            Ok::<_, Error>(found)
        };
        asked.await.map_err(|error| self.explain(error))
    }

    /// Give quarantined rows their places in a lane, from `first` on. Whether they have them: not so,
    /// if another replay planned from the same offset before.
    pub async fn plan_replay(
        &self,
        lane: &LogId,
        first: i64,
        origins: &[&Origin],
        planned_by: &str,
    ) -> Result<bool, InsertError> {
        let row = |(sequence, origin): (i64, &&Origin)| PlanRow {
            kafka_cluster: lane.cluster.to_string(),
            kafka_topic: lane.topic.to_string(),
            kafka_incarnation: lane.incarnation.to_string(),
            kafka_partition: lane.partition,
            kafka_offset: sequence,
            first_offset: first,
            origin_topic: origin.topic.clone(),
            origin_incarnation: origin.incarnation.clone(),
            origin_partition: origin.partition,
            origin_offset: origin.offset,
            origin_index: origin.index,
            planned_by: planned_by.to_owned(),
        };
        let rows: Vec<PlanRow> = (first..).zip(origins).map(row).collect();
        let token = Token::of(lane, OffsetRange { first, last: first });
        self.add(Table::Replays, &token, &rows).await?;
        let sql = format!(
            "SELECT count() FROM replays WHERE {IS_LOG} AND first_offset = ? AND planned_by = ?"
        );
        let query = self.of_log(&sql, lane).await?.bind(first).bind(planned_by);
        Ok(soon(query.fetch_one::<u64>()).await? == rows.len() as u64)
    }

    /// The rows of a plan, in the order of the lane.
    pub async fn planned(
        &self,
        lane: &LogId,
        range: OffsetRange,
    ) -> Result<Vec<Candidate>, ServerError> {
        let plan = format!("FROM replays WHERE {IS_LOG} AND kafka_offset BETWEEN ? AND ?");
        let sql = format!(
            "SELECT p.sequence, {POSITION} AS position, reason, toUnixTimestamp64Micro(received_at), key, headers, raw
             FROM quarantine
             INNER JOIN (SELECT kafka_offset AS sequence, {ORIGIN} AS origin {plan}) AS p
             ON {POSITION} = p.origin
             WHERE kafka_cluster = ? AND {POSITION} IN (SELECT {ORIGIN} {plan})
             ORDER BY p.sequence"
        );
        let asked = async {
            let client = self.reader().await?.client.clone().with_validation(false);
            let of_plan = |query| bind(query, lane).bind(range.first).bind(range.last);
            let query = of_plan(of_plan(client.query(&sql)).bind(&*lane.cluster));
            soon(query.fetch_all::<Candidate>()).await
        };
        asked.await.map_err(|error| self.explain(error))
    }

    /// Write down what is stored of a plan, for each of its rows of which that was not yet.
    pub async fn resolve(&self, lane: &LogId, range: OffsetRange) -> Result<(), ServerError> {
        let stored = |columns: &str, table: &str| {
            format!(
                "(SELECT kafka_offset, count() AS rows{columns} FROM {table}
                  WHERE {IS_LOG} AND kafka_offset BETWEEN ? AND ? GROUP BY kafka_offset)"
            )
        };
        let first = ", argMin(schema, kafka_index) AS mapping, argMin(mapping_version, kafka_index) AS version";
        let sql = format!(
            "INSERT INTO resolutions (kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset,
                 kafka_index, replay_topic, replay_incarnation, replay_partition, replay_offset,
                 event_rows, quarantined_rows, mapping, mapping_version)
             SELECT p.kafka_cluster, origin_topic, origin_incarnation, origin_partition, origin_offset,
                 origin_index, p.kafka_topic, p.kafka_incarnation, p.kafka_partition, p.kafka_offset,
                 e.rows, q.rows, e.mapping, e.version
             FROM (SELECT * FROM replays WHERE {IS_LOG} AND kafka_offset BETWEEN ? AND ?) AS p
             LEFT JOIN {} AS e ON p.kafka_offset = e.kafka_offset
             LEFT JOIN {} AS q ON p.kafka_offset = q.kafka_offset
             WHERE p.kafka_offset NOT IN (SELECT replay_offset FROM resolutions
                 WHERE kafka_cluster = ? AND replay_topic = ?)",
            stored(first, "events"),
            stored("", "quarantine"),
        );
        let of_range = |query| bind(query, lane).bind(range.first).bind(range.last);
        let query = of_range(of_range(of_range(self.shard_of(lane).client().query(&sql))));
        let query = query.bind(&*lane.cluster).bind(&*lane.topic);
        // Rows that were deleted by hand are written again: no repeat is swallowed.
        let query = query.with_setting("insert_deduplicate", "0").with_setting("async_insert", "0");
        soon(query.with_setting("join_use_nulls", "0").execute())
            .await
            .map_err(|error| self.explain(error))
    }
}
