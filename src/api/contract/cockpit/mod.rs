//! Cloud Cockpit: `GET /v1/AuditLogs`.
//!
//! In: a tenant, filters, a page's number and size. Out: a page of items with what there is in all.
//!
//! # Invariants
//! - `docs/CONTRACTS.md` says what holds, statement by statement (C1 and on).
//! - The tenant is the one that `X-Tenant` names, and it is the caller's, or nothing is answered.
//! - A version that was still processing is not listed once the same row has ended.
//!
//! Deliberately unknown here: how a page is found.

mod answer;
mod question;
#[cfg(test)]
mod tests;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use self::question::{Asked as Question, of_reseller};
use super::entry::Entry;
use super::reading::Reading;
use super::walk::{FARTHEST, Walk};
use super::{Asked, Contract, Endpoint};
use crate::access::{Caller, Tenants};
use crate::api::Rows;
use crate::api::refusal::{At, Refusal};
use crate::api::render::rendered;
use crate::query::{
    Cursor, CursorError, CursorKey, Filter, Query, Selection, Start, TargetField, Window,
};

/// The schema whose rows go out as they were written.
const SCHEMA: &str = "cockpit";
const CORRELATION_ID: &str = "X-Correlation-Id";

pub(super) const CONTRACT: Contract = Contract {
    name: SCHEMA,
    settings: |compat| &compat.cockpit,
    roots: &["/v1/AuditLogs", "/v1/auditlogs"],
    endpoints: |api, _| {
        let spellings = ["/v1/AuditLogs", "/v1/auditlogs"];
        Endpoint::over(&Reading::new(api), spellings.map(|path| (Method::GET, path, get(list))))
    },
    words,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    items: Vec<Entry>,
    pagination_parameters: PaginationParameters,
    total_pages: u64,
    total_count: u64,
    has_previous_page: bool,
    has_next_page: bool,
    continuation_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaginationParameters {
    page_number: u32,
    page_size: u32,
}

async fn list(State(reading): State<Reading>, request: Request) -> Result<Response, Refusal> {
    let (caller, head) = reading.caller(request).await?;
    if head.headers.contains_key(CORRELATION_ID) && correlation_id(&head.headers).is_none() {
        let detail = format!("{CORRELATION_ID} must be a UUID.");
        return Err(Refusal::header(CORRELATION_ID, detail));
    }
    let tenant = tenant(&reading.api.tenants, &caller, &head.headers)?;
    let question = Question::read(&head.uri)?;
    answer(&reading, &caller, tenant, &question).await
}

/// The tenant that is meant; a foreign one cannot be told from one that does not exist.
fn tenant(tenants: &Tenants, caller: &Caller, headers: &HeaderMap) -> Result<String, Refusal> {
    let named = headers.get("X-Tenant").and_then(|value| value.to_str().ok()).map(str::trim);
    let named = named.filter(|tenant| !tenant.is_empty());
    match named.map(|tenant| tenants.resolve(tenant)) {
        None => Err(Refusal::header("X-Tenant", "X-Tenant must name a domain of the tenant.")),
        Some(tenant) if caller.sees(tenant) => Ok(tenant.to_owned()),
        Some(_) => Err(Refusal::Forbidden("The tenant is not one of the caller's.".to_owned())),
    }
}

async fn answer(
    reading: &Reading,
    caller: &Caller,
    tenant: String,
    asked: &Question,
) -> Result<Response, Refusal> {
    let now = (reading.api.now)();
    let filter = Filter::All(vec![asked.filter.clone(), visible(caller)]);
    let (tenants, window) = (caller.scope(&[tenant]), asked.window(now));
    let selection = Selection { tenants, window, filter };
    let mut query = Query { raw: true, ..Query::new(selection, asked.page_size) };
    let page = match &asked.token {
        Some(token) => {
            let cursor = token_of(token, asked, &query, &reading.api.cursors)?;
            query.selection.window = cursor.window;
            query.start = Start::After(cursor.after);
            reading.api.reader.page(&query).await?
        }
        None => {
            let walk = Walk { caller, time: &format!("{:?} {:?}", asked.start, asked.end), now };
            let offset = ("PageNumber", asked.offset());
            let page = reading.walks.page(&*reading.api.reader, walk, &mut query, offset).await;
            page.map_err(|refusal| match refusal {
                Refusal::Invalid { .. } => too_far(),
                other => other,
            })?
        }
    };
    // A walk is in the window of its first page, and so is what it is counted among.
    let total_count = reading.api.reader.count(&query.selection).await?;
    let window = query.selection.window;
    let token = |after| {
        Cursor { after, window, asked_at: now }.encode(query.digest(), &reading.api.cursors)
    };
    let is_behind = asked.token.is_some() || asked.page_number > 1;
    let continuation_token = page.next.map(token);
    let Question { page_number, page_size, .. } = *asked;
    let rows = Rows(page.events.len() as u64);
    let answer = rendered(move || {
        Ok(Answer {
            items: page.events.iter().map(answer::item).collect(),
            pagination_parameters: PaginationParameters { page_number, page_size },
            total_pages: total_count.div_ceil(page_size.into()),
            total_count,
            has_previous_page: is_behind && total_count > 0,
            has_next_page: continuation_token.is_some(),
            continuation_token,
        })
    });
    Ok((Extension(rows), answer.await).into_response())
}

fn too_far() -> Refusal {
    let detail = format!(
        "PageNumber must be within the first {FARTHEST} items, or follow a page just read; \
         continuationToken goes on without that limit."
    );
    Refusal::parameter("PageNumber", detail)
}

/// What of a tenant a caller may see: everything, or what concerns their resellers.
fn visible(caller: &Caller) -> Filter {
    let Some(resellers) = &caller.resellers else { return Filter::everything() };
    let of_one = |reseller: &String| {
        [TargetField::Id, TargetField::Name].map(|field| of_reseller(field, reseller))
    };
    Filter::Any(resellers.iter().flat_map(of_one).flatten().collect())
}

/// A token that was given out for this question, and its window.
fn token_of(
    token: &str,
    asked: &Question,
    query: &Query,
    key: &CursorKey,
) -> Result<Cursor, Refusal> {
    let wrong = |why: String| Refusal::parameter("continuationToken", why);
    let decoded = Cursor::decode(token, key).map_err(|error| wrong(error.to_string()))?;
    let (cursor, question) = decoded;
    if question != query.digest() {
        return Err(wrong(CursorError::OtherQuestion.to_string()));
    }
    let Window { from, to } = cursor.window;
    let moved = asked.start.is_some_and(|start| start != from)
        || asked.end.is_some_and(|end| end.saturating_add(1) != to);
    if moved {
        return Err(wrong("StartDate and EndDate must be those of the first page.".to_owned()));
    }
    Ok(cursor)
}

fn correlation_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(CORRELATION_ID)?.to_str().ok()?;
    Uuid::parse_str(text).is_ok().then_some(text)
}

fn words(refusal: &Refusal, asked: &Asked) -> Response {
    let status = refusal.status();
    let kind = match refusal {
        Refusal::Invalid { .. } => "ValidationError".to_owned(),
        _ => status.canonical_reason().unwrap_or("Error").replace(' ', ""),
    };
    let errors = match refusal {
        Refusal::Invalid { at: At::Parameter(name) | At::Header(name), detail } => {
            json!([{ "propertyName": name, "description": [detail] }])
        }
        _ => json!(null),
    };
    let body = json!({
        "statusCode": status.as_u16(),
        "type": kind,
        "description": refusal.detail(),
        "correlationId": correlation_id(&asked.headers).unwrap_or(&asked.request_id),
        "errors": errors,
    });
    (status, Json(body)).into_response()
}
