//! `/v1/receipts/{topic}/{partition}/{offset}` and `/v1/quarantine`: what became of records.
//!
//! In: a position, or which refusals are wanted. Out: what the commands of these names print as JSON.
//!
//! # Invariants
//! - A receipt is there for who may see the logs of every row of the record, and for who sees all;
//!   to others the record is not there.
//! - Who may see nobody's log, or asks of a topic that is not read, is answered without anybody being
//!   asked.
//! - The quarantine, which knows of every tenant and of none, is for auditors.
//!
//! Deliberately unknown here: Kafka, the store.

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::Value;

use super::error::Problem;
use super::parameter::Parameters;
use super::selection::scope;
use super::{ApiState, Rows};
use crate::access::Caller;
use crate::query::{Refused, TenantScope, Told};

/// What the quarantine may be asked for.
pub(super) const OF_QUARANTINE: [&str; 5] = ["topic", "reason", "mapping", "since", "limit"];

const LIMIT: u32 = 100;
const MOST: u32 = 1_000;

#[derive(Serialize)]
pub(super) struct Quarantine {
    rows: Vec<Value>,
}

pub(super) async fn receipt(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path((topic, partition, offset)): Path<(String, String, String)>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &[], &["tenant"])?;
    let scope = scope(&parameters, &caller, &state.tenants)?;
    let number = |name: &str, text: &str| {
        let wrong = || {
            let detail = format!("{name} is {text:?}; it is a whole number from 0");
            Problem::parameter(name, detail, vec!["a whole number from 0".to_owned()])
        };
        text.parse::<i64>().ok().filter(|number| *number >= 0).ok_or_else(wrong)
    };
    let partition = number("partition", &partition)?;
    let offset = number("offset", &offset)?;
    let absent = || {
        let detail = format!("there is no record {topic} {partition} {offset} here");
        Problem::not_found(uri.path(), detail)
    };
    let sees_nobody = matches!(&scope, TenantScope::Only(tenants) if tenants.is_empty());
    if sees_nobody || !state.ledger.has(&topic) {
        return Err(absent());
    }
    // As Kafka counts them.
    let Ok(partition) = i32::try_from(partition) else { return Err(absent()) };
    let told = state.ledger.receipt(&topic, partition, offset).await?;
    let is_own = |told: &Told| match &scope {
        TenantScope::All => true,
        only => !told.tenants.is_empty() && told.tenants.iter().all(|own| only.allows(own)),
    };
    told.filter(is_own).map(|told| Json(told.receipt)).ok_or_else(absent)
}

pub(super) async fn quarantine(
    State(state): State<ApiState>,
    uri: Uri,
) -> Result<(Extension<Rows>, Json<Quarantine>), Problem> {
    let parameters = Parameters::read(&uri, &OF_QUARANTINE, &[])?;
    let text = |name| parameters.get(name).map(str::to_owned);
    let wanted = Refused {
        topic: text("topic"),
        reason: text("reason"),
        mapping: text("mapping"),
        since: parameters.time("since", (state.now)())?,
        limit: parameters.number("limit", 1, MOST)?.unwrap_or(LIMIT).into(),
    };
    let rows = state.ledger.refused(&wanted).await?;
    Ok((Extension(Rows(rows.len() as u64)), Json(Quarantine { rows })))
}
