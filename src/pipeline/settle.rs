//! Storing one batch: normalise, columns, insert, and when the outcome is unclear, read back first.
//!
//! In: a batch whose intent is remembered. Out: its rows in `events` and `quarantine`, its row in
//! `batches`, and a [`Settled`].
//!
//! # Invariants
//! - Nothing is given up: storing is tried again, with backoff and jitter, until it succeeds or the
//!   partition is somebody else's.
//! - Events go before quarantine rows, these before their copies, these before the row in
//!   `batches`, and all of them before the batch counts as settled.
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
use super::columns::{Columns, Known, Place, Rows, columns};
use super::letter::Post;
use super::limits::ClosedBy;
use super::{LONGEST_DELAY, fault, patience, poison};
use crate::event::{LogId, OffsetRange, PartitionId};
use crate::schema::Normaliser;
use crate::telemetry::{Health, Metrics};
use crate::warehouse::block::BlockError;
use crate::warehouse::{InsertError, Table, Token, Warehouse};

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
    /// Takes copies of what is quarantined, where they are wanted.
    pub post: Option<Post>,
    /// One permit: the batch whose copies are on their way.
    pub posting: Semaphore,
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

/// What the tries at a batch have come to.
#[derive(Debug, Default)]
pub struct Course {
    /// Rows that ClickHouse refuses, with its words.
    refused: BTreeMap<Place, String>,
    /// Clean repairs.
    repairs: u32,
    /// Rows that are stored by us.
    rows: Rows,
    /// Whether what is quarantined is copied.
    pub copied: bool,
}

impl Settler {
    /// Store a batch.
    pub async fn settle(self: Arc<Self>, job: Job) -> Result<Settled, SettleError> {
        let timer = self.metrics.batch_seconds.start_timer();
        let job = Arc::new(job);
        // Works again when this ends, also where it is given up.
        let part = self.health.part(format!("inserts of {}", job.partition()));
        let mut delays = patience().build();
        let mut course = Course::default();
        let (mut look_first, mut outcome) = (job.made_again, "clean");
        loop {
            let tried = match look_first {
                false => self.first(&job, &mut course).await,
                true => self.again(&job, &mut course).await,
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
                let found = self.find_refused(&job, why, &mut course.refused).await?;
                if found > 0 {
                    // Nothing to wait for: it is another block now.
                    course.rows.refuse(found);
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
        let Course { rows, .. } = course;
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
    async fn first(&self, job: &Arc<Job>, course: &mut Course) -> Result<(), Trouble> {
        let permit = self.permits.acquire().await;
        let mut columns = job.columns(Known::default()).await?;
        // Whatever becomes of this try, in the end all of them are stored, and by us.
        course.rows.add(&columns.rows);
        self.send(&job.token(), &mut columns).await?;
        drop(permit);
        let facts = columns.facts;
        self.copy(job, facts.quarantined_rows, course).await?;
        self.record(job, &facts).await
    }

    /// Any other try: only what is not there.
    async fn again(&self, job: &Arc<Job>, course: &mut Course) -> Result<(), Trouble> {
        let permit = self.permits.acquire().await;
        let mut stored = self.missing(job, &course.refused).await?;
        let mut left = 0;
        if !stored.is_empty() {
            self.send(&job.token(), &mut stored).await?;
            if job.made_again {
                course.rows.add(&stored.rows);
            }
            let mut missing = self.missing(job, &course.refused).await?;
            if !missing.is_empty() {
                // Its own token lets them through no more: it was planted, and they were deleted
                // since. Every owner counts its repairs from 0, and goes on only after a clean one:
                // so an unclear one that arrives late is swallowed too.
                let repair = format!("r{}", course.repairs);
                self.send(&job.token().part(&repair), &mut missing).await?;
                course.repairs += 1;
                let missing = self.missing(job, &course.refused).await?;
                left = missing.rows.total();
            }
        }
        drop(permit);
        if left > 0 {
            let why = format!("{left} rows are not there after a clean insert; is there a TTL?");
            return Err(InsertError::Retry(why).into());
        }
        self.record_found(job, &stored.facts, course).await
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
        match poison::find(self.warehouse.shard_of(&job.log), job, refused).await {
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
