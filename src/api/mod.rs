//! The read side over HTTP: the list of routes.
//!
//! In: an [`EventReader`], and what the operators' routes show. Out: a router, for `app` to listen
//! with.
//!
//! # Invariants
//! - Every error is `application/problem+json` (RFC 9457) and carries the request's id in
//!   `x-request-id`.
//! - What a caller may see is decided for every request, never by a cursor or an id.
//!
//! Deliberately unknown here: ClickHouse, Kafka, how long the process lives.

mod auth;
mod config;
mod error;
mod events;
mod feed;
mod horizon;
mod layer;
mod ops;
mod parameter;
mod stall;
mod tail;
#[cfg(test)]
mod tests;
mod ticket;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::event::Micros;
use crate::query::{CursorKey, EventReader};
use crate::telemetry::Health;

pub use auth::{Authenticator, Unknown};
pub use config::ApiConfig;
pub use stall::Impatient;
pub use tail::Tails;

/// What the routes answer from.
#[derive(Clone)]
pub struct ApiState {
    /// The store of events.
    pub reader: Arc<dyn EventReader>,
    /// How callers are told.
    pub authenticator: Authenticator,
    /// Every metric of the process.
    pub registry: prometheus::Registry,
    /// The parts of the process that fail, beside the store.
    pub health: Health,
    /// What cursors are signed with.
    pub cursors: CursorKey,
    /// What tails share.
    pub tails: Tails,
    /// The clock that relative times are counted from; a function, so that a test can stop it.
    pub now: fn() -> Micros,
}

/// Every route.
pub fn router(state: ApiState, config: &ApiConfig) -> Router {
    let routes = Router::new()
        .route("/v1/events", get(events::list))
        .route("/v1/events/feed", get(feed::feed))
        .route("/v1/events/tail", get(tail::tail))
        .route("/v1/events/tail/ticket", post(tail::ticket))
        .route("/v1/events/{id}", get(events::one))
        .merge(for_operators())
        .with_state(state);
    layer::around(routes, config.request_timeout())
}

/// The routes of a process that answers no questions.
pub fn operations(state: ApiState, config: &ApiConfig) -> Router {
    layer::around(for_operators().with_state(state), config.request_timeout())
}

fn for_operators() -> Router<ApiState> {
    Router::new()
        .route("/livez", get(ops::livez))
        .route("/readyz", get(ops::readyz))
        .route("/metrics", get(ops::metrics))
}
