//! Errors as the API says them: RFC 9457, `application/problem+json`.
//!
//! In: what went wrong. Out: a [`Problem`], the only thing that becomes an error response.
//!
//! # Invariants
//! - A problem with a parameter names it and what it allows.
//! - Whoever may try again is told when: `Retry-After`, in seconds.
//!
//! Deliberately unknown here: which route it was.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::refusal::{At, Refusal};
use crate::query::ReadError;

pub(super) const CONTENT_TYPE: &str = "application/problem+json";

/// How soon to ask again when something is not ready, in seconds: about as long as a restart of
/// ClickHouse takes.
const RETRY_AFTER: &str = "5";

/// One problem; boxed, for it travels in every `Result`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(Box<Content>);

/// A problem's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Content {
    /// The class of problem: stable, for programs.
    #[serde(rename = "type")]
    kind: String,
    /// The class of problem, for people.
    title: &'static str,
    #[serde(serialize_with = "number")]
    status: StatusCode,
    /// What is wrong in this request, and what would mend it.
    detail: String,
    /// The path that was asked for, where that is what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// The parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    /// What it may be instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed: Vec<String>,
    /// The parts that are not ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing: Vec<Failing>,
}

/// A part that is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failing {
    /// Its name.
    pub part: String,
    /// What ails it.
    pub reason: String,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: String) -> Problem {
        let kind = format!("urn:trailhouse:problem:{kind}");
        let (instance, parameter, allowed, failing) = (None, None, Vec::new(), Vec::new());
        let content =
            Content { kind, title, status, detail, instance, parameter, allowed, failing };
        Problem(Box::new(content))
    }

    /// 400: a parameter, and what it allows.
    pub fn parameter(name: &str, detail: String, allowed: Vec<String>) -> Problem {
        let status = StatusCode::BAD_REQUEST;
        let mut problem = Problem::new(status, "parameter", "A parameter is wrong", detail);
        problem.0.parameter = Some(name.to_owned());
        problem.0.allowed = allowed;
        problem
    }

    /// 404: nothing at a path.
    pub fn not_found(path: &str, detail: String) -> Problem {
        let mut problem = Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail);
        problem.0.instance = Some(path.to_owned());
        problem
    }

    /// 405: a method that the path does not have.
    pub fn method(allow: &str) -> Problem {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let detail = format!("this path answers {allow} only");
        let mut problem = Problem::new(status, "method", "Method not allowed", detail);
        problem.0.allowed = allow.split(',').map(|method| method.trim().to_owned()).collect();
        problem
    }

    /// 500: a defect of ours; the log has the cause.
    pub fn internal() -> Problem {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let detail = "the request met a defect; the log names it under this x-request-id";
        Problem::new(status, "internal", "Internal error", detail.to_owned())
    }

    /// 503: try again.
    pub fn unavailable(detail: &str) -> Problem {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Problem::new(status, "unavailable", "Not available now", detail.to_owned())
    }

    /// 503: parts that are not ready.
    pub fn not_ready(failing: Vec<Failing>) -> Problem {
        let parts: Vec<&str> = failing.iter().map(|failing| &*failing.part).collect();
        let mut problem = Problem::unavailable(&format!("not ready: {}", parts.join(", ")));
        problem.0.failing = failing;
        problem
    }

    /// What this API says of a refusal.
    pub fn of_refusal(refusal: &Refusal, path: &str) -> Problem {
        match refusal {
            Refusal::Invalid { at: At::Parameter(name), detail } => {
                Problem::parameter(name, detail.clone(), Vec::new())
            }
            Refusal::NotFound(what) => Problem::not_found(path, what.clone()),
            Refusal::Method(allow) => Problem::method(allow),
            Refusal::Internal => Problem::internal(),
            Refusal::Unavailable(what) => Problem::unavailable(what),
            Refusal::Timeout => Problem::unavailable(&refusal.detail()),
            Refusal::Other(status) => Problem::of_status(*status),
            other => {
                let title = other.status().canonical_reason().unwrap_or("Error");
                Problem::new(other.status(), other.kind(), title, other.detail())
            }
        }
    }

    /// Any other status, which a layer or the framework chose.
    pub fn of_status(status: StatusCode) -> Problem {
        let title = status.canonical_reason().unwrap_or("Error");
        Problem::new(status, "request", title, format!("the request was refused: {title}"))
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Problem {
        Problem::of_refusal(&Refusal::from(error), "")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.0.status;
        let mut response = (status, Json(self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
