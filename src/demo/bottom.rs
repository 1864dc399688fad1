//! The demo's last line: what was produced, and what became of it.
//!
//! In: a broker's offsets, ClickHouse's rows. Out: [`Bottom`].
//!
//! # Invariants
//! - Counted from offsets and rows, never from our own counters.
//! - Of a broker of our own every offset counts, from 0; of one that was there before us those from
//!   the demo's own start on.
//!
//! Deliberately unknown here: who produced, and how long to go on.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::PartitionId;
use crate::source::kafka::{LogEnds, cluster_id, log_ends};
use crate::source::{KafkaConfig, SourceError};
use crate::warehouse::{Tally, Warehouse};

/// The bottom line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bottom {
    /// Records in Kafka.
    pub produced: u64,
    /// Records stored as events, whole.
    pub stored: u64,
    /// Records with anything in quarantine.
    pub quarantined: u64,
    /// Records with no row.
    pub lost: u64,
    /// Rows at a position that has another.
    pub duplicated: u64,
}

impl std::fmt::Display for Bottom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Bottom { produced, stored, quarantined, lost, duplicated } = self;
        write!(
            f,
            "produced {produced} stored {stored} quarantined {quarantined} lost {lost} \
             duplicated {duplicated}"
        )
    }
}

/// The first offset that counts, where that is not 0.
pub(super) type Starts = HashMap<PartitionId, i64>;

/// Where the partitions of some topics end now.
pub(super) fn ends(bootstrap: &str, topics: &[&str]) -> anyhow::Result<Starts> {
    let marks = watermarks(bootstrap, topics)?.into_iter();
    let partition = |LogEnds { log, .. }: &LogEnds| PartitionId {
        topic: log.topic.clone(),
        partition: log.partition,
    };
    Ok(marks.map(|marks| (partition(&marks), marks.end)).collect())
}

/// The offsets of every partition of some topics, by the broker's own word. Blocks.
pub fn watermarks(bootstrap: &str, topics: &[&str]) -> Result<Vec<LogEnds>, SourceError> {
    // Offsets alone: no name is asked for, and the in-process broker knows no topic ids.
    let named = KafkaConfig { cluster: "demo".to_owned(), topic_ids: false, ..config(bootstrap) };
    log_ends(&named, topics)
}

/// The id of the cluster. Blocks.
pub(super) fn id_of_cluster(bootstrap: &str) -> Result<String, SourceError> {
    cluster_id(&config(bootstrap))
}

fn config(bootstrap: &str) -> KafkaConfig {
    KafkaConfig { brokers: bootstrap.to_owned(), ..KafkaConfig::default() }
}

/// What is counted, and where.
pub(super) struct Count<'c> {
    pub warehouse: &'c Warehouse,
    pub bootstrap: &'c str,
    pub cluster: &'c str,
    pub topics: &'c [&'c str],
    pub starts: Starts,
}

impl Count<'_> {
    /// Wait until nothing is missing any more, or the time is up: then the last line says so.
    pub async fn until_stored(&self, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        while self.bottom().await?.lost > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// The line as it is now.
    pub async fn bottom(&self) -> anyhow::Result<Bottom> {
        let mut bottom = Bottom::default();
        let stored = self.warehouse.tally_from(self.cluster, &self.starts).await?;
        for marks in watermarks(self.bootstrap, self.topics)? {
            let LogEnds { log, end, .. } = marks;
            let same = |t: &&Tally| *t.topic == *log.topic && t.partition == log.partition;
            let found = stored.iter().find(same);
            let partition = PartitionId { topic: log.topic, partition: log.partition };
            let first = self.starts.get(&partition).copied().unwrap_or(0);
            let produced = (end - first) as u64;
            let records = found.map_or(0, |tally| tally.records);
            bottom.produced += produced;
            bottom.lost += produced.saturating_sub(records);
            bottom.stored += found.map_or(0, |tally| tally.records - tally.quarantined);
            bottom.quarantined += found.map_or(0, |tally| tally.quarantined);
            bottom.duplicated += found.map_or(0, |tally| tally.duplicated);
        }
        Ok(bottom)
    }
}
