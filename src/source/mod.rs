//! Where records come from: Kafka, a file for a backfill, or the quarantine for a replay.
//!
//! In: a place to consume. Out: records handed to an [`Intake`], partition by partition, in the
//! order of their offsets; back travel only commits, releases and where to read on.
//!
//! # Invariants
//! - A source is driven by one thread: whoever calls [`Source::poll`] also commits and releases.
//! - A partition's records come in ascending order of offsets, and only between its `assigned` and
//!   its `revoked`.
//! - A partition the intake does not want is not read: backpressure reaches the broker.
//!
//! Deliberately unknown here: what a record means, where it is stored.

mod config;
pub mod file;
pub mod kafka;
mod native;
pub mod replay;
mod security;
mod topic;
mod wake;

use std::sync::Arc;
use std::time::Duration;

use crate::event::{LogId, PartitionId, RawRecord};

pub use config::KafkaConfig;
pub use security::SecurityConfig;
pub use topic::TopicConfig;
pub use wake::Waker;

/// A record has fewer bytes than this: with the largest batch before it, it stays within the 2 GiB
/// that a column's offsets reach.
const MOST_RECORD_BYTES: u64 = 1 << 30;

/// A place records come from.
pub trait Source {
    /// Hand over what there is. Waits until there is something, the waker is rung, or `timeout`.
    fn poll(&mut self, timeout: Duration, intake: &mut dyn Intake) -> Result<(), SourceError>;

    /// Ask for offsets to be remembered; the answer to each comes to [`Intake::committed`].
    fn commit(&mut self, commits: Vec<Commit>) -> Result<(), SourceError>;

    /// Hand over every record of the partition from this offset on. Earlier ones may come before it.
    /// A source that has one log and reads it once has nothing to do for it.
    fn begin(&mut self, _partition: &PartitionId, _offset: i64) -> Result<(), SourceError> {
        Ok(())
    }

    /// What stands in Kafka is not what a partition's work rests on: its log broke off, or a commit
    /// was fenced. Look it up and assign it anew.
    /// Only where others may work on it too.
    fn look_again(&mut self, _partition: &PartitionId) {}

    /// A revoked partition has nothing in flight any more.
    /// Only where partitions are revoked.
    fn release(&mut self, _partition: &PartitionId) -> Result<(), SourceError> {
        Ok(())
    }

    /// Rings when a batch is settled or it is time to stop.
    fn waker(&self) -> Arc<Waker>;
}

/// Who takes a source's records.
pub trait Intake {
    /// A partition is ours.
    fn assigned(&mut self, assignment: Assignment);

    /// A partition is ours no longer: finish what is in flight, then release it.
    fn revoked(&mut self, partition: &PartitionId);

    /// What became of a commit.
    fn committed(&mut self, commit: &Commit, answer: Answer);

    /// Whether there is room for the partition's next record.
    fn wants(&self, partition: &PartitionId) -> bool;

    /// The partition's next record.
    fn take(&mut self, partition: &PartitionId, record: &RawRecord<'_>);

    /// Every record before `end` has been handed over.
    fn reached_end(&mut self, partition: &PartitionId, end: i64);

    /// The log ends before `end`, whether that was handed over or not. Told from time to time, where
    /// the source knows.
    fn log_end(&mut self, _partition: &PartitionId, _end: i64) {}

    /// The partition cannot be read on: its next offset is outside its log, or its topic has
    /// another id now.
    fn broken(&mut self, partition: &PartitionId, why: &str);

    /// The source has no further records and never will: the end of a file.
    fn ended(&mut self);
}

/// A partition that has become ours, and what the source knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Which partition.
    pub partition: PartitionId,
    /// The cluster it is in.
    pub cluster: Arc<str>,
    /// The topic's id; empty where the broker has none.
    pub incarnation: Arc<str>,
    /// What was committed last, if anything is.
    pub committed: Option<Committed>,
    /// The first offset the log still holds.
    pub log_start: i64,
    /// One past the last offset of the log, when it was looked at.
    pub log_end: i64,
}

impl Assignment {
    /// The offset reading begins at unless somebody knows better.
    pub fn reads_from(&self) -> i64 {
        let committed = self.committed.as_ref().map(|committed| committed.next_offset);
        let is_there = |offset: &i64| (self.log_start..=self.log_end).contains(offset);
        committed.filter(is_there).unwrap_or(self.log_start)
    }

    /// The log that its offsets count in.
    pub fn log(&self) -> LogId {
        LogId {
            cluster: Arc::clone(&self.cluster),
            topic: Arc::clone(&self.partition.topic),
            incarnation: Arc::clone(&self.incarnation),
            partition: self.partition.partition,
        }
    }
}

/// What a consumer group remembers of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Everything before it is stored.
    pub next_offset: i64,
    /// What was committed beside it.
    pub metadata: String,
}

/// An offset to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Of which partition.
    pub partition: PartitionId,
    /// Everything before it is stored.
    pub next_offset: i64,
    /// To be kept beside it.
    pub metadata: String,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is remembered.
    Done,
    /// The partition is not ours any more; somebody else goes on with it.
    Fenced(String),
    /// Nobody knows: the same commit may be asked for again.
    Unknown(String),
}

/// Why a source cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be reached or refuses us now; trying again may help.
    #[error("{what}: {cause}")]
    Unavailable {
        /// What was being done.
        what: String,
        /// What the client said.
        cause: String,
    },
    /// Going on would lose or repeat records, or cannot work at all.
    #[error("{0}")]
    Fatal(String),
}
