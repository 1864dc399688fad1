//! What surrounds every route: request id, trace, panics, time, and the words of its errors.
//!
//! In: routes of several APIs. Out: the same routes, of which no error leaves but in the words of
//! the API its path belongs to.
//!
//! # Invariants
//! - An `x-request-id` that comes in goes out again; without one a random one is made.
//! - A span names method and path, never the query: its values are personal data.
//! - A panic is a 500, and the process lives on; a request out of time is a [`Refusal::Timeout`].
//! - The native API speaks where no contract does, in [`Problem`]s.
//!
//! Deliberately unknown here: what the routes do, what any contract says.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use super::config::CorsConfig;
use super::contract::{Asked, Words};
use super::error::{self, Problem};
use super::measure;
use super::refusal::Refusal;
use crate::event::Micros;
use crate::telemetry::ApiMetrics;

/// Who speaks where, and the clock they date their errors by.
pub(super) struct Speech {
    /// Contracts' words, by the path they own with everything below it.
    pub contracts: Vec<(String, Words)>,
    /// The clock.
    pub now: fn() -> Micros,
    /// Where requests are counted.
    pub metrics: ApiMetrics,
}

/// Routes with everything around them. A later layer is further out.
pub(super) fn around(routes: Router, request_timeout: Duration, speech: Speech) -> Router {
    let routes = routes
        .fallback(no_such_path)
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, request_timeout))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(measure::route));
    let metrics = speech.metrics.clone();
    // A service inside another router: axum adds `Allow` outside of a router's own layers.
    Router::new()
        .fallback_service(routes)
        .layer(from_fn_with_state(Arc::new(speech), in_words))
        // Failures are logged where they become a refusal, with their cause.
        .layer(TraceLayer::new_for_http().make_span_with(span).on_failure(()))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(from_fn_with_state(metrics, measure::requests))
}

/// Routes that pages of the allowed origins may ask from a browser (CORS). Outermost: a browser asks
/// first, without a credential, whether it may.
pub(super) fn for_browsers(routes: Router, config: &CorsConfig) -> Router {
    if config.origins.is_empty() {
        return routes;
    }
    let origins = config.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let exposed = ["link", "retry-after", "x-request-id", "x-trailhouse-window"];
    let exposed = exposed.map(HeaderName::from_static);
    let layer = CorsLayer::new()
        .allow_origin(origins.collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("x-request-id"),
            // Cockpit's.
            HeaderName::from_static("x-tenant"),
            HeaderName::from_static("x-correlation-id"),
        ])
        .expose_headers(exposed)
        .max_age(Duration::from_secs(600));
    routes.layer(layer)
}

async fn no_such_path(uri: Uri) -> Refusal {
    Refusal::NotFound(format!("there is nothing at {}; events are at /v1/events", uri.path()))
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = said, "request panicked");
    Refusal::Internal.into_response()
}

/// Every error said anew by the API the path belongs to; but a native handler's own [`Problem`],
/// which says more than a refusal.
async fn in_words(State(speech): State<Arc<Speech>>, request: Request, next: Next) -> Response {
    let asked = Asked {
        request_id: request_id(&request).to_owned(),
        path: request.uri().path().to_owned(),
        headers: request.headers().clone(),
        at: (speech.now)(),
    };
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let owner = speech.contracts.iter().find(|(root, _)| is_below(&asked.path, root));
    let is_problem = response.headers().get(header::CONTENT_TYPE);
    if owner.is_none() && is_problem.is_some_and(|kind| kind == error::CONTENT_TYPE) {
        return response;
    }
    let refusal = Refusal::of_response(&response);
    let said = match owner {
        Some((_, words)) => words(&refusal, &asked),
        None => Problem::of_refusal(&refusal, &asked.path).into_response(),
    };
    with_headers(said, &refusal)
}

/// What HTTP asks of an error, whoever says it.
fn with_headers(mut response: Response, refusal: &Refusal) -> Response {
    let retry_after = refusal.retry_after().map(|after| after.as_secs().max(1).to_string());
    let allow = match refusal {
        Refusal::Method(allow) => Some(allow.clone()),
        _ => None,
    };
    let challenge = matches!(refusal, Refusal::Unauthenticated(_) | Refusal::Unlinked);
    let headers: [(HeaderName, Option<String>); 3] = [
        (header::RETRY_AFTER, retry_after),
        (header::ALLOW, allow),
        (header::WWW_AUTHENTICATE, challenge.then(|| "Bearer".to_owned())),
    ];
    for (name, value) in headers {
        // A method list or a number is always a header's value.
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn span(request: &Request) -> tracing::Span {
    let (method, path) = (request.method(), request.uri().path());
    tracing::info_span!("request", request_id = request_id(request), %method, path)
}

fn request_id(request: &Request) -> &str {
    let id = request.extensions().get::<RequestId>();
    id.and_then(|id| id.header_value().to_str().ok()).unwrap_or_default()
}
