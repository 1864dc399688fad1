//! Events in the order they were stored: what a reader asks who wants each one once, for ever.
//!
//! In: a scope, a filter, the [`Positions`] already told. Out: a [`FeedQuery`], which a reader
//! answers with a [`FeedPage`] and the positions behind it.
//!
//! # Invariants
//! - A position counts offsets in one log (a partition of one incarnation of a topic, a backfill, a
//!   replay); a log that is not named has told nothing yet. So late events, backfills and replays
//!   come like any other.
//! - A feed reads a log only as far as its batches say it is complete ([`Extents`]): rows of one
//!   batch become visible one after the other, and a position behind a row that is not there yet
//!   would lose it.
//! - Rows of a log come in ascending order of offset and index. Across logs there is no order.
//! - Printed positions parse to themselves; any other text is refused, and they show nothing: the
//!   cluster's topics and offsets are not a tenant's to know. They grant nothing.
//!
//! Deliberately unknown here: how a store finds rows by position, who may ask.

use std::collections::BTreeMap;

use super::{CursorError, CursorKey, Filter, TenantScope};
use crate::event::{LogId, OffsetRange, StoredEvent, StoredPosition};

/// First byte of every vector; raised when the layout changes.
const VERSION: u8 = 1;
/// What positions are sealed as.
const PURPOSE: &str = "trailhouse positions";

/// Where each log is complete: from its first stored offset to its last.
pub type Extents = BTreeMap<LogId, OffsetRange>;

/// The first row of a log that has not been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextRow {
    /// The record's offset.
    pub offset: i64,
    /// Place inside a record that fans out.
    pub index: u32,
}

impl NextRow {
    /// The first row behind an offset.
    pub fn behind(offset: i64) -> NextRow {
        NextRow { offset: offset.saturating_add(1), index: 0 }
    }

    /// The first row behind another.
    pub fn after(offset: i64, index: u32) -> NextRow {
        match index.checked_add(1) {
            Some(index) => NextRow { offset, index },
            None => NextRow::behind(offset),
        }
    }
}

/// A vector: for each log, what comes next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<LogId, NextRow>);

/// One question for what was stored next.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedQuery {
    /// Whose logs may be seen.
    pub tenants: TenantScope,
    /// What must hold.
    pub filter: Filter,
    /// What has been told.
    pub after: Positions,
    /// How far is complete.
    pub until: Extents,
    /// How many events a page holds at most.
    pub limit: u32,
}

/// What was stored next.
#[derive(Debug, Clone, Default)]
pub struct FeedPage {
    /// Events, those of a log together and in its order. Possibly none, though there are more: a
    /// round looks at so many rows and no more.
    pub events: Vec<StoredEvent>,
    /// What has been told now.
    pub next: Positions,
}

impl Positions {
    /// Behind everything that is complete: where a tail begins.
    pub fn at_end(extents: &Extents) -> Positions {
        let ends = extents.iter().map(|(log, range)| (log.clone(), NextRow::behind(range.last)));
        Positions(ends.collect())
    }

    /// What comes next of a log; its first row where it has told nothing.
    pub fn next_of(&self, log: &LogId, first_offset: i64) -> NextRow {
        let first = NextRow { offset: first_offset, index: 0 };
        self.0.get(log).map_or(first, |next| first.max(*next))
    }

    /// Move a log on.
    pub fn set(&mut self, log: LogId, next: NextRow) {
        self.0.insert(log, next);
    }

    /// Move behind an event.
    pub fn pass(&mut self, position: &StoredPosition) {
        self.set(log_of(position), NextRow::after(position.offset, position.index));
    }

    /// Whether anything complete has not been told.
    pub fn is_behind(&self, extents: &Extents) -> bool {
        extents.iter().any(|(log, range)| self.next_of(log, range.first).offset <= range.last)
    }

    /// The opaque text.
    pub fn encode(&self, key: &CursorKey) -> String {
        key.seal(PURPOSE, self.bytes())
    }

    /// Read an opaque text back.
    pub fn decode(text: &str, key: &CursorKey) -> Result<Positions, CursorError> {
        Positions::read(&key.open(PURPOSE, text)?).ok_or(CursorError::Malformed)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut topics: BTreeMap<[&str; 3], Vec<(i32, NextRow)>> = BTreeMap::new();
        for (log, next) in &self.0 {
            let topic = [&*log.cluster, &*log.topic, &*log.incarnation];
            topics.entry(topic).or_default().push((log.partition, *next));
        }
        let mut bytes = vec![VERSION];
        write(&mut bytes, topics.len() as u64);
        for (topic, partitions) in topics {
            for name in topic {
                write(&mut bytes, name.len() as u64);
                bytes.extend_from_slice(name.as_bytes());
            }
            write(&mut bytes, partitions.len() as u64);
            for (partition, next) in partitions {
                write(&mut bytes, u64::from(partition.cast_unsigned()));
                write(&mut bytes, next.offset.cast_unsigned());
                write(&mut bytes, u64::from(next.index));
            }
        }
        bytes
    }

    fn read(mut bytes: &[u8]) -> Option<Positions> {
        let rest = &mut bytes;
        let mut positions = Positions::default();
        if take(rest, 1)? != [VERSION] {
            return None;
        }
        for _ in 0..number(rest)? {
            let (cluster, topic, incarnation) = (name(rest)?, name(rest)?, name(rest)?);
            for _ in 0..number(rest)? {
                let partition = u32::try_from(number(rest)?).ok()?.cast_signed();
                let offset = number(rest)?.cast_signed();
                let index = u32::try_from(number(rest)?).ok()?;
                let log = LogId {
                    cluster: cluster.into(),
                    topic: topic.into(),
                    incarnation: incarnation.into(),
                    partition,
                };
                positions.set(log, NextRow { offset, index });
            }
        }
        rest.is_empty().then_some(positions)
    }
}

/// The log a row stands in.
pub fn log_of(position: &StoredPosition) -> LogId {
    LogId {
        cluster: position.cluster.as_str().into(),
        topic: position.topic.as_str().into(),
        incarnation: position.incarnation.as_str().into(),
        partition: position.partition,
    }
}

/// Seven bits a byte, the low ones first; the high bit says that more follow.
fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(number);
        }
    }
    None
}

fn name<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(number(rest)?).ok()?;
    std::str::from_utf8(take(rest, length)?).ok()
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log() -> impl Strategy<Value = LogId> {
        ("[a-c]{0,2}", "\\PC{0,8}", "[a-c]{0,2}", any::<i32>()).prop_map(
            |(cluster, topic, incarnation, partition)| LogId {
                cluster: cluster.into(),
                topic: topic.into(),
                incarnation: incarnation.into(),
                partition,
            },
        )
    }

    fn positions() -> impl Strategy<Value = Positions> {
        let next = (any::<i64>(), any::<u32>());
        let next = next.prop_map(|(offset, index)| NextRow { offset, index });
        prop::collection::btree_map(log(), next, 0..8).prop_map(Positions)
    }

    fn key() -> CursorKey {
        CursorKey::new([1; 32]).unwrap()
    }

    proptest! {
        #[test]
        fn printed_positions_parse_to_themselves(positions in positions()) {
            let text = positions.encode(&key());
            prop_assert_eq!(Positions::decode(&text, &key()), Ok(positions));
            let other = CursorKey::new([2; 32]).unwrap();
            prop_assert_eq!(Positions::decode(&text, &other), Err(CursorError::Malformed));
        }

        #[test]
        fn any_other_text_is_refused(text in "\\PC{0,40}") {
            prop_assert_eq!(Positions::decode(&text, &key()), Err(CursorError::Malformed));
        }

        #[test]
        fn what_is_cut_short_or_goes_on_is_refused(positions in positions(), cut in 1..9_usize) {
            let mut bytes = positions.bytes();
            prop_assert_eq!(Positions::read(&bytes[..bytes.len().saturating_sub(cut)]), None);
            bytes.push(0);
            prop_assert_eq!(Positions::read(&bytes), None);
        }
    }

    #[test]
    fn a_cursor_of_a_page_is_no_positions() {
        let cursor = key().seal("trailhouse cursor", Positions::default().bytes());
        assert_eq!(Positions::decode(&cursor, &key()), Err(CursorError::Malformed));
    }

    #[test]
    fn a_log_that_is_not_named_has_told_nothing() {
        let log = LogId::of_replay("c", "t");
        let stored = |first, last| Extents::from([(log.clone(), OffsetRange { first, last })]);
        let nothing = Positions::default();
        assert_eq!(nothing.next_of(&log, 7), NextRow { offset: 7, index: 0 });
        assert!(nothing.is_behind(&stored(7, 7)));
        let told = Positions::at_end(&stored(7, 7));
        assert!(!told.is_behind(&stored(7, 7)));
        assert!(told.is_behind(&stored(7, 8)));
    }

    #[test]
    fn twelve_partitions_take_less_than_three_hundred_bytes() {
        let log = |partition| LogId {
            cluster: "MkU3OEVBNTcwNTJENDM2Qk".into(),
            topic: "audit.shop".into(),
            incarnation: "Wq8l3ZzQSKqC0dTR2gZ9Zg".into(),
            partition,
        };
        let next = NextRow { offset: 1 << 40, index: 0 };
        let positions = Positions((0..12).map(|partition| (log(partition), next)).collect());
        assert!(positions.encode(&key()).len() < 300);
    }
}
