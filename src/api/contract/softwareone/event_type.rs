//! `GET /public/v1/audit/event-types` and `…/{id}`: which events there are.
//!
//! In: what is stored. Out: its events, the commonest first, each once.
//!
//! # Invariants
//! - An event type is there because an event of it is stored; nobody makes one.
//! - Its id is its key.
//!
//! Deliberately unknown here: what the marketplace says of an event beyond its name.

use axum::Json;
use axum::extract::{Path, Request, State};
use serde_json::{Value, json};

use super::super::desk::Desk;
use super::list::{everything, reader};
use super::rql::Asked;
use crate::access::Role;
use crate::api::Refusal;
use crate::query::{Facet, Field, Filter, TextTest};

/// Event types that are looked at, at most.
const MOST: u32 = 10_000;

pub(super) async fn list(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let (caller, head) = reader(&desk, request).await?;
    let asked = Asked::read(head.uri.query().unwrap_or_default())?;
    if !asked.conditions.is_empty() || !asked.select.is_empty() || !asked.order.is_empty() {
        return Err(Refusal::parameter("query", "event types take limit and offset only"));
    }
    let selection = everything(&caller, (desk.api.now)(), Filter::everything());
    let found = desk.api.reader.facets(&selection, &Facet::Text(Field::Action), MOST).await?;
    let total = found.values.len() as u64 + found.other_values;
    let behind = asked.offset.saturating_add(asked.limit.into());
    if found.other_values > 0 && behind > MOST.into() {
        let detail = format!("offset and limit reach beyond the {MOST} commonest event types");
        return Err(Refusal::parameter("offset", detail));
    }
    let offset = usize::try_from(asked.offset).unwrap_or(usize::MAX);
    let page = found.values.iter().skip(offset).take(asked.limit as usize);
    let data: Vec<Value> = page.map(|found| event_type(&found.value)).collect();
    let pagination = json!({ "offset": asked.offset, "limit": asked.limit, "total": total });
    Ok(Json(json!({ "$meta": { "pagination": pagination, "omitted": [] }, "data": data })))
}

pub(super) async fn one(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let (caller, _) = reader(&desk, request).await?;
    let filter = Filter::Text(Field::Action, TextTest::Is(id.clone()));
    let selection = everything(&caller, (desk.api.now)(), filter);
    let query = crate::query::Query::new(selection, 1);
    let any = desk.api.reader.page(&query).await?;
    let absent = || Refusal::NotFound(format!("there is no event type {id}"));
    let found = any.events.first().ok_or_else(absent)?;
    Ok(Json(event_type(&found.action)))
}

pub(super) async fn put(
    State(desk): State<Desk>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let (head, body) = super::super::desk::opened(request).await?;
    desk.caller(&head, &body, Role::Reader).await?;
    let why = "event types follow from the events that are stored, and cannot be changed";
    Err(Refusal::Forbidden(why.to_owned()))
}

/// `platform.commerce.order.created` is an order that was created.
fn event_type(key: &str) -> Value {
    let parts: Vec<&str> = key.split('.').collect();
    let name = match parts[..] {
        [.., object, action] => format!("{} {action}", capital(object)),
        _ => key.to_owned(),
    };
    json!({ "id": key, "key": key, "name": name, "description": null })
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
