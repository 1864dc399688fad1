//! Where logs end, by librdkafka's statistics.
//!
//! In: the JSON that librdkafka makes every [`EVERY_MS`]. Out: [`Ends`].
//!
//! Each fetch brings the end of its partition along, so nobody is asked for it. A partition that is not
//! fetched, since its batches wait to be stored, keeps the end it had.
//!
//! # Invariants
//! - Of all the statistics nothing else is kept: there is a page of them for each broker.
//! - What cannot be read yet, beyond an open transaction, does not count.
//!
//! Deliberately unknown here: how far anything is read or stored.

use std::collections::HashMap;

use serde::Deserialize;

use crate::event::PartitionId;

/// How often, milliseconds; as librdkafka's property.
pub const EVERY_MS: &str = "5000";

/// Where logs end.
#[derive(Debug, Default, Deserialize)]
pub struct Ends {
    topics: HashMap<String, Topic>,
}

#[derive(Debug, Deserialize)]
struct Topic {
    partitions: HashMap<i32, Partition>,
}

/// Offsets are negative until they are known.
#[derive(Debug, Deserialize)]
struct Partition {
    hi_offset: i64,
    ls_offset: i64,
}

impl Ends {
    /// What the statistics say.
    pub fn read(statistics: &[u8]) -> Result<Ends, serde_json::Error> {
        serde_json::from_slice(statistics)
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// One past the last offset of a partition that can be read, where that is known.
    pub fn of(&self, partition: &PartitionId) -> Option<i64> {
        let of = self.topics.get(&*partition.topic)?.partitions.get(&partition.partition)?;
        [of.ls_offset, of.hi_offset].into_iter().find(|end| *end >= 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_what_can_be_read_of_it() {
        let ends = Ends::read(
            br#"{"name":"rdkafka#consumer-1","brokers":{"a":{"toppars":{}}},"topics":{"t":{"age":3,
            "partitions":{"0":{"partition":0,"hi_offset":9,"ls_offset":7,"consumer_lag":-1},
            "1":{"hi_offset":4,"ls_offset":-1001},"-1":{"hi_offset":-1001,"ls_offset":-1001}}}}}"#,
        );
        let ends = ends.unwrap();
        let of = |partition| ends.of(&PartitionId { topic: "t".into(), partition });
        assert_eq!([of(0), of(1), of(2), of(-1)], [Some(7), Some(4), None, None]);
        assert_eq!(ends.of(&PartitionId { topic: "u".into(), partition: 0 }), None);
        assert!(Ends::read(b"{}").is_err());
    }
}
