//! What is on its way of a lane, and a commit that was asked for, until it is answered.
//!
//! In: a [`Commit`], answers that said nothing, the clock. Out: when to ask for the same again.
//!
//! # Invariants
//! - It is always the identical commit that is repeated: its first try may yet arrive.
//!
//! Deliberately unknown here: what the commit announces.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use backon::{BackoffBuilder as _, ExponentialBackoff};

use super::batch::Batch;
use super::limits::ClosedBy;
use super::patience;
use crate::event::{Micros, OffsetRange};
use crate::source::Commit;

/// What is on its way.
pub enum Phase {
    /// What is stored of it is being looked up.
    Opening,
    /// Nothing is.
    Idle,
    /// The intent of a batch is asked for.
    Announcing {
        /// Its records.
        batch: Batch,
        /// Its offsets.
        range: OffsetRange,
        /// What closed it.
        closed_by: ClosedBy,
        /// The commit.
        asked: Asked,
    },
    /// A batch is being stored.
    Storing {
        /// Of memory, that it takes.
        held: usize,
        /// When its first record came to Kafka.
        oldest: Option<Micros>,
        /// Whether a try has failed.
        failing: Arc<AtomicBool>,
    },
    /// The completion of all that is stored is asked for.
    Completing {
        /// The commit.
        asked: Asked,
    },
    /// It cannot go on before an operator has decided.
    Halted,
}

impl Phase {
    /// Bytes of memory that the batch on its way takes, if one is.
    pub fn held(&self) -> Option<usize> {
        match self {
            Phase::Announcing { batch, .. } => Some(batch.held()),
            Phase::Storing { held, .. } => Some(*held),
            _ => None,
        }
    }

    /// Whether a batch is on its way, and will soon have come: one that cannot be stored may wait for
    /// hours, as of a shard that is away.
    pub fn is_sending(&self) -> bool {
        match self {
            Phase::Announcing { .. } => true,
            Phase::Storing { failing, .. } => !failing.load(Ordering::Relaxed),
            _ => false,
        }
    }

    /// When the first record of the batch on its way came to Kafka.
    pub fn oldest(&self) -> Option<Micros> {
        match self {
            Phase::Announcing { batch, .. } => batch.oldest(),
            Phase::Storing { oldest, .. } => *oldest,
            _ => None,
        }
    }

    /// The commit without an answer, if there is one.
    pub fn asked(&mut self) -> Option<&mut Asked> {
        match self {
            Phase::Announcing { asked, .. } | Phase::Completing { asked } => Some(asked),
            _ => None,
        }
    }
}

/// A commit without an answer.
pub struct Asked {
    commit: Commit,
    again: Option<Instant>,
    delays: ExponentialBackoff,
}

impl Asked {
    /// It has just been asked for.
    pub fn new(commit: Commit) -> Asked {
        Asked { commit, again: None, delays: patience().build() }
    }

    /// Whether this is the commit.
    pub fn is_for(&self, commit: &Commit) -> bool {
        self.commit == *commit
    }

    /// The answer said nothing: ask again after a while.
    pub fn later(&mut self, now: Instant) {
        self.again = self.delays.next().map(|delay| now + delay);
    }

    /// When to ask again, if that is to be.
    pub fn again(&self) -> Option<Instant> {
        self.again
    }

    /// The commit, if it is to be asked for again now.
    pub fn due(&mut self, now: Instant) -> Option<Commit> {
        let is_due = self.again.is_some_and(|again| again <= now);
        is_due.then(|| {
            self.again = None;
            self.commit.clone()
        })
    }
}
