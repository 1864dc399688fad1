//! Whole partitions: every offset that Kafka had, against every row that is stored.
//!
//! In: the ends of logs as Kafka tells them, a [`Scope`]. Out: a [`Report`].
//!
//! A pass begins at the first offset that Kafka holds, or that a batch or a gap names, and ends at
//! the last. What retention has deleted from Kafka is held against `batches` alone.
//!
//! # Invariants
//! - `batches` is asked for its end before any row is counted, and rows of a batch are there before
//!   its line: what is stored meanwhile is *not yet*, and no fault.
//! - A question is about one chunk: at most [`CHUNK_OFFSETS`] offsets, and about [`CHUNK_ROWS`] rows.
//!
//! Deliberately unknown here: who is shown the progress.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};

use super::ranges::Ranges;
use super::report::{Finding, Gap, PartitionReport, Report};
use super::sweep::{Chunk, Sweep};
use crate::event::{LogId, OffsetRange};
use crate::query::ReadError;
use crate::source::kafka::LogEnds;
use crate::warehouse::{BatchLine, GapKind, GapLine, Incarnation, Warehouse};

/// ClickHouse takes some 150 bytes of memory an offset, and this program as much at worst, where no
/// two neighbours have as many rows.
const CHUNK_OFFSETS: i64 = 1 << 20;

/// Fewer offsets are asked for at a time where records fan out.
const CHUNK_ROWS: u64 = 2 << 20;

const ALL: OffsetRange = OffsetRange { first: 0, last: i64::MAX - 1 };

/// What to look at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope {
    /// From this offset on; widened to the batch that holds it.
    pub from: Option<i64>,
    /// Up to this offset, included; widened to the batch that holds it.
    pub to: Option<i64>,
    /// Whether every batch's digest is computed again.
    pub digests: bool,
}

/// A log, and what of it is looked at.
struct Window {
    ends: LogEnds,
    range: OffsetRange,
    stored_to: Option<i64>,
    gaps: Vec<GapLine>,
}

/// Look at logs. `progress` is told offsets done and offsets in all.
pub async fn verify(
    warehouse: &Warehouse,
    logs: Vec<LogEnds>,
    scope: Scope,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, ReadError> {
    let mut report =
        Report { other_incarnations: others(warehouse, &logs).await?, ..Report::default() };
    let mut windows = Vec::with_capacity(logs.len());
    for ends in logs {
        windows.push(window(warehouse, ends, scope).await?);
    }
    let length = |window: &Window| (window.range.last - window.range.first + 1).max(0) as u64;
    let total = windows.iter().map(length).sum();
    let mut done = 0;
    progress(done, total);
    for window in windows {
        let tell = &mut |offsets| {
            done += offsets;
            progress(done, total);
        };
        report.partitions.push(partition(warehouse, window, scope, tell).await?);
    }
    report.good = report.partitions.iter().all(|partition| partition.findings.is_empty());
    Ok(report)
}

async fn others(warehouse: &Warehouse, logs: &[LogEnds]) -> Result<Vec<Incarnation>, ReadError> {
    let Some(first) = logs.first() else { return Ok(Vec::new()) };
    let mut topics: Vec<&str> = logs.iter().map(|ends| &*ends.log.topic).collect();
    topics.dedup();
    let mut found = warehouse.incarnations(&first.log.cluster, &topics).await?;
    let is_now = |topic: &str, incarnation: &str| {
        let here = |log: &LogId| *log.topic == *topic && *log.incarnation == *incarnation;
        logs.iter().any(|ends| here(&ends.log))
    };
    found.retain(|other| !is_now(&other.topic, &other.incarnation));
    Ok(found)
}

async fn window(warehouse: &Warehouse, ends: LogEnds, scope: Scope) -> Result<Window, ReadError> {
    let log = &ends.log;
    let batches = warehouse.batches_around(log, ALL).await?;
    let gaps = warehouse.gaps(log).await?;
    let firsts = gaps.iter().map(|gap| gap.first).chain(batches.map(|range| range.first));
    let mut range = OffsetRange {
        first: firsts.fold(ends.start, i64::min),
        last: batches.map_or(ends.end - 1, |range| range.last.max(ends.end - 1)),
    };
    if scope.from.is_some() || scope.to.is_some() {
        let first = scope.from.map_or(range.first, |from| from.max(range.first));
        let last = scope.to.map_or(range.last, |to| to.min(range.last));
        let around = warehouse.batches_around(log, OffsetRange { first, last }).await?;
        range = OffsetRange {
            first: around.map_or(first, |around| around.first.min(first)),
            last: around.map_or(last, |around| around.last.max(last)),
        };
    }
    let stored_to = batches.map(|range| range.last);
    Ok(Window { ends, range, stored_to, gaps })
}

async fn partition(
    warehouse: &Warehouse,
    window: Window,
    scope: Scope,
    tell: &mut dyn FnMut(u64),
) -> Result<PartitionReport, ReadError> {
    let Window { ends, range, stored_to, gaps } = window;
    // What Kafka no longer has, and nobody has stored, never will be.
    let due = stored_to.unwrap_or(-1).max(ends.start - 1);
    let held = Ranges::one(ends.start, ends.end - 1);
    let of_kind = |cut: bool| {
        let those = gaps.iter().filter(move |gap| (gap.kind == GapKind::Truncated.as_str()) == cut);
        Ranges::ascending(those.map(|gap| (gap.first, gap.last)))
    };
    // Where a log was cut off, other records stand by now, and they are to be stored.
    let gap_ranges = of_kind(false).or(&of_kind(true).without(&held));
    let mut sweep = Sweep::new(due, gap_ranges);
    let mut next = range.first;
    while next <= range.last {
        let chunk = (|| chunk(warehouse, &ends.log, next, range.last, due))
            .retry(patience())
            .when(passes)
            .await?;
        let sound = sweep.take(&chunk);
        if scope.digests {
            for line in sound {
                compare_digest(warehouse, &ends.log, &line, &mut sweep).await?;
            }
        }
        tell((chunk.range.last - next + 1) as u64);
        next = chunk.range.next_offset();
    }
    sweep.findings.sort();
    let gap = |GapLine { first, last, kind, accepted }| Gap { first, last, kind, accepted };
    Ok(PartitionReport {
        cluster: ends.log.cluster.to_string(),
        topic: ends.log.topic.to_string(),
        incarnation: ends.log.incarnation.to_string(),
        partition: ends.log.partition,
        log_start: ends.start,
        log_end: ends.end,
        from: range.first,
        to: range.last,
        stored_to,
        offsets: sweep.offsets,
        rows: sweep.rows,
        findings: sweep.findings,
        gaps: gaps.into_iter().map(gap).collect(),
    })
}

async fn chunk(
    warehouse: &Warehouse,
    log: &LogId,
    first: i64,
    end: i64,
    due: i64,
) -> Result<Chunk, ReadError> {
    let mut range = OffsetRange { first, last: end.min(first.saturating_add(CHUNK_OFFSETS - 1)) };
    let mut batches = warehouse.batches(log, range).await?;
    // A batch that was stored since the pass began is of another time.
    batches.retain(|batch| batch.last <= due);
    if let Some(last) = cut(&batches) {
        range.last = last;
        batches.retain(|batch| batch.first <= last);
    }
    let empty = warehouse.empty_ranges(log, range).await?;
    let stretches = warehouse.stretches(log, range).await?;
    Ok(Chunk { range, stretches, batches, empty: Ranges::ascending(empty) })
}

/// Where a chunk ends that would have too many rows: before a batch.
fn cut(batches: &[BatchLine]) -> Option<i64> {
    let mut rows = 0;
    let mut lines = batches.iter();
    lines
        .find(|batch| {
            rows += batch.event_rows + batch.quarantined_rows;
            rows > CHUNK_ROWS && batch.first > batches[0].first
        })
        .map(|batch| batch.first - 1)
}

async fn compare_digest(
    warehouse: &Warehouse,
    log: &LogId,
    line: &BatchLine,
    sweep: &mut Sweep,
) -> Result<(), ReadError> {
    let BatchLine { first, last, event_rows, quarantined_rows, digest } = *line;
    let found = (|| warehouse.digest(log, OffsetRange { first, last }))
        .retry(patience())
        .when(passes)
        .await?;
    if found != digest {
        let rows = event_rows + quarantined_rows;
        sweep.findings.altered.add(Finding { first, last, records: 0, rows });
    }
    Ok(())
}

/// A pass of minutes must not end for one answer that did not come: four more tries, over 15 s.
fn patience() -> ExponentialBuilder {
    ExponentialBuilder::new().with_min_delay(Duration::from_secs(1)).with_max_times(4)
}

fn passes(error: &ReadError) -> bool {
    matches!(error, ReadError::Unavailable(_))
}
