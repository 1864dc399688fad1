//! Where records come from: Kafka, or a file for a backfill.
//!
//! In: a place to consume. Out: records handed to an [`Intake`], partition by partition, in the
//! order of their offsets; back travel only commits and releases.
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
mod wake;

use std::sync::Arc;
use std::time::Duration;

use crate::event::{PartitionId, RawRecord};

pub use config::{KafkaConfig, TopicConfig};
pub use wake::Waker;

/// A place records come from.
pub trait Source {
    /// Hand over what there is. Waits until there is something, the waker is rung, or `timeout`.
    fn poll(&mut self, timeout: Duration, intake: &mut dyn Intake) -> Result<(), SourceError>;

    /// Everything of the partition before `next_offset` is stored.
    fn commit(&mut self, partition: &PartitionId, next_offset: i64) -> Result<(), SourceError>;

    /// A revoked partition has nothing in flight any more.
    fn release(&mut self, partition: &PartitionId) -> Result<(), SourceError>;

    /// Make the commits last; dropping the source then leaves.
    fn close(&mut self) -> Result<(), SourceError>;

    /// Rings when a batch is settled or it is time to stop.
    fn waker(&self) -> Arc<Waker>;
}

/// Who takes a source's records.
pub trait Intake {
    /// A partition is ours from its `start` on.
    fn assigned(&mut self, assignment: Assignment);

    /// A partition is ours no longer: finish what is in flight, then release it.
    fn revoked(&mut self, partition: &PartitionId);

    /// Whether there is room for the partition's next record.
    fn wants(&self, partition: &PartitionId) -> bool;

    /// The partition's next record.
    fn take(&mut self, partition: &PartitionId, record: &RawRecord<'_>);

    /// The source has no further records and never will: the end of a file.
    fn ended(&mut self);
}

/// A partition that has become ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Which partition.
    pub partition: PartitionId,
    /// The cluster it is in.
    pub cluster: Arc<str>,
    /// The topic's id; empty where the broker has none.
    pub incarnation: Arc<str>,
    /// The offset reading begins at.
    pub start: i64,
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
