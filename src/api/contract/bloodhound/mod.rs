//! BloodHound CE: `GET /api/v2/audit`.
//!
//! In: filters, an order, how many rows to pass over. Out: `{"count", "limit", "skip", "data":
//! {"logs": […]}}`.
//!
//! # Invariants
//! - `docs/CONTRACTS.md` says what holds, statement by statement (B1 and on).
//! - The tenant is the caller's; nothing in the request names one.
//! - An intent and how it ended are two rows, as BloodHound stores them.
//!
//! Deliberately unknown here: how a signature is checked, how a page is found.

mod answer;
mod filter;
mod prefer;
mod question;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::json;

use self::prefer::Wait;
use self::question::{Asked as Question, malformed};
use super::desk::unlimited;
use super::entry::Entry;
use super::reading::Reading;
use super::walk::Walk;
use super::{Asked, Contract, Endpoint};
use crate::access::Caller;
use crate::api::Rows;
use crate::api::auth::Unknown;
use crate::api::refusal::{At, Refusal};
use crate::api::render::rendered;
use crate::query::{Query, Selection};

/// The schema whose rows go out as they were written.
const SCHEMA: &str = "bloodhound";

pub(super) const CONTRACT: Contract = Contract {
    name: SCHEMA,
    settings: |compat| &compat.bloodhound,
    roots: &["/api/v2"],
    endpoints: |api, _| {
        Endpoint::over(&Reading::new(api), [(Method::GET, "/api/v2/audit", get(list))])
    },
    words,
};

#[derive(Serialize)]
struct Answer {
    count: u64,
    limit: u32,
    skip: u64,
    data: Data,
}

#[derive(Serialize)]
struct Data {
    logs: Vec<Entry>,
}

async fn list(State(reading): State<Reading>, request: Request) -> Result<Response, Refusal> {
    let wait = Wait::of(request.headers())?;
    let (caller, head) = reading.caller(request).await?;
    unlimited(&caller)?;
    let question = Question::read(&head.uri)?;
    let mut response = within(wait.bound(), answer(&reading, &caller, &question)).await?;
    if let Some(applied) = wait.applied() {
        response.headers_mut().insert("preference-applied", applied);
    }
    Ok(response)
}

async fn within<T>(
    bound: Option<Duration>,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    match bound {
        None => work.await,
        Some(bound) => tokio::time::timeout(bound, work).await.unwrap_or(Err(Refusal::Timeout)),
    }
}

async fn answer(reading: &Reading, caller: &Caller, asked: &Question) -> Result<Response, Refusal> {
    let now = (reading.api.now)();
    let (window, filter) = (asked.window(now), asked.filter.clone());
    let selection = Selection { tenants: caller.scope(&[]), window, filter };
    let order = asked.order.clone();
    let mut query = Query { order, raw: true, ..Query::new(selection, asked.limit) };
    let walk = Walk { caller, time: &format!("{:?} {:?}", asked.after, asked.before), now };
    let skip = ("skip", asked.skip);
    let page = reading.walks.page(&*reading.api.reader, walk, &mut query, skip).await;
    let page = page.map_err(|refusal| match refusal {
        Refusal::Invalid { detail, .. } => malformed("skip", &detail),
        other => other,
    })?;
    // A walk is in the window of its first page, and so is what it is counted among.
    let count = reading.api.reader.count(&query.selection).await?;
    let (limit, skip, rows) = (asked.limit, asked.skip, Rows(page.events.len() as u64));
    let answer = rendered(move || {
        let logs = page.events.iter().map(answer::row).collect();
        Ok(Answer { count, limit, skip, data: Data { logs } })
    });
    Ok((Extension(rows), answer.await).into_response())
}

fn words(refusal: &Refusal, asked: &Asked) -> Response {
    let status = match refusal {
        Refusal::Timeout => StatusCode::INTERNAL_SERVER_ERROR,
        Refusal::Unauthenticated(Unknown::Malformed(_)) => StatusCode::BAD_REQUEST,
        _ => refusal.status(),
    };
    let message = match refusal {
        Refusal::Unauthenticated(Unknown::Malformed(why)) => why.clone(),
        Refusal::Unauthenticated(_) | Refusal::Unlinked => "authentication is invalid".to_owned(),
        Refusal::Forbidden(_) => "Forbidden".to_owned(),
        Refusal::NotFound(_) => "resource not found".to_owned(),
        Refusal::Timeout => "request timed out".to_owned(),
        Refusal::Internal => "an internal error has occurred that is preventing the service from \
                              servicing this request"
            .to_owned(),
        _ => refusal.detail(),
    };
    let context = match refusal {
        Refusal::Invalid { at: At::Parameter(name) | At::Header(name), .. } => name,
        _ => "",
    };
    let at = DateTime::<Utc>::from_timestamp_micros(asked.at).unwrap_or_default();
    let body = json!({
        "http_status": status.as_u16(),
        "timestamp": at.to_rfc3339_opts(SecondsFormat::Micros, true),
        "request_id": asked.request_id,
        "errors": [{ "context": context, "message": message }],
    });
    (status, Json(body)).into_response()
}
