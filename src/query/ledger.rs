//! What is asked about records, not events: where one ended, what was refused.
//!
//! In: a position, or which refusals are wanted. Out: what is known, as the commands print it.
//!
//! # Invariants
//! - What is told of a record says whose logs its rows are in: who may see it is for the asker.
//!
//! Deliberately unknown here: Kafka, the store, who may ask.

use serde_json::Value;

use super::Answer;
use crate::event::Micros;

/// What is known of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Whose logs its rows are in; a refused row that names nobody counts as `""`.
    pub tenants: Vec<String>,
    /// What is known.
    pub receipt: Value,
}

/// Which refused rows are wanted; what is `None` is not asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// Of this topic.
    pub topic: Option<String>,
    /// For this reason.
    pub reason: Option<String>,
    /// Claimed by this mapping.
    pub mapping: Option<String>,
    /// Refused at or after this time.
    pub since: Option<Micros>,
    /// So many at most, those that came last first.
    pub limit: u64,
}

/// An account of records.
pub trait Ledger: Send + Sync {
    /// Whether it has the records of a topic. Nobody is asked for that.
    fn has(&self, topic: &str) -> bool;

    /// Where a record ended; `None` where Kafka has no such partition.
    fn receipt<'a>(
        &'a self,
        topic: &'a str,
        partition: i32,
        offset: i64,
    ) -> Answer<'a, Option<Told>>;

    /// What was refused.
    fn refused<'a>(&'a self, wanted: &'a Refused) -> Answer<'a, Vec<Value>>;
}
