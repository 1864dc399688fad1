//! The batch's row in `batches`: what `verify` and receipts go by.
//!
//! In: a batch whose rows are stored. Out: its row, of what was sent or of what is there.
//!
//! # Invariants
//! - It is written when all rows are stored and copied: whoever finds it need do neither.
//! - A batch has one row, whoever stored it.
//!
//! Deliberately unknown here: how rows are stored.

use super::columns::{Facts, Skipped};
use super::fault;
use super::settle::{Course, Job, Settler, Trouble};
use crate::warehouse::{BatchRow, InsertError};

impl Settler {
    /// The batch's row, of what was sent.
    pub(super) async fn record(&self, job: &Job, facts: &Facts) -> Result<(), Trouble> {
        let row = BatchRow {
            event_rows: facts.rows.event_rows(),
            quarantined_rows: facts.rows.quarantined_rows(),
            skipped: left_out(facts),
            mapping_versions: facts.mapping_versions.clone(),
            digest: facts.digest,
            ..batch_row(job)
        };
        self.warehouse.add_batch(&job.token(), &row).await?;
        fault::point("insert::after_batches");
        Ok(())
    }

    /// The batch's row, of what is there; what is in quarantine is copied first.
    pub(super) async fn record_found(
        &self,
        job: &Job,
        facts: &Facts,
        course: &mut Course,
    ) -> Result<(), Trouble> {
        let found = self.warehouse.summary(&job.log, job.range).await.map_err(InsertError::from)?;
        if found.batches > 0 {
            return Ok(());
        }
        self.copy(job, found.quarantined_rows, course).await?;
        let row = BatchRow {
            event_rows: found.event_rows,
            quarantined_rows: found.quarantined_rows,
            skipped: left_out(facts),
            mapping_versions: found.mapping_versions,
            digest: found.digest,
            ..batch_row(job)
        };
        Ok(self.warehouse.add_batch(&job.token(), &row).await?)
    }
}

/// What rules leave out: rule, offset, index.
fn left_out(facts: &Facts) -> Vec<(String, i64, u32)> {
    let of_rule = |Skipped { rule, places, .. }: &Skipped| {
        places.iter().map(|(offset, index)| (rule.clone(), *offset, *index)).collect::<Vec<_>>()
    };
    facts.skipped.iter().flat_map(of_rule).collect()
}

fn batch_row(job: &Job) -> BatchRow {
    BatchRow {
        kafka_cluster: job.log.cluster.to_string(),
        kafka_topic: job.log.topic.to_string(),
        kafka_incarnation: job.log.incarnation.to_string(),
        kafka_partition: job.log.partition,
        first_offset: job.range.first,
        last_offset: job.range.last,
        event_rows: 0,
        quarantined_rows: 0,
        skipped: Vec::new(),
        empty_ranges: job.batch.holes().iter().map(|hole| (hole.first, hole.last)).collect(),
        mapping_versions: Vec::new(),
        token: job.token().to_string(),
        digest: [0; 32],
    }
}
