//! Metrics of the way in: what `source` and `pipeline` count.
//!
//! In: a register. Out: [`SourceMetrics`], [`PipelineMetrics`], and for each partition
//! [`LaneMetrics`].
//!
//! # Invariants
//! - Topics and partitions are label values only once they are assigned to us; a partition's own
//!   series go when it is given up.
//!
//! Deliberately unknown here: batches, Kafka.

use std::time::Duration;

use prometheus::{
    Error, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec,
};

use super::register::{Register, begin};

/// Seconds, from a batch that is stored at once to a day's backfill.
const FRESHNESS_S: &[f64] =
    &[0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0];
/// Seconds that storing takes.
const STORE_S: &[f64] = &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Seconds that a batch grows.
const AGE_S: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 600.0];
const RECORDS: &[f64] =
    &[10.0, 40.0, 160.0, 640.0, 2_560.0, 10_240.0, 40_960.0, 163_840.0, 655_360.0];
const BYTES: &[f64] = &[
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
];

/// What the consumer counts.
#[derive(Clone)]
pub struct SourceMetrics {
    /// Rebalances acted on, by kind.
    pub rebalances: IntCounterVec,
}

impl SourceMetrics {
    pub(super) fn new(register: &mut Register) -> Result<SourceMetrics, Error> {
        let rebalances = register.counters(
            "trailhouse_rebalances_total",
            &["kind"],
            "Rebalances acted on: partitions assigned, revoked, or lost without being asked for.",
        )?;
        begin(&rebalances, &[&["assigned"], &["revoked"], &["lost"]]);
        Ok(SourceMetrics { rebalances })
    }
}

/// What the write side counts.
#[derive(Clone)]
pub struct PipelineMetrics {
    /// Records taken from the source, by topic.
    pub records: IntCounterVec,
    /// Bytes of payload taken from the source, by topic.
    pub record_bytes: IntCounterVec,
    /// Rows stored in `events`, by topic and schema.
    pub events: IntCounterVec,
    /// Rows stored in `quarantine`, by topic and reason.
    pub quarantined: IntCounterVec,
    /// Elements that a rule passed over, by topic and schema.
    pub skipped: IntCounterVec,
    /// Copies of quarantined records that the dead-letter topic has acknowledged.
    pub dead_letters: IntCounter,
    /// Times a batch's copies were sent again.
    pub dead_letter_retries: IntCounter,
    /// Batches stored, by what closed them and whether they were read back.
    pub batches: IntCounterVec,
    /// Records in a batch.
    pub batch_records: Histogram,
    /// Bytes of records in a batch.
    pub batch_bytes: Histogram,
    /// Seconds from a batch's first record to its closing.
    pub batch_age: Histogram,
    /// Seconds from closing a batch to its being stored.
    pub batch_seconds: Histogram,
    /// Seconds of one INSERT, by table and whether it went well.
    pub insert_seconds: HistogramVec,
    /// Batches by what storing them took, and tries that failed.
    pub inserts: IntCounterVec,
    /// Tries that were followed by another.
    pub insert_retries: IntCounter,
    /// Seconds from a record's Kafka timestamp to its being stored, by topic.
    pub freshness: HistogramVec,
    /// Commits answered, by what they say and how they were answered.
    pub commits: IntCounterVec,
    /// Gaps met, by kind.
    pub gaps: IntCounterVec,
    /// Partitions assigned to this process.
    pub partitions: IntGauge,
    /// Partitions that are not read now.
    pub paused: IntGauge,
    /// Bytes of records held in lanes.
    pub lane_bytes: IntGauge,
    /// Bytes that records and columns may take.
    pub memory_limit: IntGauge,
    /// How many of these are taken.
    pub memory_used: IntGauge,
    /// Most of these that were taken.
    pub memory_peak: IntGauge,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
}

impl PipelineMetrics {
    pub(super) fn new(register: &mut Register) -> Result<PipelineMetrics, Error> {
        let metrics = PipelineMetrics {
            records: register.counters(
                "trailhouse_records_consumed_total",
                &["topic"],
                "Records taken from the source.",
            )?,
            record_bytes: register.counters(
                "trailhouse_record_bytes_total",
                &["topic"],
                "Bytes of payload taken from the source.",
            )?,
            events: register.counters(
                "trailhouse_events_stored_total",
                &["topic", "schema"],
                "Rows stored in events.",
            )?,
            quarantined: register.counters(
                "trailhouse_records_quarantined_total",
                &["topic", "reason"],
                "Rows stored in quarantine.",
            )?,
            skipped: register.counters(
                "trailhouse_records_skipped_total",
                &["topic", "schema", "rule"],
                "Elements of records that a rule of the configuration leaves out.",
            )?,
            dead_letters: register.counter(
                "trailhouse_dead_letters_total",
                "Copies of quarantined records that the dead-letter topic has acknowledged.",
            )?,
            dead_letter_retries: register.counter(
                "trailhouse_dead_letter_retries_total",
                "Times a batch's copies to the dead-letter topic were sent again.",
            )?,
            batches: register.counters(
                "trailhouse_batches_stored_total",
                &["closed_by", "outcome"],
                "Batches stored, by what closed them (records, bytes, age, end, intent), and clean or read_back.",
            )?,
            batch_records: register.histogram(
                "trailhouse_batch_records",
                RECORDS,
                "Records in a batch that is stored.",
            )?,
            batch_bytes: register.histogram(
                "trailhouse_batch_bytes",
                BYTES,
                "Bytes of records in a batch that is closed.",
            )?,
            batch_age: register.histogram(
                "trailhouse_batch_age_seconds",
                AGE_S,
                "Seconds from a batch's first record to its closing.",
            )?,
            batch_seconds: register.histogram(
                "trailhouse_batch_store_duration_seconds",
                STORE_S,
                "Seconds from closing a batch to its being stored.",
            )?,
            insert_seconds: register.histograms(
                "trailhouse_insert_duration_seconds",
                &["table", "outcome"],
                STORE_S,
                "Seconds of one INSERT; ok or error.",
            )?,
            inserts: register.counters(
                "trailhouse_inserts_total",
                &["outcome"],
                "Batches stored at the first try (clean), after sending some of it again (retried), or found to be there (read_back); and tries that failed.",
            )?,
            insert_retries: register.counter(
                "trailhouse_insert_retries_total",
                "Tries to store a batch that failed and are followed by another.",
            )?,
            freshness: register.histograms(
                "trailhouse_freshness_seconds",
                &["topic"],
                FRESHNESS_S,
                "Seconds from a record's Kafka timestamp to its being stored, each record once.",
            )?,
            commits: register.counters(
                "trailhouse_commits_total",
                &["kind", "answer"],
                "Commits answered: intent or completion; done, fenced or unknown.",
            )?,
            gaps: register.counters(
                "trailhouse_gaps_total",
                &["kind"],
                "Times a partition could not start where it should: deleted, truncated, recreated.",
            )?,
            partitions: register.gauge("trailhouse_partitions_assigned", "Partitions assigned to us.")?,
            paused: register.gauge(
                "trailhouse_partitions_paused",
                "Partitions that are not read now: their batches wait to be stored, or they stand still.",
            )?,
            lane_bytes: register.gauge("trailhouse_lane_bytes", "Bytes of memory that records held in lanes take.")?,
            memory_limit: register.gauge(
                "trailhouse_memory_limit_bytes",
                "Bytes that records and slices may take: pipeline.memory_bytes without the room for one long record more.",
            )?,
            memory_used: register.gauge(
                "trailhouse_memory_used_bytes",
                "How many of these are taken by records held and by slices of batches being stored.",
            )?,
            memory_peak: register.gauge(
                "trailhouse_memory_peak_bytes",
                "Most of these that were taken since the start.",
            )?,
            lag_records: register.gauges(
                "trailhouse_consumer_lag_records",
                &["topic", "partition"],
                "Offsets between what is stored and the end of the partition's log.",
            )?,
            lag_seconds: register.fractions(
                "trailhouse_consumer_lag_seconds",
                &["topic", "partition"],
                "Age of the oldest record that is not stored yet, 0 where all are.",
            )?,
        };
        for kind in ["intent", "completion"] {
            begin(&metrics.commits, &[&[kind, "done"], &[kind, "fenced"], &[kind, "unknown"]]);
        }
        begin(&metrics.gaps, &[&["deleted"], &["truncated"], &["recreated"]]);
        begin(&metrics.inserts, &[&["clean"], &["retried"], &["read_back"], &["failed"]]);
        Ok(metrics)
    }

    /// What is counted of one partition, looked up once; `reasons` are those of quarantine.
    pub fn lane<'r>(
        &self,
        topic: &str,
        partition: i32,
        reasons: impl IntoIterator<Item = &'r str>,
    ) -> LaneMetrics {
        for reason in reasons {
            begin(&self.quarantined, &[&[topic, reason]]);
        }
        let labels = [topic.to_owned(), partition.to_string()];
        LaneMetrics {
            records: self.records.with_label_values(&[topic]),
            record_bytes: self.record_bytes.with_label_values(&[topic]),
            batch_bytes: self.batch_bytes.clone(),
            batch_age: self.batch_age.clone(),
            lag_records: self.lag_records.with_label_values(&labels),
            lag_seconds: self.lag_seconds.with_label_values(&labels),
            of: self.clone(),
            labels,
        }
    }
}

/// What is counted of one partition. Its own series go when this does.
pub struct LaneMetrics {
    /// Records taken.
    pub records: IntCounter,
    /// Bytes of payload taken.
    pub record_bytes: IntCounter,
    batch_bytes: Histogram,
    batch_age: Histogram,
    /// Offsets between what is stored and the end of the log.
    pub lag_records: IntGauge,
    /// Age of the oldest record that is not stored.
    pub lag_seconds: Gauge,
    of: PipelineMetrics,
    labels: [String; 2],
}

impl LaneMetrics {
    /// A batch of so many bytes closes, so long after its first record.
    pub fn closes(&self, bytes: usize, age: Duration) {
        self.batch_bytes.observe(bytes as f64);
        self.batch_age.observe(age.as_secs_f64());
    }
}

impl Drop for LaneMetrics {
    fn drop(&mut self) {
        // They are there: this made them, and nobody else takes them away.
        let _ = self.of.lag_records.remove_label_values(&self.labels);
        let _ = self.of.lag_seconds.remove_label_values(&self.labels);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::super::Metrics;

    #[test]
    fn a_partitions_lag_goes_with_it_and_its_topics_counts_stay() {
        let metrics = Metrics::new().unwrap();
        let text = || TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap();
        let lanes = [0, 1].map(|partition| metrics.pipeline.lane("t", partition, ["not_json"]));
        for lane in &lanes {
            lane.records.inc();
            lane.lag_records.set(7);
        }
        let [given_up, kept] = lanes;
        drop(given_up);
        let text = text();
        let lag = "trailhouse_consumer_lag_records{partition=";
        assert!(text.contains(&format!("{lag}\"1\",topic=\"t\"}} 7")), "{text}");
        assert_eq!(text.matches(lag).count(), 1, "{text}");
        assert!(text.contains("trailhouse_records_consumed_total{topic=\"t\"} 2"), "{text}");
        let none = "trailhouse_records_quarantined_total{reason=\"not_json\",topic=\"t\"} 0";
        assert!(text.contains(none), "an alert sees the first one: {text}");
        drop(kept);
    }
}
