//! Storing one batch: normalise, columns, insert, again until it is there.
//!
//! In: a closed [`Batch`]. Out: its rows in `events` and `quarantine`, and a [`Settled`].
//!
//! # Invariants
//! - Nothing is given up: an insert that fails is repeated, with backoff and jitter and under the
//!   same token, until it succeeds or the process ends.
//! - Events go before quarantine rows, and both before the batch counts as settled.
//! - The columns of at most `pipeline.inserts_in_flight` batches exist at a time.
//!
//! Deliberately unknown here: Kafka, commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bumpalo::Bump;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::batch::Batch;
use super::lane::ClosedBy;
use crate::event::{Fate, OffsetRange, PartitionId, Position, id};
use crate::schema::Normaliser;
use crate::source::Assignment;
use crate::telemetry::{Health, Metrics};
use crate::warehouse::block::{BlockError, EventBlock, QuarantineBlock};
use crate::warehouse::{Table, Token, Warehouse};

/// The part of readiness that inserts stand for.
const PART: &str = "clickhouse inserts";

/// What storing needs; shared by all lanes.
pub struct Settler {
    /// Where to.
    pub warehouse: Warehouse,
    /// Counted here.
    pub metrics: Metrics,
    /// Told while inserts fail.
    pub health: Health,
    /// One permit a batch in columns.
    pub permits: Semaphore,
}

/// A batch that is to be stored.
pub struct Job {
    /// Its partition's assignment.
    pub assignment: Assignment,
    /// How its records are read.
    pub normaliser: Arc<Normaliser>,
    /// Its records.
    pub batch: Batch,
    /// Its offsets.
    pub range: OffsetRange,
    /// What closed it.
    pub closed_by: ClosedBy,
}

/// A batch that is stored.
#[derive(Debug)]
pub struct Settled {
    /// Its partition.
    pub partition: PartitionId,
    /// Its offsets.
    pub range: OffsetRange,
    /// Its records.
    pub records: usize,
    /// Bytes of records it held.
    pub bytes: usize,
}

/// A batch in columns.
struct Columns {
    events: Option<Bytes>,
    event_rows: usize,
    quarantine: Option<Bytes>,
    quarantined: BTreeMap<&'static str, u64>,
}

impl Settler {
    /// Store a batch.
    pub async fn settle(self: Arc<Self>, job: Job) -> Result<Settled, SettleError> {
        let timer = self.metrics.batch_seconds.start_timer();
        // INVARIANT: the semaphore lives as long as this and is never closed.
        let permit = self.permits.acquire().await;
        let Job { assignment, normaliser, batch, range, closed_by } = job;
        let settled = Settled {
            partition: assignment.partition.clone(),
            range,
            records: batch.len(),
            bytes: batch.bytes(),
        };
        let Assignment { cluster, incarnation, partition, .. } = &assignment;
        let token = Token::of(cluster, incarnation, partition, range);
        let columns = {
            let assignment = assignment.clone();
            // The batch is dropped in there: its bytes live on only in the columns.
            tokio::task::spawn_blocking(move || columns(&batch, &normaliser, &assignment))
                .await
                .map_err(|_| SettleError::Panicked(token.clone()))?
                .map_err(|error| SettleError::Columns(token.clone(), error))?
        };
        if let Some(block) = columns.events {
            self.insert(Table::Events, &token, block).await;
        }
        if let Some(block) = columns.quarantine {
            self.insert(Table::Quarantine, &token, block).await;
        }
        drop(permit);
        timer.observe_duration();
        self.metrics.batch_records.observe(settled.records as f64);
        self.metrics.batches.with_label_values(&[closed_by.as_str()]).inc();
        let topic = &*settled.partition.topic;
        self.metrics.events.with_label_values(&[topic]).inc_by(columns.event_rows as u64);
        for (reason, rows) in columns.quarantined {
            self.metrics.quarantined.with_label_values(&[reason]).inc_by(rows);
        }
        Ok(settled)
    }

    async fn insert(&self, table: Table, token: &Token, block: Bytes) {
        let backoff = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(10))
            .with_jitter()
            .without_max_times();
        let mut delays = backoff.build();
        while let Err(error) = self.warehouse.insert(table, token, block.clone()).await {
            self.metrics.insert_retries.inc();
            self.health.fails(PART, error.to_string());
            let delay = delays.next().unwrap_or(Duration::from_secs(10));
            let delay_ms = delay.as_millis() as u64;
            tracing::warn!(%token, ?table, delay_ms, %error, "insert failed; trying again");
            tokio::time::sleep(delay).await;
        }
        self.health.works(PART);
    }
}

/// Every record of a batch to its fate, and the fates to columns.
fn columns(
    batch: &Batch,
    normaliser: &Normaliser,
    assignment: &Assignment,
) -> Result<Columns, BlockError> {
    let mut events = EventBlock::default();
    let mut rejections = QuarantineBlock::default();
    let mut quarantined = BTreeMap::new();
    let mut arena = Bump::new();
    for record in batch.records() {
        let mut result = Ok(());
        // A Kafka timestamp that is absent or absurd: the epoch.
        let received_at = record.timestamp.filter(|at| (0..MAX_MICROS).contains(at)).unwrap_or(0);
        normaliser.normalise(&record, &arena, |index, fate| {
            let position = Position {
                cluster: &assignment.cluster,
                topic: &assignment.partition.topic,
                incarnation: &assignment.incarnation,
                partition: assignment.partition.partition,
                offset: record.offset,
                index,
            };
            let pushed = match fate {
                Fate::Event(event) => {
                    let digest = id::digest(event.raw.as_bytes());
                    let id = id::derive(event, &position, &digest);
                    events.push(event, id, &position, received_at)
                }
                Fate::Quarantine(why) => {
                    *quarantined.entry(why.reason.code()).or_insert(0) += 1;
                    rejections.push(&why, record.key, record.headers, &position, received_at)
                }
                Fate::Skip { .. } => Ok(()),
            };
            if let Err(error) = pushed {
                result = Err(error);
            }
        });
        result?;
        arena.reset();
    }
    let event_rows = events.rows();
    let events = if event_rows > 0 { Some(events.encode()?) } else { None };
    let quarantine = if rejections.rows() > 0 { Some(rejections.encode()?) } else { None };
    Ok(Columns { events, event_rows, quarantine, quarantined })
}

/// 2262-01-01 in microseconds: the last year ClickHouse holds in 64-bit nanoseconds.
const MAX_MICROS: i64 = 9_214_646_400_000_000;

/// A batch that cannot become rows: a defect of ours, which must end the run rather than skip it.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Normalising panicked.
    #[error("normalising {0} panicked; the log has the place")]
    Panicked(Token),
    /// The rows do not fit.
    #[error("{0}: {1}; lower pipeline.batch_records")]
    Columns(Token, BlockError),
}
