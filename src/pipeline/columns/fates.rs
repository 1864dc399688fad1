//! What becomes of a batch's records, as far as it is known.
//!
//! In: a batch, what is known of it. Out: fates, with what each takes as a row.
//!
//! # Invariants
//! - What is known of stored rows changes no fate, and no size: both are the same whenever a batch is
//!   made again.
//!
//! Deliberately unknown here: columns.

use bumpalo::Bump;

use super::{Known, Source};
use crate::event::{Fate, Place, RawRecord, Reason, Rejection};

/// A row to be.
pub struct Row<'a> {
    /// Its place in its record.
    pub index: u32,
    /// What it takes, bytes; nothing where its record is quarantined because of that.
    pub bytes: usize,
    /// What becomes of it.
    pub fate: Fate<'a>,
}

/// The fates of all records that are wanted, until one is an error.
pub fn fates<E>(
    of: Source<'_>,
    known: &Known,
    is_wanted: impl Fn(i64) -> bool,
    mut each: impl FnMut(&RawRecord<'_>, Row<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut arena = Bump::new();
    for record in of.batch.records().filter(|record| is_wanted(record.offset)) {
        if known.swollen.contains(&record.offset) {
            let fate = Fate::Quarantine(swollen(of, &record));
            each(&record, Row { index: 0, bytes: 0, fate })?;
            continue;
        }
        let mut result = Ok(());
        of.normaliser.normalise(&record, &arena, |index, fate| {
            if result.is_ok() {
                let bytes = bytes(&record, &fate);
                let fate = refused(known, (record.offset, index), fate);
                result = each(&record, Row { index, bytes, fate });
            }
        });
        result?;
        arena.reset();
    }
    Ok(())
}

/// What of a row's columns is no text of its own, about.
const ROW_BYTES: usize = 128;

fn bytes(record: &RawRecord<'_>, fate: &Fate<'_>) -> usize {
    ROW_BYTES
        + match fate {
            Fate::Event(event) => event.bytes(),
            Fate::Quarantine(why) => why.raw.len() + why.sentence.len() + record.bytes_around(),
            Fate::Skip { rule, .. } => rule.len(),
        }
}

fn refused<'a>(known: &Known, place: Place, fate: Fate<'a>) -> Fate<'a> {
    let Fate::Event(event) = fate else { return fate };
    let Some(why) = known.refused.get(&place) else { return fate };
    Fate::Quarantine(Rejection {
        reason: Reason::Refused,
        sentence: format!("ClickHouse refuses it: {why}"),
        mapping: event.schema,
        tenant: event.tenant,
        raw: event.raw.as_bytes(),
    })
}

fn swollen<'a>(of: Source<'a>, record: &RawRecord<'a>) -> Rejection<'a> {
    let sentence = "its rows would take many times its size, and its batch has no room for them";
    Rejection {
        reason: Reason::TooLarge,
        sentence: sentence.to_owned(),
        mapping: "",
        tenant: of.normaliser.tenant_of_rejected(record),
        raw: record.payload,
    }
}
