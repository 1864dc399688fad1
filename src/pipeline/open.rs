//! Opening a lane: what is stored of its log, and a gap that stands in its way.
//!
//! In: an [`Assignment`]. Out: a [`Start`], once ClickHouse has answered; a row in `gaps` where
//! records were lost.
//!
//! # Invariants
//! - A gap is recorded before it is acted on, whether it is accepted or not.
//! - Asking goes on until there is an answer: without one nobody knows what is stored.
//!
//! Deliberately unknown here: lanes, Kafka.

use std::time::{Duration, Instant};

use backon::Retryable as _;

use super::patience;
use super::start::{Gap, Obstacle, Start, start};
use crate::event::{LogId, OffsetRange};
use crate::source::Assignment;
use crate::telemetry::{Health, Metrics, Seldom};
use crate::warehouse::{GapKind, GapRow, InsertError, Token, Warehouse};

/// Why a lane stays shut: one sentence with the fix.
pub type Refusal = String;

/// Look up where a lane begins.
pub async fn open(
    warehouse: Warehouse,
    metrics: Metrics,
    health: Health,
    assignment: Assignment,
    accepts_gap: bool,
) -> Result<Start, Refusal> {
    let (log, partition) = (assignment.log(), &assignment.partition);
    let part = health.part(format!("looking up {partition}"), Duration::ZERO);
    let mut seldom = Seldom::default();
    let reach = (|| warehouse.reach(&log, assignment.committed.is_none()))
        .retry(patience())
        .notify(|error, delay| {
            part.fails(error.to_string());
            if let Some(kept_back) = seldom.happened(Instant::now()) {
                tracing::warn!(%partition, %error, delay_ms = delay.as_millis() as u64, kept_back,
                    "asking ClickHouse what is stored of it; trying again");
            }
        })
        .await
        .map_err(|error| error.to_string())?;
    drop(part);
    let Gap { kind, range, after } = match start(&assignment, &reach) {
        Ok(start) => return Ok(start),
        Err(Obstacle::Newer(newer)) => return Err(newer.to_string()),
        Err(Obstacle::Gap(gap)) => gap,
    };
    metrics.pipeline.gaps.with_label_values(&[kind.as_str()]).inc();
    record_gap(&warehouse, &log, kind, range, accepts_gap).await;
    let told = match kind {
        GapKind::Deleted => format!("offsets {range} were deleted before they were read"),
        GapKind::Truncated => format!("offsets {range} are gone: the log ends before them"),
        GapKind::Recreated => {
            format!("the topic was made again; the old one was read up to offset {}", range.first)
        }
    };
    if accepts_gap {
        tracing::warn!(%partition, kind = kind.as_str(), %range, "{told}; accepted, going on");
        return Ok(after);
    }
    let fix = format!("to go on without them: --accept-gap {partition}");
    Err(format!("{told}; {fix}"))
}

/// Put a gap on record, however long that takes.
pub async fn record_gap(
    warehouse: &Warehouse,
    log: &LogId,
    kind: GapKind,
    range: OffsetRange,
    accepted: bool,
) {
    let row = GapRow {
        kafka_cluster: log.cluster.to_string(),
        kafka_topic: log.topic.to_string(),
        kafka_incarnation: log.incarnation.to_string(),
        kafka_partition: log.partition,
        first_offset: range.first,
        last_offset: range.last,
        kind: kind.as_str().to_owned(),
        accepted,
    };
    let token = Token::of(log, range);
    let token = if accepted { token.part("accepted") } else { token };
    let recorded: Result<(), InsertError> = (|| warehouse.add_gap(&token, &row))
        .retry(patience())
        .notify(|error, _| tracing::warn!(%log, %error, "recording a gap; trying again"))
        .await;
    // INVARIANT: it is tried without end.
    debug_assert!(recorded.is_ok());
}
