//! Proof: what is stored, held against what Kafka had.
//!
//! In: the ends of Kafka's logs, the warehouse. Out: a [`Report`] over whole partitions, or a
//! [`Receipt`] for one record.
//!
//! `batches` is what the proof rests on: its ranges tile a log, and each says how many rows it has,
//! what was skipped and which offsets held no record.
//!
//! # Invariants
//! - Nothing is written, no group is joined.
//! - Memory is bounded by a chunk of offsets, however long a log is.
//!
//! Deliberately unknown here: Kafka's protocol, SQL, where answers are printed.

mod ranges;
mod receipt;
mod report;
mod row;
mod sweep;
#[cfg(test)]
mod tests;
mod verify;

pub use receipt::{Receipt, State, receipt};
pub use report::{Finding, Findings, Found, Gap, Offsets, PartitionReport, Report, Rows};
pub use row::{QuarantinedRow, ReplayedRow, RetiredRow, SkippedRow, StoredRow};
pub use verify::{Scope, verify};
