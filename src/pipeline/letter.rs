//! Copies of quarantined records, for those who watch a topic and no table.
//!
//! In: a batch whose quarantine rows are stored. Out: a [`Letter`] of each of them, given to a
//! [`Post`] until that has taken them all.
//!
//! They are made of the rows as they stand in `quarantine`, not of the batch: after a crash the
//! mappings may be others, and what ClickHouse refused is told by nobody else.
//!
//! # Invariants
//! - At least once: a row is copied before its batch is recorded, and again where that is not known
//!   to have been done. The headers say which row it is.
//! - Letters of one batch at a time are in memory, and none while the post is waited for again.
//! - The record's own bytes and headers are as they came; ours follow, under names that begin with
//!   `trailhouse.`, so of one name ours counts.
//!
//! Deliberately unknown here: Kafka, which topic.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::Retryable as _;
use chrono::{DateTime, SecondsFormat, Utc};

use super::settle::{Course, Job, Settler, Trouble};
use super::{fault, patience};
use crate::event::{Headers, LogId, Micros};
use crate::telemetry::Seldom;
use crate::warehouse::{InsertError, Rejected};

/// A record that says why another was quarantined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The record's key; `None` where it had none, or an empty one.
    pub key: Option<Vec<u8>>,
    /// The record's headers and ours, packed as [`Headers`] are.
    pub headers: Vec<u8>,
    /// The bytes at fault: the record's payload, or the element's slice of it.
    pub payload: Vec<u8>,
}

/// Takes letters: when it answers, all of them are safe, or it says what is wrong. It is app's to
/// give, for the way out is none of the pipeline's neighbours.
pub type Post = Arc<dyn Fn(Vec<Letter>) -> Posting + Send + Sync>;

/// A [`Post`]'s answer to come.
pub type Posting = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

impl Settler {
    /// Copy what of a batch is in quarantine, however long that takes.
    pub(super) async fn copy(
        &self,
        job: &Job,
        rows: u64,
        course: &mut Course,
    ) -> Result<(), Trouble> {
        let Some(post) = self.post.as_ref().filter(|_| rows > 0 && !course.copied) else {
            return Ok(());
        };
        let name = format!("dead letters of {}", job.partition());
        let (part, mut seldom) = (self.health.part(name, Duration::ZERO), Seldom::default());
        let token = job.token();
        (|| self.copy_once(job, rows, post))
            .retry(patience())
            .when(|trouble| matches!(trouble, NotCopied::Post(_)))
            .notify(|trouble, delay| {
                let NotCopied::Post(why) = trouble else { return };
                part.fails(why);
                job.fails();
                self.metrics.dead_letter_retries.inc();
                if let Some(kept_back) = seldom.happened(Instant::now()) {
                    tracing::warn!(%token, delay_ms = delay.as_millis() as u64, why, kept_back,
                        "copying what is quarantined; trying again");
                }
            })
            .await
            .map_err(|trouble| match trouble {
                NotCopied::Rows(error) => error,
                NotCopied::Post(why) => InsertError::Retry(why),
            })?;
        course.copied = true;
        fault::point("insert::after_copies");
        Ok(())
    }

    async fn copy_once(&self, job: &Job, rows: u64, post: &Post) -> Result<(), NotCopied> {
        let _permit = self.posting.acquire().await;
        let found = self.warehouse.rejected(&job.log, job.range).await;
        let found = found.map_err(|error| NotCopied::Rows(error.into()))?;
        let copies = found.len() as u64;
        if copies < rows {
            // Deleted since, or not yet on the replica that answered.
            let why = format!("{copies} of {rows} quarantined rows are there to be copied");
            return Err(NotCopied::Rows(InsertError::Retry(why)));
        }
        let letters = found.into_iter().map(|row| letter(&job.log, row)).collect();
        post(letters).await.map_err(NotCopied::Post)?;
        self.metrics.dead_letters.inc_by(copies);
        Ok(())
    }
}

/// Why copies are not safe.
enum NotCopied {
    /// The rows themselves cannot be had: they are looked for, and stored, again.
    Rows(InsertError),
    /// The post does not take them.
    Post(String),
}

fn letter(log: &LogId, row: Rejected) -> Letter {
    let mut headers = Vec::new();
    for (name, value) in &row.headers {
        Headers::pack(&mut headers, name, value);
    }
    let LogId { topic, incarnation, partition, .. } = log;
    for (name, value) in [
        ("trailhouse.reason", row.reason.as_str()),
        ("trailhouse.message", &row.sentence),
        ("trailhouse.topic", topic),
        ("trailhouse.partition", &partition.to_string()),
        ("trailhouse.offset", &row.offset.to_string()),
        ("trailhouse.index", &row.index.to_string()),
        ("trailhouse.incarnation", incarnation),
        ("trailhouse.mapping", &row.mapping),
        ("trailhouse.time", &rfc3339(row.received_at)),
    ] {
        Headers::pack(&mut headers, name, value.as_bytes());
    }
    let key = (!row.key.is_empty()).then_some(row.key);
    Letter { key, headers, payload: row.raw }
}

/// INVARIANT: `received_at` lies between 1970 and 2262.
fn rfc3339(at: Micros) -> String {
    let at = DateTime::<Utc>::from_timestamp_micros(at).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_the_record_with_its_own_headers_first_and_ours_behind_them() {
        let log = LogId {
            cluster: "c".into(),
            topic: "audit.shop".into(),
            incarnation: "id".into(),
            partition: 3,
        };
        let row = Rejected {
            offset: 17,
            index: 2,
            received_at: 1_767_225_600_000_001,
            reason: "no_mapping".to_owned(),
            sentence: "no mapping claims it".to_owned(),
            mapping: String::new(),
            key: b"k\xff".to_vec(),
            headers: vec![
                ("tenant".to_owned(), b"acme".to_vec()),
                ("trailhouse.reason".to_owned(), b"forged".to_vec()),
            ],
            raw: b"{\"a\":\xff}".to_vec(),
        };
        let sent = letter(&log, row);
        assert_eq!(sent.key.as_deref(), Some(&b"k\xff"[..]));
        assert_eq!(sent.payload, b"{\"a\":\xff}");
        let headers = Headers::packed(&sent.headers);
        let found: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name, str::from_utf8(value).unwrap())).collect();
        let wanted = [
            ("tenant", "acme"),
            ("trailhouse.reason", "forged"),
            ("trailhouse.reason", "no_mapping"),
            ("trailhouse.message", "no mapping claims it"),
            ("trailhouse.topic", "audit.shop"),
            ("trailhouse.partition", "3"),
            ("trailhouse.offset", "17"),
            ("trailhouse.index", "2"),
            ("trailhouse.incarnation", "id"),
            ("trailhouse.mapping", ""),
            ("trailhouse.time", "2026-01-01T00:00:00.000001Z"),
        ];
        assert_eq!(found, wanted);
        assert_eq!(headers.get("trailhouse.reason"), Some("no_mapping"));
    }
}
