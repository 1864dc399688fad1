//! The `[pipeline]` section of the configuration.
//!
//! In: TOML, environment. Out: [`PipelineConfig`], whose defaults are the documented ones.
//!
//! # Invariants
//! - Times are milliseconds and sizes bytes, and their names say so.
//!
//! Deliberately unknown here: files, environment variables.

use serde::{Deserialize, Serialize};

/// How records become batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipelineConfig {
    /// A batch is closed at this many records.
    pub batch_records: usize,
    /// A batch is closed at this many bytes of records.
    pub batch_bytes: usize,
    /// A batch is closed when its first record has waited this long, milliseconds.
    pub batch_age_ms: u64,
    /// Bytes of records and columns held at most, all partitions together; librdkafka's prefetch
    /// (`kafka.prefetch_bytes` a partition) is beside it.
    pub memory_bytes: usize,
    /// A longer record is quarantined, bytes.
    pub max_record_bytes: usize,
    /// Batches turned into columns and sent at the same time.
    pub inserts_in_flight: usize,
    /// Batches begun a second at most by age, all partitions together: with many quiet partitions
    /// each waits longer than `batch_age_ms`.
    pub inserts_per_second: u64,
    /// A partition whose inserts have failed for this long makes `/readyz` red, milliseconds.
    pub insert_unready_ms: u64,
    /// After a stop or a revocation, batches in flight get this long, milliseconds.
    pub drain_ms: u64,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        PipelineConfig {
            batch_records: 100_000,
            batch_bytes: 48 << 20,
            batch_age_ms: 1_000,
            memory_bytes: 128 << 20,
            max_record_bytes: 4 << 20,
            inserts_in_flight: 2,
            inserts_per_second: 20,
            insert_unready_ms: 10_000,
            drain_ms: 30_000,
        }
    }
}

impl PipelineConfig {
    /// What is wrong, as (field, sentence).
    pub fn check(&self) -> Vec<(String, String)> {
        let ranges: [(&str, u64, u64, u64); 9] = [
            // ClickHouse splits an INSERT above 1,048,449 rows, and a record may fan out.
            ("batch_records", self.batch_records as u64, 1, 500_000),
            ("batch_bytes", self.batch_bytes as u64, 1 << 16, 512 << 20),
            ("batch_age_ms", self.batch_age_ms, 10, 600_000),
            ("memory_bytes", self.memory_bytes as u64, 16 << 20, 64 << 30),
            ("max_record_bytes", self.max_record_bytes as u64, 1 << 10, 64 << 20),
            ("inserts_in_flight", self.inserts_in_flight as u64, 1, 64),
            ("inserts_per_second", self.inserts_per_second, 1, 1_000),
            ("insert_unready_ms", self.insert_unready_ms, 0, 3_600_000),
            ("drain_ms", self.drain_ms, 1_000, 600_000),
        ];
        let outside =
            |(_, value, least, most): &(&str, u64, u64, u64)| value < least || value > most;
        let mut wrong: Vec<(String, String)> = ranges
            .into_iter()
            .filter(outside)
            .map(|(field, value, least, most)| {
                (field.to_owned(), format!("is {value}, and must be from {least} to {most}"))
            })
            .collect();
        // As columns, in the stream and on its way, a row of it takes six times its bytes.
        if self.max_record_bytes.saturating_mul(8) > self.memory_bytes {
            let message = format!(
                "must be at most an eighth of memory_bytes, which is {}",
                self.memory_bytes / 8
            );
            wrong.push(("max_record_bytes".to_owned(), message));
        }
        wrong
    }
}
