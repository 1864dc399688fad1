//! What of storing a batch is counted and told.
//!
//! In: a batch that is stored, or a try that failed. Out: metrics; a span; a line of the log.
//!
//! # Invariants
//! - A record is counted where it is stored, each once for all tries of its batch.
//! - Labels are looked up once a batch.
//!
//! Deliberately unknown here: how a batch is stored.

use std::time::Instant;

use chrono::Utc;

use super::super::columns::{Facts, Rows, Skipped};
use super::{Course, Job, Settler, Trouble};
use crate::event::OffsetRange;
use crate::telemetry::{BatchFacts, BatchSpan, Stored};
use crate::warehouse::{InsertError, Table};

impl Settler {
    /// An insert has ended, with no row or with some.
    pub(super) fn observe(
        &self,
        course: &Course,
        table: Table,
        begun: Instant,
        ended: Result<bool, &Trouble>,
    ) {
        let (outcome, error) = match ended {
            // Nothing was sent.
            Ok(true) => return,
            Ok(false) => ("ok", None),
            Err(Trouble::Insert(error)) => ("error", Some(error.kind())),
            // We ended it ourselves.
            Err(_) => return,
        };
        let seconds = self.metrics.insert_seconds.with_label_values(&[table.name(), outcome]);
        seconds.observe(begun.elapsed().as_secs_f64());
        course.span.tried(table.name(), begun, error);
    }

    /// Count a batch that is stored.
    pub(super) fn count(&self, job: &Job, course: &Course, rows: &Rows, outcome: &str) {
        let (metrics, topic) = (&self.metrics, &*job.log.topic);
        let took = match (outcome, course.sent_again) {
            ("clean", sent) if sent || !job.made_again => "clean",
            (_, true) => "retried",
            (_, false) => "read_back",
        };
        metrics.inserts.with_label_values(&[took]).inc();
        course.span.stored(&Stored {
            event_rows: rows.event_rows(),
            quarantined_rows: rows.quarantined_rows(),
            outcome: took,
        });
        metrics.batch_records.observe(job.batch.len() as f64);
        metrics.batches.with_label_values(&[job.closed_by.as_str(), outcome]).inc();
        for (schema, events) in &rows.events {
            metrics.events.with_label_values(&[topic, schema]).inc_by(*events);
        }
        for (reason, rejected) in &rows.quarantined {
            metrics.quarantined.with_label_values(&[topic, reason]).inc_by(*rejected);
        }
        for (schema, rule, elements) in &course.skipped {
            metrics.skipped.with_label_values(&[topic, schema, rule]).inc_by(*elements);
        }
        // Summed up here and added once: each record costs a few comparisons.
        let freshness = metrics.freshness.with_label_values(&[topic]).local();
        let now = Utc::now().timestamp_micros();
        for at in job.batch.timestamps() {
            freshness.observe((now - at).max(0) as f64 / 1e6);
        }
        freshness.flush();
    }
}

impl Course {
    /// Nothing yet, but a span that is linked to those of the batch's producers.
    pub(super) fn of(job: &Job) -> Course {
        let Job { log, batch, range, .. } = job;
        let span = BatchSpan::begin(&BatchFacts {
            topic: &log.topic,
            partition: log.partition,
            offsets: (range.first, range.last),
            records: batch.len(),
            bytes: batch.bytes(),
            closed_by: job.closed_by.as_str(),
            opened: batch.opened,
        });
        // Only a span that is there looks for them.
        span.link(batch.records().filter_map(|record| record.headers.get("traceparent")));
        Course { span, ..Course::default() }
    }

    /// What rules leave out, of all of the batch.
    pub(super) fn skips(&mut self, facts: &Facts) {
        let counted = |Skipped { rule, schema, places }: &Skipped| {
            (schema.clone(), rule.clone(), places.len() as u64)
        };
        self.skipped = facts.skipped.iter().map(counted).collect();
    }
}

/// A try that failed, with all that names the batch.
pub(super) fn tell(job: &Job, error: &InsertError, delay_ms: u64, kept_back: u64) {
    let (token, topic, partition) = (job.token(), &job.log.topic, job.log.partition);
    let OffsetRange { first, last } = job.range;
    match error {
        InsertError::Retry(why) => {
            tracing::warn!(%topic, partition, first, last, %token, delay_ms, kept_back, why,
                "unclear whether it is stored: looking, then again");
        }
        error => {
            tracing::error!(%topic, partition, first, last, %token, delay_ms, kept_back, %error,
            "refused; trying again")
        }
    }
}
