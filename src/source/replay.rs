//! Quarantined rows, once more, as records of a replay's lane.
//!
//! In: the rows of one plan, each with its offset in the lane `@replay/TOPIC`. Out: a [`Source`] with
//! that one partition, which ends after them.
//!
//! # Invariants
//! - All rows are handed over in one turn and then the source ends: under limits that they fit, a plan
//!   is one batch, with the same ends whoever makes it and however often. So its token is always the
//!   same.
//! - It begins at the plan's first offset whatever is stored: what is there already is looked for and
//!   left out, and the batch's row is written if only that was missing.
//!
//! Deliberately unknown here: where plans are kept, why a row was quarantined.

use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Assignment, Commit, Committed, Intake, Source, SourceError, Waker};
use crate::event::{Headers, LogId, Micros, OffsetRange, PartitionId, RawRecord};

/// A quarantined row, as the record it is replayed as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Its offset in the lane.
    pub offset: i64,
    /// Timestamp of the record it came from.
    pub timestamp: Option<Micros>,
    /// Key of that record.
    pub key: Option<Vec<u8>>,
    /// Headers of that record, packed.
    pub headers: Vec<u8>,
    /// The bytes that were at fault: the record's payload, or the element's slice.
    pub payload: Vec<u8>,
}

impl Replayed {
    /// As the pipeline takes it.
    pub fn record(&self) -> RawRecord<'_> {
        RawRecord {
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            headers: Headers::packed(&self.headers),
            payload: &self.payload,
        }
    }
}

/// A plan being replayed.
pub struct ReplaySource {
    lane: LogId,
    range: OffsetRange,
    rows: Vec<Replayed>,
    state: State,
    commits: Vec<Commit>,
    waker: Arc<Waker>,
}

#[derive(PartialEq, Eq)]
enum State {
    New,
    Waiting,
    Ended,
}

impl ReplaySource {
    /// A source of one plan's rows, in the order of their offsets.
    pub fn new(lane: LogId, range: OffsetRange, rows: Vec<Replayed>) -> ReplaySource {
        let waker = Arc::new(Waker::default());
        ReplaySource { lane, range, rows, state: State::New, commits: Vec::new(), waker }
    }

    fn partition(&self) -> PartitionId {
        PartitionId { topic: Arc::clone(&self.lane.topic), partition: self.lane.partition }
    }
}

impl Source for ReplaySource {
    fn poll(&mut self, timeout: Duration, intake: &mut dyn Intake) -> Result<(), SourceError> {
        let partition = self.partition();
        if self.state == State::New {
            self.state = State::Waiting;
            intake.assigned(Assignment {
                partition: partition.clone(),
                cluster: Arc::clone(&self.lane.cluster),
                incarnation: Arc::clone(&self.lane.incarnation),
                committed: Some(Committed {
                    next_offset: self.range.first,
                    metadata: String::new(),
                }),
                log_start: self.range.first,
                log_end: self.range.next_offset(),
            });
        }
        for commit in self.commits.drain(..) {
            intake.committed(&commit, Answer::Done);
        }
        if self.state == State::Ended || !intake.wants(&partition) {
            self.waker.wait(timeout);
            return Ok(());
        }
        for row in self.rows.drain(..) {
            intake.take(&partition, &row.record());
        }
        self.state = State::Ended;
        intake.reached_end(&partition, i64::MAX);
        intake.ended();
        Ok(())
    }

    fn commit(&mut self, commits: Vec<Commit>) -> Result<(), SourceError> {
        // The plan is the intent, and it is remembered already.
        self.commits.extend(commits);
        self.waker.ring();
        Ok(())
    }

    fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes everything, once it is open.
    #[derive(Default)]
    struct Taker {
        assigned: Option<Assignment>,
        is_open: bool,
        taken: Vec<(i64, Vec<u8>)>,
        has_ended: bool,
    }

    impl Intake for Taker {
        fn assigned(&mut self, assignment: Assignment) {
            self.assigned = Some(assignment);
        }
        fn revoked(&mut self, _: &PartitionId) {}
        fn committed(&mut self, _: &Commit, _: Answer) {}
        fn wants(&self, _: &PartitionId) -> bool {
            self.is_open
        }
        fn take(&mut self, _: &PartitionId, record: &RawRecord<'_>) {
            self.taken.push((record.offset, record.payload.to_vec()));
        }
        fn reached_end(&mut self, _: &PartitionId, _: i64) {}
        fn broken(&mut self, _: &PartitionId, _: &str) {}
        fn ended(&mut self) {
            self.has_ended = true;
        }
    }

    #[test]
    fn a_plan_is_handed_over_whole_in_one_turn_and_begins_where_it_did_before() {
        let row = |offset| Replayed {
            offset,
            timestamp: None,
            key: None,
            headers: Vec::new(),
            payload: vec![offset as u8],
        };
        let range = OffsetRange { first: 7, last: 9 };
        let lane = LogId::of_replay("c", "t");
        let mut source = ReplaySource::new(lane, range, (7..=9).map(row).collect());
        let mut taker = Taker::default();
        source.poll(Duration::ZERO, &mut taker).unwrap();
        let assignment = taker.assigned.take().unwrap();
        assert_eq!((assignment.reads_from(), assignment.log_end), (7, 10));
        assert_eq!(&*assignment.partition.topic, "@replay/t");
        assert!(taker.taken.is_empty() && !taker.has_ended, "it is not open yet");
        taker.is_open = true;
        source.poll(Duration::ZERO, &mut taker).unwrap();
        assert_eq!(taker.taken, [(7, vec![7]), (8, vec![8]), (9, vec![9])]);
        assert!(taker.has_ended);
    }
}
