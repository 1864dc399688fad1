//! The vendors' APIs, each at its original paths and in its own words.
//!
//! In: a foreign API's request. Out: a router of every contract that is enabled, and the words each
//! refuses in. One file per contract: request to [`Query`](crate::query::Query) or record, page to
//! response, [`Refusal`] to error body.
//!
//! # Invariants
//! - A path belongs to at most one contract; every error under its roots leaves in its words, the
//!   framework's own errors too.
//! - A handler returns `Result<Response, Refusal>`, and never writes an error body.
//! - A route is one of its contract's [`Endpoint`]s or it is not there; a test asks each of them as
//!   those who may not.
//! - `prefix` moves a contract as a whole: what stood at `/x` then stands at `/PREFIX/x` only.
//!
//! Deliberately unknown here: ClickHouse, Kafka, how a caller is told.

mod bloodhound;
mod cockpit;
mod config;
mod desk;
mod entry;
mod frontier;
mod pace;
mod reading;
mod shape;
mod softwareone;
#[cfg(test)]
mod tests;
mod walk;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::MethodRouter;

use super::{ApiConfig, ApiState, LimitsConfig, Refusal, body};
use crate::event::Micros;

pub use config::{CompatConfig, ContractConfig};

/// One foreign API.
pub(super) struct Contract {
    /// What it is called in the configuration and in the name of its topic.
    pub name: &'static str,
    /// Its section, `[api.compat.NAME]`.
    pub settings: fn(&CompatConfig) -> &ContractConfig,
    /// The paths that are its own, with everything below them.
    pub roots: &'static [&'static str],
    /// Its routes without the prefix, given the topic that what is written goes to.
    pub endpoints: fn(ApiState, String) -> Vec<Endpoint>,
    /// How it refuses.
    pub words: Words,
}

/// A method of a path of a contract. Who may ask it, the handler says: each contract has its own
/// order of what is wrong.
pub(super) struct Endpoint {
    /// The method; GET answers HEAD too.
    pub method: Method,
    /// The path, as axum writes it.
    pub path: &'static str,
    handler: MethodRouter,
}

impl Endpoint {
    /// Those of one contract, over what its handlers work with.
    fn over<S: Clone + Send + Sync + 'static>(
        state: &S,
        handlers: impl IntoIterator<Item = (Method, &'static str, MethodRouter<S>)>,
    ) -> Vec<Endpoint> {
        let endpoint = |(method, path, handler): (Method, &'static str, MethodRouter<S>)| {
            Endpoint { method, path, handler: handler.with_state(state.clone()) }
        };
        handlers.into_iter().map(endpoint).collect()
    }
}

/// How an API says a refusal: status, content type, body. What HTTP itself asks for (`Allow`,
/// `Retry-After`, `WWW-Authenticate`) is added to it.
pub(super) type Words = fn(&Refusal, &Asked) -> Response;

/// What was asked, as far as an error body may repeat it.
pub(super) struct Asked {
    /// The request's id, as in `x-request-id`.
    pub request_id: String,
    /// The path, with its prefix.
    pub path: String,
    /// The request's headers.
    pub headers: HeaderMap,
    /// When it was asked.
    pub at: Micros,
}

/// Every contract.
pub(super) const CONTRACTS: [Contract; 5] = [
    pace::CONTRACT,
    frontier::CONTRACT,
    softwareone::CONTRACT,
    cockpit::CONTRACT,
    bloodhound::CONTRACT,
];

/// The routes of every contract that is enabled, each behind its prefix.
pub(super) fn routes(state: &ApiState, config: &ApiConfig) -> Router {
    let mut routes = Router::new();
    for contract in &CONTRACTS {
        let settings = (contract.settings)(&config.compat);
        if !settings.enabled {
            continue;
        }
        let prefix = settings.prefix.as_str();
        let mut own = Router::new();
        for endpoint in (contract.endpoints)(state.clone(), settings.topic_of(contract.name)) {
            let Endpoint { method, path, handler } = endpoint;
            tracing::debug!(contract = contract.name, %method, "answering {prefix}{path}");
            own = own.route(path, handler);
        }
        routes = match prefix {
            "" => routes.merge(own),
            prefix => routes.nest(prefix, own),
        };
    }
    routes.layer(from_fn_with_state(config.limits.clone(), bounded))
}

/// A request's URI with the contract's prefix, which routing takes off.
#[derive(Debug, Clone)]
struct WholeUri(Uri);

/// Every handler finds its request's body whole, and not too long, and the URI that was asked.
async fn bounded(
    State(limits): State<LimitsConfig>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let (mut head, body) = request.into_parts();
    let body = body::read(body, &limits).await?;
    head.extensions.insert(WholeUri(head.uri.clone()));
    Ok(next.run(Request::from_parts(head, body.into())).await)
}

/// Whose words are spoken where, as (path with everything below, words).
pub(super) fn speakers(config: &CompatConfig) -> Vec<(String, Words)> {
    let enabled = CONTRACTS.iter().filter(|contract| (contract.settings)(config).enabled);
    let roots = enabled.flat_map(|contract| {
        let prefix = &(contract.settings)(config).prefix;
        contract.roots.iter().map(move |root| (format!("{prefix}{root}"), contract.words))
    });
    roots.collect()
}
