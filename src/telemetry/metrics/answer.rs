//! Metrics of the way out: what is asked of ClickHouse, and of us.
//!
//! In: a register. Out: [`WarehouseMetrics`], [`ApiMetrics`].
//!
//! # Invariants
//! - Nothing says who asked, whose events, or which: routes are those of the list, never a path.
//!
//! Deliberately unknown here: routes, SQL.

use std::future::Future;

use prometheus::{Error, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::register::{Register, begin};

/// Seconds of an answer; the last is `api.request_timeout_ms` by default.
const ANSWER_S: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What reading ClickHouse costs, and how its tables stand.
#[derive(Clone)]
pub struct WarehouseMetrics {
    /// Rows read for questions.
    pub read_rows: IntCounter,
    /// Bytes read for questions.
    pub read_bytes: IntCounter,
    /// Active parts, by table.
    pub parts: IntGaugeVec,
}

impl WarehouseMetrics {
    pub(super) fn new(register: &mut Register) -> Result<WarehouseMetrics, Error> {
        Ok(WarehouseMetrics {
            read_rows: register.counter(
                "trailhouse_clickhouse_read_rows_total",
                "Rows that ClickHouse read for questions, as it said when its answer began.",
            )?,
            read_bytes: register.counter(
                "trailhouse_clickhouse_read_bytes_total",
                "Bytes that ClickHouse read for questions, as it said when its answer began.",
            )?,
            parts: register.gauges(
                "trailhouse_clickhouse_parts",
                &["table"],
                "Active parts of a table.",
            )?,
        })
    }
}

/// What the API counts.
#[derive(Clone)]
pub struct ApiMetrics {
    /// Seconds a request took, by route, method and status.
    pub requests: HistogramVec,
    /// Seconds a question took, by what is asked.
    pub questions: HistogramVec,
    /// Requests refused for what they cost, by limit.
    pub rate_limited: IntCounterVec,
    /// Requests from nobody we know, by reason.
    pub auth_failures: IntCounterVec,
    /// Readings of the log that were not written down.
    pub readings_lost: IntCounter,
}

impl ApiMetrics {
    pub(super) fn new(register: &mut Register) -> Result<ApiMetrics, Error> {
        let metrics = ApiMetrics {
            requests: register.histograms(
                "trailhouse_api_request_duration_seconds",
                &["route", "method", "status"],
                ANSWER_S,
                "Seconds until the answer to a request began.",
            )?,
            questions: register.histograms(
                "trailhouse_query_duration_seconds",
                &["question"],
                ANSWER_S,
                "Seconds until the store answered a question.",
            )?,
            rate_limited: register.counters(
                "trailhouse_rate_limited_total",
                &["limit"],
                "Requests refused for a limit: requests a second, questions at once, or the cost of one.",
            )?,
            auth_failures: register.counters(
                "trailhouse_auth_failures_total",
                &["reason"],
                "Requests whose caller is not known: missing, refused, malformed, or unavailable to look up.",
            )?,
            readings_lost: register.counter(
                "trailhouse_readings_lost_total",
                "Readings of the log that the audit of reads may lack.",
            )?,
        };
        begin(&metrics.rate_limited, &[&["requests"], &["questions"], &["cost"]]);
        let reasons: [&[&str]; 4] = [&["missing"], &["refused"], &["malformed"], &["unavailable"]];
        begin(&metrics.auth_failures, &reasons);
        Ok(metrics)
    }

    /// The answer to a question; how long it took is observed, also where nobody waits any more.
    pub async fn timed<A>(&self, question: &'static str, answer: impl Future<Output = A>) -> A {
        let _timer = self.questions.with_label_values(&[question]).start_timer();
        answer.await
    }
}
