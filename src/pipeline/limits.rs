//! When a batch is full enough.
//!
//! In: settings, how many lanes there are. Out: [`Limits`], and what closed a batch.
//!
//! # Invariants
//! - All lanes' filling batches and batches on their way, and the columns of those being inserted,
//!   fit `pipeline.memory_bytes`.
//! - A full batch is as large with 64 lanes as with 2 (what an insert costs ClickHouse is nearly the
//!   same for 1,000 rows and for 20,000): lanes grow theirs in turn, see [`super::turn`].
//! - Batches closed by age stay within `pipeline.inserts_per_second`, however many partitions there
//!   are: with many quiet ones, they wait longer.
//!
//! Deliberately unknown here: records, lanes.

use std::time::Duration;

use super::batch::Batch;
use super::columns::SLICE_BYTES;
use super::config::PipelineConfig;

/// When a batch is full enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At this many records.
    pub records: usize,
    /// At this many bytes.
    pub bytes: usize,
    /// What a lane holds while it is another's turn to grow, bytes.
    pub share: usize,
    /// How many batches may be on their way.
    pub sending: usize,
    /// When its first record has waited this long.
    pub age: Duration,
}

impl Limits {
    /// What memory allows: of those being stored a slice is held as columns as well; one more waits to
    /// be stored; one grows, and all others together hold as much.
    pub fn share(config: &PipelineConfig, lanes: usize) -> Limits {
        let lanes = lanes.max(1);
        let bytes =
            config.batch_bytes.min(records_bytes(config, lanes) / batches_held(config, lanes));
        let spread_ms = (lanes as u64 * 1_000).div_ceil(config.inserts_per_second);
        Limits {
            records: config.batch_records,
            bytes,
            share: bytes / lanes,
            sending: config.inserts_in_flight + 1,
            age: Duration::from_millis(config.batch_age_ms.max(spread_ms)),
        }
    }

    /// What closes a batch at once, if anything does.
    pub fn closes(&self, batch: &Batch) -> Option<ClosedBy> {
        if batch.len() >= self.records {
            Some(ClosedBy::Records)
        } else if batch.bytes() >= self.bytes {
            Some(ClosedBy::Bytes)
        } else {
            None
        }
    }
}

/// How many times a full batch's bytes are held at most.
fn batches_held(config: &PipelineConfig, lanes: usize) -> usize {
    let stored = config.inserts_in_flight.min(lanes);
    stored + usize::from(lanes > stored) + lanes.min(2)
}

/// What is left for records where each batch that is being stored has a slice in columns, in the
/// stream, and on its way.
fn records_bytes(config: &PipelineConfig, lanes: usize) -> usize {
    let slices = 3 * SLICE_BYTES * config.inserts_in_flight.min(lanes);
    config.memory_bytes - slices.min(config.memory_bytes / 2)
}

/// What closed a batch: a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedBy {
    /// Enough records.
    Records,
    /// Enough bytes.
    Bytes,
    /// Its first record waited long enough.
    Age,
    /// The source ended, or the process stops.
    End,
    /// It was made again, and ends where it ended before.
    Intent,
}

impl ClosedBy {
    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            ClosedBy::Records => "records",
            ClosedBy::Bytes => "bytes",
            ClosedBy::Age => "age",
            ClosedBy::End => "end",
            ClosedBy::Intent => "intent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lanes_wait_longer_and_their_batches_are_as_large_as_those_of_few() {
        let config = PipelineConfig { inserts_per_second: 20, ..PipelineConfig::default() };
        let few = Limits::share(&config, 12);
        assert_eq!(few.age, Duration::from_secs(1), "the setting, while the ceiling allows it");
        let many = Limits::share(&config, 512);
        assert_eq!(many.age, Duration::from_millis(25_600), "512 lanes at 20 inserts a second");
        assert_eq!(few.bytes, many.bytes);
        for (lanes, limits) in [(12, few), (512, many)] {
            let slices = 3 * SLICE_BYTES * config.inserts_in_flight;
            let on_their_way = (config.inserts_in_flight + 1) * limits.bytes + slices;
            let held = on_their_way + limits.bytes + limits.share * lanes;
            assert!(held <= config.memory_bytes, "{lanes} lanes hold {held} bytes");
        }
        let one = Limits::share(&config, 1);
        assert_eq!((one.share, one.bytes), (config.batch_bytes, config.batch_bytes));
    }
}
