//! How far a lane is behind the end of its log, in offsets and in seconds.
//!
//! In: the log's end as librdkafka last heard of it, what is read, what is stored. Out: two gauges.
//!
//! # Invariants
//! - All of it is 0 once everything up to the end is read and stored, also where transaction markers,
//!   which are no records, stand at the end.
//! - Seconds are the age of the oldest record not yet stored where the lane holds it, by its Kafka
//!   timestamp; where it is not fetched yet, since it was first known to be there.
//! - Times are microseconds since the Unix epoch.
//!
//! Deliberately unknown here: Kafka.

use super::Lane;
use crate::event::Micros;
use crate::source::Assignment;

/// How far a lane has come.
pub struct Lag {
    /// One past the last offset of the log, when it was last looked.
    end: i64,
    /// Everything before it was handed over.
    read_to: i64,
    /// Everything before it is stored.
    stored_to: i64,
    /// Since when there is something, of which nothing is held.
    since: Option<Micros>,
}

impl Lag {
    /// Of a partition that has just become ours.
    pub fn of(assignment: &Assignment) -> Lag {
        let stored_to = assignment.reads_from();
        Lag { end: assignment.log_end, read_to: stored_to, stored_to, since: None }
    }

    /// Everything before this offset is stored.
    pub fn stored_to(&mut self, next_offset: i64) {
        self.stored_to = next_offset;
        self.since = None;
    }

    /// Everything before this offset was handed over, whether it was a record or not.
    pub fn read_to(&mut self, end: i64) {
        self.read_to = end;
    }
}

impl Lane {
    /// The log ends before this offset; what that makes of the lag.
    pub fn log_end(&mut self, end: i64, now: Micros) {
        self.lag.end = end;
        self.measure_lag(now);
    }

    fn measure_lag(&mut self, now: Micros) {
        let held = [&self.closed, &self.filling].into_iter().flatten();
        let holds = self.phase.held().is_some() || held.clone().next().is_some();
        let Lag { end, read_to, stored_to, since } = &mut self.lag;
        let is_done = !holds && *read_to >= *end;
        let behind = if is_done { 0 } else { (*end - *stored_to).max(0) };
        let age = match behind {
            0 => {
                *since = None;
                0
            }
            _ => {
                let oldest =
                    self.phase.oldest().or_else(|| held.into_iter().find_map(|b| b.oldest()));
                now - oldest.unwrap_or_else(|| *since.get_or_insert(now))
            }
        };
        self.metrics.lag_records.set(behind);
        self.metrics.lag_seconds.set(age.max(0) as f64 / 1e6);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::tests::{LIMITS, ROOM, announce, lane, record};
    use super::*;
    use crate::event::RawRecord;

    const S: Micros = 1_000_000;

    fn told(lane: &Lane) -> (i64, f64) {
        (lane.metrics.lag_records.get(), lane.metrics.lag_seconds.get())
    }

    #[test]
    fn lag_is_the_age_of_the_oldest_record_that_is_not_stored() {
        let now = Instant::now();
        let mut lane = lane(now);
        lane.log_end(10, 100 * S);
        assert_eq!(told(&lane), (0, 0.0));
        // There is something, and nobody has seen it yet.
        lane.log_end(13, 110 * S);
        assert_eq!(told(&lane), (3, 0.0));
        lane.log_end(13, 112 * S);
        assert_eq!(told(&lane), (3, 2.0));
        for (offset, at) in [(10, 90), (11, 95), (12, 109)] {
            let record = RawRecord { timestamp: Some(at * S), ..record(offset) };
            lane.take(&record, now).unwrap();
            if offset == 11 {
                let job = announce(&mut lane, now);
                lane.log_end(13, 120 * S);
                assert_eq!(told(&lane), (3, 30.0), "it is on its way, and not stored");
                lane.stored(job.range, now);
            }
        }
        lane.log_end(13, 130 * S);
        assert_eq!(told(&lane), (1, 21.0));
        assert!(lane.has_room(LIMITS, ROOM));
    }

    #[test]
    fn a_marker_at_the_end_of_the_log_is_no_lag() {
        let mut lane = lane(Instant::now());
        lane.log_end(12, 100 * S);
        assert_eq!(told(&lane).0, 2);
        lane.reached_end(12);
        lane.log_end(12, 200 * S);
        assert_eq!(told(&lane), (0, 0.0));
    }
}
