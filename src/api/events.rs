//! `/v1/events`: a page of events, and one event.
//!
//! In: query parameters. Out: `{"events": […], "next_cursor": …, "window": …}`, or one event with
//! its raw bytes.
//!
//! # Invariants
//! - The window does not move between pages: a relative or absent end is resolved on the first
//!   page, and the cursor carries it. A page with a cursor may repeat `from` and `to`, or leave
//!   them out; if repeated they must mean what they meant.
//! - A window is half-open, `[from, to)`, in microseconds since the Unix epoch.
//!
//! Deliberately unknown here: how a page is found.

use std::net::{IpAddr, Ipv6Addr};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::ApiState;
use super::error::Problem;
use super::parameter::Parameters;
use crate::event::{Micros, Outcome, StoredEvent, Verb};
use crate::query::{
    Cursor, CursorError, Field, Filter, Query, Selection, Start, TenantScope, TextTest, Window,
};

const DAY: Micros = 86_400_000_000;
const LIMIT: u32 = 50;
const MOST: u32 = 1_000;

/// Filters that may be given once; `tenant` may be given often.
pub(super) const FILTERS: [&str; 8] =
    ["actor.id", "action", "verb", "target.id", "target.type", "outcome", "schema", "client_ip"];

#[derive(Serialize)]
pub(super) struct Answer {
    events: Vec<StoredEvent>,
    next_cursor: Option<String>,
    window: AnsweredWindow,
}

#[derive(Serialize)]
struct AnsweredWindow {
    from: String,
    to: String,
}

pub(super) async fn list(
    State(state): State<ApiState>,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let once = [FILTERS.as_slice(), &["from", "to", "limit", "cursor"]].concat();
    let parameters = Parameters::read(&uri, &once, &["tenant"])?;
    let (query, asked_at) = question(&parameters, &state)?;
    let page = state.reader.page(&query).await?;
    let window = query.selection.window;
    let cursor = |after| Cursor { after, window, asked_at }.encode(query.digest(), &state.cursors);
    let next_cursor = page.next.map(cursor);
    let link = next_cursor.as_ref().map(|cursor| {
        let next = parameters.with(&["from", "to", "cursor"], "cursor", cursor);
        [(header::LINK, format!("<{}?{next}>; rel=\"next\"", uri.path()))]
    });
    let window = AnsweredWindow { from: rfc3339(window.from), to: rfc3339(window.to) };
    Ok((link, Json(Answer { events: page.events, next_cursor, window })))
}

pub(super) async fn one(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<StoredEvent>, Problem> {
    let parameters = Parameters::read(&uri, &[], &["tenant"])?;
    let tenants = tenants(&parameters)?;
    let Ok(id) = Uuid::parse_str(&id) else {
        let detail = format!("{id:?} is no event's id; take it from the id of an event");
        return Err(Problem::parameter("id", detail, vec!["a UUID".into()]));
    };
    let event = state.reader.get(&tenants, id).await?;
    let absent = || Problem::not_found(uri.path(), format!("there is no event {id} here"));
    event.map(Json).ok_or_else(absent)
}

/// What is asked, and the moment its relative times are counted from.
fn question(parameters: &Parameters, state: &ApiState) -> Result<(Query, Micros), Problem> {
    let now = (state.now)();
    let limit = parameters.number("limit", 1, MOST)?.unwrap_or(LIMIT);
    let nowhen = Window { from: 0, to: 0 };
    let filter = filter(parameters)?;
    let selection = Selection { tenants: tenants(parameters)?, window: nowhen, filter };
    let mut query = Query::new(selection, limit);
    let Some(text) = parameters.get("cursor") else {
        query.selection.window = first_window(parameters, now)?;
        return Ok((query, now));
    };
    let decoded = Cursor::decode(text, &state.cursors);
    let (cursor, question) = decoded.map_err(|error| refused("cursor", error))?;
    if question != query.digest() {
        return Err(refused("cursor", CursorError::OtherQuestion));
    }
    let from = parameters.time("from", cursor.asked_at)?;
    if from.is_some_and(|from| from != cursor.window.from) {
        return Err(refused("from", CursorError::OtherQuestion));
    }
    let to = parameters.time("to", cursor.asked_at)?;
    if to.is_some_and(|to| to != cursor.window.to) {
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

fn first_window(parameters: &Parameters, now: Micros) -> Result<Window, Problem> {
    let to = parameters.time("to", now)?.unwrap_or(now);
    let from = parameters.time("from", now)?.unwrap_or(to - DAY);
    if from >= to {
        let (from, to) = (rfc3339(from), rfc3339(to));
        let detail = format!("from is {from}, which is not before to, {to}");
        return Err(Problem::parameter("from", detail, vec![format!("a time before {to}")]));
    }
    Ok(Window { from, to })
}

/// Whose logs: those named, or everybody's. (Who may ask for whose comes with tokens.)
pub(super) fn tenants(parameters: &Parameters) -> Result<TenantScope, Problem> {
    let tenants = parameters.list("tenant")?;
    Ok(if tenants.is_empty() { TenantScope::All } else { TenantScope::Only(tenants) })
}

pub(super) fn filter(parameters: &Parameters) -> Result<Filter, Problem> {
    let is = |field: Field| {
        let text = parameters.get(&field.to_string()).map(str::to_owned);
        text.map(|text| Filter::Text(field, TextTest::Is(text)))
    };
    let verb = parameters.word("verb", &Verb::ALL, Verb::as_str)?;
    let outcome = parameters.word("outcome", &Outcome::ALL, Outcome::as_str)?;
    let all = [
        is(Field::ActorId),
        is(Field::Action),
        verb.map(Filter::Verb),
        is(Field::TargetId),
        is(Field::TargetType),
        outcome.map(Filter::Outcome),
        is(Field::Schema),
        client_ip(parameters)?.map(|ip| Filter::ClientIp(ip.into())),
    ];
    Ok(Filter::All(all.into_iter().flatten().collect()))
}

fn client_ip(parameters: &Parameters) -> Result<Option<Ipv6Addr>, Problem> {
    let Some(text) = parameters.get("client_ip") else { return Ok(None) };
    match text.parse() {
        Ok(IpAddr::V4(ip)) => Ok(Some(ip.to_ipv6_mapped())),
        Ok(IpAddr::V6(ip)) => Ok(Some(ip)),
        Err(_) => {
            let detail =
                format!("client_ip is {text:?}; it is one IP address, without port or mask");
            let allowed = ["an IPv4 address", "an IPv6 address"].map(str::to_owned).to_vec();
            Err(Problem::parameter("client_ip", detail, allowed))
        }
    }
}

fn rfc3339(micros: Micros) -> String {
    let time = DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
