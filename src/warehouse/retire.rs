//! Ending rows, and the record of it.
//!
//! In: an [`Act`], and which rows are [`Due`]. Out: rows of `retired`, rows of `events` deleted or
//! redacted, rows of `quarantine` deleted, rows of `retirements`.
//!
//! # Invariants
//! - A row is ended only after its position and digest are in `retired`, and only rows that are there:
//!   what is inserted meanwhile stays. So nothing ends that verify could take for lost.
//! - A row that a hold keeps when the mutation looks at it is not ended, though it was planned.
//! - The statements that name a subject are left out of the query log; those that end rows do not.
//! - An act that was cut off is finished by asking for it again.
//! - All this is of one server. Of a cluster each shard is asked by itself, and has its own rows of
//!   `retired` and `retirements`, beside those that ended.
//!
//! Deliberately unknown here: settings, who is told.

use std::time::Duration;

use clickhouse::Row;
use clickhouse::error::Error;
use clickhouse::query::Query;
use serde::Deserialize;
use uuid::Uuid;

use super::act::{Act, Due, Form, ZERO};
use super::insert::Table;
use super::ledger::soon;
use super::{ServerError, Warehouse};

/// Rows that one mutation ends at most: the server holds a set of as many positions in memory.
pub const MOST_ROWS_A_STEP: u64 = 10_000_000;

/// How long ClickHouse may take to find the rows of one step.
const FINDS_WITHIN_S: &str = "3600";

const POSITION: &str =
    "kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index";

/// Rows of one table partition that are due.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct DuePart {
    /// The table partition.
    pub partition: String,
    /// Rows that are due, and kept by no hold.
    pub rows: u64,
    /// Rows that are due, and kept.
    pub held: u64,
}

/// Rows of both tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// Of `events`.
    pub event_rows: u64,
    /// Of `quarantine`.
    pub quarantined_rows: u64,
    /// Of both, kept by a hold.
    pub held_rows: u64,
}

impl Warehouse {
    /// The tenants there are rows of, those of `quarantine` included; empty for none known.
    pub async fn tenants_stored(&self) -> Result<Vec<String>, ServerError> {
        let sql = "SELECT DISTINCT toString(tenant) AS name FROM
                   (SELECT tenant FROM events UNION ALL SELECT tenant FROM quarantine) ORDER BY name";
        let query = self.client().query(sql).with_setting("max_execution_time", FINDS_WITHIN_S);
        query.fetch_all().await.map_err(|error| self.explain(error))
    }

    /// How many rows of each partition of a table are due.
    pub async fn due(&self, act: &Act, table: Table) -> Result<Vec<DuePart>, ServerError> {
        let sql = format!(
            "SELECT _partition_id AS partition, countIf(NOT is_held) AS rows, countIf(is_held) AS held FROM (
                 SELECT _partition_id, {} AS is_held FROM {} WHERE {})
             GROUP BY partition ORDER BY partition",
            Act::holds(table),
            table.name(),
            act.condition(table),
        );
        let query = unlogged(act.bind(table, self.client().query(&sql)));
        query.fetch_all().await.map_err(|error| self.explain(error))
    }

    /// Write down which rows of a partition end next; how many rows its step has by now, those of
    /// other tenants included. Those of one step end at once.
    pub async fn plan_retirement(
        &self,
        act: &Act,
        table: Table,
        partition: &str,
        step: u32,
        most_rows: u64,
    ) -> Result<u64, ServerError> {
        let (id, digest) = match table {
            Table::Quarantine => (ZERO, "SHA256(raw)".to_owned()),
            // A row that was redacted before has the digest of its bytes in its mark.
            _ => (
                "id",
                format!(
                    "if(retired_by = {ZERO}, SHA256(raw), toFixedString(unhex(substring(raw, 52, 64)), 32))"
                ),
            ),
        };
        let sql = format!(
            "INSERT INTO retired ({POSITION}, place, form, tenant, id, digest, retirement, step)
             SELECT {POSITION}, '{}', '{}', tenant, {id}, {digest}, toUUID(?), ? FROM {}
             WHERE {} AND _partition_id = ? AND NOT {} LIMIT ?",
            table.name(),
            act.form_in(table).as_str(),
            table.name(),
            act.condition(table),
            Act::holds(table),
        );
        let query = self.client().query(&sql).bind(act.id.to_string()).bind(step);
        let query = act.bind(table, query).bind(partition).bind(most_rows);
        let query = unlogged(query).with_setting("insert_deduplicate", "0");
        query.execute().await.map_err(|error| self.explain(error))?;
        let sql = "SELECT count() FROM retired WHERE retirement = toUUID(?) AND step = ?";
        self.answer(self.client().query(sql).bind(act.id.to_string()).bind(step)).await
    }

    /// End what a step has planned, and wait for it; how many rows a hold has kept meanwhile.
    /// `progress` is told how many parts of the table are still to be rewritten.
    pub async fn end_rows(
        &self,
        act: &Act,
        table: Table,
        partition: &str,
        step: u32,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, ServerError> {
        let planned = format!(
            "({POSITION}) IN (SELECT {POSITION} FROM retired WHERE retirement = toUUID('{}') AND step = {step})",
            act.id
        );
        let form = act.form_in(table);
        let (verb, sets) = match form {
            Form::Deleted => ("DELETE", String::new()),
            Form::Redacted => ("UPDATE", act.redaction()),
        };
        let sql = format!(
            "ALTER TABLE {} {verb} {sets} IN PARTITION ID ? WHERE {planned} AND NOT {}",
            table.name(),
            Act::holds(table)
        );
        let query = self.client().query(&sql).bind(partition).with_setting("mutations_sync", "0");
        soon(query.execute()).await.map_err(|error| self.explain(error))?;
        while let Some(parts) = self.parts_to_rewrite(table, act.id).await? {
            progress(parts);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        progress(0);
        let stays = match form {
            Form::Deleted => "1".to_owned(),
            Form::Redacted => format!("retired_by = {ZERO}"),
        };
        let sql = format!(
            "SELECT count() FROM {} WHERE _partition_id = ? AND {planned} AND {stays}",
            table.name()
        );
        self.answer(self.client().query(&sql).bind(partition)).await
    }

    /// Parts that mutations of an act have yet to rewrite; `None` when they are done.
    async fn parts_to_rewrite(&self, table: Table, act: Uuid) -> Result<Option<u64>, ServerError> {
        let sql = "SELECT count(), toUInt64(sum(parts_to_do)), max(latest_fail_reason)
                   FROM system.mutations
                   WHERE database = ? AND table = ? AND NOT is_done AND position(command, ?) > 0";
        let query = self.client().query(sql).bind(self.database()).bind(table.name());
        let asked = soon(query.bind(act.to_string()).fetch_one::<(u64, u64, String)>());
        let (mutations, parts, failure) = asked.await.map_err(|error| self.explain(error))?;
        if mutations > 0 && !failure.is_empty() {
            let what = format!(
                "the mutation of {} for {act} fails: {failure}; ClickHouse goes on trying: mend the \
                 cause, or end it with KILL MUTATION, and ask again",
                table.name()
            );
            return Err(self.explain(Error::Custom(what)));
        }
        Ok((mutations > 0).then_some(parts))
    }

    /// Whether an act of anybody's is under way now, on any shard.
    pub async fn is_retiring(&self) -> Result<bool, ServerError> {
        let sql = "SELECT count() FROM system.mutations
                   WHERE database = ? AND NOT is_done AND position(command, 'retired') > 0";
        for shard in self.shards() {
            let query = shard.client().query(sql).bind(self.database());
            if shard.answer::<u64>(query).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Write down that an act begins, or is done.
    pub async fn record_act(
        &self,
        act: &Act,
        standing: &str,
        ended: Ended,
    ) -> Result<(), ServerError> {
        let sql = "INSERT INTO retirements (id, kind, standing, tenant, before, subject_sha256, form, reason,
                       acted_by, event_rows, quarantined_rows, held_rows)
                   SELECT toUUID(?), ?, ?, ?, fromUnixTimestamp64Micro(?, 'UTC'), ?, ?, ?, ?, ?, ?, ?";
        let before = if let Due::Before(before) = act.due { before } else { 0 };
        let query = self.client().query(sql).bind(act.id.to_string()).bind(act.kind());
        let query = query.bind(standing).bind(&act.tenant).bind(before).bind(act.subject_sha256());
        let query = query.bind(act.form.as_str()).bind(&act.reason).bind(&act.acted_by);
        let query = query.bind(ended.event_rows).bind(ended.quarantined_rows).bind(ended.held_rows);
        let query = query.with_setting("async_insert", "0");
        soon(query.execute()).await.map_err(|error| self.explain(error))
    }

    async fn answer<T>(&self, query: Query) -> Result<T, ServerError>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        let query = query.with_setting("max_execution_time", FINDS_WITHIN_S);
        query.fetch_one().await.map_err(|error| self.explain(error))
    }
}

/// The statement names a subject; it must not outlive its rows in the query log.
fn unlogged(query: Query) -> Query {
    query.with_setting("log_queries", "0").with_setting("max_execution_time", FINDS_WITHIN_S)
}
