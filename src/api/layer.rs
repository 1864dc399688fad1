//! What surrounds every route: request id, trace, panics, time.
//!
//! In: routes. Out: the same routes, of which no error leaves without a [`Problem`].
//!
//! # Invariants
//! - An `x-request-id` that comes in goes out again; without one a random one is made.
//! - A span names method and path, never the query: its values are personal data.
//! - A panic is a 500, and the process lives on; a request out of time is a 503.
//!
//! Deliberately unknown here: what the routes do.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use super::config::CorsConfig;
use super::error::{self, Problem};

/// Routes with everything around them. A later layer is further out.
pub(super) fn around(routes: Router, request_timeout: Duration) -> Router {
    routes
        .fallback(no_such_path)
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, request_timeout))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(map_response(with_problem))
        // Failures are logged where they become a Problem, with their cause.
        .layer(TraceLayer::new_for_http().make_span_with(span).on_failure(()))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
}

/// Routes that pages of the allowed origins may ask from a browser (CORS). Outermost: a browser asks
/// first, without a credential, whether it may.
pub(super) fn for_browsers(routes: Router, config: &CorsConfig) -> Router {
    if config.origins.is_empty() {
        return routes;
    }
    let origins = config.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let exposed = [header::LINK, header::RETRY_AFTER, HeaderName::from_static("x-request-id")];
    let layer = CorsLayer::new()
        .allow_origin(origins.collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("x-request-id"),
        ])
        .expose_headers(exposed)
        .max_age(Duration::from_secs(600));
    routes.layer(layer)
}

async fn no_such_path(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}; events are at /v1/events", uri.path());
    Problem::not_found(uri.path(), detail)
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = said, "request panicked");
    Problem::internal().into_response()
}

/// The framework and its layers answer errors with no body, or a plain one.
async fn with_problem(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let kind = response.headers().get(header::CONTENT_TYPE);
    if !is_error || kind.is_some_and(|kind| kind == error::CONTENT_TYPE) {
        return response;
    }
    let (parts, _) = response.into_parts();
    let allow = parts.headers.get(header::ALLOW).cloned();
    let problem = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::method(allow.as_ref().and_then(|allow| allow.to_str().ok()).unwrap_or("GET"))
        }
        StatusCode::SERVICE_UNAVAILABLE => Problem::unavailable(
            "the request took too long; ask for a shorter window or a smaller limit, or try again",
        ),
        _ => Problem::of_status(status),
    };
    let mut response = problem.into_response();
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn span(request: &Request) -> tracing::Span {
    let id = request.extensions().get::<RequestId>();
    let id = id.and_then(|id| id.header_value().to_str().ok()).unwrap_or_default();
    let (method, path) = (request.method(), request.uri().path());
    tracing::info_span!("request", request_id = id, %method, path)
}
