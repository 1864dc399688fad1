//! A lane: one assigned partition, with one batch filling and at most one in flight.
//!
//! In: records, settled batches, the clock. Out: batches to store, and whether there is room.
//!
//! # Invariants
//! - At most one batch in flight, so no record overtakes another and no offset tracker is needed.
//! - A revoked lane takes no record and begins no batch; what it was filling is dropped, for the
//!   next owner reads it again.
//!
//! Deliberately unknown here: Kafka, ClickHouse, other lanes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::batch::Batch;
use crate::event::{OffsetRange, RawRecord};
use crate::schema::Normaliser;
use crate::source::Assignment;
use crate::telemetry::Metrics;

/// When a batch is full enough.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At this many records.
    pub records: usize,
    /// At this many bytes.
    pub bytes: usize,
    /// When its first record has waited this long.
    pub age: Duration,
}

/// What closed a batch: a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedBy {
    /// Enough records.
    Records,
    /// Enough bytes.
    Bytes,
    /// Its first record waited long enough.
    Age,
    /// The source ended, or the process stops.
    End,
}

impl ClosedBy {
    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            ClosedBy::Records => "records",
            ClosedBy::Bytes => "bytes",
            ClosedBy::Age => "age",
            ClosedBy::End => "end",
        }
    }
}

/// One assigned partition.
pub struct Lane {
    /// What was assigned.
    pub assignment: Assignment,
    /// How its records are read.
    pub normaliser: Arc<Normaliser>,
    /// Whether it is ours no longer.
    pub revoked: bool,
    next_first: i64,
    filling: Option<Batch>,
    in_flight: Option<OffsetRange>,
    records: IntCounter,
    record_bytes: IntCounter,
}

impl Lane {
    /// A lane of a partition that has just become ours.
    pub fn open(assignment: Assignment, normaliser: Arc<Normaliser>, metrics: &Metrics) -> Lane {
        let topic = [&*assignment.partition.topic];
        Lane {
            revoked: false,
            next_first: assignment.start,
            filling: None,
            in_flight: None,
            // Resolved once: looking a label up costs as much as copying the record.
            records: metrics.records.with_label_values(&topic),
            record_bytes: metrics.record_bytes.with_label_values(&topic),
            assignment,
            normaliser,
        }
    }

    /// Whether the next record may come.
    pub fn has_room(&self, limits: Limits) -> bool {
        let full = |batch: &Batch| batch.len() >= limits.records || batch.bytes() >= limits.bytes;
        !self.revoked && !self.filling.as_ref().is_some_and(full)
    }

    /// Append a record to the batch that is filling.
    pub fn take(&mut self, record: &RawRecord<'_>, now: Instant) {
        self.records.inc();
        self.record_bytes.inc_by(record.payload.len() as u64);
        let first = self.next_first;
        self.filling.get_or_insert_with(|| Batch::begin(first, now)).push(record);
    }

    /// The batch that is ready to be stored, if none is in flight.
    pub fn ready(
        &mut self,
        limits: Limits,
        ending: bool,
        now: Instant,
    ) -> Option<(Batch, ClosedBy)> {
        if self.revoked || self.in_flight.is_some() {
            return None;
        }
        let filling = self.filling.as_ref()?;
        let closed_by = if filling.len() >= limits.records {
            ClosedBy::Records
        } else if filling.bytes() >= limits.bytes {
            ClosedBy::Bytes
        } else if ending {
            ClosedBy::End
        } else if now.duration_since(filling.opened) >= limits.age {
            ClosedBy::Age
        } else {
            return None;
        };
        let range = filling.range()?;
        self.in_flight = Some(range);
        self.next_first = range.next_offset();
        self.filling.take().map(|batch| (batch, closed_by))
    }

    /// The batch in flight is stored.
    pub fn settled(&mut self) {
        self.in_flight = None;
    }

    /// The partition is ours no longer.
    pub fn revoke(&mut self) {
        self.revoked = true;
        self.filling = None;
    }

    /// Whether a batch is in flight.
    pub fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether nothing is filling or in flight.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.filling.is_none()
    }

    /// When the batch that is filling will be old enough.
    pub fn due(&self, limits: Limits) -> Option<Instant> {
        let waiting = self.filling.as_ref().filter(|_| self.in_flight.is_none())?;
        Some(waiting.opened + limits.age)
    }

    /// Bytes of the batch that is filling.
    pub fn filling_bytes(&self) -> usize {
        self.filling.as_ref().map_or(0, Batch::bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::event::{Headers, PartitionId};
    use crate::schema::{Catalog, TopicRule};

    const LIMITS: Limits = Limits { records: 2, bytes: 1 << 20, age: Duration::from_secs(1) };

    fn lane() -> Lane {
        let aliases = Arc::new(HashMap::new());
        let normaliser = Catalog::default().normaliser("t", &TopicRule::default(), &aliases, 1);
        let assignment = Assignment {
            partition: PartitionId { topic: "t".into(), partition: 0 },
            cluster: "c".into(),
            incarnation: "i".into(),
            start: 10,
        };
        Lane::open(assignment, Arc::new(normaliser), &Metrics::new().unwrap())
    }

    fn record(offset: i64) -> RawRecord<'static> {
        RawRecord {
            offset,
            timestamp: None,
            key: None,
            headers: Headers::default(),
            payload: b"{}",
        }
    }

    #[test]
    fn a_full_lane_has_no_room_and_its_batches_tile_over_gaps() {
        let (mut lane, now) = (lane(), Instant::now());
        lane.take(&record(12), now);
        assert!(lane.has_room(LIMITS));
        assert!(lane.ready(LIMITS, false, now).is_none(), "neither full nor old");
        lane.take(&record(13), now);
        assert!(!lane.has_room(LIMITS));
        let (batch, closed_by) = lane.ready(LIMITS, false, now).unwrap();
        assert_eq!(closed_by, ClosedBy::Records);
        assert_eq!(batch.range(), Some(OffsetRange { first: 10, last: 13 }));
        lane.take(&record(20), now);
        lane.take(&record(21), now);
        assert!(lane.ready(LIMITS, true, now).is_none(), "one batch is in flight");
        lane.settled();
        let (batch, _) = lane.ready(LIMITS, false, now).unwrap();
        assert_eq!(batch.range(), Some(OffsetRange { first: 14, last: 21 }));
    }

    #[test]
    fn a_batch_is_closed_when_its_first_record_has_waited_long_enough() {
        let (mut lane, now) = (lane(), Instant::now());
        lane.take(&record(10), now);
        assert_eq!(lane.due(LIMITS), Some(now + LIMITS.age));
        let (_, closed_by) = lane.ready(LIMITS, false, now + LIMITS.age).unwrap();
        assert_eq!(closed_by, ClosedBy::Age);
        assert_eq!(lane.due(LIMITS), None);
    }

    #[test]
    fn a_revoked_lane_takes_nothing_and_drops_what_it_was_filling() {
        let (mut lane, now) = (lane(), Instant::now());
        lane.take(&record(10), now);
        lane.revoke();
        assert!(!lane.has_room(LIMITS));
        assert!(lane.ready(LIMITS, true, now).is_none());
        assert!(lane.is_idle());
    }
}
