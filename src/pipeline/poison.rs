//! Finding the rows that ClickHouse refuses, by halves.
//!
//! In: a batch whose block is refused for what it holds. Out: the places of the rows at fault, each
//! with ClickHouse's words, and how many they are.
//!
//! Halves go to an empty table like `events`, constraints included, which is dropped again. A row
//! costs about twice the batch's normalising to find.
//!
//! # Invariants
//! - Only a row that is refused alone is blamed.
//! - Nothing reaches `events` from here.
//!
//! Deliberately unknown here: what becomes of the row.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::columns::{Columns, Known, Place, Rows};
use super::settle::{Job, Trouble};
use crate::event::id;
use crate::warehouse::{InsertError, Warehouse};

/// Add the places of refused rows to those that are known; the rows that were found.
pub async fn find(
    warehouse: &Warehouse,
    job: &Arc<Job>,
    refused: &mut BTreeMap<Place, String>,
) -> Result<Rows, Trouble> {
    // A name left by a crash is taken over: the batch's token, short enough for a file's name.
    let token = id::digest(job.token().to_string().as_bytes());
    let trial: String = token[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    let trial = format!("events_trial_{trial}");
    warehouse.begin_trial(&trial).await?;
    let found = halves(warehouse, job, refused, &trial).await;
    warehouse.end_trial(&trial).await?;
    found
}

async fn halves(
    warehouse: &Warehouse,
    job: &Arc<Job>,
    refused: &mut BTreeMap<Place, String>,
    trial: &str,
) -> Result<Rows, Trouble> {
    let all = Some(((i64::MIN, 0), (i64::MAX, u32::MAX)));
    let known = Known { refused: refused.clone(), within: all, ..Known::default() };
    let places = job.columns(known).await?.places;
    let (mut open, mut found) = (vec![&places[..]], Rows::default());
    while let Some(part) = open.pop() {
        let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
        let within = Some((*first, *last));
        let known = Known { refused: refused.clone(), within, ..Known::default() };
        let Columns { events: Some(block), rows, .. } = job.columns(known).await? else { continue };
        match warehouse.try_events(trial, block).await {
            Ok(()) => {}
            Err(InsertError::Poison(why)) if part.len() == 1 => {
                refused.insert(*first, why);
                found.add(&rows);
            }
            Err(InsertError::Poison(_)) => {
                let (left, right) = part.split_at(part.len() / 2);
                open.extend([right, left]);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}
