//! A batch in columns: every record to its fate, every fate to its row.
//!
//! In: a [`Batch`], a normaliser, what is to be left out. Out: the blocks to send, and the facts
//! that `batches` keeps.
//!
//! # Invariants
//! - Nothing goes in but the batch and the mappings: made again, the same rows come out.
//! - What a batch becomes stays within [`most_bytes`], far below the 2 GiB that a column of text may
//!   have: records that swell it beyond that are quarantined whole.
//! - Every row of the batch is counted and digested, also those that are left out because they are
//!   stored already.
//!
//! Deliberately unknown here: ClickHouse's answers, Kafka.

use std::collections::BTreeMap;

use bumpalo::Bump;
use rustc_hash::FxHashSet;
use sha2::{Digest as _, Sha256};

use super::batch::Batch;
use super::swell::{Size, most_bytes, swollen};
use crate::event::{Fate, LogId, Micros, RawRecord, Reason, Rejection, id};
use crate::schema::Normaliser;
use crate::warehouse::block::{Block, BlockError, EventBlock, QuarantineBlock};

/// Place of a row in its log: offset and index.
pub type Place = (i64, u32);

/// What is known of some of a batch's rows.
#[derive(Debug, Default)]
pub struct Known {
    /// Stored: left out.
    pub stored: FxHashSet<Place>,
    /// Refused by ClickHouse, with its words: quarantined.
    pub refused: BTreeMap<Place, String>,
    /// Only these are asked for, both ends included, and which they are.
    pub within: Option<(Place, Place)>,
}

impl Known {
    fn leaves_out(&self, place: Place) -> bool {
        self.stored.contains(&place)
            || self.within.is_some_and(|(first, last)| !(first..=last).contains(&place))
    }
}

/// A batch in columns.
#[derive(Debug, Default)]
pub struct Columns {
    /// The block for `events`, unless it has no row.
    pub events: Option<Block>,
    /// The block for `quarantine`, unless it has no row.
    pub quarantine: Option<Block>,
    /// Rows of the two blocks.
    pub rows: Rows,
    /// Places of the rows of `events`, where a part of the batch is asked for.
    pub places: Vec<Place>,
    /// Of all rows, whether left out or not.
    pub facts: Facts,
}

impl Columns {
    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.events.is_none() && self.quarantine.is_none()
    }
}

/// Rows that are inserted, by their tables.
#[derive(Debug, Default)]
pub struct Rows {
    /// Of `events`, by schema.
    pub events: BTreeMap<String, u64>,
    /// Of `quarantine`, by reason.
    pub quarantined: BTreeMap<&'static str, u64>,
}

impl Rows {
    /// These were counted as events, and ClickHouse refuses them.
    pub fn refuse(&mut self, refused: &Rows) {
        for (schema, rows) in &refused.events {
            // One that is made again is counted when it is sent, refused rows as what they are.
            if let Some(counted) = self.events.get_mut(schema).filter(|counted| **counted >= *rows)
            {
                *counted -= rows;
                *self.quarantined.entry(Reason::Refused.code()).or_insert(0) += rows;
            }
        }
    }

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
}

/// What a row of `batches` says of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Rows of `events`.
    pub event_rows: u64,
    /// Rows of `quarantine`.
    pub quarantined_rows: u64,
    /// Rows that a rule leaves out: rule, offset, index.
    pub skipped: Vec<(String, i64, u32)>,
    /// Mappings that made events, with their versions.
    pub mapping_versions: Vec<(String, u16)>,
    /// SHA-256 over the rows' own.
    pub digest: [u8; 32],
}

/// The columns of a batch, without what is stored already.
pub fn columns(
    batch: &Batch,
    normaliser: &Normaliser,
    log: &LogId,
    known: &Known,
) -> Result<Columns, BlockError> {
    let most = most_bytes(batch.bytes());
    let mut making = Making::new(log, known, most);
    let sizes = making.take(batch, normaliser, &FxHashSet::default())?;
    if making.bytes <= most {
        return making.finish();
    }
    let swollen = swollen(sizes, making.bytes - most);
    tracing::warn!(%log, first = batch.range().map(|range| range.first), records = swollen.len(),
        "records of a batch take many times their size as rows: they are quarantined whole");
    let mut making = Making::new(log, known, usize::MAX);
    making.take(batch, normaliser, &swollen)?;
    making.finish()
}

struct Making<'k> {
    log: &'k LogId,
    known: &'k Known,
    /// Beyond this many bytes rows are only counted.
    most: usize,
    /// Of all rows, whether left out or not.
    bytes: usize,
    events: EventBlock,
    quarantine: QuarantineBlock,
    rows: Rows,
    /// Rows of `events` that are inserted, one number for each of `facts.mapping_versions`.
    events_of: Vec<u64>,
    places: Vec<Place>,
    facts: Facts,
    digest: Sha256,
}

impl Making<'_> {
    fn new<'k>(log: &'k LogId, known: &'k Known, most: usize) -> Making<'k> {
        Making {
            log,
            known,
            most,
            bytes: 0,
            events: EventBlock::default(),
            quarantine: QuarantineBlock::default(),
            rows: Rows::default(),
            events_of: Vec::new(),
            places: Vec::new(),
            facts: Facts::default(),
            digest: Sha256::new(),
        }
    }

    /// Every record to its rows, those that are swollen to one; what each record becomes.
    fn take(
        &mut self,
        batch: &Batch,
        normaliser: &Normaliser,
        swollen: &FxHashSet<i64>,
    ) -> Result<Vec<Size>, BlockError> {
        let (mut arena, mut sizes) = (Bump::new(), Vec::with_capacity(batch.len()));
        let within = self.known.within;
        let is_asked_for =
            |offset| within.is_none_or(|(from, to)| (from.0..=to.0).contains(&offset));
        for record in batch.records().filter(|record| is_asked_for(record.offset)) {
            if swollen.contains(&record.offset) {
                self.reject_whole(&record, normaliser)?;
                continue;
            }
            let before = self.bytes;
            let mut result = Ok(());
            normaliser.normalise(&record, &arena, |index, fate| {
                if let Err(error) = self.push(&record, index, fate) {
                    result = Err(error);
                }
            });
            result?;
            arena.reset();
            sizes.push(Size {
                offset: record.offset,
                excess: (self.bytes - before).saturating_sub(record.bytes()),
            });
        }
        Ok(sizes)
    }

    fn reject_whole(
        &mut self,
        record: &RawRecord<'_>,
        normaliser: &Normaliser,
    ) -> Result<(), BlockError> {
        let sentence =
            "its rows would take many times its size, and its batch has no room for them";
        let why = Rejection {
            reason: Reason::TooLarge,
            sentence: sentence.to_owned(),
            mapping: "",
            tenant: normaliser.tenant_of_rejected(record),
            raw: record.payload,
        };
        self.digest.update(id::digest(why.raw));
        self.reject(record, (record.offset, 0), &why)
    }

    fn push(
        &mut self,
        record: &RawRecord<'_>,
        index: u32,
        fate: Fate<'_>,
    ) -> Result<(), BlockError> {
        let place = (record.offset, index);
        self.bytes += match &fate {
            Fate::Event(event) => event.bytes() + ROW_BYTES,
            Fate::Quarantine(why) => {
                why.raw.len() + why.sentence.len() + record.bytes_around() + ROW_BYTES
            }
            Fate::Skip { rule } => rule.len() + ROW_BYTES,
        };
        if self.bytes > self.most {
            // It is made anew: what was made so far must not take room meanwhile.
            (self.events, self.quarantine) = Default::default();
            return Ok(());
        }
        match fate {
            Fate::Event(event) => {
                let digest = id::digest(event.raw.as_bytes());
                self.digest.update(digest);
                if let Some(why) = self.known.refused.get(&place) {
                    let sentence = format!("ClickHouse refuses it: {why}");
                    let (mapping, tenant, raw) = (event.schema, event.tenant, event.raw.as_bytes());
                    let why = Rejection { reason: Reason::Refused, sentence, mapping, tenant, raw };
                    return self.reject(record, place, &why);
                }
                self.facts.event_rows += 1;
                let mapping = self.mapped(event.schema, event.mapping_version);
                if self.known.leaves_out(place) {
                    return Ok(());
                }
                if self.known.within.is_some() {
                    self.places.push(place);
                }
                self.events_of[mapping] += 1;
                let position = self.log.position(record.offset, index);
                let id = id::derive(event, &position, &digest);
                self.events.push(event, id, &position, received_at(record))
            }
            Fate::Quarantine(why) => {
                self.digest.update(id::digest(why.raw));
                self.reject(record, place, &why)
            }
            Fate::Skip { rule } => {
                self.facts.skipped.push((rule.to_owned(), record.offset, index));
                Ok(())
            }
        }
    }

    fn reject(
        &mut self,
        record: &RawRecord<'_>,
        place: Place,
        why: &Rejection<'_>,
    ) -> Result<(), BlockError> {
        self.facts.quarantined_rows += 1;
        if self.known.leaves_out(place) {
            return Ok(());
        }
        *self.rows.quarantined.entry(why.reason.code()).or_insert(0) += 1;
        let position = self.log.position(place.0, place.1);
        self.quarantine.push(why, record.key, record.headers, &position, received_at(record))
    }

    /// One entry a mapping, without making a string for each row; which it is.
    fn mapped(&mut self, mapping: &str, version: u16) -> usize {
        let is_it = |(name, known): &(String, u16)| name == mapping && *known == version;
        self.facts.mapping_versions.iter().position(is_it).unwrap_or_else(|| {
            self.facts.mapping_versions.push((mapping.to_owned(), version));
            self.events_of.push(0);
            self.events_of.len() - 1
        })
    }

    fn finish(mut self) -> Result<Columns, BlockError> {
        self.facts.digest = self.digest.finalize().into();
        for ((schema, _), rows) in self.facts.mapping_versions.iter().zip(&self.events_of) {
            *self.rows.events.entry(schema.clone()).or_insert(0) += rows;
        }
        self.facts.mapping_versions.sort_unstable();
        let events = (self.events.rows() > 0).then(|| self.events.finish()).transpose()?;
        let quarantine =
            (self.quarantine.rows() > 0).then(|| self.quarantine.finish()).transpose()?;
        let Making { rows, places, facts, .. } = self;
        Ok(Columns { events, quarantine, rows, places, facts })
    }
}

/// What of a row's columns is no text of its own, about.
const ROW_BYTES: usize = 128;

/// 2262-01-01 in microseconds: the last year ClickHouse holds in 64-bit nanoseconds.
const MAX_MICROS: Micros = 9_214_646_400_000_000;

/// The record's timestamp; one that is absent or absurd is the epoch.
fn received_at(record: &RawRecord<'_>) -> Micros {
    record.timestamp.filter(|at| (0..MAX_MICROS).contains(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
