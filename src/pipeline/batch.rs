//! A batch: one partition's contiguous offset range, its records packed into segments.
//!
//! In: records, in the order of their offsets. Out: the same records, read back.
//!
//! # Invariants
//! - Ranges tile: `first` is the previous batch's `last + 1`, over offsets that hold no record
//!   (transaction markers, compaction).
//! - Offsets ascend. A record is copied once, here.
//! - A batch that is made again ends where it ended the first time, whether or not there is still a
//!   record; any other ends at its last record.
//!
//! Deliberately unknown here: what a record means, when a batch is full enough.

use std::time::Instant;

use crate::event::{Headers, Micros, OffsetRange, PartitionId, RawRecord};

/// Bytes of a batch's first segment: most batches of quiet partitions stay small.
const LEAST_SEGMENT: usize = 4 << 10;
/// Bytes of a segment in the long run. A longer record has one of its own.
pub const SEGMENT: usize = 1 << 20;

/// Records of one partition.
#[derive(Debug)]
pub struct Batch {
    first: i64,
    /// Where it must end, if that is known already.
    last: Option<i64>,
    /// Never grown: growing would copy the records, and hold them twice meanwhile.
    segments: Vec<Vec<u8>>,
    /// Of records, in all segments.
    bytes: usize,
    /// Of all segments, whether full or not.
    segment_bytes: usize,
    /// Of its longest record.
    longest: usize,
    entries: Vec<Entry>,
    /// When its first record came.
    pub opened: Instant,
}

/// Key, headers and payload stand in this order in one segment.
#[derive(Debug)]
struct Entry {
    offset: i64,
    timestamp: Option<Micros>,
    segment: u32,
    start: u32,
    key_bytes: Option<u32>,
    headers_bytes: u32,
    payload_bytes: u32,
}

impl Batch {
    /// An empty batch whose range begins at `first`; and ends at `last`, where one is made again.
    pub fn begin(first: i64, last: Option<i64>, opened: Instant) -> Batch {
        let (segments, entries) = (Vec::new(), Vec::new());
        Batch { first, last, segments, bytes: 0, segment_bytes: 0, longest: 0, entries, opened }
    }

    /// Where it must end, if that is known already.
    pub fn must_end(&self) -> Option<i64> {
        self.last
    }

    /// Append a record. INVARIANT: it is no longer than Kafka has them, 1 GiB.
    pub fn push(&mut self, record: &RawRecord<'_>) {
        let RawRecord { offset, timestamp, key, headers, payload } = *record;
        let bytes = record.bytes();
        let has_room = |segment: &Vec<u8>| segment.capacity() - segment.len() >= bytes;
        if !self.segments.last().is_some_and(has_room) {
            let usual = self.bytes.clamp(LEAST_SEGMENT, SEGMENT);
            let segment = Vec::with_capacity(usual.max(bytes));
            self.segment_bytes += segment.capacity();
            self.segments.push(segment);
        }
        let at = self.segments.len() - 1;
        let segment = &mut self.segments[at];
        let start = segment.len() as u32;
        segment.extend_from_slice(key.unwrap_or_default());
        segment.extend_from_slice(headers.as_bytes());
        segment.extend_from_slice(payload);
        self.bytes += bytes;
        self.longest = self.longest.max(bytes);
        if self.entries.len() == self.entries.capacity() {
            // By a quarter: twice as many would be megabytes that nobody needs.
            self.entries.reserve_exact(8.max(self.entries.len() / 4));
        }
        self.entries.push(Entry {
            offset,
            timestamp,
            segment: at as u32,
            start,
            key_bytes: key.map(|key| key.len() as u32),
            headers_bytes: headers.as_bytes().len() as u32,
            payload_bytes: payload.len() as u32,
        });
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// When its first record came to Kafka, where the record says so.
    pub fn oldest(&self) -> Option<Micros> {
        self.entries.first().and_then(|entry| entry.timestamp)
    }

    /// When its records came to Kafka, where they say so.
    pub fn timestamps(&self) -> impl Iterator<Item = Micros> {
        self.entries.iter().filter_map(|entry| entry.timestamp)
    }

    /// Bytes of records, and of the table of them.
    pub fn bytes(&self) -> usize {
        self.bytes + self.entries.len() * size_of::<Entry>()
    }

    /// Bytes of memory it takes: what [`Batch::bytes`] are kept in.
    pub fn held(&self) -> usize {
        self.segment_bytes + self.entries.capacity() * size_of::<Entry>()
    }

    /// Bytes of its longest record.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The offset of its last record.
    pub fn last_record(&self) -> Option<i64> {
        self.entries.last().map(|entry| entry.offset)
    }

    /// The offsets it stands for; `None` while there are none.
    pub fn range(&self) -> Option<OffsetRange> {
        let last = self.last.or(self.last_record())?;
        Some(OffsetRange { first: self.first, last })
    }

    /// Offsets of the range that hold no record, as ranges.
    pub fn holes(&self) -> Vec<OffsetRange> {
        let Some(range) = self.range() else { return Vec::new() };
        let (mut holes, mut next) = (Vec::new(), range.first);
        let offsets = self.entries.iter().map(|entry| entry.offset);
        for offset in offsets.chain([range.next_offset()]) {
            if offset > next {
                holes.push(OffsetRange { first: next, last: offset - 1 });
            }
            next = offset + 1;
        }
        holes
    }

    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = RawRecord<'_>> {
        self.entries.iter().map(|entry| {
            let bytes = &self.segments[entry.segment as usize][entry.start as usize..];
            let (key, bytes) = bytes.split_at(entry.key_bytes.unwrap_or(0) as usize);
            let (headers, bytes) = bytes.split_at(entry.headers_bytes as usize);
            RawRecord {
                offset: entry.offset,
                timestamp: entry.timestamp,
                key: entry.key_bytes.map(|_| key),
                headers: Headers::packed(headers),
                payload: &bytes[..entry.payload_bytes as usize],
            }
        })
    }
}

/// A record of a batch that was closed without it. Going on would lose it or store it twice.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{partition}: offset {offset} came after everything before {next_first} was done")]
pub struct Misplaced {
    /// The partition.
    pub partition: PartitionId,
    /// The record's offset.
    pub offset: i64,
    /// Where the next batch begins.
    pub next_first: i64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parts = (Option<Vec<u8>>, Vec<u8>, Option<i64>, u8);

    fn parts() -> impl Strategy<Value = Vec<Parts>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        prop::collection::vec(
            (prop::option::of(bytes()), bytes(), any::<Option<i64>>(), 1..9_u8),
            0..50,
        )
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_went_in_and_the_range_tiles(parts in parts(), first in 0..1_000_i64) {
            let mut batch = Batch::begin(first, None, Instant::now());
            prop_assert_eq!(batch.range(), None);
            let mut packed = Vec::new();
            Headers::pack(&mut packed, "name", b"value");
            let mut offset = first;
            let mut expected = Vec::new();
            for (key, payload, timestamp, gap) in &parts {
                offset += i64::from(*gap);
                expected.push((offset, *timestamp, key.clone(), payload.clone()));
                batch.push(&RawRecord {
                    offset,
                    timestamp: *timestamp,
                    key: key.as_deref(),
                    headers: Headers::packed(&packed),
                    payload,
                });
            }
            let found: Vec<_> = batch
                .records()
                .map(|r| (r.offset, r.timestamp, r.key.map(<[u8]>::to_vec), r.payload.to_vec()))
                .collect();
            prop_assert_eq!(&found, &expected);
            prop_assert!(batch.held() >= batch.bytes());
            prop_assert!(batch.records().all(|record| record.headers.get("name") == Some("value")));
            let last = expected.last().map(|(offset, ..)| *offset);
            prop_assert_eq!(batch.range(), last.map(|last| OffsetRange { first, last }));
            // Records and holes together are the range, each offset once.
            let holes = batch.holes().into_iter().flat_map(|hole| hole.first..=hole.last);
            let mut covered: Vec<i64> = holes.chain(expected.iter().map(|part| part.0)).collect();
            covered.sort_unstable();
            let range = batch.range().map_or(0..0, |range| range.first..range.next_offset());
            prop_assert_eq!(covered, range.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_batch_made_again_keeps_its_end_though_its_records_are_gone() {
        let batch = Batch::begin(4, Some(9), Instant::now());
        assert_eq!(batch.range(), Some(OffsetRange { first: 4, last: 9 }));
        assert_eq!(batch.holes(), [OffsetRange { first: 4, last: 9 }]);
    }
}
