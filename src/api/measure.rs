//! What of requests is counted.
//!
//! In: a request, its answer. Out: how long it took, by route, method and status; a span of it; who was
//! refused.
//!
//! # Invariants
//! - A route is the one of the list that the path fits, never the path: `other` for none. A method that
//!   no route has is `other`.
//! - The status is the one that leaves, in whatever API's words. What is answered bit by bit counts until
//!   it begins.
//! - A probe that shows no credential is no failure.
//!
//! Deliberately unknown here: what is answered.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

use super::ApiState;
use super::auth::{Admitted, Unknown};
use crate::telemetry::{ApiMetrics, RequestSpan};

/// What is neither a route nor a method of ours.
const OTHER: &str = "other";

/// What orchestrators and Prometheus ask, again and again.
const UNTRACED: [&str; 4] = ["/livez", "/readyz", "/startupz", "/metrics"];

/// The route of a request, once it is found.
#[derive(Clone, Default)]
struct Found(Arc<OnceLock<MatchedPath>>);

/// Outside of everything: observe how long it took.
pub(super) async fn requests(
    State(metrics): State<ApiMetrics>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let found = Found::default();
    request.extensions_mut().insert(found.clone());
    let method = method(request.method());
    let span = span(&request, method);
    let response = next.run(request).await;
    let route = found.0.get().map(MatchedPath::as_str);
    let status = response.status();
    if let Some(span) = span {
        let id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
        span.end(route, status.as_u16(), id);
    }
    let route = route.unwrap_or(OTHER);
    let seconds = metrics.requests.with_label_values(&[route, method, status.as_str()]);
    seconds.observe(begun.elapsed().as_secs_f64());
    response
}

/// Inside, where the route is known: tell it.
pub(super) async fn route(request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    if let (Some(found), Some(path)) = (extensions.get::<Found>(), extensions.get::<MatchedPath>())
    {
        // Told twice, it is the same.
        let _ = found.0.set(path.clone());
    }
    next.run(request).await
}

/// The span of a request; probes and scrapes have none, for they would be most of them.
fn span(request: &Request, method: &'static str) -> Option<RequestSpan> {
    let path = request.uri().path();
    // As OpenTelemetry has it.
    let method = if method == OTHER { "_OTHER" } else { method };
    (!UNTRACED.contains(&path)).then(|| RequestSpan::begin(request.headers(), method, path))
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => OTHER,
    }
}

impl ApiState {
    /// The caller of a request; one that is refused is counted.
    pub(super) async fn admitted(&self, head: &Parts, body: &[u8]) -> Result<Admitted, Unknown> {
        let admitted = self.authenticator.admitted(head, body).await;
        admitted.inspect_err(|unknown| count(unknown, &self.metrics.api))
    }
}

fn count(unknown: &Unknown, metrics: &ApiMetrics) {
    let (counter, label) = match unknown {
        Unknown::Missing => (&metrics.auth_failures, "missing"),
        Unknown::Refused(_) => (&metrics.auth_failures, "refused"),
        Unknown::Malformed(_) => (&metrics.auth_failures, "malformed"),
        Unknown::Unavailable(_) => (&metrics.auth_failures, "unavailable"),
        Unknown::TooOften { .. } => (&metrics.rate_limited, "requests"),
        Unknown::TooManyAtOnce(_) => (&metrics.rate_limited, "questions"),
    };
    counter.with_label_values(&[label]).inc();
}
