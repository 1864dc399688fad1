//! A batch in columns: every record to its fate, every fate to its row.
//!
//! In: a [`Batch`], a normaliser, what is to be left out. Out: the blocks to send, and the facts
//! that `batches` keeps.
//!
//! # Invariants
//! - Nothing goes in but the batch and the mappings: made again, the same rows come out.
//! - Every row of the batch is counted and digested, also those that are left out because they are
//!   stored already.
//!
//! Deliberately unknown here: ClickHouse's answers, Kafka.

use std::collections::BTreeMap;

use bumpalo::Bump;
use bytes::Bytes;
use rustc_hash::FxHashSet;
use sha2::{Digest as _, Sha256};

use super::batch::Batch;
use crate::event::{Fate, LogId, Micros, RawRecord, Reason, Rejection, id};
use crate::schema::Normaliser;
use crate::warehouse::block::{BlockError, EventBlock, QuarantineBlock};

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
    pub events: Option<Bytes>,
    /// The block for `quarantine`, unless it has no row.
    pub quarantine: Option<Bytes>,
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
    /// Of `events`.
    pub events: u64,
    /// Of `quarantine`, by reason.
    pub quarantined: BTreeMap<&'static str, u64>,
}

impl Rows {
    /// So many were counted as events that ClickHouse refuses.
    pub fn refuse(&mut self, rows: u64) {
        // One that is made again is counted when it is sent, refused rows as what they are.
        if self.events >= rows {
            self.events -= rows;
            *self.quarantined.entry(Reason::Refused.code()).or_insert(0) += rows;
        }
    }

    /// Of both tables.
    pub fn total(&self) -> u64 {
        self.events + self.quarantined.values().sum::<u64>()
    }

    /// Others as well.
    pub fn add(&mut self, others: &Rows) {
        self.events += others.events;
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
    let mut making = Making::new(log, known);
    let mut arena = Bump::new();
    for record in batch.records() {
        if known.within.is_some_and(|(from, to)| record.offset < from.0 || record.offset > to.0) {
            continue;
        }
        let mut result = Ok(());
        normaliser.normalise(&record, &arena, |index, fate| {
            if let Err(error) = making.push(&record, index, fate) {
                result = Err(error);
            }
        });
        result?;
        arena.reset();
    }
    making.finish()
}

struct Making<'k> {
    log: &'k LogId,
    known: &'k Known,
    events: EventBlock,
    quarantine: QuarantineBlock,
    rows: Rows,
    places: Vec<Place>,
    facts: Facts,
    digest: Sha256,
}

impl Making<'_> {
    fn new<'k>(log: &'k LogId, known: &'k Known) -> Making<'k> {
        Making {
            log,
            known,
            events: EventBlock::default(),
            quarantine: QuarantineBlock::default(),
            rows: Rows::default(),
            places: Vec::new(),
            facts: Facts::default(),
            digest: Sha256::new(),
        }
    }

    fn push(
        &mut self,
        record: &RawRecord<'_>,
        index: u32,
        fate: Fate<'_>,
    ) -> Result<(), BlockError> {
        let place = (record.offset, index);
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
                self.mapped(event.schema, event.mapping_version);
                if self.known.leaves_out(place) {
                    return Ok(());
                }
                if self.known.within.is_some() {
                    self.places.push(place);
                }
                self.rows.events += 1;
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

    /// One entry a mapping, without making a string for each row.
    fn mapped(&mut self, mapping: &str, version: u16) {
        let is_it = |(name, known): &&(String, u16)| name == mapping && *known == version;
        if self.facts.mapping_versions.iter().find(is_it).is_none() {
            self.facts.mapping_versions.push((mapping.to_owned(), version));
        }
    }

    fn finish(mut self) -> Result<Columns, BlockError> {
        self.facts.digest = self.digest.finalize().into();
        self.facts.mapping_versions.sort_unstable();
        let events = (self.events.rows() > 0).then(|| self.events.encode()).transpose()?;
        let quarantine =
            (self.quarantine.rows() > 0).then(|| self.quarantine.encode()).transpose()?;
        let Making { rows, places, facts, .. } = self;
        Ok(Columns { events, quarantine, rows, places, facts })
    }
}

/// 2262-01-01 in microseconds: the last year ClickHouse holds in 64-bit nanoseconds.
const MAX_MICROS: Micros = 9_214_646_400_000_000;

/// The record's timestamp; one that is absent or absurd is the epoch.
fn received_at(record: &RawRecord<'_>) -> Micros {
    record.timestamp.filter(|at| (0..MAX_MICROS).contains(at)).unwrap_or(0)
}
