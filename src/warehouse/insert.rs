//! Writing one block under its token.
//!
//! In: a table, a [`Token`], the bytes of a block. Out: stored, or an [`InsertError`] that says
//! whether the same insert may be sent again.
//!
//! # Invariants
//! - One block, one INSERT, one token: ClickHouse takes the block whole or not at all for each
//!   table partition, and swallows a repeat. The settings that could split a block are raised
//!   above any batch.
//! - The token names the offsets and nothing of the mappings: a batch made again after a crash
//!   carries the same one.
//!
//! Deliberately unknown here: how often to try.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::Warehouse;
use crate::event::{OffsetRange, PartitionId};

/// How long ClickHouse may take over one block before the outcome counts as unknown.
const INSERT_TIMEOUT: Duration = Duration::from_secs(120);
/// How long sending one chunk may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Sent at a time; the whole block is in memory anyway.
const CHUNK_BYTES: usize = 1 << 20;

/// Where a block goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Normalised events.
    Events,
    /// What could not be normalised.
    Quarantine,
}

/// The name of a block, by which ClickHouse knows a repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token of a batch's events.
    pub fn of(
        cluster: &str,
        incarnation: &str,
        partition: &PartitionId,
        range: OffsetRange,
    ) -> Token {
        let PartitionId { topic, partition } = partition;
        Token(format!("{cluster}/{topic}/{incarnation}/{partition}/{range}"))
    }

    /// The token of the same batch's block in a table.
    fn in_table(&self, table: Table) -> String {
        match table {
            Table::Events => self.0.clone(),
            Table::Quarantine => format!("{}/q", self.0),
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a block may not be stored.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// It may or may not have been stored, or ClickHouse cannot take it now: send the same again.
    #[error("{0}")]
    Retry(String),
}

impl Warehouse {
    /// Store a block; a repeat under the same token changes nothing.
    pub async fn insert(
        &self,
        table: Table,
        token: &Token,
        block: Bytes,
    ) -> Result<(), InsertError> {
        let sql = match table {
            Table::Events => "INSERT INTO events FORMAT ArrowStream",
            Table::Quarantine => "INSERT INTO quarantine FORMAT ArrowStream",
        };
        let token = token.in_table(table);
        let mut insert = self
            .client()
            .insert_formatted_with(sql)
            .with_timeouts(Some(SEND_TIMEOUT), Some(INSERT_TIMEOUT))
            .with_setting("query_id", token.as_str())
            .with_setting("insert_deduplication_token", token.as_str())
            .with_setting("insert_deduplicate", "1")
            .with_setting("async_insert", "0")
            .with_setting("max_insert_threads", "1")
            .with_setting("input_format_parallel_parsing", "0")
            .with_setting("max_insert_block_size", "100000000")
            .with_setting("min_insert_block_size_rows", "100000000")
            .with_setting("min_insert_block_size_bytes", "10000000000")
            // A backfill may span more months than the default of 100 table partitions.
            .with_setting("max_partitions_per_insert_block", "0");
        let mut rest = block;
        while !rest.is_empty() {
            let chunk = rest.split_to(rest.len().min(CHUNK_BYTES));
            insert.send(chunk).await.map_err(retry)?;
        }
        insert.end().await.map_err(retry)
    }
}

/// The next issue tells poison and refusals from faults that pass; until then nothing is given up.
fn retry(error: clickhouse::error::Error) -> InsertError {
    InsertError::Retry(error.to_string())
}
