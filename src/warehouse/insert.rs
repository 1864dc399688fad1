//! Writing one block under its token, while it is made.
//!
//! In: a table, a [`Token`], who makes the rows. Out: stored, or an [`InsertError`].
//!
//! # Invariants
//! - One block, one INSERT, one token: ClickHouse takes the block whole or not at all for each
//!   table partition, and swallows a repeat. The settings that could split a block are raised
//!   above any batch.
//! - The token names the offsets and nothing of the mappings: a batch made again after a crash
//!   carries the same one.
//! - A block goes to its log's shard, past the Distributed table.
//! - The query id is the token without what tells repairs apart: ClickHouse runs one statement of
//!   that name at a time (error 216), so a repair cannot overtake a try that still runs.
//!
//! Deliberately unknown here: how often to try.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::insert_formatted::InsertFormatted;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Warehouse;
use super::block::Stream;
use super::cluster::slot;
use super::outcome::InsertError;
use crate::event::{LogId, OffsetRange};

/// How long ClickHouse may take over one block before the outcome counts as unknown.
const INSERT_TIMEOUT: Duration = Duration::from_secs(120);
/// How long sending one chunk may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Encoded and sent at a time, at most.
const MOST_CHUNK_BYTES: usize = 1 << 20;
/// Chunks that wait to be sent.
const CHUNKS: usize = 2;

/// Where a block goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Normalised events.
    Events,
    /// What could not be normalised.
    Quarantine,
    /// What was stored as a whole.
    Batches,
    /// What was lost before it could be read.
    Gaps,
    /// Which quarantined row is replayed where.
    Replays,
}

impl Table {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Table::Events => "events",
            Table::Quarantine => "quarantine",
            Table::Batches => "batches",
            Table::Gaps => "gaps",
            Table::Replays => "replays",
        }
    }
}

/// The name of a block, by which ClickHouse knows a repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// By which its log's shard is found.
    slot: u64,
    batch: String,
    part: String,
}

impl Token {
    /// The token of a batch.
    pub fn of(log: &LogId, range: OffsetRange) -> Token {
        Token { slot: slot(log), batch: format!("{log}/{range}"), part: String::new() }
    }

    /// The token of another block of the same batch: of rows that its own token does not let through
    /// any more, for it was planted and they were deleted since.
    pub fn part(&self, name: &str) -> Token {
        Token { slot: self.slot, batch: self.batch.clone(), part: format!("/{name}") }
    }

    /// By which one statement of the batch's runs at a time.
    pub(super) fn query_id(&self, table: Table) -> String {
        let suffix = match table {
            Table::Events => "",
            Table::Quarantine => "/q",
            Table::Batches => "/b",
            Table::Gaps => "/g",
            Table::Replays => "/p",
        };
        format!("{}{suffix}", self.batch)
    }

    /// By which ClickHouse swallows a repeat.
    pub(super) fn deduplication(&self, table: Table) -> String {
        format!("{}{}", self.query_id(table), self.part)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.deduplication(Table::Events))
    }
}

impl Warehouse {
    /// Store what is made in slices of so many bytes, as one block; a repeat under the same token changes
    /// nothing. Where nothing is made, nothing is sent.
    pub async fn insert<T: Send + 'static, E: From<InsertError> + Send + 'static>(
        &self,
        table: Table,
        token: &Token,
        slice_bytes: usize,
        make: impl FnOnce(&mut RowStream) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let sql = format!("INSERT INTO {} FORMAT ArrowStream", table.name());
        send(self.under(table, token).insert_formatted_with(sql), slice_bytes, make).await
    }

    /// Try rows on an empty table that is like `events`, and drop it: whether ClickHouse would take
    /// them. The table is named by `trial`.
    pub async fn try_events<T: Send + 'static, E: From<InsertError> + Send + 'static>(
        &self,
        trial: &str,
        slice_bytes: usize,
        make: impl FnOnce(&mut RowStream) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let client = one_block(self.client()).with_setting("insert_deduplicate", "0");
        let sql = format!("INSERT INTO `{trial}` FORMAT ArrowStream");
        send(client.insert_formatted_with(sql), slice_bytes, make).await
    }

    /// A client whose inserts go as one block under a token.
    pub(super) fn under(&self, table: Table, token: &Token) -> Client {
        let shard = self.at(token.slot);
        let client = one_block(shard.client())
            .with_setting("query_id", token.query_id(table))
            .with_setting("insert_deduplication_token", token.deduplication(table))
            .with_setting("insert_deduplicate", "1");
        if shard.is_replicated { quorum(client) } else { client }
    }

    /// Make the table for [`Warehouse::try_events`].
    pub async fn begin_trial(&self, trial: &str) -> Result<(), InsertError> {
        self.end_trial(trial).await?;
        // With an engine of its own: one that is replicated has its path in Keeper.
        let sql = format!(
            "CREATE TABLE `{trial}` AS events ENGINE = MergeTree \
             PARTITION BY toYYYYMM(occurred_at) ORDER BY (tenant, occurred_at, id)"
        );
        Ok(self.run(&sql).await?)
    }

    /// Drop the table of [`Warehouse::begin_trial`].
    pub async fn end_trial(&self, trial: &str) -> Result<(), InsertError> {
        Ok(self.run(&format!("DROP TABLE IF EXISTS `{trial}` SYNC")).await?)
    }
}

/// Nothing splits a block, and an insert that has returned is done.
fn one_block(client: &Client) -> Client {
    client
        .clone()
        .with_setting("async_insert", "0")
        .with_setting("max_insert_threads", "1")
        .with_setting("input_format_parallel_parsing", "0")
        .with_setting("max_insert_block_size", "100000000")
        .with_setting("min_insert_block_size_rows", "100000000")
        .with_setting("min_insert_block_size_bytes", "10000000000")
        // Blocks get their tokens once slices are put together, not one a slice: what is sent late, cut
        // otherwise, would be let through in part.
        .with_setting("use_strict_insert_block_limits", "1")
        // A backfill may span more months than the default of 100 table partitions.
        .with_setting("max_partitions_per_insert_block", "0")
}

/// A block counts as stored when most replicas of its shard have it, in any order of blocks.
fn quorum(client: Client) -> Client {
    client
        .with_setting("insert_quorum", "auto")
        .with_setting("insert_quorum_parallel", "1")
        .with_setting("insert_quorum_timeout", (INSERT_TIMEOUT.as_millis() / 2).to_string())
}

/// Where what is made goes, slice by slice.
pub type RowStream = Stream<BufWriter<Chunks>>;

/// What a thread has made; it panics where that did.
pub async fn made<T, E: From<InsertError>>(making: JoinHandle<Result<T, E>>) -> Result<T, E> {
    match making.await {
        Ok(made) => made,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(InsertError::Retry("the process stops".to_owned()).into()),
        },
    }
}

/// One thread makes and encodes while the connection takes what it has encoded before. What waits,
/// with what is being filled and what is being sent, is one slice.
async fn send<T: Send + 'static, E: From<InsertError> + Send + 'static>(
    insert: InsertFormatted,
    slice_bytes: usize,
    make: impl FnOnce(&mut RowStream) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let mut insert = insert.with_timeouts(Some(SEND_TIMEOUT), Some(INSERT_TIMEOUT));
    let chunk_bytes = (slice_bytes / (CHUNKS + 2)).clamp(1, MOST_CHUNK_BYTES);
    let (out, mut chunks) = mpsc::channel(CHUNKS);
    let making = tokio::task::spawn_blocking(move || {
        let mut rows =
            Stream::new(BufWriter::with_capacity(chunk_bytes, Chunks { out, chunk_bytes }));
        let made = make(&mut rows)?;
        rows.finish().map_err(|error| InsertError::Retry(error.to_string()))?;
        Ok::<T, E>(made)
    });
    let (mut sent, mut is_begun) = (Ok(()), false);
    while let Some(chunk) = chunks.recv().await {
        is_begun = true;
        sent = insert.send(chunk).await;
        if sent.is_err() {
            break;
        }
    }
    // Whoever makes rows that nobody takes is told so, and ends.
    drop(chunks);
    let made = made(making).await;
    sent.map_err(InsertError::from)?;
    // What is not ended is not stored.
    let made = made?;
    if is_begun {
        insert.end().await.map_err(InsertError::from)?;
    }
    Ok(made)
}

/// Where chunks go that are to be sent.
pub struct Chunks {
    out: mpsc::Sender<Bytes>,
    chunk_bytes: usize,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(self.chunk_bytes)];
        // The receiver is gone when the insert has failed.
        let sent = self.out.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
