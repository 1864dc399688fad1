//! When a batch is full enough.
//!
//! In: settings, how many lanes there are. Out: [`Limits`], and what closed a batch.
//!
//! # Invariants
//! - All lanes' filling batches and batches on their way, and the slices of those being inserted,
//!   fit `pipeline.memory_bytes`, however many lanes there are and however long their records,
//!   up to `pipeline.max_record_bytes`.
//! - A full batch is as large with 64 lanes as with 2 (what an insert costs ClickHouse is nearly the
//!   same for 1,000 rows and for 20,000): lanes grow theirs in turn, see [`super::turn`].
//! - Batches closed by age stay within `pipeline.inserts_per_second`, however many partitions there
//!   are: with many quiet ones, they wait longer.
//!
//! Deliberately unknown here: records, lanes.

use std::time::Duration;

use super::batch::{Batch, SEGMENT};
use super::config::PipelineConfig;

/// Rows are handed over when they are about so many bytes. Smaller ones cost ClickHouse and us more
/// a row, larger ones our caches, and memory.
const MOST_SLICE_BYTES: usize = 4 << 20;

/// When a batch is full enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At this many records.
    pub records: usize,
    /// At this many bytes.
    pub bytes: usize,
    /// What a lane holds while it is another's turn to grow, bytes.
    pub share: usize,
    /// What all lanes hold, bytes; what one record takes may come on top.
    pub held: usize,
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
        let held = records_bytes(config);
        let bytes = config.batch_bytes.min(held / batches_held(config, lanes));
        let spread_ms = (lanes as u64 * 1_000).div_ceil(config.inserts_per_second);
        Limits {
            records: config.batch_records,
            bytes,
            share: bytes / lanes,
            held,
            sending: config.inserts_in_flight + 1,
            age: Duration::from_millis(config.batch_age_ms.max(spread_ms)),
        }
    }

    /// What closes a batch at once, if anything does.
    pub fn closes(&self, batch: &Batch) -> Option<ClosedBy> {
        if batch.len() >= self.records {
            Some(ClosedBy::Records)
        } else if batch.held() >= self.bytes {
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

/// How often a slice is held: in columns, in the stream, on its way.
const SLICES: usize = 3;

/// Of how many bytes a slice is: all of them take half of memory at most.
pub fn slice_bytes(config: &PipelineConfig) -> usize {
    MOST_SLICE_BYTES.min(config.memory_bytes / 2 / SLICES / config.inserts_in_flight)
}

/// How many batches' slices the longest row of a batch takes: it is not cut, and has its record as
/// `raw` and in its columns.
pub fn slots(config: &PipelineConfig, longest_record: usize) -> usize {
    (2 * longest_record).div_ceil(slice_bytes(config)).clamp(1, config.inserts_in_flight)
}

/// What so many batches' slices take, bytes.
pub fn slices_bytes(config: &PipelineConfig, slots: usize) -> usize {
    SLICES * slice_bytes(config) * slots
}

/// What is left for records beside the slices of those that are being stored, and what one record
/// more takes.
fn records_bytes(config: &PipelineConfig) -> usize {
    let row = SLICES * 2 * config.max_record_bytes;
    let slices = slices_bytes(config, config.inserts_in_flight).max(row);
    config.memory_bytes.saturating_sub(slices + config.max_record_bytes + SEGMENT)
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
            let on_their_way = (config.inserts_in_flight + 1) * limits.bytes;
            let held = on_their_way + limits.bytes + limits.share * lanes;
            assert!(held <= limits.held, "{lanes} lanes hold {held} bytes");
        }
        let one = Limits::share(&config, 1);
        assert_eq!((one.share, one.bytes), (config.batch_bytes, config.batch_bytes));
    }

    #[test]
    fn records_and_slices_fit_whatever_memory_the_settings_allow() {
        let default = PipelineConfig::default();
        assert_eq!(slice_bytes(&default), MOST_SLICE_BYTES);
        for memory_bytes in [16 << 20, 32 << 20, 144 << 20, 8 << 30] {
            for (inserts_in_flight, lanes) in [(1, 1), (2, 1), (2, 64), (64, 2), (64, 4_096)] {
                let max_record_bytes = memory_bytes / 8;
                let config = PipelineConfig {
                    memory_bytes,
                    inserts_in_flight,
                    max_record_bytes,
                    ..default.clone()
                };
                for longest in [600, 64 << 10, max_record_bytes] {
                    // As many such batches are being stored as may be, one of them of one long row.
                    let slots = slots(&config, longest);
                    let others = slices_bytes(&config, inserts_in_flight - slots);
                    let row = SLICES * slice_bytes(&config).max(2 * longest);
                    let limits = Limits::share(&config, lanes);
                    let most = limits.held + max_record_bytes + SEGMENT + others + row;
                    let shown = format!("{memory_bytes} {inserts_in_flight} {lanes} {longest}");
                    assert!(most <= memory_bytes, "{shown}: {most}");
                    assert!(limits.bytes > 0, "{shown}");
                }
            }
        }
    }
}
