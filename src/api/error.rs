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

use super::auth::{LIMITED_TO_RESELLERS, Unknown};
use super::body::BodyFault;
use super::refusal::{AT_ONCE_RETRY_AFTER, At, Refusal};
use crate::access::Role;
use crate::query::ReadError;

pub(super) const CONTENT_TYPE: &str = "application/problem+json";

/// How soon to ask again when something is not ready, in seconds: about as long as a restart of
/// ClickHouse takes.
const RETRY_AFTER_S: u64 = 5;

/// One problem; boxed, for it travels in every `Result`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
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
    /// How soon to ask again, in seconds: `Retry-After`.
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

/// A part that is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failing {
    /// Its name.
    pub part: String,
    /// What ails it; for an auditor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: String) -> Problem {
        let kind = format!("urn:trailhouse:problem:{kind}");
        Problem(Box::new(Content {
            kind,
            title,
            status,
            detail,
            instance: None,
            parameter: None,
            allowed: Vec::new(),
            failing: Vec::new(),
            retry_after_s: None,
        }))
    }

    /// 400: a parameter, and what it allows.
    pub fn parameter(name: &str, detail: String, allowed: Vec<String>) -> Problem {
        let status = StatusCode::BAD_REQUEST;
        let mut problem = Problem::new(status, "parameter", "A parameter is wrong", detail);
        problem.0.parameter = Some(name.to_owned());
        problem.0.allowed = allowed;
        problem
    }

    /// 422: a parameter that is well said, and asks for more than one may have.
    pub fn costly(name: &str, detail: String, allowed: Vec<String>) -> Problem {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let mut problem = Problem::new(status, "cost", "Too costly", detail);
        problem.0.parameter = Some(name.to_owned());
        problem.0.allowed = allowed;
        problem
    }

    /// 401: from nobody we know.
    fn unauthenticated(detail: &str) -> Problem {
        let status = StatusCode::UNAUTHORIZED;
        Problem::new(status, "unauthenticated", "Who asks is not known", detail.to_owned())
    }

    /// 403: somebody who may not.
    pub fn forbidden(role: Role, least: Role) -> Problem {
        let detail = format!("this needs the role {least}; the credential gives {role}");
        let mut problem = Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail);
        problem.0.allowed =
            Role::ALL.iter().filter(|role| **role >= least).map(Role::to_string).collect();
        problem
    }

    /// 403: a credential that is limited to some resellers, where nothing can be.
    pub fn resellers() -> Problem {
        let detail = LIMITED_TO_RESELLERS.to_owned();
        Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
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

    /// 429: too much of one caller.
    pub fn too_much(detail: String, retry_after_s: u64) -> Problem {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut problem = Problem::new(status, "rate", "Asked too often", detail);
        problem.0.retry_after_s = Some(retry_after_s);
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
        let mut problem =
            Problem::new(status, "unavailable", "Not available now", detail.to_owned());
        problem.0.retry_after_s = Some(RETRY_AFTER_S);
        problem
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
            Refusal::Unauthenticated(unknown) => Problem::from(unknown.clone()),
            Refusal::TooCostly(_) => {
                Problem::new(refusal.status(), refusal.kind(), "Too costly", refusal.detail())
            }
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

impl From<Unknown> for Problem {
    fn from(unknown: Unknown) -> Problem {
        tracing::info!(%unknown, "request refused");
        match unknown {
            Unknown::Missing => {
                Problem::unauthenticated("give a token or an API key: Authorization: Bearer TOKEN")
            }
            Unknown::Refused(_) | Unknown::Malformed(_) => Problem::unauthenticated(
                "the credential does not hold; the log says why under this x-request-id",
            ),
            Unknown::Unavailable(_) => {
                Problem::unavailable("credentials cannot be looked up now; try again")
            }
            Unknown::TooOften { retry_after_s, .. } => {
                Problem::too_much(format!("ask again in {retry_after_s} s"), retry_after_s)
            }
            Unknown::TooManyAtOnce(_) => {
                let detail = "as many questions of this caller are under way as one may have at \
                              once; ask again when one is answered";
                Problem::too_much(detail.to_owned(), AT_ONCE_RETRY_AFTER.as_secs())
            }
        }
    }
}

impl From<BodyFault> for Problem {
    fn from(fault: BodyFault) -> Problem {
        let (status, title) = match &fault {
            BodyFault::TooLong { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "The body is too long"),
            BodyFault::TooSlow { .. } => (StatusCode::REQUEST_TIMEOUT, "The body is too slow"),
            BodyFault::Broken(_) => (StatusCode::BAD_REQUEST, "The body is broken"),
        };
        Problem::new(status, "body", title, fault.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after_s) = (self.0.status, self.0.retry_after_s);
        let mut response = (status, Json(self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 demands it of every 401.
            let scheme = HeaderValue::from_static("Bearer realm=\"trailhouse\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
