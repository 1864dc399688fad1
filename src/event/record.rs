//! A record as a source hands it over, and where it stands.
//!
//! In: bytes, a position. Out: [`RawRecord`], [`Position`], [`OffsetRange`], [`Headers`].
//!
//! # Invariants
//! - `offset` is a record's own; `next_offset` is what Kafka stores as committed. Never mixed.
//! - A position with its cluster and incarnation is unique for ever: offsets repeat when a topic
//!   is recreated, incarnations do not.
//! - Headers keep their order and their repeats.
//!
//! Deliberately unknown here: librdkafka, files.

use std::fmt;
use std::sync::Arc;

use super::Micros;

/// What the topic of a replay's lane begins with; the topic it replays follows.
pub const REPLAY: &str = "@replay/";

/// One record, before anybody has looked inside.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// The record's own offset in its partition.
    pub offset: i64,
    /// The record's timestamp; `None` where the source has none.
    pub timestamp: Option<Micros>,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's headers.
    pub headers: Headers<'a>,
    /// The payload; empty for a tombstone.
    pub payload: &'a [u8],
}

impl RawRecord<'_> {
    /// Bytes of key and headers.
    pub fn bytes_around(&self) -> usize {
        self.headers.as_bytes().len() + self.key.map_or(0, <[u8]>::len)
    }

    /// Bytes of all of it.
    pub fn bytes(&self) -> usize {
        self.bytes_around() + self.payload.len()
    }
}

/// Place of a row in its log: offset and index.
pub type Place = (i64, u32);

/// A topic's partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    /// The topic; `@file/NAME` for a backfill, `@replay/TOPIC` for a replay.
    pub topic: Arc<str>,
    /// The partition within it.
    pub partition: i32,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// One partition's log, for ever: what offsets count in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId {
    /// The Kafka cluster's id, or its configured name.
    pub cluster: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// The topic's id, which changes when the topic is recreated; empty where the broker has none.
    pub incarnation: Arc<str>,
    /// The partition.
    pub partition: i32,
}

impl LogId {
    /// The lane that a topic's quarantined rows are replayed on; a lane's own on the lane itself.
    pub fn of_replay(cluster: &str, topic: &str) -> LogId {
        let topic = topic.strip_prefix(REPLAY).unwrap_or(topic);
        LogId {
            cluster: cluster.into(),
            topic: format!("{REPLAY}{topic}").into(),
            incarnation: "".into(),
            partition: 0,
        }
    }

    /// The topic whose records it holds: of a replay's lane, the one that is replayed.
    pub fn replayed_topic(&self) -> &str {
        self.topic.strip_prefix(REPLAY).unwrap_or(&self.topic)
    }

    /// Place of one row of one record.
    pub fn position(&self, offset: i64, index: u32) -> Position<'_> {
        Position {
            cluster: &self.cluster,
            topic: &self.topic,
            incarnation: &self.incarnation,
            partition: self.partition,
            offset,
            index,
        }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LogId { cluster, topic, incarnation, partition } = self;
        write!(f, "{cluster}/{topic}/{incarnation}/{partition}")
    }
}

/// Where an event's record stands: the key of receipts, read-back and proofs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position<'a> {
    /// The Kafka cluster's id, or its configured name.
    pub cluster: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The topic's id, which changes when the topic is recreated; empty where the broker has none.
    pub incarnation: &'a str,
    /// The partition.
    pub partition: i32,
    /// The record's own offset.
    pub offset: i64,
    /// Place inside a record that fans out; 0 for one that does not.
    pub index: u32,
}

/// A contiguous range of offsets, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetRange {
    /// The first offset.
    pub first: i64,
    /// The last offset.
    pub last: i64,
}

impl OffsetRange {
    /// What Kafka stores as committed once the range is done.
    pub fn next_offset(self) -> i64 {
        self.last + 1
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A record's headers, packed into one slice so that a lane keeps them beside the payload.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    /// Append one header to a packed buffer.
    pub fn pack(buffer: &mut Vec<u8>, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            // INVARIANT: a Kafka record is far below 4 GiB, and so is each part of it.
            buffer.extend_from_slice(&(part.len() as u32).to_le_bytes());
            buffer.extend_from_slice(part);
        }
    }

    /// Read a buffer that [`Headers::pack`] filled.
    pub fn packed(buffer: &'a [u8]) -> Self {
        Headers(buffer)
    }

    /// The packed bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The last value of a header, if it is UTF-8; Kafka lets a later header override an earlier.
    pub fn get(self, name: &str) -> Option<&'a str> {
        str::from_utf8(self.last(name)?).ok()
    }

    /// The last value of a header, as its bytes.
    pub fn last(self, name: &str) -> Option<&'a [u8]> {
        Some(self.parts().filter(|(key, _)| *key == name.as_bytes()).last()?.1)
    }

    /// Every header, in the record's order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.parts().map(|(name, value)| (str::from_utf8(name).unwrap_or_default(), value))
    }

    /// Every header, its name unread.
    pub fn parts(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || Some((take(&mut rest)?, take(&mut rest)?)))
    }
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (part, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = tail;
    Some(part)
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |(name, value)| (name, String::from_utf8_lossy(value));
        f.debug_map().entries(self.iter().map(text)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_in_order_and_the_last_of_a_name_counts() {
        let mut buffer = Vec::new();
        for (name, value) in [("tenant", "a"), ("x", ""), ("tenant", "b")] {
            Headers::pack(&mut buffer, name, value.as_bytes());
        }
        let headers = Headers::packed(&buffer);
        let names: Vec<&str> = headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["tenant", "x", "tenant"]);
        assert_eq!(headers.get("tenant"), Some("b"));
        assert_eq!(headers.get("x"), Some(""));
        assert_eq!(headers.get("y"), None);
    }

    #[test]
    fn a_cut_buffer_ends_the_headers_instead_of_panicking() {
        let mut buffer = Vec::new();
        Headers::pack(&mut buffer, "tenant", b"acme");
        for cut in 0..buffer.len() {
            assert_eq!(Headers::packed(&buffer[..cut]).iter().count(), 0);
        }
    }
}
