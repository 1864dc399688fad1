//! What a lane holds, and what it may take and close when it is its turn.
//!
//! In: the [`Limits`], its [`Turn`], the [`Room`] that all lanes have. Out: whether its next record may
//! come, whether it asks for a turn.
//!
//! # Invariants
//! - A batch that is made again is cut by nothing but its end, and waits for its turn like any other.
//! - Whose turn it is while nothing comes, as of a partition without a leader, passes it on.
//!
//! Deliberately unknown here: other lanes.

use std::time::{Duration, Instant};

use super::super::turn::Room;
use super::{Batch, Lane, Limits, Phase, Turn};

/// A lane whose turn it is, and that takes nothing for so long,
const NOTHING_COMES: Duration = Duration::from_secs(3);
/// lets the others go first for so long.
const LATER: Duration = Duration::from_secs(10);

impl Lane {
    /// Whether the next record may come.
    pub fn has_room(&self, limits: Limits, room: Room) -> bool {
        let stands = matches!(self.phase, Phase::Opening | Phase::Halted);
        let takes = !stands && !self.is_revoked() && !self.broken && self.closed.is_none();
        let grows = self.turn == Turn::Grows;
        let is_full = |batch: &Batch| {
            let ends_elsewhere = batch.must_end().is_some();
            (!ends_elsewhere && limits.closes(batch).is_some())
                || (!grows && batch.held() >= limits.share)
        };
        takes && room.lets(self.turn) && !self.filling.as_ref().is_some_and(is_full)
    }

    /// The batch that is filling, if it ends where limits say.
    pub fn cut_by_limits(&self) -> Option<&Batch> {
        self.filling.as_ref().filter(|batch| batch.must_end().is_none())
    }

    /// Whether a batch is on its way, and will soon have come.
    pub fn is_sending(&self) -> bool {
        self.phase.is_sending()
    }

    /// Whether a batch is on its way, or waits to be tried again.
    pub fn has_sent(&self) -> bool {
        self.phase.held().is_some()
    }

    /// Whether its next batch may be on its way.
    pub fn may_send(&self) -> bool {
        matches!(self.phase, Phase::Idle) && !self.is_revoked() && !self.broken
    }

    /// Whether its batch is to be closed as soon as may be.
    pub fn is_ready(&self, limits: Limits, now: Instant) -> bool {
        let is_ready = |batch: &Batch| {
            limits.closes(batch).is_some() || now.duration_since(batch.opened) >= limits.age
        };
        self.closed.is_some() || self.cut_by_limits().is_some_and(is_ready)
    }

    /// Whether it can do more with a turn than without.
    pub fn asks(&self, limits: Limits, now: Instant) -> bool {
        let has_share = |batch: &Batch| batch.held() >= limits.share;
        self.is_made_again()
            || self.is_ready(limits, now)
            || self.filling.as_ref().is_some_and(has_share)
    }

    /// Whether its batch can be larger than it is. Behind one that cannot be stored it grows not.
    pub fn can_grow(&self, limits: Limits) -> bool {
        let is_open = |batch: &Batch| batch.must_end().is_some() || limits.closes(batch).is_none();
        let fails = self.has_sent() && !self.is_sending();
        !fails && self.closed.is_none() && self.filling.as_ref().is_some_and(is_open)
    }

    /// Whether its batch ends where it ended before.
    fn is_made_again(&self) -> bool {
        self.closed.is_some() || (self.filling.is_some() && self.cut_by_limits().is_none())
    }

    /// Its place among those that ask.
    pub fn place(&self) -> (Instant, u64) {
        let since = match self.cut_by_limits() {
            Some(batch) if self.closed.is_none() => batch.opened.max(self.waits_since),
            _ => self.waits_since,
        };
        (since, self.generation)
    }

    /// Its turn is over; whether it was to grow. Where nothing has come meanwhile, others go first.
    pub fn end_turn(&mut self, now: Instant) -> bool {
        let grew = std::mem::replace(&mut self.turn, Turn::Waits) == Turn::Grows;
        if grew && now.duration_since(self.took) >= NOTHING_COMES {
            self.waits_since = now + LATER;
        }
        grew
    }

    /// It is its turn to grow.
    pub fn grows(&mut self, grew: bool, now: Instant) {
        (self.turn, self.grew) = (Turn::Grows, Some(self.next_first));
        if !grew {
            self.took = now;
        }
    }

    /// Bytes of memory that its batches take, without one that is on its way.
    pub fn filled(&self) -> usize {
        [&self.filling, &self.closed].into_iter().flatten().map(Batch::held).sum()
    }

    /// Of these, such as count among the shares of all: of a batch that grew, and goes on with its next
    /// turn, no more than its share. Else one that nothing comes for would hold up the others.
    pub fn shared(&self, limits: Limits) -> usize {
        let goes_on = self.grew == Some(self.next_first) && self.can_grow(limits);
        if goes_on { self.filled().min(limits.share) } else { self.filled() }
    }

    /// Bytes of memory that its batches take.
    pub fn held(&self) -> usize {
        self.phase.held().unwrap_or(0) + self.filled()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::tests::{lane, record, shut};
    use super::super::{Job, Start};
    use super::*;
    use crate::event::RawRecord;
    use crate::pipeline::PipelineConfig;
    use crate::pipeline::batch::SEGMENT;
    use crate::pipeline::turn;

    const STEP: Duration = Duration::from_millis(50);

    /// Lanes over a source that always has the next record, and a store that is done with one batch
    /// in each round.
    struct Run {
        limits: Limits,
        lanes: Vec<Lane>,
        /// The next offset of each.
        next: Vec<i64>,
        /// These do not deliver.
        silent: Vec<usize>,
        /// These cannot be stored.
        stuck: Vec<usize>,
        payload: Vec<u8>,
        room: Room,
        jobs: VecDeque<(usize, Job)>,
        now: Instant,
        /// Most that was held.
        most: usize,
    }

    impl Run {
        fn new(limits: Limits, lanes: Vec<Lane>, record_bytes: usize, now: Instant) -> Run {
            let mut lanes = lanes;
            for (generation, lane) in (1..).zip(&mut lanes) {
                lane.generation = generation;
            }
            let next = vec![10; lanes.len()];
            let (payload, room) = (vec![b'x'; record_bytes], Room::of(limits));
            let (silent, stuck, jobs) = (Vec::new(), Vec::new(), VecDeque::new());
            Run { limits, lanes, next, silent, stuck, payload, room, jobs, now, most: 0 }
        }

        fn held(&self) -> usize {
            self.lanes.iter().map(Lane::held).sum()
        }

        /// Whatever is wanted of records before `end`; then turns; then one batch is stored.
        fn round(&mut self, end: i64) {
            let first = self.next.iter().sum::<i64>() as usize;
            for at in 0..self.lanes.len() {
                let at = (first + at) % self.lanes.len();
                let delivers = !self.silent.contains(&at);
                let lane = &mut self.lanes[at];
                while delivers && self.next[at] < end && lane.has_room(self.limits, self.room) {
                    let before = lane.filled();
                    let record = RawRecord { payload: &self.payload, ..record(self.next[at]) };
                    lane.take(&record, self.now).unwrap();
                    self.room.take(lane.turn, lane.filled().saturating_sub(before));
                    self.next[at] += 1;
                }
            }
            self.most = self.most.max(self.held());
            self.room = turn::give(self.lanes.iter_mut(), self.limits, self.now);
            for (at, lane) in self.lanes.iter_mut().enumerate() {
                let commit = lane.commit_due(self.limits, false, self.now);
                if let Some(job) = commit.and_then(|commit| lane.remembered(&commit)) {
                    match self.stuck.contains(&at) {
                        true => job.fails(),
                        false => self.jobs.push_back((at, job)),
                    }
                }
            }
            if let Some((at, job)) = self.jobs.pop_front() {
                self.lanes[at].stored(job.range, self.now);
            }
            self.now += STEP;
        }

        /// How many rounds until all records before `end` are stored.
        fn rounds(&mut self, end: i64) -> usize {
            (1..20_000)
                .find(|_| {
                    self.round(end);
                    let is_left_out =
                        |at: &usize| self.silent.contains(at) || self.stuck.contains(at);
                    let is_done = |at: usize| self.next[at] == end && self.lanes[at].held() == 0;
                    (0..self.lanes.len()).all(|at| is_left_out(&at) || is_done(at))
                })
                .expect("it stands still")
        }
    }

    /// After a crash: each has a batch to make again, up to this offset.
    fn again(lanes: usize, last: i64, now: Instant) -> Vec<Lane> {
        let start = Start { offset: 10, intent_last: Some(last), made_again_to: Some(last) };
        let lane = |_| {
            let mut lane = shut();
            lane.open(start, now);
            lane
        };
        (0..lanes).map(lane).collect()
    }

    fn small(lanes: usize) -> Limits {
        let config = PipelineConfig {
            memory_bytes: 32 << 20,
            max_record_bytes: 1 << 20,
            ..PipelineConfig::default()
        };
        Limits::share(&config, lanes)
    }

    #[test]
    fn what_lanes_hold_stays_within_the_budget_at_any_lag_count_of_lanes_and_size_of_records() {
        for lanes in [1, 3, 64] {
            for (record_bytes, records) in [(600, 8_000), (64 << 10, 80), (1 << 20, 12)] {
                let (limits, now) = (small(lanes), Instant::now());
                for made_again in [false, true] {
                    // As large as they would have been closed.
                    let last = 10 + (limits.bytes / record_bytes).min(records as usize - 1) as i64;
                    let all = match made_again {
                        true => again(lanes, last, now),
                        false => (0..lanes).map(|_| lane(now)).collect(),
                    };
                    let mut run = Run::new(limits, all, record_bytes, now);
                    run.rounds(10 + records);
                    let shown = format!("{lanes} lanes, {record_bytes} bytes, {made_again}");
                    let most = limits.held + record_bytes.max(SEGMENT);
                    assert!(run.most <= most, "{shown}: {} of {}", run.most, limits.held);
                }
            }
        }
    }

    #[test]
    fn batches_larger_than_the_budget_are_made_again_one_at_a_time() {
        let (limits, now) = (small(8), Instant::now());
        // 24 MiB each, of a time when memory was larger.
        let mut run = Run::new(limits, again(8, 10 + 24 * 16, now), 64 << 10, now);
        let batch = 25 << 20;
        assert!(batch > limits.held, "{limits:?}");
        run.rounds(11 + 24 * 16);
        assert!(run.most < batch + limits.bytes + SEGMENT, "{} at most", run.most);
    }

    #[test]
    fn a_partition_that_does_not_deliver_holds_up_no_other_one() {
        let (limits, now) = (small(8), Instant::now());
        let mut run = Run::new(limits, again(8, 10 + 30, now), 64 << 10, now);
        run.silent = vec![0];
        let rounds = run.rounds(10 + 200);
        let seconds = rounds as u32 * STEP;
        assert!(seconds < 10 * NOTHING_COMES, "{seconds:?}");
        run.silent.clear();
        run.rounds(10 + 200);
    }

    #[test]
    fn partitions_that_fall_silent_while_they_grow_hold_up_no_other_one() {
        let (limits, now) = (small(8), Instant::now());
        let last = 10 + (limits.bytes / (64 << 10)) as i64;
        let mut lanes = again(3, last, now);
        lanes.extend((0..5).map(|_| lane(now)));
        let mut run = Run::new(limits, lanes, 64 << 10, now);
        while !run.lanes[..3].iter().any(|lane| lane.filled() > 2 * limits.share) {
            run.round(10 + 200);
        }
        run.silent = vec![0, 1, 2];
        let seconds = run.rounds(10 + 200) as u32 * STEP;
        assert!(seconds < 10 * NOTHING_COMES, "{seconds:?}");
        run.silent.clear();
        run.rounds(10 + 200);
    }

    #[test]
    fn partitions_that_cannot_be_stored_hold_up_no_other_one() {
        let limits = Limits::share(&PipelineConfig::default(), 6);
        let (now, last) = (Instant::now(), 10 + (limits.bytes / (64 << 10)) as i64);
        let mut lanes: Vec<Lane> = (0..limits.sending).map(|_| lane(now)).collect();
        lanes.extend(again(2, last, now));
        lanes.push(lane(now));
        let mut run = Run::new(limits, lanes, 64 << 10, now);
        run.stuck = (0..limits.sending).collect();
        let seconds = run.rounds(10 + 600) as u32 * STEP;
        assert!(seconds < 10 * NOTHING_COMES, "{seconds:?}");
    }
}
