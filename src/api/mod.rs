//! The read side over HTTP: the list of routes.
//!
//! In: an [`EventReader`], and what the operators' routes show. Out: a router, for `app` to listen
//! with.
//!
//! # Invariants
//! - Every error carries the request's id in `x-request-id`, and is `application/problem+json`
//!   (RFC 9457), but under a contract's paths, where it is in the contract's words.
//! - What a caller may see is decided for every request, never by a cursor or an id.
//! - A route is in [`ROUTES`] or it is not there; a test asks each of them as those who may not.
//!
//! Deliberately unknown here: ClickHouse, Kafka, how long the process lives.

mod about;
mod audit;
mod auth;
mod body;
mod config;
mod contract;
mod counts;
mod docs;
mod error;
mod events;
mod export;
mod feed;
mod fields;
mod home;
mod horizon;
mod idempotency;
mod layer;
mod ledger;
mod measure;
mod ops;
mod parameter;
mod refusal;
mod related;
mod render;
mod route;
mod seat;
mod secret;
mod selection;
mod serve;
mod stall;
mod submit;
mod tail;
#[cfg(test)]
mod tests;
mod ticket;
mod tls;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use axum::middleware::from_fn;
use axum::routing::{get, post};

use self::layer::Speech;
use crate::access::{Role, Tenants};
use crate::event::Micros;
use crate::gateway::Recorder;
use crate::query::{CursorKey, EventReader, Ledger};
use crate::schema::Catalog;
use crate::telemetry::{Health, Metrics};

pub use audit::{AuditConfig, ReadAudit, ReadBy, ReadEvent, Rows};
pub use auth::{
    Admitted, AuthConfig, AuthError, Authenticator, ClaimsConfig, Credential, Credentials, Unknown,
};
pub use body::BodyFault;
pub use config::{ApiConfig, CorsConfig, LimitsConfig, TlsConfig};
pub use contract::{CompatConfig, ContractConfig};
pub use refusal::{At, Refusal};
pub use route::{Route, Who};
pub use secret::CursorSecretError;
pub use serve::serve;
pub use stall::Impatient;
pub use submit::Submissions;
pub use tail::Tails;
pub use tls::{Tls, TlsError, TlsListener};
pub use write::Normalisers;

/// What the routes answer from.
#[derive(Clone)]
pub struct ApiState {
    /// The store of events.
    pub reader: Arc<dyn EventReader>,
    /// The account of records.
    pub ledger: Arc<dyn Ledger>,
    /// The way in for what is written.
    pub recorder: Arc<dyn Recorder>,
    /// What will be made of a record, by its topic.
    pub normalisers: Normalisers,
    /// The native way to write.
    pub submissions: Arc<Submissions>,
    /// Names that mean the same tenant.
    pub tenants: Tenants,
    /// How callers are told.
    pub authenticator: Authenticator,
    /// Where it is told who read the log.
    pub audit: ReadAudit,
    /// Every metric of the process.
    pub metrics: Metrics,
    /// The parts of the process that fail, beside the store.
    pub health: Health,
    /// What is mapped.
    pub catalog: Arc<dyn Fn() -> Arc<Catalog> + Send + Sync>,
    /// What cursors are sealed with.
    pub cursors: CursorKey,
    /// What tails share.
    pub tails: Tails,
    /// The clock that relative times are counted from; a function, so that a test can stop it.
    pub now: fn() -> Micros,
}

/// Every route of ours, and who may ask it.
pub static ROUTES: &[Route] = &[
    Route::of(Role::Reader, Method::GET, "/v1/events", || get(events::list)),
    Route::of(Role::Writer, Method::POST, "/v1/events", || post(submit::create)),
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
    Route::of(Role::Reader, Method::GET, "/v1/receipts/{topic}/{partition}/{offset}", || {
        get(ledger::receipt)
    }),
    Route::of(Role::Auditor, Method::GET, "/v1/quarantine", || get(ledger::quarantine)),
    Route::open(Method::GET, "/livez", || get(ops::livez)),
    Route::open(Method::GET, "/readyz", || get(ops::readyz)),
    Route::open(Method::GET, "/startupz", || get(ops::startupz)),
    Route::open(Method::GET, "/metrics", || get(ops::metrics)),
];

/// Every route.
pub fn router(state: ApiState, config: &ApiConfig) -> Router {
    let contracts = contract::speakers(&config.compat);
    let speech = Speech { contracts, now: state.now, metrics: state.metrics.api.clone() };
    let (audit, now) = (state.audit.clone(), state.now);
    let routes = route::router(ROUTES.iter(), &state, &config.limits)
        .with_state(state.clone())
        .merge(contract::routes(&state, config));
    let routes = audit::around(routes, audit, now);
    let routes = routes.layer(from_fn(seat::in_turn));
    let routes = match state.authenticator {
        Authenticator::None => home::around(routes, config),
        _ => routes,
    };
    let routes = layer::around(routes, config.request_timeout(), speech);
    layer::for_browsers(routes, &config.cors)
}

/// The routes of a process that answers no questions.
pub fn operations(state: ApiState, config: &ApiConfig) -> Router {
    let metrics = state.metrics.api.clone();
    let speech = Speech { contracts: Vec::new(), now: state.now, metrics };
    let open = ROUTES.iter().filter(|route| route.who == Who::Anybody);
    let open = open.filter(|route| !docs::PATHS.contains(&route.path));
    let routes = route::router(open, &state, &config.limits).with_state(state);
    layer::around(routes, config.request_timeout(), speech)
}
