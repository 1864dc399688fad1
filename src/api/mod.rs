//! The read side over HTTP: the list of routes.
//!
//! In: an [`EventReader`], and what the operators' routes show. Out: a router, for `app` to listen
//! with.
//!
//! # Invariants
//! - Every error is `application/problem+json` (RFC 9457) and carries the request's id in
//!   `x-request-id`.
//! - What a caller may see is decided for every request, never by a cursor or an id.
//! - A route is in [`ROUTES`] or it is not there; a test asks each of them as those who may not.
//!
//! Deliberately unknown here: ClickHouse, Kafka, how long the process lives.

mod about;
mod auth;
mod body;
mod config;
mod counts;
mod docs;
mod error;
mod events;
mod export;
mod feed;
mod fields;
mod horizon;
mod layer;
mod ops;
mod parameter;
mod related;
mod route;
mod secret;
mod selection;
mod stall;
mod tail;
#[cfg(test)]
mod tests;
mod ticket;
mod tls;

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use axum::routing::{get, post};

use crate::access::Role;
use crate::event::Micros;
use crate::query::{CursorKey, EventReader};
use crate::schema::Catalog;
use crate::telemetry::Health;

pub use auth::{AuthConfig, AuthError, Authenticator, ClaimsConfig, Credentials, Unknown};
pub use body::BodyFault;
pub use config::{ApiConfig, CorsConfig, LimitsConfig, TlsConfig};
pub use route::{Route, Who};
pub use secret::CursorSecretError;
pub use stall::Impatient;
pub use tail::Tails;
pub use tls::{Tls, TlsError, TlsListener};

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
    /// What is mapped.
    pub catalog: Arc<Catalog>,
    /// What cursors are signed with.
    pub cursors: CursorKey,
    /// What tails share.
    pub tails: Tails,
    /// The clock that relative times are counted from; a function, so that a test can stop it.
    pub now: fn() -> Micros,
}

/// Every route of ours, and who may ask it.
pub static ROUTES: &[Route] = &[
    Route::of(Role::Reader, Method::GET, "/v1/events", || get(events::list)),
    Route::of(Role::Reader, Method::GET, "/v1/events/{id}", || get(events::one)),
    Route::of(Role::Reader, Method::GET, "/v1/events/{id}/related", || get(related::related)),
    Route::of(Role::Reader, Method::GET, "/v1/events/count", || get(counts::count)),
    Route::of(Role::Reader, Method::GET, "/v1/events/histogram", || get(counts::histogram)),
    Route::of(Role::Reader, Method::GET, "/v1/events/facets", || get(counts::facets)),
    Route::of(Role::Reader, Method::GET, "/v1/events/export", || get(export::export)),
    Route::of(Role::Reader, Method::GET, "/v1/events/feed", || get(feed::feed)),
    Route::of(Role::Reader, Method::GET, tail::PATH, || get(tail::tail)),
    Route::of(Role::Reader, Method::POST, "/v1/events/tail/ticket", || post(tail::ticket)),
    Route::of(Role::Reader, Method::GET, "/v1/schemas", || get(about::schemas)),
    Route::of(Role::Reader, Method::GET, "/v1/me", || get(about::me)),
    Route::open(Method::GET, "/openapi.json", || get(docs::openapi)),
    Route::open(Method::GET, "/docs", || get(docs::page)),
    Route::open(Method::GET, "/docs/{file}", || get(docs::file)),
    Route::open(Method::GET, "/livez", || get(ops::livez)),
    Route::open(Method::GET, "/readyz", || get(ops::readyz)),
    Route::open(Method::GET, "/metrics", || get(ops::metrics)),
];

/// Every route.
pub fn router(state: ApiState, config: &ApiConfig) -> Router {
    let routes = route::router(ROUTES.iter(), &state, &config.limits).with_state(state);
    layer::for_browsers(layer::around(routes, config.request_timeout()), &config.cors)
}

/// The routes of a process that answers no questions.
pub fn operations(state: ApiState, config: &ApiConfig) -> Router {
    let open = ROUTES.iter().filter(|route| route.who == Who::Anybody);
    let open = open.filter(|route| !docs::PATHS.contains(&route.path));
    let routes = route::router(open, &state, &config.limits).with_state(state);
    layer::around(routes, config.request_timeout())
}
