//! What a receipt says of a record's rows.
//!
//! In: traces, as the warehouse has them. Out: rows with their times as RFC 3339.
//!
//! # Invariants
//! - No field of an event but its names.
//!
//! Deliberately unknown here: what follows for the record.

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use crate::event::Micros;
use crate::warehouse::{EventTrace, QuarantineTrace, ReplayTrace, RetiredTrace};

/// A row of `events`.
#[derive(Debug, Clone, Serialize)]
pub struct StoredRow {
    /// Place inside a record that fans out.
    pub index: u32,
    /// The event's id.
    pub id: String,
    /// Whose log it is.
    pub tenant: String,
    /// The mapping that made it.
    pub schema: String,
    /// What was done.
    pub action: String,
    /// When it happened.
    pub occurred_at: String,
    /// When ClickHouse took it.
    pub ingested_at: String,
}

/// A row of `quarantine`.
#[derive(Debug, Clone, Serialize)]
pub struct QuarantinedRow {
    /// Place inside a record that fans out.
    pub index: u32,
    /// Whose log it would have been; empty when unknown.
    pub tenant: String,
    /// Stable code of the class of fault.
    pub reason: String,
    /// The thing, the place and what would mend it.
    pub sentence: String,
    /// When ClickHouse took it.
    pub ingested_at: String,
    /// Where a replay has put it; null where none has.
    pub replayed: Option<ReplayedRow>,
}

/// What a replay made of a row of `quarantine`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayedRow {
    /// The lane's topic.
    pub topic: String,
    /// The lane's partition.
    pub partition: i32,
    /// Where in the lane.
    pub offset: i64,
    /// Rows there in `events`; 0 where a rule left it out.
    pub event_rows: u64,
}

/// A row that was deleted or redacted.
#[derive(Debug, Clone, Serialize)]
pub struct RetiredRow {
    /// Place inside a record that fans out.
    pub index: u32,
    /// The event's id; zero for a quarantined row.
    pub id: String,
    /// `deleted` or `redacted`.
    pub form: String,
    /// Why: `retention` or `erasure`.
    pub kind: String,
    /// SHA-256 of its bytes as they were stored, in hex.
    pub sha256: String,
    /// The act, a row of `retirements`.
    pub retirement: String,
    /// When.
    pub retired_at: String,
}

/// What a rule left out.
#[derive(Debug, Clone, Serialize)]
pub struct SkippedRow {
    /// Place inside a record that fans out.
    pub index: u32,
    /// The rule.
    pub rule: String,
}

impl From<EventTrace> for StoredRow {
    fn from(row: EventTrace) -> StoredRow {
        StoredRow {
            index: row.index,
            id: row.id.to_string(),
            tenant: row.tenant,
            schema: row.schema,
            action: row.action,
            occurred_at: rfc3339(row.occurred_at),
            ingested_at: rfc3339(row.ingested_at),
        }
    }
}

impl From<QuarantineTrace> for QuarantinedRow {
    fn from(row: QuarantineTrace) -> QuarantinedRow {
        QuarantinedRow {
            index: row.index,
            tenant: row.tenant,
            reason: row.reason,
            sentence: row.sentence,
            ingested_at: rfc3339(row.ingested_at),
            replayed: None,
        }
    }
}

impl From<ReplayTrace> for ReplayedRow {
    fn from(row: ReplayTrace) -> ReplayedRow {
        let ReplayTrace { topic, partition, offset, event_rows, .. } = row;
        ReplayedRow { topic, partition, offset, event_rows }
    }
}

impl From<RetiredTrace> for RetiredRow {
    fn from(row: RetiredTrace) -> RetiredRow {
        RetiredRow {
            index: row.index,
            id: row.id.to_string(),
            form: row.form,
            kind: row.kind,
            sha256: row.digest,
            retirement: row.retirement.to_string(),
            retired_at: rfc3339(row.retired_at),
        }
    }
}

/// A time as receipts write it.
pub(super) fn rfc3339(at: Micros) -> String {
    let time = DateTime::from_timestamp_micros(at);
    time.map_or_else(|| at.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Micros, true))
}
