//! Finding the rows that ClickHouse refuses, by halves.
//!
//! In: a batch whose block is refused for what it holds. Out: the places of the rows at fault, each
//! with ClickHouse's words.
//!
//! Halves go to an empty table like `events`, constraints included, which is dropped again. A row
//! costs about twice the batch's normalising to find.
//!
//! # Invariants
//! - Only a row that is refused alone is blamed.
//! - Nothing reaches `events` from here.
//!
//! Deliberately unknown here: what becomes of the row.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::columns::{Known, events};
use super::limits::slice_bytes;
use super::settle::{Course, Job, SettleError, Settler, Trouble};
use crate::event::id;
use crate::warehouse::{InsertError, RowStream, Warehouse};

impl Settler {
    /// Whether a row was found that ClickHouse refuses.
    pub(super) async fn find_refused(
        &self,
        job: &Arc<Job>,
        why: &str,
        course: &mut Course,
    ) -> Result<bool, SettleError> {
        let _permit = self.permit(job).await;
        let mut known = course.known(FxHashSet::default());
        let slice_bytes = slice_bytes(&self.config);
        let found = find(self.warehouse.shard_of(&job.log), job, &mut known, slice_bytes).await;
        let is_found = known.refused.len() > course.refused.len();
        course.refused = known.refused;
        match found {
            Ok(()) if is_found => return Ok(true),
            Ok(()) => tracing::error!(token = %job.token(), why, "no row alone is refused"),
            Err(Trouble::Insert(error)) => {
                tracing::warn!(token = %job.token(), %error, "looking for the refused row");
            }
            Err(Trouble::Swollen(records)) => course.swollen = records,
            Err(Trouble::Defect(defect)) => return Err(defect),
        }
        Ok(false)
    }
}

/// Add the places of refused rows to those that are known.
async fn find(
    warehouse: &Warehouse,
    job: &Arc<Job>,
    known: &mut Known,
    slice_bytes: usize,
) -> Result<(), Trouble> {
    // A name left by a crash is taken over: the batch's token, short enough for a file's name.
    let token = id::digest(job.token().to_string().as_bytes());
    let trial: String = token[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    let trial = format!("events_trial_{trial}");
    warehouse.begin_trial(&trial).await?;
    let found = halves(warehouse, job, known, &trial, slice_bytes).await;
    warehouse.end_trial(&trial).await?;
    found
}

async fn halves(
    warehouse: &Warehouse,
    job: &Arc<Job>,
    known: &mut Known,
    trial: &str,
    slice_bytes: usize,
) -> Result<(), Trouble> {
    let all = Some(((i64::MIN, 0), (i64::MAX, u32::MAX)));
    let (made, _) = job.count(Known { within: all, ..known.clone() }, slice_bytes).await?;
    let mut open = vec![&made.places[..]];
    while let Some(part) = open.pop() {
        let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
        let of = Arc::clone(job);
        let known_here = Known { within: Some((*first, *last)), ..known.clone() };
        let make = move |to: &mut RowStream| {
            let made = events(of.source(slice_bytes), &known_here, &mut |block| to.push(block));
            made.map(drop).map_err(|why| of.trouble(why))
        };
        match warehouse.try_events(trial, slice_bytes, make).await {
            Ok(()) => {}
            Err(Trouble::Insert(InsertError::Poison(why))) if part.len() == 1 => {
                known.refused.insert(*first, why);
            }
            Err(Trouble::Insert(InsertError::Poison(_))) => {
                let (left, right) = part.split_at(part.len() / 2);
                open.extend([right, left]);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
