//! A batch that cannot be stored, given up.
//!
//! In: a ClickHouse that nobody runs. Out: what readiness says.
//!
//! # Invariants
//! - A test waits for a condition with a deadline.
//!
//! Deliberately unknown here: what is stored; `tests/faults` has that.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::batch::Batch;
use super::super::limits::ClosedBy;
use super::*;
use crate::event::LogId;
use crate::event::{Headers, RawRecord};
use crate::schema::{Catalog, TopicRule};
use crate::telemetry::Metrics;
use crate::warehouse::ClickHouseConfig;

/// A batch of one record, which becomes a row of `quarantine`.
fn job() -> Job {
    let aliases = Arc::new(HashMap::new());
    let normaliser = Catalog::default().normaliser("t", &TopicRule::default(), &aliases, 1_000);
    let mut batch = Batch::begin(10, None, Instant::now());
    let headers = Headers::default();
    batch.push(&RawRecord { offset: 10, timestamp: None, key: None, headers, payload: b"{}" });
    let (cluster, topic, incarnation) = ("c".into(), "t".into(), "i".into());
    Job {
        log: LogId { cluster, topic, incarnation, partition: 0 },
        generation: 1,
        normaliser: Arc::new(normaliser),
        batch,
        range: OffsetRange { first: 10, last: 10 },
        closed_by: ClosedBy::Age,
        made_again: false,
        failing: Arc::default(),
    }
}

async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_given_up_while_its_inserts_fail_leaves_nothing_failing() {
    // A port that nobody listens on: every try fails at once.
    let nobody = ClickHouseConfig { url: "http://127.0.0.1:1".into(), ..Default::default() };
    let (health, metrics) = (Health::default(), Metrics::new().unwrap());
    let settler = Arc::new(Settler {
        warehouse: Warehouse::connect(&nobody).unwrap(),
        metrics: metrics.pipeline.clone(),
        health: health.clone(),
        patience: Duration::ZERO,
        config: PipelineConfig { inserts_in_flight: 1, ..PipelineConfig::default() },
        permits: Semaphore::new(1),
        post: None,
        posting: Semaphore::new(1),
    });
    let task = tokio::spawn(Arc::clone(&settler).settle(job()));
    until(|| health.failing().contains_key("inserts of t/0")).await;
    // Also later, while it looks for what is stored.
    until(|| settler.metrics.insert_retries.get() >= 2).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(health.failing(), BTreeMap::new());
    let failed = metrics.pipeline.inserts.with_label_values(&["failed"]).get();
    assert_eq!(failed, settler.metrics.insert_retries.get(), "every try that failed is counted");
    assert_eq!(settler.permits.available_permits(), 1);
}
