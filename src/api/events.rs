//! `/v1/events`: a page of events, and one event.
//!
//! In: query parameters. Out: `{"events": […], "next_cursor": …, "window": …}`, or one event with
//! its raw bytes.
//!
//! # Invariants
//! - The window does not move between pages: a relative or absent end is resolved on the first
//!   page, and the cursor carries it. A page with a cursor may repeat `from` and `to`, or leave
//!   them out; if repeated they must mean what they meant.
//! - A walk by cursor meets every event that was stored before its first page once, whatever is
//!   stored meanwhile: a page begins behind an event, never behind a number of them.
//!
//! Deliberately unknown here: how a page is found.

use axum::extract::{Path, State};
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Serialize;
use uuid::Uuid;

use super::error::Problem;
use super::fields::{Fields, Shown};
use super::parameter::Parameters;
use super::render::rendered;
use super::selection::{self, Span};
use super::{ApiState, Rows};
use crate::access::Caller;
use crate::event::{Micros, StoredEvent};
use crate::query::{Cursor, CursorError, Direction, Order, Query, Start, TimeField};

/// What a page takes beside a filter.
pub(super) const OWN: [&str; 4] = ["order", "limit", "cursor", "fields"];

const LIMIT: u32 = 50;
const MOST: u32 = 1_000;

#[derive(Serialize)]
pub(super) struct Answer {
    events: Vec<Shown>,
    next_cursor: Option<String>,
    window: Span,
}

pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let parameters = selection::parameters(&uri, &OWN)?;
    let fields = Fields::read(&parameters)?;
    let (query, asked_at) = question(&parameters, &caller, &state)?;
    let page = state.reader.page(&query).await?;
    let window = query.selection.window;
    let cursor = |after| Cursor { after, window, asked_at }.encode(query.digest(), &state.cursors);
    let next_cursor = page.next.map(cursor);
    let link = next_cursor.as_ref().map(|cursor| {
        let next = parameters.with(&["from", "to", "cursor"], "cursor", cursor);
        [(header::LINK, format!("<{}?{next}>; rel=\"next\"", uri.path()))]
    });
    let rows = Rows(page.events.len() as u64);
    let answer = rendered(move || {
        let shown = page.events.into_iter().map(|event| fields.of(event));
        let events = shown.collect::<Result<Vec<Shown>, _>>()?;
        Ok(Answer { events, next_cursor, window: window.into() })
    });
    Ok((link, Extension(rows), answer.await))
}

pub(super) async fn one(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let parameters = Parameters::read(&uri, &[], &["tenant"])?;
    let event = found(&state, &caller, &parameters, &id, &uri).await?;
    Ok((Extension(Rows(1)), Json(event)))
}

/// The event of an id, as far as the caller may see it.
pub(super) async fn found(
    state: &ApiState,
    caller: &Caller,
    parameters: &Parameters,
    id: &str,
    uri: &Uri,
) -> Result<StoredEvent, Problem> {
    let tenants = selection::scope(parameters, caller, &state.tenants)?;
    let Ok(id) = Uuid::parse_str(id) else {
        let detail = format!("{id:?} is no event's id; take it from the id of an event");
        return Err(Problem::parameter("id", detail, vec!["a UUID".into()]));
    };
    let event = state.reader.get(&tenants, id).await?;
    event.ok_or_else(|| Problem::not_found(uri.path(), format!("there is no event {id} here")))
}

/// What is asked, and the moment its relative times are counted from.
fn question(
    parameters: &Parameters,
    caller: &Caller,
    state: &ApiState,
) -> Result<(Query, Micros), Problem> {
    let limit = parameters.number("limit", 1, MOST)?.unwrap_or(LIMIT);
    let (by, direction) = order(parameters)?;
    let of = |asked_at: Micros| -> Result<Query, Problem> {
        let selection = selection::selection(parameters, caller, &state.tenants, asked_at)?;
        Ok(Query { order: Order::Time(by, direction), ..Query::new(selection, limit) })
    };
    let Some(text) = parameters.get("cursor") else {
        let now = (state.now)();
        return Ok((of(now)?, now));
    };
    let decoded = Cursor::decode(text, &state.cursors);
    let (cursor, question) = decoded.map_err(|error| refused("cursor", error))?;
    let mut query = of(cursor.asked_at)?;
    if question != query.digest() {
        return Err(refused("cursor", CursorError::OtherQuestion));
    }
    let now_as_then = |name| parameters.time(name, cursor.asked_at);
    if now_as_then("from")?.is_some_and(|from| from != cursor.window.from) {
        return Err(refused("from", CursorError::OtherQuestion));
    }
    if now_as_then("to")?.is_some_and(|to| to != cursor.window.to) {
        return Err(refused("to", CursorError::OtherQuestion));
    }
    query.selection.window = cursor.window;
    query.start = Start::After(cursor.after);
    Ok((query, cursor.asked_at))
}

fn refused(parameter: &str, error: CursorError) -> Problem {
    let allowed = "next_cursor of a page, with the parameters of that page".to_owned();
    Problem::parameter(parameter, error.to_string(), vec![allowed])
}

/// By which time, and which way; newest first where nothing is said.
fn order(parameters: &Parameters) -> Result<(TimeField, Direction), Problem> {
    const ALL: [(TimeField, Direction); 4] = [
        (TimeField::OccurredAt, Direction::Descending),
        (TimeField::OccurredAt, Direction::Ascending),
        (TimeField::ReceivedAt, Direction::Descending),
        (TimeField::ReceivedAt, Direction::Ascending),
    ];
    let spelling = |order| match order {
        (TimeField::OccurredAt, Direction::Descending) => "-occurred_at",
        (TimeField::OccurredAt, Direction::Ascending) => "occurred_at",
        (TimeField::ReceivedAt, Direction::Descending) => "-received_at",
        (TimeField::ReceivedAt, Direction::Ascending) => "received_at",
    };
    Ok(parameters.word("order", &ALL, spelling)?.unwrap_or(ALL[0]))
}
