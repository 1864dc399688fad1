//! When a batch is full enough.
//!
//! In: settings, how many lanes there are. Out: [`Limits`], and what closed a batch.
//!
//! # Invariants
//! - All lanes' filling batches and batches on their way, and the columns of those being inserted,
//!   fit `pipeline.memory_bytes`.
//! - Batches closed by age stay within `pipeline.inserts_per_second`, however many partitions there
//!   are: with many quiet ones, they wait longer.
//!
//! Deliberately unknown here: records, lanes.

use std::time::Duration;

use super::batch::Batch;
use super::config::PipelineConfig;

/// When a batch is full enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At this many records.
    pub records: usize,
    /// At this many bytes.
    pub bytes: usize,
    /// When its first record has waited this long.
    pub age: Duration,
}

impl Limits {
    /// A lane's share: every lane may fill one batch and have one waiting; those being stored are
    /// held again as columns, and as the stream these are sent in.
    pub fn share(config: &PipelineConfig, lanes: usize) -> Limits {
        let lanes = lanes.max(1);
        let shares = 2 * lanes + 4 * config.inserts_in_flight;
        let spread_ms = (lanes as u64 * 1_000).div_ceil(config.inserts_per_second);
        Limits {
            records: config.batch_records,
            bytes: config.batch_bytes.min(config.memory_bytes / shares),
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
    fn many_lanes_get_smaller_batches_and_wait_longer() {
        let config = PipelineConfig { inserts_per_second: 20, ..PipelineConfig::default() };
        let few = Limits::share(&config, 12);
        assert_eq!(few.age, Duration::from_secs(1), "the setting, while the ceiling allows it");
        let many = Limits::share(&config, 512);
        assert_eq!(many.age, Duration::from_millis(25_600), "512 lanes at 20 inserts a second");
        for (lanes, limits) in [(12, few), (512, many)] {
            let held = limits.bytes * (2 * lanes + 4 * config.inserts_in_flight);
            assert!(held <= config.memory_bytes, "{lanes} lanes hold {held} bytes");
        }
    }
}
