//! `/v1/events/{id}/related`: what belongs to an event.
//!
//! In: an event's id, how far to look. Out: the events of the same operation (correlation, request
//! or session), and those of the same actor around it, each in the order they happened.
//!
//! # Invariants
//! - Only the event's own tenant is looked at: ids of two tenants that are equal mean nothing.
//! - The event itself is not among them. Of each kind, the nearest before and after.
//!
//! Deliberately unknown here: how a store finds them.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;

use super::error::Problem;
use super::events::found;
use super::parameter::Parameters;
use super::render::rendered;
use super::selection::Span;
use super::{ApiState, Rows};
use crate::access::Caller;
use crate::event::{Micros, StoredEvent};
use crate::query::{
    Direction, EventReader, Field, Filter, Order, Place, Query, Selection, Start, TenantScope,
    TextTest, TimeField, Window, language,
};

/// What it takes beside `tenant`.
pub(super) const OWN: [&str; 2] = ["around", "limit"];

const HOUR: Micros = 3_600_000_000;
const MOST_AROUND: Micros = 31 * 24 * HOUR;
const LIMIT: u32 = 20;
const MOST: u32 = 200;

#[derive(Serialize)]
struct Related {
    /// Those that share a correlation, request or session id.
    operation: Vec<StoredEvent>,
    /// Those of the same actor.
    actor: Vec<StoredEvent>,
    window: Span,
}

pub(super) async fn related(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<(Extension<Rows>, Response), Problem> {
    let parameters = Parameters::read(&uri, &OWN, &["tenant"])?;
    let around = around(&parameters)?;
    let limit = parameters.number("limit", 1, MOST)?.unwrap_or(LIMIT);
    let event = found(&state, &caller, &parameters, &id, &uri).await?;
    let window = Window {
        from: event.occurred_at.saturating_sub(around),
        to: event.occurred_at.saturating_add(around).saturating_add(1),
    };
    let ids = [Field::CorrelationId, Field::RequestId, Field::SessionId];
    let texts = [&event.correlation_id, &event.request_id, &event.session_id];
    let operation = Filter::Any(ids.into_iter().zip(texts).filter_map(same).collect());
    let actors = [(Field::ActorId, &event.actor.id), (Field::ActorEmail, &event.actor.email)];
    let actor = Filter::Any(actors.into_iter().find_map(same).into_iter().collect());
    let around = Around { event: &event, window, limit };
    let operation = around.events(&*state.reader, operation).await?;
    let actor = around.events(&*state.reader, actor).await?;
    let rows = Rows((operation.len() + actor.len()) as u64);
    let answer = rendered(move || Ok(Related { operation, actor, window: window.into() }));
    Ok((Extension(rows), answer.await))
}

fn same((field, text): (Field, &String)) -> Option<Filter> {
    (!text.is_empty()).then(|| Filter::Text(field, TextTest::Is(text.clone())))
}

/// The place that is looked around.
struct Around<'e> {
    event: &'e StoredEvent,
    window: Window,
    limit: u32,
}

impl Around<'_> {
    async fn events(
        &self,
        reader: &dyn EventReader,
        filter: Filter,
    ) -> Result<Vec<StoredEvent>, Problem> {
        if filter == Filter::Any(Vec::new()) {
            return Ok(Vec::new());
        }
        let tenants = TenantScope::Only(vec![self.event.tenant.clone()]);
        let selection = Selection { tenants, window: self.window, filter };
        let toward = |direction| Query {
            order: Order::Time(TimeField::OccurredAt, direction),
            start: Start::After(Place::of(self.event, TimeField::OccurredAt)),
            ..Query::new(selection.clone(), self.limit)
        };
        let mut events = reader.page(&toward(Direction::Descending)).await?.events;
        events.reverse();
        events.extend(reader.page(&toward(Direction::Ascending)).await?.events);
        Ok(events)
    }
}

/// How far to look on each side.
fn around(parameters: &Parameters) -> Result<Micros, Problem> {
    let Some(text) = parameters.get("around") else { return Ok(HOUR) };
    let span = language::instant(&format!("-{text}"), MOST_AROUND).map(|from| MOST_AROUND - from);
    span.filter(|span| (0..=MOST_AROUND).contains(span)).ok_or_else(|| {
        let detail = format!("around is {text:?}; it is a span of at most 31d");
        let allowed = "a span in s, m, h, d or w, such as 15m".to_owned();
        Problem::parameter("around", detail, vec![allowed])
    })
}
