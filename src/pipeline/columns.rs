//! A batch in columns: every record to its fates, every fate to its row, a slice at a time.
//!
//! In: a [`Batch`], a normaliser, what is to be left out. Out: blocks, each handed over when it is
//! full, and the facts that `batches` keeps.
//!
//! # Invariants
//! - Nothing goes in but the batch and the mappings: made again, the same rows come out.
//! - Of a batch's rows a slice is held, of [`Source::slice_bytes`] or of one row, whatever records become.
//! - What a batch becomes stays within [`most_bytes`]: records that swell it beyond that are
//!   quarantined whole.
//! - Every row of the batch is counted and digested, also those that are left out because they are
//!   stored already.
//!
//! Deliberately unknown here: ClickHouse's answers, Kafka.

mod fates;

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;
use sha2::{Digest as _, Sha256};

use self::fates::{Row, fates};
use super::batch::Batch;
use super::swell::{Size, most_bytes, swollen};
use crate::event::{Fate, LogId, Micros, OffsetRange, Place, RawRecord, Reason, id};
use crate::schema::Normaliser;
use crate::warehouse::block::{Block, BlockError, EventBlock, QuarantineBlock};

/// A batch, and how it is read.
#[derive(Clone, Copy)]
pub struct Source<'s> {
    /// Its records.
    pub batch: &'s Batch,
    /// How they are read.
    pub normaliser: &'s Normaliser,
    /// The log they are of.
    pub log: &'s LogId,
    /// Rows are handed over when they are so many bytes.
    pub slice_bytes: usize,
}

/// What is known of some of a batch's rows.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Stored: left out.
    pub stored: FxHashSet<Place>,
    /// Refused by ClickHouse, with its words: quarantined.
    pub refused: BTreeMap<Place, String>,
    /// Records that would swell the batch: quarantined whole.
    pub swollen: FxHashSet<i64>,
    /// Only these are asked for, both ends included, and which they are.
    pub within: Option<(Place, Place)>,
}

impl Known {
    fn leaves_out(&self, place: Place) -> bool {
        self.stored.contains(&place)
            || self.within.is_some_and(|(first, last)| !(first..=last).contains(&place))
    }

    fn is_asked_for(&self, offset: i64) -> bool {
        self.within.is_none_or(|(first, last)| (first.0..=last.0).contains(&offset))
    }
}

/// What was made of a batch.
#[derive(Debug, Default)]
pub struct Made {
    /// Rows of `events` that were handed over, by schema.
    pub events: BTreeMap<String, u64>,
    /// Places of these, where a part of the batch is asked for.
    pub places: Vec<Place>,
    /// Records that have rows of `quarantine`.
    pub rejected: FxHashSet<i64>,
    /// Of all rows, whether left out or not.
    pub facts: Facts,
}

/// Rows by their tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Of `events`, by schema.
    pub events: BTreeMap<String, u64>,
    /// Of `quarantine`, by reason.
    pub quarantined: BTreeMap<&'static str, u64>,
}

impl Rows {
    /// Of `events`.
    pub fn event_rows(&self) -> u64 {
        self.events.values().sum()
    }

    /// Of `quarantine`.
    pub fn quarantined_rows(&self) -> u64 {
        self.quarantined.values().sum()
    }

    /// Of both tables.
    pub fn total(&self) -> u64 {
        self.event_rows() + self.quarantined_rows()
    }

    /// Others as well.
    pub fn add(&mut self, others: &Rows) {
        for (schema, rows) in &others.events {
            *self.events.entry(schema.clone()).or_insert(0) += rows;
        }
        for (reason, rows) in &others.quarantined {
            *self.quarantined.entry(reason).or_insert(0) += rows;
        }
    }

    fn reject(&mut self, reason: Reason) {
        *self.quarantined.entry(reason.code()).or_insert(0) += 1;
    }
}

/// What a row of `batches` says of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its rows.
    pub rows: Rows,
    /// What rules leave out, of what is not stored already.
    pub skipped: Vec<Skipped>,
    /// Mappings that made events, with their versions.
    pub mapping_versions: Vec<(String, u16)>,
    /// SHA-256 over the rows' own.
    pub digest: [u8; 32],
}

/// What one rule leaves out of what one mapping made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// The rule.
    pub rule: String,
    /// The mapping.
    pub schema: String,
    /// Where it stands.
    pub places: Vec<Place>,
}

/// Where slices go.
pub type Slices<'s> = &'s mut dyn FnMut(&Block) -> Result<(), BlockError>;

/// Why a batch's rows were not all made.
#[derive(Debug, thiserror::Error)]
pub enum Unmade {
    /// A row does not fit, or nobody takes the slices.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// These records become too much: to be made again with them known.
    #[error("{} records take many times their size as rows", .0.len())]
    Swollen(FxHashSet<i64>),
}

/// Rows of `events`, without what is stored already.
pub fn events(of: Source<'_>, known: &Known, slices: Slices<'_>) -> Result<Made, Unmade> {
    let most = most_bytes(of.batch.bytes());
    let mut making = Making {
        of,
        known,
        block: EventBlock::new(of.log),
        bytes: 0,
        made: Made::default(),
        counts: Vec::new(),
        digest: Sha256::new(),
    };
    let (mut bytes, is_wanted) = (0, |offset| known.is_asked_for(offset));
    let taken = fates(of, known, is_wanted, |record, row| {
        bytes += row.bytes;
        if bytes > most {
            return Err(None);
        }
        making.take(record, row, slices).map_err(Some)
    });
    match taken {
        Ok(()) => Ok(making.finish(slices)?),
        Err(Some(error)) => Err(Unmade::Block(error)),
        Err(None) => Err(Unmade::Swollen(too_large(of, most))),
    }
}

struct Making<'m> {
    of: Source<'m>,
    known: &'m Known,
    block: EventBlock,
    /// Of the slice.
    bytes: usize,
    made: Made,
    /// For each of `facts.mapping_versions`: all its rows, and those that are handed over.
    counts: Vec<(u64, u64)>,
    digest: Sha256,
}

impl Making<'_> {
    fn take(
        &mut self,
        record: &RawRecord<'_>,
        row: Row<'_>,
        slices: Slices<'_>,
    ) -> Result<(), BlockError> {
        let place = (record.offset, row.index);
        let Made { facts, rejected, places, .. } = &mut self.made;
        match row.fate {
            Fate::Event(event) => {
                let digest = id::digest(event.raw.as_bytes());
                self.digest.update(digest);
                let mapping = facts.mapped(event.schema, event.mapping_version);
                if mapping == self.counts.len() {
                    self.counts.push((0, 0));
                }
                self.counts[mapping].0 += 1;
                if self.known.leaves_out(place) {
                    return Ok(());
                }
                if self.known.within.is_some() {
                    places.push(place);
                }
                self.counts[mapping].1 += 1;
                if self.bytes > 0 && self.bytes + row.bytes > self.of.slice_bytes {
                    self.bytes = 0;
                    slices(&self.block.finish()?)?;
                }
                let position = self.of.log.position(record.offset, row.index);
                let id = id::derive(event, &position, &digest);
                self.block.push(event, id, place, received_at(record))?;
                self.bytes += row.bytes;
            }
            Fate::Quarantine(why) => {
                self.digest.update(id::digest(why.raw));
                facts.rows.reject(why.reason);
                rejected.insert(record.offset);
            }
            // What an older configuration has stored stays: the batch's row must not deny it.
            Fate::Skip { .. } if self.known.stored.contains(&place) => {}
            Fate::Skip { rule, schema } => facts.skips(rule, schema).push(place),
        }
        Ok(())
    }

    fn finish(mut self, slices: Slices<'_>) -> Result<Made, BlockError> {
        if self.block.rows() > 0 {
            slices(&self.block.finish()?)?;
        }
        let Made { facts, events, .. } = &mut self.made;
        for ((schema, _), (all, sent)) in facts.mapping_versions.iter().zip(self.counts) {
            *facts.rows.events.entry(schema.clone()).or_insert(0) += all;
            if sent > 0 {
                *events.entry(schema.clone()).or_insert(0) += sent;
            }
        }
        facts.digest = self.digest.finalize().into();
        facts.mapping_versions.sort_unstable();
        Ok(self.made)
    }
}

/// Rows of `quarantine` of the records that have some, without what is stored already; how many.
pub fn quarantine(
    of: Source<'_>,
    known: &Known,
    rejected: &FxHashSet<i64>,
    slices: Slices<'_>,
) -> Result<Rows, BlockError> {
    let (mut block, mut rows, mut bytes) = (QuarantineBlock::new(of.log), Rows::default(), 0);
    let is_wanted = |offset| rejected.contains(&offset);
    fates(of, known, is_wanted, |record, Row { index, fate, .. }| {
        let (place, Fate::Quarantine(why)) = ((record.offset, index), fate) else { return Ok(()) };
        if known.leaves_out(place) {
            return Ok(());
        }
        rows.reject(why.reason);
        let row = why.raw.len() + record.bytes_around();
        if bytes > 0 && bytes + row > of.slice_bytes {
            bytes = 0;
            slices(&block.finish()?)?;
        }
        block.push(&why, record.key, record.headers, place, received_at(record))?;
        bytes += row;
        Ok::<_, BlockError>(())
    })?;
    if block.rows() > 0 {
        slices(&block.finish()?)?;
    }
    Ok(rows)
}

/// The records that would swell the batch beyond so many bytes.
fn too_large(of: Source<'_>, most: usize) -> FxHashSet<i64> {
    let (mut sizes, mut bytes) = (Vec::with_capacity(of.batch.len()), 0);
    let Ok(()) = fates(
        of,
        &Known::default(),
        |_| true,
        |record, row| {
            bytes += row.bytes;
            Size::grow(&mut sizes, record, row.bytes);
            Ok::<_, std::convert::Infallible>(())
        },
    );
    let swollen = swollen(sizes, bytes - most);
    let OffsetRange { first, .. } = of.batch.range().unwrap_or(OffsetRange { first: 0, last: 0 });
    tracing::warn!(log = %of.log, first, records = swollen.len(),
        "records of a batch take many times their size as rows: they are quarantined whole");
    swollen
}

impl Facts {
    /// Where the places go that a rule leaves out, without making strings for each.
    fn skips(&mut self, rule: &str, schema: &str) -> &mut Vec<Place> {
        let is_it = |known: &Skipped| known.rule == rule && known.schema == schema;
        let at = self.skipped.iter().position(is_it).unwrap_or_else(|| {
            let (rule, schema) = (rule.to_owned(), schema.to_owned());
            self.skipped.push(Skipped { rule, schema, places: Vec::new() });
            self.skipped.len() - 1
        });
        &mut self.skipped[at].places
    }

    /// One entry a mapping, without making a string for each row; which it is.
    fn mapped(&mut self, mapping: &str, version: u16) -> usize {
        let is_it = |(name, known): &(String, u16)| name == mapping && *known == version;
        self.mapping_versions.iter().position(is_it).unwrap_or_else(|| {
            self.mapping_versions.push((mapping.to_owned(), version));
            self.mapping_versions.len() - 1
        })
    }
}

/// 2262-01-01 in microseconds: the last year ClickHouse holds in 64-bit nanoseconds.
const MAX_MICROS: Micros = 9_214_646_400_000_000;

/// The record's timestamp; one that is absent or absurd is the epoch.
fn received_at(record: &RawRecord<'_>) -> Micros {
    record.timestamp.filter(|at| (0..MAX_MICROS).contains(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
