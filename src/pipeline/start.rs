//! Where a partition is read from, and up to where its records may be stored already.
//!
//! In: what Kafka remembers and what the warehouse holds. Out: a [`Start`], or the [`Gap`] that
//! stands in the way.
//!
//! | committed | start | made again |
//! | --- | --- | --- |
//! | an intent | the batch's first offset | that batch, with the same ends; then up to the highest stored |
//! | an offset | that offset | up to the highest stored: somebody may have set the offset back |
//! | nothing (expired, or another group id) | the end of the contiguous `batches` and accepted gaps | up to the highest stored |
//! | nothing, and nothing stored | the start of the log | nothing |
//!
//! # Invariants
//! - A start outside the log, or in a topic with another id, is a gap: records were lost that
//!   nobody has read. It is never stepped over unless an operator accepts it.
//! - Whatever the group's offsets say, a record at or below [`Start::made_again_to`] is looked for
//!   before it is inserted.
//!
//! Deliberately unknown here: how anything is asked.

use super::intent::{Intent, NewerFormat};
use crate::event::OffsetRange;
use crate::source::Assignment;
use crate::warehouse::{GapKind, Reach};

/// How to go on with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The first offset to read.
    pub offset: i64,
    /// The last offset of the batch that was announced and perhaps stored.
    pub intent_last: Option<i64>,
    /// Up to this offset records may be stored already.
    pub made_again_to: Option<i64>,
}

/// Records that cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// What happened.
    pub kind: GapKind,
    /// The offsets concerned. Of a topic that was made again, where reading stood.
    pub range: OffsetRange,
    /// How to go on once it is accepted.
    pub after: Start,
}

/// Why a partition does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Records were lost.
    Gap(Gap),
    /// This program must not go on with it.
    Newer(NewerFormat),
}

/// Where to begin.
pub fn start(assignment: &Assignment, reach: &Reach) -> Result<Start, Obstacle> {
    let Assignment { committed, incarnation, log_start, log_end, .. } = assignment;
    let fresh = reach.contiguous_end.map_or(*log_start, |end| end + 1);
    let offset = committed.as_ref().map_or(fresh, |committed| committed.next_offset);
    let metadata = committed.as_ref().map_or("", |committed| &committed.metadata);
    let intent = Intent::read(metadata).map_err(Obstacle::Newer)?;

    let is_other = |intent: &&Intent| *intent.incarnation != **incarnation;
    if intent.as_ref().is_some_and(|intent| is_other(&intent)) {
        let after = Start { offset: fresh, intent_last: None, made_again_to: reach.highest };
        let range = OffsetRange { first: offset, last: offset };
        return Err(Obstacle::Gap(Gap { kind: GapKind::Recreated, range, after }));
    }
    let intent_last = intent.and_then(|intent| intent.last).filter(|last| *last >= offset);
    let made_again_to = intent_last.max(reach.highest);
    if offset < *log_start {
        let range = OffsetRange { first: offset, last: log_start - 1 };
        let after = Start { offset: *log_start, intent_last: None, made_again_to };
        return Err(Obstacle::Gap(Gap { kind: GapKind::Deleted, range, after }));
    }
    // Its end was read once, so the log was cut since.
    if let Some(last) = intent_last.filter(|last| last >= log_end && offset <= *log_end) {
        let range = OffsetRange { first: *log_end, last };
        let after = Start { offset, intent_last: None, made_again_to };
        return Err(Obstacle::Gap(Gap { kind: GapKind::Truncated, range, after }));
    }
    if offset > *log_end {
        let range = OffsetRange { first: *log_end, last: offset - 1 };
        let after = Start { offset: *log_end, intent_last: None, made_again_to };
        return Err(Obstacle::Gap(Gap { kind: GapKind::Truncated, range, after }));
    }
    Ok(Start { offset, intent_last, made_again_to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PartitionId;
    use crate::source::Committed;

    fn assignment(committed: Option<(i64, Option<Intent>)>) -> Assignment {
        Assignment {
            partition: PartitionId { topic: "t".into(), partition: 0 },
            cluster: "c".into(),
            incarnation: "now".into(),
            committed: committed.map(|(next_offset, intent)| Committed {
                next_offset,
                metadata: intent.map(|intent| intent.to_metadata()).unwrap_or_default(),
            }),
            log_start: 10,
            log_end: 100,
        }
    }

    fn reach(contiguous_end: Option<i64>, highest: Option<i64>) -> Reach {
        Reach { contiguous_end, highest }
    }

    #[test]
    fn the_start_follows_from_what_is_committed_and_stored() {
        let intent = |last| Some(Intent::new("now", last));
        let rows = [
            (None, None, None, (10, None, None)),
            (None, Some(39), Some(39), (40, None, Some(39))),
            (None, Some(39), Some(70), (40, None, Some(70))),
            (Some((40, None)), None, None, (40, None, None)),
            (Some((40, intent(None))), None, None, (40, None, None)),
            (Some((40, intent(Some(49)))), None, None, (40, Some(49), Some(49))),
            (Some((40, intent(Some(49)))), None, Some(60), (40, Some(49), Some(60))),
            (Some((40, intent(None))), None, Some(60), (40, None, Some(60))),
            (Some((100, intent(None))), None, Some(99), (100, None, Some(99))),
        ];
        for (committed, contiguous_end, highest, expected) in rows {
            let shown = format!("{committed:?} {contiguous_end:?} {highest:?}");
            let found = start(&assignment(committed), &reach(contiguous_end, highest)).unwrap();
            assert_eq!((found.offset, found.intent_last, found.made_again_to), expected, "{shown}");
        }
    }

    #[test]
    fn a_start_outside_the_log_or_in_another_topic_is_a_gap() {
        let rows = [
            (Some((5, None)), None, GapKind::Deleted, (5, 9), 10),
            (None, Some(3), GapKind::Deleted, (4, 9), 10),
            (Some((105, None)), None, GapKind::Truncated, (100, 104), 100),
            (
                Some((90, Some(Intent::new("now", Some(109))))),
                None,
                GapKind::Truncated,
                (100, 109),
                90,
            ),
            (Some((40, Some(Intent::new("then", None)))), None, GapKind::Recreated, (40, 40), 10),
        ];
        for (committed, contiguous_end, kind, (first, last), after) in rows {
            let found = start(&assignment(committed), &reach(contiguous_end, None));
            let Err(Obstacle::Gap(gap)) = found else { panic!("{kind:?}: {found:?}") };
            assert_eq!((gap.kind, gap.range), (kind, OffsetRange { first, last }));
            assert_eq!(gap.after.offset, after);
        }
    }
}
