//! Asking for quarantined rows.
//!
//! In: a [`Wanted`], a position, or a batch's range. Out: [`Quarantined`] rows, each with what a
//! replay made of it; or [`Rejected`] ones, to be copied.
//!
//! # Invariants
//! - Bytes are read only where a position or a batch is asked for; a list reads none.
//! - Rows are asked for, never changed.
//!
//! Deliberately unknown here: how a row is shown, how it is replayed.

use clickhouse::Row;
use clickhouse::error::Error;
use clickhouse::query::Query;
use serde::Deserialize;

use super::ledger::{IS_LOG, bind, soon};
use super::{ServerError, Warehouse};
use crate::event::{LogId, Micros, OffsetRange};

/// Which rows are wanted; what is `None` is not asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this topic.
    pub topic: Option<String>,
    /// For this reason.
    pub reason: Option<String>,
    /// Claimed by this mapping.
    pub mapping: Option<String>,
    /// Quarantined at or after this time.
    pub since: Option<Micros>,
    /// So many at most.
    pub limit: u64,
}

/// Position of a quarantined row within its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Origin {
    /// The topic, or a lane.
    pub topic: String,
    /// The topic's id.
    pub incarnation: String,
    /// The partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// Place inside the record.
    pub index: u32,
}

/// A quarantined row.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Quarantined {
    /// The cluster it is from.
    pub cluster: String,
    /// Where it stood.
    pub origin: Origin,
    /// Timestamp of its record.
    pub received_at: Micros,
    /// When it was quarantined.
    pub ingested_at: Micros,
    /// Whose log it would have been; empty when unknown.
    pub tenant: String,
    /// Code of the class of fault.
    pub reason: String,
    /// The thing, the place, what would mend it.
    pub sentence: String,
    /// Mapping that claimed it; empty when none did.
    pub mapping: String,
    /// How many bytes were at fault.
    pub raw_bytes: u64,
    /// What a replay made of it: empty, or one.
    pub resolution: Vec<Resolution>,
    /// The record's key; empty when absent, and in lists.
    pub key: Vec<u8>,
    /// The record's headers; none in lists.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The bytes at fault; none in lists.
    pub raw: Vec<u8>,
}

/// What a replay made of a quarantined row.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Resolution {
    /// The lane's topic.
    pub topic: String,
    /// The lane's partition.
    pub partition: i32,
    /// Where in the lane.
    pub offset: i64,
    /// Rows there in `events`.
    pub event_rows: u64,
    /// Rows there in `quarantine`.
    pub quarantined_rows: u64,
    /// Mapping of the first event; empty without one.
    pub mapping: String,
    /// Its version.
    pub mapping_version: u16,
    /// When.
    pub resolved_at: Micros,
}

/// A quarantined row as it is copied elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Rejected {
    /// Its record's offset.
    pub offset: i64,
    /// Place inside the record.
    pub index: u32,
    /// Timestamp of its record.
    pub received_at: Micros,
    /// Code of the class of fault.
    pub reason: String,
    /// The thing, the place, what would mend it.
    pub sentence: String,
    /// Mapping that claimed it; empty when none did.
    pub mapping: String,
    /// The record's key; empty when absent.
    pub key: Vec<u8>,
    /// The record's headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The bytes at fault.
    pub raw: Vec<u8>,
}

const POSITION: &str = "kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index";

impl Warehouse {
    /// Quarantined rows, those that came last first.
    pub async fn quarantined(&self, wanted: &Wanted) -> Result<Vec<Quarantined>, ServerError> {
        let mut rows = String::from("SELECT * FROM quarantine WHERE 1");
        for (column, value) in [
            (" AND kafka_topic = ?", &wanted.topic),
            (" AND reason = ?", &wanted.reason),
            (" AND mapping = ?", &wanted.mapping),
        ] {
            rows.push_str(if value.is_some() { column } else { "" });
        }
        if wanted.since.is_some() {
            rows.push_str(" AND ingested_at >= fromUnixTimestamp64Micro(?, 'UTC')");
        }
        rows.push_str(" ORDER BY ingested_at DESC, kafka_cluster DESC, ");
        rows.push_str(&POSITION.replace(", ", " DESC, "));
        rows.push_str(" DESC LIMIT ?");
        let sql =
            select(&rows, "'' AS key, CAST(map(), 'Map(String, String)') AS headers, '' AS raw");
        self.ask(&sql, |mut query| {
            for text in [&wanted.topic, &wanted.reason, &wanted.mapping].into_iter().flatten() {
                query = query.bind(text);
            }
            if let Some(since) = wanted.since {
                query = query.bind(since);
            }
            query.bind(wanted.limit)
        })
        .await
    }

    /// Every quarantined row of an offset, or of an index in it, with its bytes; several where a
    /// record fanned out or the topic was made again.
    pub async fn quarantined_at(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        index: Option<u32>,
    ) -> Result<Vec<Quarantined>, ServerError> {
        let mut rows = String::from(
            "SELECT * FROM quarantine WHERE kafka_topic = ? AND kafka_partition = ? AND kafka_offset = ?",
        );
        rows.push_str(if index.is_some() { " AND kafka_index = ?" } else { "" });
        rows.push_str(" ORDER BY kafka_cluster, ");
        rows.push_str(POSITION);
        self.ask(&select(&rows, "key, headers, raw"), |query| {
            let query = query.bind(topic).bind(partition).bind(offset);
            match index {
                Some(index) => query.bind(index),
                None => query,
            }
        })
        .await
    }

    /// Every quarantined row of a range of a log, in order.
    pub async fn rejected(&self, log: &LogId, range: OffsetRange) -> Result<Vec<Rejected>, Error> {
        let sql = format!(
            "SELECT kafka_offset, kafka_index, toUnixTimestamp64Micro(received_at), reason, sentence,
                    mapping, key, headers, raw
             FROM quarantine WHERE {IS_LOG} AND kafka_offset BETWEEN ? AND ?
             ORDER BY kafka_offset, kafka_index"
        );
        let client = self.shard_of(log).reader().await?.client.clone().with_validation(false);
        let query = bind(client.query(&sql), log).bind(range.first).bind(range.last);
        soon(query.fetch_all::<Rejected>()).await
    }

    /// `rows` stands in the statement twice, so it is bound twice.
    async fn ask(
        &self,
        sql: &str,
        bind: impl Fn(Query) -> Query,
    ) -> Result<Vec<Quarantined>, ServerError> {
        let asked = async {
            // The client would check bytes against text, and tuples by their names.
            let client = self.reader().await?.client.clone().with_validation(false);
            soon(bind(bind(client.query(sql))).fetch_all::<Quarantined>()).await
        };
        asked.await.map_err(|error| self.explain(error))
    }
}

/// Rows of `quarantine`, each with any of its resolutions.
fn select(rows: &str, bytes: &str) -> String {
    let resolution = "(replay_topic, replay_partition, replay_offset, event_rows, quarantined_rows, \
         mapping, mapping_version, toUnixTimestamp64Micro(toDateTime64(ingested_at, 6, 'UTC')))";
    format!(
        "SELECT kafka_cluster, ({POSITION}),
                toUnixTimestamp64Micro(received_at),
                toUnixTimestamp64Micro(toDateTime64(q.ingested_at, 6, 'UTC')),
                tenant, reason, sentence, q.mapping, length(q.raw), found, {bytes}
         FROM ({rows}) AS q
         LEFT JOIN (
             SELECT kafka_cluster, {POSITION}, [any({resolution})] AS found FROM resolutions
             WHERE (kafka_cluster, {POSITION}) IN (SELECT kafka_cluster, {POSITION} FROM ({rows}))
             GROUP BY kafka_cluster, {POSITION}
         ) AS r USING (kafka_cluster, {POSITION})
         ORDER BY {}",
        if bytes.starts_with("key") {
            format!("kafka_cluster, {POSITION}")
        } else {
            format!(
                "q.ingested_at DESC, kafka_cluster DESC, {} DESC",
                POSITION.replace(", ", " DESC, ")
            )
        }
    )
}
