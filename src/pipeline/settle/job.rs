//! A batch that is to be stored, and what it is known by.
//!
//! In: its records and offsets, how they are read. Out: its token, its rows.
//!
//! # Invariants
//! - A job made again has the token it had before.
//!
//! Deliberately unknown here: tries, outcomes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::batch::Batch;
use super::super::columns::{Known, Made, Rows, Source, Unmade, events, quarantine};
use super::super::limits::ClosedBy;
use super::{SettleError, Trouble};
use crate::event::{LogId, OffsetRange, PartitionId};
use crate::schema::Normaliser;
use crate::warehouse::block::Block;
use crate::warehouse::{Token, made};

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
    /// Whether a try has failed: its lane knows, and does not count it among those on their way.
    pub failing: Arc<AtomicBool>,
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

    /// A try has failed: who knows for how long it waits now.
    pub fn fails(&self) {
        self.failing.store(true, Ordering::Relaxed);
    }

    /// What its rows are made of, in slices of so many bytes.
    pub fn source(&self, slice_bytes: usize) -> Source<'_> {
        Source { batch: &self.batch, normaliser: &self.normaliser, log: &self.log, slice_bytes }
    }

    /// What would be sent of it, without what is known to be stored.
    pub async fn count(
        self: &Arc<Self>,
        known: Known,
        slice_bytes: usize,
    ) -> Result<(Made, Rows), Trouble> {
        let job = Arc::clone(self);
        let counting = tokio::task::spawn_blocking(move || {
            let (of, nowhere) = (job.source(slice_bytes), &mut |_: &Block| Ok(()));
            let made = events(of, &known, nowhere).map_err(|why| job.trouble(why))?;
            let rejected = quarantine(of, &known, &made.rejected, nowhere);
            let rejected = rejected.map_err(|error| job.trouble(error.into()))?;
            let rows = Rows { events: made.events.clone(), ..rejected };
            Ok((made, rows))
        });
        made(counting).await
    }

    /// Why its rows were not all made.
    pub fn trouble(&self, why: Unmade) -> Trouble {
        match why {
            Unmade::Block(error) => Trouble::Defect(SettleError::Columns(self.token(), error)),
            Unmade::Swollen(records) => Trouble::Swollen(records),
        }
    }
}
