//! Storing one batch: normalise, columns, insert, and when the outcome is unclear, read back first.
//!
//! In: a batch whose intent is remembered. Out: its rows in `events` and `quarantine`, its row in
//! `batches`, and a [`Settled`].
//!
//! # Invariants
//! - Nothing is given up: storing is tried again, with backoff and jitter, until it succeeds or the
//!   partition is somebody else's.
//! - Events go before quarantine rows, these before the row in `batches`, and all of them before
//!   the batch counts as settled.
//! - After a failure, and for a batch that may have been stored before, only positions that are not
//!   there are inserted: first under the batch's own token, which plants it wherever it is missing,
//!   so that a late first try is swallowed; what is missing then, under a token of its own.
//! - Columns of at most `pipeline.inserts_in_flight` batches exist at a time. A batch that waits to
//!   be tried again keeps none.
//!
//! Deliberately unknown here: Kafka, commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use backon::BackoffBuilder as _;
use tokio::sync::Semaphore;

use super::batch::Batch;
use super::columns::{Columns, Facts, Known, Place, Rows, columns};
use super::fault;
use super::limits::ClosedBy;
use super::{LONGEST_DELAY, patience, poison};
use crate::event::{LogId, OffsetRange, PartitionId};
use crate::schema::Normaliser;
use crate::telemetry::{Health, Metrics};
use crate::warehouse::block::BlockError;
use crate::warehouse::{BatchRow, InsertError, Table, Token, Warehouse};

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
    /// The log it is of.
    pub log: LogId,
    /// Tells this assignment of the partition from an earlier one.
    pub generation: u64,
    /// How its records are read.
    pub normaliser: Arc<Normaliser>,
    /// Its records.
    pub batch: Batch,
    /// Its offsets.
    pub range: OffsetRange,
    /// What closed it.
    pub closed_by: ClosedBy,
    /// Whether some of it may be stored already.
    pub made_again: bool,
}

impl Job {
    /// Its token.
    pub fn token(&self) -> Token {
        Token::of(&self.log, self.range)
    }

    /// Its partition.
    pub fn partition(&self) -> PartitionId {
        PartitionId { topic: Arc::clone(&self.log.topic), partition: self.log.partition }
    }

    /// Its columns, without what is known to be stored.
    pub async fn columns(self: &Arc<Self>, known: Known) -> Result<Columns, Trouble> {
        let job = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || {
            columns(&job.batch, &job.normaliser, &job.log, &known)
        });
        let made = made.await.map_err(|_| Trouble::Defect(SettleError::Panicked(self.token())))?;
        made.map_err(|error| Trouble::Defect(SettleError::Columns(self.token(), error)))
    }
}

/// A batch that is stored.
#[derive(Debug)]
pub struct Settled {
    /// Its partition.
    pub partition: PartitionId,
    /// Tells this assignment of the partition from an earlier one.
    pub generation: u64,
    /// Its offsets.
    pub range: OffsetRange,
    /// Its records.
    pub records: u64,
    /// Rows inserted into `events`.
    pub event_rows: u64,
    /// Rows inserted into `quarantine`.
    pub quarantined_rows: u64,
}

impl Settler {
    /// Store a batch.
    pub async fn settle(self: Arc<Self>, job: Job) -> Result<Settled, SettleError> {
        let timer = self.metrics.batch_seconds.start_timer();
        let job = Arc::new(job);
        // Works again when this ends, also where it is given up.
        let part = self.health.part(format!("inserts of {}", job.partition()));
        let mut delays = patience().build();
        let mut refused = BTreeMap::new();
        let mut repair = 0;
        let mut rows = Rows::default();
        let (mut look_first, mut outcome) = (job.made_again, "clean");
        loop {
            let tried = match look_first {
                false => self.first(&job, &mut rows).await,
                true => self.again(&job, &refused, &mut repair, &mut rows).await,
            };
            let error = match tried {
                Ok(()) => break,
                Err(Trouble::Defect(defect)) => return Err(defect),
                Err(Trouble::Insert(error)) => error,
            };
            (look_first, outcome) = (true, "read_back");
            self.metrics.insert_retries.inc();
            part.fails(error.to_string());
            if let InsertError::Poison(why) = &error {
                let found = self.find_refused(&job, why, &mut refused).await?;
                if found > 0 {
                    // Nothing to wait for: it is another block now.
                    rows.refuse(found);
                    continue;
                }
            }
            let delay = delays.next().unwrap_or(LONGEST_DELAY);
            let (token, delay_ms) = (job.token(), delay.as_millis() as u64);
            match error {
                InsertError::Retry(why) => {
                    tracing::warn!(%token, delay_ms, why, "unclear whether it is stored: looking, then again");
                }
                error => tracing::error!(%token, delay_ms, %error, "refused; trying again"),
            }
            tokio::time::sleep(delay).await;
        }
        timer.observe_duration();
        self.count(&job, &rows, outcome);
        Ok(Settled {
            partition: job.partition(),
            generation: job.generation,
            range: job.range,
            records: job.batch.len() as u64,
            event_rows: rows.events,
            quarantined_rows: rows.quarantined.values().sum(),
        })
    }

    /// The first try: all of it, and nothing is asked.
    async fn first(&self, job: &Arc<Job>, rows: &mut Rows) -> Result<(), Trouble> {
        let _permit = self.permits.acquire().await;
        let mut columns = job.columns(Known::default()).await?;
        // Whatever becomes of this try, in the end all of them are stored, and by us.
        rows.add(&columns.rows);
        self.send(&job.token(), &mut columns).await?;
        self.record(job, &columns.facts).await
    }

    /// Any other try: only what is not there.
    async fn again(
        &self,
        job: &Arc<Job>,
        refused: &BTreeMap<Place, String>,
        repair: &mut u32,
        rows: &mut Rows,
    ) -> Result<(), Trouble> {
        let _permit = self.permits.acquire().await;
        let mut stored = self.missing(job, refused).await?;
        let mut left = 0;
        if !stored.is_empty() {
            self.send(&job.token(), &mut stored).await?;
            if job.made_again {
                rows.add(&stored.rows);
            }
            let mut missing = self.missing(job, refused).await?;
            if !missing.is_empty() {
                // Its own token lets them through no more: it was planted, and they were deleted
                // since. Every owner counts its repairs from 0, and goes on only after a clean one:
                // so an unclear one that arrives late is swallowed too.
                self.send(&job.token().part(&format!("r{repair}")), &mut missing).await?;
                *repair += 1;
                let missing = self.missing(job, refused).await?;
                left = missing.rows.total();
            }
        }
        if left > 0 {
            let why = format!("{left} rows are not there after a clean insert; is there a TTL?");
            return Err(InsertError::Retry(why).into());
        }
        self.record_found(job, &stored.facts).await
    }

    /// Columns of what is not there.
    async fn missing(
        &self,
        job: &Arc<Job>,
        refused: &BTreeMap<Place, String>,
    ) -> Result<Columns, Trouble> {
        let found = self.warehouse.stored(&job.log, job.range).await.map_err(InsertError::from)?;
        let stored = found.into_iter().collect();
        job.columns(Known { stored, refused: refused.clone(), within: None }).await
    }

    /// How many rows were found that ClickHouse refuses.
    async fn find_refused(
        &self,
        job: &Arc<Job>,
        why: &str,
        refused: &mut BTreeMap<Place, String>,
    ) -> Result<u64, SettleError> {
        let _permit = self.permits.acquire().await;
        let known = refused.len();
        match poison::find(&self.warehouse, job, refused).await {
            Ok(()) if refused.len() > known => return Ok((refused.len() - known) as u64),
            Ok(()) => tracing::error!(token = %job.token(), why, "no row alone is refused"),
            Err(Trouble::Insert(error)) => {
                tracing::warn!(token = %job.token(), %error, "looking for the refused row");
            }
            Err(Trouble::Defect(defect)) => return Err(defect),
        }
        Ok(0)
    }

    async fn send(&self, token: &Token, columns: &mut Columns) -> Result<(), Trouble> {
        fault::point("insert::before_events");
        if let Some(block) = columns.events.take() {
            self.warehouse.insert(Table::Events, token, block).await?;
        }
        fault::point("insert::after_events");
        if let Some(block) = columns.quarantine.take() {
            self.warehouse.insert(Table::Quarantine, token, block).await?;
        }
        fault::point("insert::after_quarantine");
        Ok(())
    }

    /// The batch's row, of what was sent.
    async fn record(&self, job: &Job, facts: &Facts) -> Result<(), Trouble> {
        let row = BatchRow {
            event_rows: facts.event_rows,
            quarantined_rows: facts.quarantined_rows,
            skipped: facts.skipped.clone(),
            mapping_versions: facts.mapping_versions.clone(),
            digest: facts.digest,
            ..batch_row(job)
        };
        self.warehouse.add_batch(&job.token(), &row).await?;
        fault::point("insert::after_batches");
        Ok(())
    }

    /// The batch's row, of what is there.
    async fn record_found(&self, job: &Job, facts: &Facts) -> Result<(), Trouble> {
        let found = self.warehouse.summary(&job.log, job.range).await.map_err(InsertError::from)?;
        if found.batches > 0 {
            return Ok(());
        }
        let row = BatchRow {
            event_rows: found.event_rows,
            quarantined_rows: found.quarantined_rows,
            skipped: facts.skipped.clone(),
            mapping_versions: found.mapping_versions,
            digest: found.digest,
            ..batch_row(job)
        };
        Ok(self.warehouse.add_batch(&job.token(), &row).await?)
    }

    fn count(&self, job: &Job, rows: &Rows, outcome: &str) {
        let metrics = &self.metrics;
        metrics.batch_records.observe(job.batch.len() as f64);
        metrics.batches.with_label_values(&[job.closed_by.as_str(), outcome]).inc();
        metrics.events.with_label_values(&[&*job.log.topic]).inc_by(rows.events);
        for (reason, rows) in &rows.quarantined {
            metrics.quarantined.with_label_values(&[reason]).inc_by(*rows);
        }
    }
}

fn batch_row(job: &Job) -> BatchRow {
    BatchRow {
        kafka_cluster: job.log.cluster.to_string(),
        kafka_topic: job.log.topic.to_string(),
        kafka_incarnation: job.log.incarnation.to_string(),
        kafka_partition: job.log.partition,
        first_offset: job.range.first,
        last_offset: job.range.last,
        event_rows: 0,
        quarantined_rows: 0,
        skipped: Vec::new(),
        empty_ranges: job.batch.holes().iter().map(|hole| (hole.first, hole.last)).collect(),
        mapping_versions: Vec::new(),
        token: job.token().to_string(),
        digest: [0; 32],
    }
}

/// Why a try did not store the batch.
#[derive(Debug)]
pub enum Trouble {
    /// ClickHouse, or the way to it.
    Insert(InsertError),
    /// Ourselves.
    Defect(SettleError),
}

impl From<InsertError> for Trouble {
    fn from(error: InsertError) -> Trouble {
        Trouble::Insert(error)
    }
}

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

#[cfg(test)]
mod tests;
