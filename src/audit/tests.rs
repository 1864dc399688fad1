//! The pass over a small log, cut into chunks of every size.

use super::ranges::Ranges;
use super::report::{Finding, Offsets};
use super::sweep::{Chunk, Sweep};
use crate::event::OffsetRange;
use crate::warehouse::{BatchLine, Stretch};

fn event(first: i64, last: i64) -> Stretch {
    Stretch { first, last, events: 1, positions: 1, ..Stretch::default() }
}

fn batch(first: i64, last: i64, event_rows: u64) -> BatchLine {
    BatchLine { first, last, event_rows, quarantined_rows: 0, digest: [0; 32] }
}

fn finding(first: i64, last: i64, records: u64, rows: u64) -> Finding {
    Finding { first, last, records, rows }
}

/// A pass over offsets 0 to 99 in chunks of a length.
fn sweep(due: i64, chunk: i64, stretches: &[Stretch], batches: &[BatchLine]) -> Sweep {
    let mut sweep = Sweep::new(due, Ranges::one(80, 84));
    for first in (0..100).step_by(chunk as usize) {
        let last = (first + chunk - 1).min(99);
        let cut = |stretch: &Stretch| Stretch {
            first: stretch.first.max(first),
            last: stretch.last.min(last),
            ..*stretch
        };
        let within = |stretch: &Stretch| stretch.first <= stretch.last;
        sweep.take(&Chunk {
            range: OffsetRange { first, last },
            stretches: stretches.iter().map(cut).filter(within).collect(),
            batches: batches
                .iter()
                .filter(|b| (first..=last).contains(&b.first))
                .copied()
                .collect(),
            empty: Ranges::one(70, 74).and(&Ranges::one(first, last)),
        });
    }
    sweep.findings.sort();
    sweep
}

const CHUNKS: [i64; 5] = [100, 50, 7, 3, 1];

#[test]
fn every_offset_has_one_state_however_the_log_is_cut_into_chunks() {
    let bad = Stretch { first: 10, last: 12, quarantined: 1, positions: 1, ..Stretch::default() };
    let left_out = Stretch { first: 20, last: 21, skipped: 1, ..Stretch::default() };
    let stretches =
        [event(0, 9), bad, event(13, 19), left_out, event(22, 69), event(75, 79), event(85, 92)];
    let batches = [
        BatchLine { quarantined_rows: 3, ..batch(0, 39, 35) },
        batch(40, 79, 35),
        batch(85, 89, 5),
    ];
    for chunk in CHUNKS {
        let found = sweep(89, chunk, &stretches, &batches);
        let expected = Offsets {
            stored: 75,
            quarantined: 3,
            skipped: 2,
            empty: 5,
            gap: 5,
            not_yet: 10,
            ..Offsets::default()
        };
        assert_eq!(found.offsets, expected, "{chunk}");
        assert!(found.findings.is_empty(), "{chunk}: {:?}", found.findings);
    }
}

#[test]
fn what_was_retired_on_record_is_not_lost_and_its_neighbours_still_count() {
    // 5 to 7 were deleted, 10 to 12 of the quarantine; 20 and 21 redacted; 30 is gone without a word.
    let gone = Stretch { events: 0, gone_events: 1, ..event(5, 7) };
    let was_bad =
        Stretch { first: 10, last: 12, gone_quarantined: 1, positions: 1, ..Stretch::default() };
    let redacted = Stretch { redacted: 1, ..event(20, 21) };
    let stretches = [
        event(0, 4),
        gone,
        event(8, 9),
        was_bad,
        event(13, 19),
        redacted,
        event(22, 29),
        event(31, 69),
        event(75, 79),
        event(85, 99),
    ];
    let first = BatchLine { quarantined_rows: 3, ..batch(0, 39, 37) };
    for chunk in CHUNKS {
        let found = sweep(99, chunk, &stretches, &[first, batch(40, 79, 35), batch(85, 99, 15)]);
        assert_eq!((found.offsets.retired, found.offsets.quarantined), (8, 0), "{chunk}");
        assert_eq!((found.rows.retired, found.rows.events), (8, 83), "{chunk}");
        assert_eq!(found.findings.lost.ranges, [finding(30, 30, 1, 1)], "{chunk}");
        assert!(found.findings.unaccounted.ranges.is_empty(), "{chunk}: {:?}", found.findings);
    }
}

#[test]
fn what_is_missing_is_lost_where_it_was() {
    // 5 to 7 were deleted; the batch of 40 to 44 has gone with all its rows.
    let stretches = [event(0, 4), event(8, 39), event(45, 69), event(75, 79), event(85, 99)];
    let batches = [batch(0, 39, 40), batch(45, 79, 30), batch(85, 99, 15)];
    for chunk in CHUNKS {
        let found = sweep(99, chunk, &stretches, &batches);
        assert_eq!(found.offsets.lost, 8, "{chunk}");
        let lost = [finding(5, 7, 3, 3), finding(40, 44, 5, 5)];
        assert_eq!(found.findings.lost.ranges, lost, "{chunk}");
    }
}

#[test]
fn a_missing_element_is_lost_at_its_record_or_within_its_batch() {
    // The record at 30 had three elements, and each other one.
    let whole = Stretch { events: 3, positions: 3, ..event(30, 30) };
    let middle = Stretch { events: 2, positions: 2, holes: 1, ..whole };
    let tail = Stretch { events: 2, positions: 2, ..whole };
    let batches = [batch(0, 39, 42), batch(40, 79, 35), batch(85, 99, 15)];
    for (record, lost) in
        [(whole, vec![]), (middle, vec![finding(30, 30, 0, 1)]), (tail, vec![finding(0, 39, 0, 1)])]
    {
        let stretches = [event(0, 29), record, event(31, 69), event(75, 79), event(85, 99)];
        for chunk in CHUNKS {
            let found = sweep(99, chunk, &stretches, &batches);
            assert_eq!(found.findings.lost.ranges, lost, "{chunk}");
        }
    }
}

#[test]
fn rows_twice_and_rows_of_no_batch_are_told_apart() {
    let twice = Stretch { repeats: 1, ..event(3, 4) };
    let stretches = [event(0, 2), twice, event(5, 69), event(71, 71), event(75, 79), event(85, 99)];
    let batches = [batch(0, 39, 40), batch(40, 79, 35), batch(90, 99, 10)];
    for chunk in CHUNKS {
        let found = sweep(99, chunk, &stretches, &batches).findings;
        assert_eq!(found.duplicated.ranges, [finding(3, 4, 2, 2)], "{chunk}");
        let forged = [finding(40, 79, 0, 1), finding(85, 89, 5, 5)];
        assert_eq!(found.unaccounted.ranges, forged, "{chunk}");
        assert_eq!(found.lost.rows, 0, "{chunk}");
    }
}

#[test]
fn what_a_rule_had_left_out_and_is_stored_is_no_row_too_many() {
    // One batch, made again without its rule: 8 and 9 are stored beyond its number.
    let back = Stretch { taken_back: 1, ..event(8, 9) };
    let (before, rest) = (event(0, 7), [event(10, 69), event(75, 79), event(85, 99)]);
    let batches = [batch(0, 39, 38), batch(40, 79, 35), batch(85, 99, 15)];
    for chunk in CHUNKS {
        let found = |back| sweep(99, chunk, &[&[before, back], &rest[..]].concat(), &batches);
        assert!(found(back).findings.is_empty(), "{chunk}: {:?}", found(back).findings);
        assert_eq!(found(back).findings.uncompared_batches, 1, "{chunk}");
        let forged = found(event(8, 9)).findings;
        assert_eq!(forged.unaccounted.ranges, [finding(0, 39, 0, 2)], "{chunk}");
    }
}

#[test]
fn batches_that_overlap_are_a_union() {
    let stretches = [event(0, 69), event(75, 79), event(85, 99)];
    // The offset was set back to 20, and a newer mapping stored what an older had skipped.
    let batches = [batch(0, 39, 39), batch(20, 49, 30), batch(50, 79, 25), batch(85, 99, 15)];
    for chunk in CHUNKS {
        let found = sweep(99, chunk, &stretches, &batches).findings;
        assert!(found.is_empty(), "{chunk}: {found:?}");
    }
    let missing = [event(0, 24), event(26, 69), event(75, 79), event(85, 99)];
    let found = sweep(99, 10, &missing, &batches).findings;
    assert_eq!(found.lost.ranges, [finding(25, 25, 1, 1)]);
}
