//! One record: where it ended.
//!
//! In: the ends of its log as Kafka tells them, an offset. Out: a [`Receipt`].
//!
//! # Invariants
//! - `batches` is asked before the rows: rows of a batch are there before its line, so a record that
//!   is being stored is *not yet*, never lost.
//! - It says what is stored, not what was in the record: no field of an event but its names.
//!
//! Deliberately unknown here: who may ask.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::row::{QuarantinedRow, ReplayedRow, RetiredRow, SkippedRow, StoredRow, rfc3339};
use crate::event::OffsetRange;
use crate::query::ReadError;
use crate::source::kafka::LogEnds;
use crate::warehouse::{GapKind, GapLine, Warehouse};

/// Where a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has rows in `events`.
    Stored,
    /// It, or an element of it, is in `quarantine`.
    Quarantined,
    /// It, or an element of it, was stored, and was deleted or redacted since: by retention, or for
    /// a subject.
    Retired,
    /// A rule left it out.
    Skipped,
    /// There is no record at this offset.
    Empty,
    /// It is beyond what is stored.
    NotYet,
    /// It was lost before it could be read.
    Gap,
    /// It should be stored, and is not, or not all of it.
    Lost,
    /// Neither Kafka nor ClickHouse knows of it.
    Unknown,
}

/// What is known of one record.
#[derive(Debug, Clone, Serialize)]
pub struct Receipt {
    /// The cluster.
    pub cluster: String,
    /// The topic.
    pub topic: String,
    /// Its id.
    pub incarnation: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Where it ended.
    pub state: State,
    /// Its rows in `events`.
    pub events: Vec<StoredRow>,
    /// Its rows in `quarantine`.
    pub quarantined: Vec<QuarantinedRow>,
    /// What was retired of it.
    pub retired: Vec<RetiredRow>,
    /// What a rule left out of it.
    pub skipped: Vec<SkippedRow>,
    /// Indexes that should have a row and have none, as far as their neighbours tell.
    pub lost_indexes: Vec<u32>,
    /// Rows whose index another row has too.
    pub duplicated: u64,
    /// The batch it is in, of several the first that was stored.
    pub batch: Option<Batch>,
    /// The last offset that `batches` records of the partition.
    pub stored_to: Option<i64>,
    /// The first offset that Kafka holds.
    pub log_start: i64,
    /// One past the last offset that Kafka holds.
    pub log_end: i64,
}

/// A batch.
#[derive(Debug, Clone, Serialize)]
pub struct Batch {
    /// First offset, included.
    pub first: i64,
    /// Last offset, included.
    pub last: i64,
    /// Its token.
    pub token: String,
    /// When ClickHouse took its row.
    pub ingested_at: String,
}

impl Receipt {
    /// Whether the record is, or will be, where it should.
    pub fn is_good(&self) -> bool {
        !matches!(self.state, State::Gap | State::Lost | State::Unknown)
    }
}

/// Look one record up.
pub async fn receipt(
    warehouse: &Warehouse,
    ends: &LogEnds,
    offset: i64,
) -> Result<Receipt, ReadError> {
    let log = &ends.log;
    let all = OffsetRange { first: 0, last: i64::MAX - 1 };
    let known = warehouse.batches_around(log, all).await?;
    let batches = warehouse.batches_at(log, offset).await?;
    let gaps = warehouse.gaps(log).await?;
    let events = warehouse.events_at(log, offset).await?;
    let quarantined = warehouse.quarantine_at(log, offset).await?;
    let retired = warehouse.retired_at(log, offset).await?;
    let replayed = match quarantined.is_empty() {
        true => Vec::new(),
        false => warehouse.replayed_at(log, offset).await?,
    };

    let mut indexes = BTreeSet::new();
    let rows = events.iter().map(|row| row.index).chain(quarantined.iter().map(|row| row.index));
    let duplicated = rows.filter(|index| !indexes.insert(*index)).count() as u64;
    indexes.extend(retired.iter().map(|row| row.index));
    let mut skipped: Vec<(u32, String)> = Vec::new();
    for (rule, index) in batches.iter().flat_map(|batch| &batch.skipped) {
        // Stored by another batch, under another mapping.
        if indexes.insert(*index) {
            skipped.push((*index, rule.clone()));
        }
    }
    let highest = indexes.last().copied().unwrap_or(0);
    let lost_indexes: Vec<u32> =
        (0..highest).filter(|index| !indexes.contains(index)).take(1_000).collect();

    let stored_to = known.map(|range| range.last);
    let due = stored_to.unwrap_or(-1).max(ends.start - 1);
    let begins = known.map_or(ends.start, |range| range.first.min(ends.start));
    let is_held = (ends.start..ends.end).contains(&offset);
    // Where a log was cut off, another record may stand by now.
    let is_in = |gap: &GapLine| {
        (gap.first..=gap.last).contains(&offset)
            && !(is_held && gap.kind == GapKind::Truncated.as_str())
    };
    let state = if !lost_indexes.is_empty() {
        State::Lost
    } else if !retired.is_empty() {
        State::Retired
    } else if !quarantined.is_empty() {
        State::Quarantined
    } else if !events.is_empty() {
        State::Stored
    } else if !skipped.is_empty() {
        State::Skipped
    } else if batches.iter().any(|batch| batch.empty) {
        State::Empty
    } else if !batches.is_empty() {
        State::Lost
    } else if gaps.iter().any(is_in) {
        State::Gap
    } else if offset < begins || offset > due && offset >= ends.end {
        State::Unknown
    } else if offset > due {
        State::NotYet
    } else {
        State::Lost
    };
    let batch = batches.into_iter().next().map(|batch| Batch {
        first: batch.first,
        last: batch.last,
        token: batch.token,
        ingested_at: rfc3339(batch.ingested_at),
    });
    Ok(Receipt {
        cluster: log.cluster.to_string(),
        topic: log.topic.to_string(),
        incarnation: log.incarnation.to_string(),
        partition: log.partition,
        offset,
        state,
        events: events.into_iter().map(StoredRow::from).collect(),
        quarantined: quarantined
            .into_iter()
            .map(|row| {
                let of_row = replayed.iter().find(|replay| replay.index == row.index);
                let replayed = of_row.cloned().map(ReplayedRow::from);
                QuarantinedRow { replayed, ..QuarantinedRow::from(row) }
            })
            .collect(),
        retired: retired.into_iter().map(RetiredRow::from).collect(),
        skipped: skipped.into_iter().map(|(index, rule)| SkippedRow { index, rule }).collect(),
        lost_indexes,
        duplicated,
        batch,
        stored_to,
        log_start: ends.start,
        log_end: ends.end,
    })
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { topic, partition, offset, log_start, log_end, stored_to, .. } = self;
        write!(f, "{topic}/{partition} offset {offset}: ")?;
        let stored_to = match stored_to {
            Some(last) => format!("the partition is stored up to {last}"),
            None => "nothing of the partition is stored".to_owned(),
        };
        match self.state {
            State::Stored => write!(f, "stored")?,
            State::Quarantined => write!(f, "quarantined")?,
            State::Retired => write!(f, "retired")?,
            State::Skipped => write!(f, "skipped")?,
            State::Empty => write!(f, "no record at this offset")?,
            State::NotYet => write!(f, "not yet: {stored_to}; Kafka's log ends before {log_end}")?,
            State::Gap => write!(f, "lost before it could be read; it is in the table gaps")?,
            State::Lost => write!(f, "LOST: it should be stored; {stored_to}")?,
            State::Unknown if offset >= log_end => {
                write!(f, "no such record yet: Kafka's log ends before {log_end}")?;
            }
            State::Unknown => {
                write!(f, "unknown: Kafka's log begins at {log_start}, and no batch is older")?;
            }
        }
        for row in &self.events {
            let StoredRow { index, id, tenant, schema, action, occurred_at, ingested_at } = row;
            write!(
                f,
                "\n  event {id}\n    index {index}, tenant {tenant}, schema {schema}, {action}, \
                 occurred {occurred_at}, ingested {ingested_at}"
            )?;
        }
        for QuarantinedRow { index, reason, sentence, ingested_at, replayed, .. } in
            &self.quarantined
        {
            write!(f, "\n  quarantined index {index}: {reason}: {sentence}, at {ingested_at}")?;
            if let Some(ReplayedRow { topic, partition, offset, event_rows }) = replayed {
                let is = format!("{topic} {partition} {offset}, {event_rows} events");
                write!(f, "\n    replayed as {is}")?;
            }
        }
        for RetiredRow { index, form, kind, sha256, retirement, retired_at, .. } in &self.retired {
            write!(
                f,
                "\n  {form} index {index} by {kind} {retirement}, at {retired_at}\n    sha256 {sha256}"
            )?;
        }
        for SkippedRow { index, rule } in &self.skipped {
            write!(f, "\n  skipped index {index} by {rule}")?;
        }
        for index in &self.lost_indexes {
            write!(f, "\n  LOST index {index}")?;
        }
        if self.duplicated > 0 {
            write!(f, "\n  DUPLICATED: {} of these rows", self.duplicated)?;
        }
        if let Some(Batch { first, last, token, ingested_at }) = &self.batch {
            write!(f, "\n  batch {first}-{last}, at {ingested_at}\n  token {token}")?;
        }
        Ok(())
    }
}
