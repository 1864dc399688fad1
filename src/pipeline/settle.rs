//! Storing one batch: normalise, columns, insert, all at once, and when the outcome is unclear, read back first.
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
//! - Of at most `pipeline.inserts_in_flight` batches columns exist at a time, a slice of each.
//!
//! Deliberately unknown here: Kafka, commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::BackoffBuilder as _;
use rustc_hash::FxHashSet;
use tokio::sync::{Semaphore, SemaphorePermit};

use self::count::tell;
pub use self::job::Job;
use super::columns::{Facts, Known, Made, Rows, events, quarantine};
use super::letter::Post;
use super::limits::{slice_bytes, slots};
use super::{LONGEST_DELAY, PipelineConfig, fault, patience};
use crate::event::{OffsetRange, PartitionId, Place};
use crate::telemetry::{BatchSpan, Health, PipelineMetrics, Seldom};
use crate::warehouse::block::BlockError;
use crate::warehouse::{InsertError, RowStream, Table, Token, Warehouse};

/// What storing needs; shared by all lanes.
pub struct Settler {
    /// Where to.
    pub warehouse: Warehouse,
    /// Counted here.
    pub metrics: PipelineMetrics,
    /// Told while inserts fail.
    pub health: Health,
    /// How long they may fail until that shows.
    pub patience: Duration,
    /// Limits.
    pub config: PipelineConfig,
    /// One permit a batch in columns, more for one with a long row.
    pub permits: Semaphore,
    /// Takes copies of what is quarantined, where they are wanted.
    pub post: Option<Post>,
    /// One permit: the batch whose copies are on their way.
    pub posting: Semaphore,
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
    /// Elements that rules leave out.
    pub skipped: u64,
}

/// What the tries at a batch have come to.
#[derive(Debug, Default)]
pub struct Course {
    /// Rows that ClickHouse refuses, with its words.
    pub refused: BTreeMap<Place, String>,
    /// Records that would swell the batch.
    pub swollen: FxHashSet<i64>,
    /// Clean repairs.
    repairs: u32,
    /// Rows that are stored by us, of a batch that is made again.
    rows: Rows,
    /// Elements that rules leave out, by schema and rule.
    skipped: Vec<(String, String, u64)>,
    /// Whether some of it was sent after it was looked for.
    sent_again: bool,
    /// Whether what is quarantined is copied.
    pub copied: bool,
    /// Its span.
    span: BatchSpan,
}

impl Course {
    /// What is known of the batch's rows, beside these.
    pub fn known(&self, stored: FxHashSet<Place>) -> Known {
        let (refused, swollen) = (self.refused.clone(), self.swollen.clone());
        Known { stored, refused, swollen, within: None }
    }
}

impl Settler {
    /// Store a batch.
    pub async fn settle(self: Arc<Self>, job: Job) -> Result<Settled, SettleError> {
        let timer = self.metrics.batch_seconds.start_timer();
        let job = Arc::new(job);
        // Works again when this ends, also where it is given up.
        let part = self.health.part(format!("inserts of {}", job.partition()), self.patience);
        let (mut delays, mut seldom) = (patience().build(), Seldom::default());
        let (mut course, mut tries) = (Course::of(&job), 1);
        let (mut look_first, mut outcome) = (job.made_again, "clean");
        let rows = loop {
            let tried = match look_first {
                false => self.first(&job, &mut course).await,
                true => self.again(&job, &mut course).await,
            };
            let error = match tried {
                Ok(rows) => break rows,
                Err(Trouble::Defect(defect)) => return Err(defect),
                Err(Trouble::Swollen(records)) => {
                    // Nothing to wait for: it is another block now.
                    course.swollen = records;
                    continue;
                }
                Err(Trouble::Insert(error)) => error,
            };
            (look_first, outcome, tries) = (true, "read_back", tries + 1);
            self.metrics.insert_retries.inc();
            self.metrics.inserts.with_label_values(&["failed"]).inc();
            part.fails(error.to_string());
            job.fails();
            if let InsertError::Poison(why) = &error
                && self.find_refused(&job, why, &mut course).await?
            {
                continue;
            }
            let delay = delays.next().unwrap_or(LONGEST_DELAY);
            if let Some(kept_back) = seldom.happened(Instant::now()) {
                tell(&job, &error, delay.as_millis() as u64, kept_back);
            }
            tokio::time::sleep(delay).await;
        };
        if tries > 1 {
            tracing::info!(partition = %job.partition(), range = %job.range, tries, "stored after all");
        }
        timer.observe_duration();
        self.count(&job, &course, &rows, outcome);
        Ok(Settled {
            partition: job.partition(),
            generation: job.generation,
            range: job.range,
            records: job.batch.len() as u64,
            event_rows: rows.event_rows(),
            quarantined_rows: rows.quarantined_rows(),
            skipped: course.skipped.iter().map(|(.., elements)| elements).sum(),
        })
    }

    /// What has to be waited for before a batch becomes columns.
    pub(super) async fn permit(&self, job: &Job) -> Option<SemaphorePermit<'_>> {
        let slots = slots(&self.config, job.batch.longest());
        // INVARIANT: it is never closed.
        self.permits.acquire_many(slots as u32).await.ok()
    }

    /// The first try: all of it, and nothing is asked. The rows that are stored by us.
    async fn first(&self, job: &Arc<Job>, course: &mut Course) -> Result<Rows, Trouble> {
        let permit = self.permit(job).await;
        let known = course.known(FxHashSet::default());
        let facts = self.send(job, course, &job.token(), known, &mut Rows::default()).await?;
        drop(permit);
        course.skips(&facts);
        self.copy(job, facts.rows.quarantined_rows(), course).await?;
        self.record(job, &facts).await?;
        Ok(facts.rows)
    }

    /// Any other try: only what is not there. The rows that are stored by us.
    async fn again(&self, job: &Arc<Job>, course: &mut Course) -> Result<Rows, Trouble> {
        let permit = self.permit(job).await;
        let known = self.look(job, course).await?;
        let mut sent = Rows::default();
        let sending = self.send(job, course, &job.token(), known, &mut sent).await;
        // Events are stored also where the rows of `quarantine` behind them are not.
        course.rows.add(&sent);
        let facts = sending?;
        course.skips(&facts);
        let mut left = 0;
        if sent.total() > 0 {
            course.sent_again = true;
            // Its own token lets through no more what was deleted since it was planted. Every owner
            // counts its repairs from 0, and goes on only after a clean one: so an unclear one that
            // arrives late is swallowed too.
            let repair = job.token().part(&format!("r{}", course.repairs));
            let known = self.look(job, course).await?;
            let mut repaired = Rows::default();
            self.send(job, course, &repair, known, &mut repaired).await?;
            if repaired.total() > 0 {
                course.repairs += 1;
                let known = self.look(job, course).await?;
                left = job.count(known, slice_bytes(&self.config)).await?.1.total();
            }
        }
        drop(permit);
        if left > 0 {
            let why = format!("{left} rows are not there after a clean insert; is there a TTL?");
            return Err(InsertError::Retry(why).into());
        }
        self.record_found(job, &facts, course).await?;
        // Who has begun it has stored all of it, with whichever try.
        Ok(if job.made_again { std::mem::take(&mut course.rows) } else { facts.rows })
    }

    /// What is there.
    async fn look(&self, job: &Job, course: &Course) -> Result<Known, Trouble> {
        let found = self.warehouse.stored(&job.log, job.range).await.map_err(InsertError::from)?;
        Ok(course.known(found.into_iter().collect()))
    }

    /// Send rows while they are made, and count what was taken; the batch's facts.
    async fn send(
        &self,
        job: &Arc<Job>,
        course: &Course,
        token: &Token,
        known: Known,
        sent: &mut Rows,
    ) -> Result<Facts, Trouble> {
        fault::point("insert::before_events");
        let (known, of) = (Arc::new(known), Arc::clone(job));
        let (all, slice) = (Arc::clone(&known), slice_bytes(&self.config));
        let make = move |to: &mut RowStream| {
            let made = events(of.source(slice), &all, &mut |block| to.push(block));
            made.map_err(|why| of.trouble(why))
        };
        let begun = Instant::now();
        let made = self.warehouse.insert(Table::Events, token, slice, make).await;
        let is_none = made.as_ref().map(|made| made.events.is_empty());
        self.observe(course, Table::Events, begun, is_none);
        let Made { events, rejected, facts, .. } = made?;
        fault::point("insert::after_events");
        sent.events = events;
        if !rejected.is_empty() {
            let of = Arc::clone(job);
            let make = move |to: &mut RowStream| {
                let rows =
                    quarantine(of.source(slice), &known, &rejected, &mut |block| to.push(block));
                rows.map_err(|error| of.trouble(error.into()))
            };
            let begun = Instant::now();
            let rows = self.warehouse.insert(Table::Quarantine, token, slice, make).await;
            let is_none = rows.as_ref().map(|rows| rows.quarantined.is_empty());
            self.observe(course, Table::Quarantine, begun, is_none);
            sent.quarantined = rows?.quarantined;
        }
        fault::point("insert::after_quarantine");
        Ok(facts)
    }
}

/// Why a try did not store the batch.
#[derive(Debug)]
pub enum Trouble {
    /// ClickHouse, or the way to it.
    Insert(InsertError),
    /// These records become too much: they are known now, and it is tried again.
    Swollen(FxHashSet<i64>),
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
    /// The rows do not fit.
    #[error("{0}: {1}")]
    Columns(Token, BlockError),
}

mod count;
mod job;
#[cfg(test)]
mod tests;
