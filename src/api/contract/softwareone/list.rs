//! `GET /public/v1/audit/records` and `…/{id}`.
//!
//! In: RQL. Out: a page of records with its `$meta`, or one record.
//!
//! # Invariants
//! - Pages of one walk repeat none (see `walk`).
//! - `total` counts what matches, whatever page is asked for.
//!
//! Deliberately unknown here: RQL's spelling, what a record looks like.

use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::desk::{Desk, opened};
use super::super::walk::Walk;
use super::filter;
use super::record::{MEMBERS, Record};
use super::rql::{Asked, Condition, Operand, Test};
use crate::access::{Caller, Role};
use crate::api::render::rendered;
use crate::api::{Refusal, Rows};
use crate::event::Micros;
use crate::query::{Filter, Page, Query, Selection, Window};

/// An event may say that it happened up to a day after it came.
const AHEAD: Micros = 2 * 86_400_000_000;

/// A page.
#[derive(Serialize)]
struct Answer {
    #[serde(rename = "$meta")]
    meta: Meta,
    data: Vec<Record>,
}

/// What of it is here.
#[derive(Serialize)]
struct Meta {
    pagination: Value,
    omitted: Vec<String>,
}

pub(super) async fn list(
    State(desk): State<Desk>,
    request: Request,
) -> Result<(Extension<Rows>, Response), Refusal> {
    let (caller, head) = reader(&desk, request).await?;
    let asked = Asked::read(head.uri.query().unwrap_or_default())?;
    let omitted = omitted(&asked.select)?;
    let now = (desk.api.now)();
    let filter = filter::filter(&asked.conditions)?;
    let order = filter::order(&asked.order)?;
    let selection = everything(&caller, now, filter);
    let mut query = Query { order, raw: true, ..Query::new(selection, asked.limit) };
    let mut page = Page::default();
    if asked.limit > 0 {
        let walk = Walk { caller: &caller, time: "", now };
        let offset = ("offset", asked.offset);
        page = desk.walks.page(&*desk.api.reader, walk, &mut query, offset).await?;
    }
    let total = desk.api.reader.count(&query.selection).await?;
    let pagination = json!({ "offset": asked.offset, "limit": asked.limit, "total": total });
    let rows = Rows(page.events.len() as u64);
    let answer = rendered(move || {
        let mut data: Vec<Record> = page.events.iter().map(Record::of).collect();
        for record in &mut data {
            if asked.render {
                record.render();
            }
            record.without(&omitted);
        }
        Ok(Answer { meta: Meta { pagination, omitted }, data })
    });
    Ok((Extension(rows), answer.await))
}

pub(super) async fn one(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<(Extension<Rows>, Json<Record>), Refusal> {
    let (caller, head) = reader(&desk, request).await?;
    let asked = Asked::read(head.uri.query().unwrap_or_default())?;
    if let Some(condition) = asked.conditions.first() {
        let name = match condition {
            Condition::Field(name, Test::Eq, Operand::Text(_)) => name.as_str(),
            _ => "query",
        };
        return Err(Refusal::parameter(name, "a record takes select and render only"));
    }
    let omitted = omitted(&asked.select)?;
    let selection = everything(&caller, (desk.api.now)(), filter::of_id(&id));
    let query = Query { raw: true, ..Query::new(selection, 1) };
    let page = desk.api.reader.page(&query).await?;
    let absent = || Refusal::NotFound(format!("there is no audit record {id}"));
    let mut record = Record::of(page.events.first().ok_or_else(absent)?);
    if asked.render {
        record.render();
    }
    record.without(&omitted);
    Ok((Extension(Rows(1)), Json(record)))
}

/// A caller who may read.
pub(super) async fn reader(desk: &Desk, request: Request) -> Result<(Caller, Parts), Refusal> {
    let (head, body) = opened(request).await?;
    let caller = desk.caller(&head, &body, Role::Reader).await?;
    Ok((caller, head))
}

/// All that a caller sees by default, narrowed.
pub(super) fn everything(caller: &Caller, now: Micros, filter: Filter) -> Selection {
    let window = Window { from: 0, to: now + AHEAD };
    Selection { tenants: caller.scope(&[]), window, filter }
}

/// What `select` leaves out.
fn omitted(select: &[(String, bool)]) -> Result<Vec<String>, Refusal> {
    for (name, _) in select {
        let first = name.split('.').next().unwrap_or_default();
        if !MEMBERS.contains(&first) {
            return Err(Refusal::parameter("select", format!("there is no field {name:?}")));
        }
    }
    let left_out = select.iter().filter(|(_, is_wanted)| !is_wanted);
    Ok(left_out.map(|(name, _)| name.clone()).collect())
}
