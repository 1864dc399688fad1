//! What `verify` answers, as text and as JSON.
//!
//! In: what a pass found. Out: a [`Report`]; its JSON is described in `docs/OPERATING.md`.
//!
//! # Invariants
//! - Sums are exact; of ranges the first [`MOST_RANGES`] are kept, and how many more there are.
//! - The states of a partition's offsets add up to its offsets.
//!
//! Deliberately unknown here: how anything was found.

use std::fmt;

use serde::Serialize;

use super::ranges::Ranges;
use crate::warehouse::Incarnation;

/// Ranges that are listed of one kind of fault in one partition.
const MOST_RANGES: usize = 1_000;

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Whether nothing is lost, duplicated, unaccounted for or altered.
    pub good: bool,
    /// Each partition of the topics as they are.
    pub partitions: Vec<PartitionReport>,
    /// The topics as they were before they were made again: stored, and not looked at.
    pub other_incarnations: Vec<Incarnation>,
}

/// One partition.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionReport {
    /// The cluster.
    pub cluster: String,
    /// The topic.
    pub topic: String,
    /// Its id.
    pub incarnation: String,
    /// The partition.
    pub partition: i32,
    /// The first offset that Kafka holds.
    pub log_start: i64,
    /// One past the last offset that Kafka holds.
    pub log_end: i64,
    /// The first offset looked at.
    pub from: i64,
    /// The last offset looked at; before `from` where there are none.
    pub to: i64,
    /// The last offset that `batches` records.
    pub stored_to: Option<i64>,
    /// Offsets by state.
    pub offsets: Offsets,
    /// Rows of these offsets.
    pub rows: Rows,
    /// What is wrong.
    #[serde(flatten)]
    pub findings: Findings,
    /// What was lost before it could be read.
    pub gaps: Vec<Gap>,
}

/// Offsets by state; each is in one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Offsets {
    /// With rows in `events` alone.
    pub stored: u64,
    /// With a row in `quarantine`.
    pub quarantined: u64,
    /// With a row that was deleted or redacted, and is on record in `retired`.
    pub retired: u64,
    /// Left out by a rule, all of it.
    pub skipped: u64,
    /// Without a record: transaction markers, and what compaction took.
    pub empty: u64,
    /// Lost before they could be read, and on record in `gaps`.
    pub gap: u64,
    /// Beyond what is stored.
    pub not_yet: u64,
    /// With rows, but in no batch.
    pub unaccounted: u64,
    /// Should be stored, and have nothing.
    pub lost: u64,
}

/// Positions in the two tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// In `events`.
    pub events: u64,
    /// In `quarantine`.
    pub quarantine: u64,
    /// In `retired`: in neither table any more, or redacted.
    pub retired: u64,
}

/// What is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Rows that are not there.
    pub lost: Found,
    /// Rows whose position another row has too.
    pub duplicated: Found,
    /// Rows that no batch accounts for.
    pub unaccounted: Found,
    /// Batches whose rows have other bytes than were stored; looked for with `--digests` alone.
    pub altered: Found,
    /// Batches whose digest says nothing any more, for rows that a rule had left out have come since:
    /// no fault.
    pub uncompared_batches: u64,
}

/// One kind of fault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Records concerned as a whole.
    pub records: u64,
    /// Rows concerned; of a record that is lost as a whole, at least.
    pub rows: u64,
    /// Where, in ascending order.
    pub ranges: Vec<Finding>,
    /// Ranges beyond those listed.
    pub unlisted_ranges: u64,
}

/// A fault's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// First offset, included.
    pub first: i64,
    /// Last offset, included.
    pub last: i64,
    /// Records concerned as a whole; 0 where it is elements of records within the range.
    pub records: u64,
    /// Rows concerned.
    pub rows: u64,
}

/// Offsets that were lost before they could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// First offset, included.
    pub first: i64,
    /// Last offset, included.
    pub last: i64,
    /// `deleted` or `truncated`.
    pub kind: String,
    /// Whether an operator has accepted it.
    pub accepted: bool,
}

impl Findings {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        [&self.lost, &self.duplicated, &self.unaccounted, &self.altered]
            .iter()
            .all(|found| found.rows == 0)
    }

    pub(super) fn sort(&mut self) {
        for found in [&mut self.lost, &mut self.duplicated, &mut self.unaccounted] {
            found.ranges.sort_unstable();
        }
    }
}

impl Found {
    pub(super) fn add(&mut self, finding: Finding) {
        self.records += finding.records;
        self.rows += finding.rows;
        let Finding { first, records, .. } = finding;
        let has_room = self.ranges.len() < MOST_RANGES;
        match self.ranges.last_mut() {
            // Of a kind, and one where the other ended: a chunk's edge.
            Some(end) if end.last + 1 == first && records > 0 && end.records > 0 => {
                end.last = finding.last;
                end.records += records;
                end.rows += finding.rows;
            }
            _ if has_room => self.ranges.push(finding),
            _ => self.unlisted_ranges += 1,
        }
    }

    pub(super) fn add_records(&mut self, offsets: &Ranges) {
        for range in offsets.iter() {
            let records = (range.last - range.first + 1) as u64;
            self.add(Finding { first: range.first, last: range.last, records, rows: records });
        }
    }

    /// Whether elements of records between two offsets are among the ranges.
    pub(super) fn has_elements_in(&self, first: i64, last: i64) -> bool {
        let touches = |found: &Finding| found.first <= last && found.last >= first;
        self.ranges.iter().any(|found| found.records == 0 && touches(found))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        for Finding { first, last, records, rows } in &self.ranges {
            let place = if first == last { first.to_string() } else { format!("{first}-{last}") };
            let within = if *records == 0 && first != last { " within a batch" } else { "" };
            writeln!(f, "  {name:<12} {place:<24} {}{within}", counted(*rows, "row"))?;
        }
        if self.unlisted_ranges > 0 {
            writeln!(f, "  {name:<12} and {} more ranges", self.unlisted_ranges)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for partition in &self.partitions {
            write!(f, "{partition}")?;
        }
        for Incarnation { topic, incarnation, partitions, rows } in &self.other_incarnations {
            let (partitions, rows) = (counted(*partitions, "partition"), counted(*rows, "row"));
            writeln!(
                f,
                "{topic} as it was before it was made again (id {incarnation}): {partitions}, \
                 {rows}, not looked at"
            )?;
        }
        let sum = |rows: fn(&PartitionReport) -> u64| self.partitions.iter().map(rows).sum::<u64>();
        write!(
            f,
            "{}: {} stored, {} quarantined, {} skipped, {} empty, {} gap, {} not yet; \
             {} lost, {} duplicated",
            counted(self.partitions.len() as u64, "partition"),
            sum(|p| p.offsets.stored),
            sum(|p| p.offsets.quarantined),
            sum(|p| p.offsets.skipped),
            sum(|p| p.offsets.empty),
            sum(|p| p.offsets.gap),
            sum(|p| p.offsets.not_yet),
            counted(sum(|p| p.findings.lost.rows), "row"),
            sum(|p| p.findings.duplicated.rows),
        )?;
        for (name, rows) in [
            ("retired", sum(|p| p.rows.retired)),
            ("unaccounted for", sum(|p| p.findings.unaccounted.rows)),
            ("in altered batches", sum(|p| p.findings.altered.rows)),
        ] {
            if rows > 0 {
                write!(f, ", {rows} {name}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for PartitionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Offsets { stored, quarantined, retired, skipped, empty, gap, .. } = self.offsets;
        let Offsets { not_yet, unaccounted, lost, .. } = self.offsets;
        if self.to < self.from {
            return writeln!(f, "{}/{}: no offsets", self.topic, self.partition);
        }
        write!(f, "{}/{}: offsets {}-{}: ", self.topic, self.partition, self.from, self.to)?;
        let states = [
            (stored, "stored"),
            (quarantined, "quarantined"),
            (retired, "retired"),
            (skipped, "skipped"),
            (empty, "empty"),
            (gap, "gap"),
            (not_yet, "not yet"),
            (unaccounted, "unaccounted for"),
            (lost, "lost"),
        ];
        let there = states.iter().filter(|(count, _)| *count > 0);
        let told: Vec<String> = there.map(|(count, state)| format!("{count} {state}")).collect();
        writeln!(f, "{}", told.join(", "))?;
        for Gap { first, last, kind, accepted } in &self.gaps {
            let word = if *accepted { "accepted" } else { "not accepted" };
            writeln!(f, "  {:<12} {:<24} {kind}, {word}", "gap", format!("{first}-{last}"))?;
        }
        self.findings.lost.write(f, "lost")?;
        self.findings.duplicated.write(f, "duplicated")?;
        self.findings.unaccounted.write(f, "unaccounted")?;
        self.findings.altered.write(f, "altered")?;
        match self.findings.uncompared_batches {
            0 => Ok(()),
            batches => {
                let batches = counted(batches, "batch digest");
                writeln!(
                    f,
                    "  not compared {batches}: rows that a rule had left out have come since"
                )
            }
        }
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
