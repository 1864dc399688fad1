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

mod audit;
mod auth;
mod body;
mod config;
mod error;
mod events;
mod layer;
mod ops;
mod parameter;
mod route;
mod serve;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use axum::routing::get;

use crate::access::Role;
use crate::event::Micros;
use crate::query::EventReader;
use crate::telemetry::Health;

pub use audit::{AuditConfig, ReadAudit, ReadBy, ReadEvent, Rows};
pub use auth::{Aliases, AuthConfig, AuthError, Authenticator, ClaimsConfig, Credentials, Unknown};
pub use body::BodyFault;
pub use config::{ApiConfig, CorsConfig, LimitsConfig, TlsConfig};
pub use route::{Route, Who};
pub use serve::serve;
pub use tls::{Tls, TlsError, TlsListener};

/// What the routes answer from.
#[derive(Clone)]
pub struct ApiState {
    /// The store of events.
    pub reader: Arc<dyn EventReader>,
    /// How callers are told.
    pub authenticator: Authenticator,
    /// Where it is told who read the log.
    pub audit: ReadAudit,
    /// Every metric of the process.
    pub registry: prometheus::Registry,
    /// The parts of the process that fail, beside the store.
    pub health: Health,
    /// The clock that relative times are counted from; a function, so that a test can stop it.
    pub now: fn() -> Micros,
}

/// Every route of ours, and who may ask it.
pub static ROUTES: &[Route] = &[
    Route::of(Role::Reader, Method::GET, "/v1/events", || get(events::list)),
    Route::of(Role::Reader, Method::GET, "/v1/events/{id}", || get(events::one)),
    Route::open(Method::GET, "/livez", || get(ops::livez)),
    Route::open(Method::GET, "/readyz", || get(ops::readyz)),
    Route::open(Method::GET, "/metrics", || get(ops::metrics)),
];

/// Every route.
pub fn router(state: ApiState, config: &ApiConfig) -> Router {
    let (audit, now) = (state.audit.clone(), state.now);
    let routes = route::router(ROUTES.iter(), &state, &config.limits).with_state(state);
    let routes = audit::around(routes, audit, now);
    layer::for_browsers(layer::around(routes, config.request_timeout()), &config.cors)
}

/// The routes of a process that answers no questions.
pub fn operations(state: ApiState, config: &ApiConfig) -> Router {
    let open = ROUTES.iter().filter(|route| route.who == Who::Anybody);
    let routes = route::router(open, &state, &config.limits).with_state(state);
    layer::around(routes, config.request_timeout())
}
