//! `/v1/events/feed`: what was stored next, for programs that pull.
//!
//! In: filters, a cursor. Out: `{"events": […], "next_cursor": …, "more": …}`.
//!
//! # Invariants
//! - Every event that is stored comes once to whoever hands each `next_cursor` back: late ones,
//!   backfills and replays too, in the order of storage. No
//!   window of time cuts it but one that is asked for.
//! - There is always a next cursor. `more` says that asking at once is worth while.
//! - However little the filter matches, a request moves the cursor: after the first round it goes on
//!   for [`LOOKS_FOR`] only, and answers what there is then.
//! - A cursor may be taken to another filter: it says what has been told, and grants nothing.
//!
//! Deliberately unknown here: how rows are found by position.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::error::Problem;
use super::render::rendered;
use super::selection;
use super::{ApiState, Rows};
use crate::access::Caller;
use crate::event::StoredEvent;
use crate::query::{FeedPage, FeedQuery, Positions};

/// Parameters beside the filter's.
pub(super) const OWN: [&str; 3] = ["cursor", "begin", "limit"];
const LIMIT: u32 = 500;
const MOST: u32 = 1_000;

/// A filter that matches little finds nothing in many rounds: how long one request makes them. Well
/// below any timeout of a request, for what was passed by then is to be told.
const LOOKS_FOR: Duration = Duration::from_secs(1);

/// Where a feed without a cursor begins.
#[derive(Clone, Copy)]
enum Begin {
    First,
    Now,
}

#[derive(Serialize)]
struct Answer {
    events: Vec<StoredEvent>,
    next_cursor: String,
    more: bool,
}

pub(super) async fn feed(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let parameters = selection::parameters(&uri, &OWN)?;
    let limit = parameters.number("limit", 1, MOST)?.unwrap_or(LIMIT);
    let begin = parameters.word("begin", &[Begin::First, Begin::Now], Begin::as_str)?;
    let (tenants, filter) =
        selection::unbounded(&parameters, &caller, &state.tenants, (state.now)())?;
    let told =
        parameters.get("cursor").map(|text| positions("cursor", text, &state)).transpose()?;
    let until = state.reader.extents().await?;
    let after = match (told, begin.unwrap_or(Begin::First)) {
        (Some(told), _) => told,
        (None, Begin::First) => Positions::default(),
        (None, Begin::Now) => Positions::at_end(&until),
    };
    let mut query = FeedQuery { tenants, filter, after, until, limit };
    let look_until = Instant::now() + LOOKS_FOR;
    let FeedPage { mut events, next } = state.reader.feed(&query).await?;
    query.after = next;
    while events.is_empty()
        && query.after.is_behind(&query.until)
        && Instant::now() < look_until
        && let Ok(round) = timeout_at(look_until, state.reader.feed(&query)).await
    {
        FeedPage { events, next: query.after } = round?;
    }
    let (next_cursor, more) =
        (query.after.encode(&state.cursors), query.after.is_behind(&query.until));
    let next = parameters.with(&["cursor", "begin"], "cursor", &next_cursor);
    let link = [(header::LINK, format!("<{}?{next}>; rel=\"next\"", uri.path()))];
    let rows = Rows(events.len() as u64);
    let answer = rendered(move || Ok(Answer { events, next_cursor, more }));
    Ok((link, Extension(rows), answer.await))
}

impl Begin {
    fn as_str(self) -> &'static str {
        match self {
            Begin::First => "first",
            Begin::Now => "now",
        }
    }
}

/// Positions that were handed out before.
pub(super) fn positions(name: &str, text: &str, state: &ApiState) -> Result<Positions, Problem> {
    Positions::decode(text, &state.cursors).map_err(|error| {
        let allowed = "next_cursor of a feed, or the id of a tail's event".to_owned();
        Problem::parameter(name, error.to_string(), vec![allowed])
    })
}
