//! A lane's order of things, without Kafka and without ClickHouse.
//!
//! In: records, answers, a clock that the tests hold. Out: commits and batches.
//!
//! # Invariants
//! - No test waits.
//!
//! Deliberately unknown here: who asks for the commits, who stores the batches.

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::event::Headers;
use crate::pipeline::intent::announces;
use crate::pipeline::turn::{self, Room};
use crate::schema::{Catalog, TopicRule};
use crate::telemetry::Metrics;

pub(super) const LIMITS: Limits = Limits {
    records: 2,
    bytes: 1 << 20,
    share: 1 << 20,
    held: 1 << 30,
    sending: 3,
    age: Duration::from_secs(1),
};
/// More than any test takes.
pub(super) const ROOM: Room =
    Room { sends: true, bytes: 1 << 30, shares: 1 << 30, is_forced: false };

pub(super) fn shut() -> Lane {
    let aliases = Arc::new(HashMap::new());
    let normaliser = Catalog::default().normaliser("t", &TopicRule::default(), &aliases, 1);
    let assignment = Assignment {
        partition: PartitionId { topic: "t".into(), partition: 0 },
        cluster: "c".into(),
        incarnation: "i".into(),
        committed: None,
        log_start: 10,
        log_end: 100,
    };
    let mut lane =
        Lane::new(assignment, Arc::new(normaliser), 1, &Metrics::new().unwrap().pipeline);
    lane.turn = Turn::Closes;
    lane
}

pub(super) fn lane(now: Instant) -> Lane {
    let mut lane = shut();
    lane.open(Start { offset: 10, intent_last: None, made_again_to: None }, now);
    lane
}

pub(super) fn record(offset: i64) -> RawRecord<'static> {
    RawRecord { offset, timestamp: None, key: None, headers: Headers::default(), payload: b"{}" }
}

fn take(lane: &mut Lane, offsets: impl IntoIterator<Item = i64>, now: Instant) {
    offsets.into_iter().for_each(|offset| lane.take(&record(offset), now).unwrap());
}

/// Announce what is ready; the batch, as it comes to be stored.
pub(super) fn announce(lane: &mut Lane, now: Instant) -> Job {
    let commit = lane.commit_due(LIMITS, false, now).unwrap();
    assert!(announces(&commit), "{commit:?}");
    lane.remembered(&commit).unwrap()
}

#[test]
fn a_lane_takes_nothing_before_it_is_known_what_is_stored() {
    let now = Instant::now();
    let mut lane = shut();
    assert!(!lane.has_room(LIMITS, ROOM));
    let start = Start { offset: 40, intent_last: None, made_again_to: Some(60) };
    lane.open(start, now);
    assert!(lane.has_room(LIMITS, ROOM));
    take(&mut lane, [38, 39, 40, 41], now);
    assert_eq!(lane.passed_over, 2, "records from before the start are no business of ours");
    let announced = announce(&mut lane, now);
    assert_eq!(announced.range, OffsetRange { first: 40, last: 41 });
    assert!(announced.made_again, "somebody may have stored up to 60");
}

#[test]
fn a_full_lane_has_no_room_and_its_batches_tile_over_gaps() {
    let now = Instant::now();
    let mut lane = lane(now);
    take(&mut lane, [12], now);
    assert!(lane.has_room(LIMITS, ROOM));
    assert_eq!(lane.commit_due(LIMITS, false, now), None, "neither full nor old");
    take(&mut lane, [13], now);
    assert!(!lane.has_room(LIMITS, ROOM));
    let first = announce(&mut lane, now);
    assert_eq!(
        (first.range, first.closed_by),
        (OffsetRange { first: 10, last: 13 }, ClosedBy::Records)
    );
    assert!(!first.made_again);
    take(&mut lane, [20, 21], now);
    assert_eq!(lane.commit_due(LIMITS, true, now), None, "one batch is on its way");
    lane.stored(first.range, now);
    assert_eq!(announce(&mut lane, now).range, OffsetRange { first: 14, last: 21 });
}

#[test]
fn the_intent_of_a_batch_completes_the_one_before_and_an_idle_lane_completes_by_itself() {
    let now = Instant::now();
    let mut lane = lane(now);
    take(&mut lane, [10, 11], now);
    let first = announce(&mut lane, now);
    lane.stored(first.range, now);
    take(&mut lane, [12], now);
    let later = now + LIMITS.age;
    let intent = lane.commit_due(LIMITS, false, later).unwrap();
    assert_eq!((intent.next_offset, announces(&intent)), (12, true));
    let second = lane.remembered(&intent).unwrap();
    assert_eq!(second.closed_by, ClosedBy::Age);
    lane.stored(second.range, later);
    assert_eq!(lane.commit_due(LIMITS, false, later), None, "perhaps more comes soon");
    assert!(!lane.is_idle());
    assert_eq!(lane.due(LIMITS, true), Some(later + LIMITS.age));
    let completion = lane.commit_due(LIMITS, false, later + LIMITS.age).unwrap();
    assert_eq!((completion.next_offset, announces(&completion)), (13, false));
    assert!(lane.remembered(&completion).is_none());
    assert!(lane.is_idle());
}

#[test]
fn a_batch_that_was_announced_before_is_made_again_with_the_same_ends() {
    let now = Instant::now();
    let start = Start { offset: 10, intent_last: Some(14), made_again_to: Some(14) };
    // Its records are there, or the log was compacted around its end.
    for offsets in [vec![10, 11, 12, 13, 14], vec![11, 13, 16], vec![17]] {
        let mut lane = shut();
        lane.open(start, now);
        for offset in &offsets {
            assert!(lane.has_room(LIMITS, ROOM), "whatever the limits are now: {offsets:?}");
            take(&mut lane, [*offset], now);
        }
        assert!(!lane.has_room(LIMITS, ROOM), "it is closed: {offsets:?}");
        let announced = announce(&mut lane, now);
        assert_eq!(announced.range, OffsetRange { first: 10, last: 14 }, "{offsets:?}");
        assert!(announced.made_again);
        assert_eq!(announced.batch.len(), offsets.iter().filter(|offset| **offset <= 14).count());
    }
}

#[test]
fn a_stop_does_not_wait_for_a_batch_that_is_only_half_made_again() {
    let now = Instant::now();
    let mut lane = shut();
    lane.open(Start { offset: 10, intent_last: Some(14), made_again_to: Some(14) }, now);
    take(&mut lane, [10, 11], now);
    assert_eq!(lane.commit_due(LIMITS, true, now), None, "it must not end elsewhere");
    assert!(lane.is_idle(), "its intent stands");
}

#[test]
fn a_batch_made_again_ends_where_the_partition_does() {
    let now = Instant::now();
    let mut lane = shut();
    lane.open(Start { offset: 10, intent_last: Some(14), made_again_to: Some(14) }, now);
    take(&mut lane, [10, 12], now);
    assert_eq!(lane.commit_due(LIMITS, false, now + LIMITS.age), None, "age does not cut it");
    lane.reached_end(13);
    assert!(
        lane.has_room(LIMITS, ROOM),
        "a replica that lags ends earlier than the partition does"
    );
    lane.reached_end(15);
    assert_eq!(announce(&mut lane, now).range, OffsetRange { first: 10, last: 14 });
    let misplaced = lane.take(&record(13), now).unwrap_err();
    assert!(misplaced.to_string().contains("offset 13 came after"), "{misplaced}");
}

#[test]
fn an_unanswered_intent_is_asked_for_again_unchanged_though_more_has_come() {
    let now = Instant::now();
    let mut lane = lane(now);
    take(&mut lane, [10, 11], now);
    let intent = lane.commit_due(LIMITS, false, now).unwrap();
    take(&mut lane, [12], now);
    lane.unanswered(&intent, now);
    let again = lane.due(LIMITS, true).unwrap();
    assert!(again > now);
    assert_eq!(lane.commit_due(LIMITS, false, again), Some(intent.clone()));
    assert_eq!(lane.commit_due(LIMITS, false, again), None, "it was just asked for");
    assert!(lane.remembered(&intent).is_some());
    assert!(lane.remembered(&intent).is_none(), "the answer to the first try comes late");
}

#[test]
fn a_fenced_lane_drops_its_batch_and_begins_no_other() {
    let now = Instant::now();
    let mut lane = lane(now);
    take(&mut lane, [10, 11], now);
    let intent = lane.commit_due(LIMITS, false, now).unwrap();
    take(&mut lane, [12], now);
    assert!(lane.fenced(&intent));
    assert!(!lane.has_room(LIMITS, ROOM));
    assert!(lane.remembered(&intent).is_none(), "an answer that comes after it changes nothing");
    assert_eq!(lane.commit_due(LIMITS, true, now + LIMITS.age), None);
    assert!(lane.is_idle() && lane.is_broken_off(), "it is looked up anew");
}

#[test]
fn a_revoked_lane_finishes_what_is_on_its_way_and_completes_it() {
    let now = Instant::now();
    let mut lane = lane(now);
    take(&mut lane, [10, 11], now);
    let announced = announce(&mut lane, now);
    take(&mut lane, [12], now);
    lane.revoke(now + LIMITS.age);
    assert!(!lane.has_room(LIMITS, ROOM) && !lane.is_idle());
    lane.stored(announced.range, now);
    let completion = lane.commit_due(LIMITS, false, now).unwrap();
    assert_eq!((completion.next_offset, announces(&completion)), (12, false));
    lane.remembered(&completion);
    assert!(lane.is_idle(), "what was only filling is read again by the next owner");
}

#[test]
fn a_lane_that_cannot_be_read_on_finishes_its_batch_and_then_stands_still() {
    let now = Instant::now();
    let mut lane = lane(now);
    take(&mut lane, [10, 11], now);
    let announced = announce(&mut lane, now);
    assert!(lane.break_off() && !lane.break_off(), "news once");
    assert!(!lane.is_broken_off(), "a batch is on its way");
    lane.stored(announced.range, now);
    assert!(!lane.is_broken_off(), "it is not completed");
    let completion = lane.commit_due(LIMITS, false, now).unwrap();
    lane.remembered(&completion);
    assert!(lane.is_broken_off() && !lane.has_room(LIMITS, ROOM));
    lane.halt();
    assert!(lane.is_halted() && lane.is_idle() && !lane.is_broken_off());
}

/// Lanes that hold so many records each, the first the oldest.
fn lanes_with(records: &[i64], now: Instant) -> Vec<Lane> {
    let lane_with = |(at, records): (usize, &i64)| {
        let opened = now + Duration::from_millis(at as u64);
        let mut lane = lane(opened);
        take(&mut lane, 10..10 + records, opened);
        lane
    };
    records.iter().enumerate().map(lane_with).collect()
}

fn turns(lanes: &mut [Lane], limits: Limits, now: Instant) -> (Vec<Turn>, bool) {
    let room = turn::give(lanes.iter_mut(), limits, now);
    (lanes.iter().map(|lane| lane.turn).collect(), room.sends)
}

#[test]
fn a_lane_with_its_share_waits_while_an_older_one_grows_and_goes_on_when_that_is_full() {
    let now = Instant::now();
    let mut lanes = lanes_with(&[1, 1, 0], now);
    let limits = Limits { share: 1, ..LIMITS };
    assert_eq!(turns(&mut lanes, limits, now).0, [Turn::Grows, Turn::Waits, Turn::Waits]);
    let room: Vec<bool> = lanes.iter().map(|lane| lane.has_room(limits, ROOM)).collect();
    assert_eq!(room, [true, false, true], "one grows, one has its share, one has nothing");
    take(&mut lanes[0], [11], now);
    assert_eq!(turns(&mut lanes, limits, now).0, [Turn::Closes, Turn::Grows, Turn::Waits]);
    assert!(lanes[1].has_room(limits, ROOM));
}

#[test]
fn no_more_batches_are_on_their_way_than_may_be_and_the_oldest_goes_first() {
    let now = Instant::now();
    let mut lanes = lanes_with(&[1, 2, 2, 2], now);
    let limits = Limits { sending: 2, ..LIMITS };
    let old = now + limits.age;
    // The others are full: they have nothing of a turn to grow.
    let first = [Turn::Closes, Turn::Closes, Turn::Waits, Turn::Waits];
    assert_eq!(turns(&mut lanes, limits, old), (first.to_vec(), false));
    let intents: Vec<Commit> =
        lanes.iter_mut().filter_map(|lane| lane.commit_due(limits, false, old)).collect();
    assert_eq!(intents.len(), 2);
    let (after, room) = turns(&mut lanes, limits, old);
    assert_eq!((after[2], after[3], room), (Turn::Waits, Turn::Waits, false));
    let job = lanes[0].remembered(&intents[0]).unwrap();
    lanes[0].stored(job.range, old);
    assert_eq!(turns(&mut lanes, limits, old).0[2..], [Turn::Closes, Turn::Waits]);
}

#[test]
fn a_lane_whose_batch_was_announced_fills_the_next_to_its_share_only() {
    let now = Instant::now();
    let mut lane = lane(now);
    take(&mut lane, 10..13, now);
    announce(&mut lane, now);
    // It has not been given a turn since.
    assert_eq!(lane.turn, Turn::Closes);
    let limits = Limits { share: 1, ..LIMITS };
    assert!(lane.has_room(limits, ROOM));
    take(&mut lane, [13], now);
    assert!(!lane.has_room(limits, ROOM));
}
