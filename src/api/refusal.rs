//! Why a request is refused, before any API has put it into its words.
//!
//! In: what a handler, a layer or the framework found. Out: a [`Refusal`], which the layer around
//! all routes renders in the words of the API the path belongs to.
//!
//! # Invariants
//! - A refusal travels as a response without a body, with itself as an extension: every handler
//!   may return one, and none of them writes an error body.
//! - What a store or a broker says goes to the log, once, here, and never to the caller.
//! - Whoever may try again is told when, in seconds.
//!
//! Deliberately unknown here: any API's words.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::auth::Unknown;
use super::body::BodyFault;
use crate::query::ReadError;

/// How soon to ask again when something is not ready: about as long as a restart of ClickHouse
/// or the election of a Kafka leader takes.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How soon to ask again when as many questions are under way as may be: most take less.
pub(super) const AT_ONCE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request is from nobody.
    Unauthenticated(Unknown),
    /// The credential holds, and names no identity that acts.
    Unlinked,
    /// The caller may not; why.
    Forbidden(String),
    /// What was asked for is not there; what that is.
    NotFound(String),
    /// The path has no such method; those it has, as `Allow` lists them.
    Method(String),
    /// Something in the request is wrong.
    Invalid {
        /// Where.
        at: At,
        /// What is wrong, and what would mend it.
        detail: String,
    },
    /// The question costs more than the caller may spend; what.
    TooCostly(String),
    /// The body is too long.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// The body is of a type that is not read here; those that are.
    MediaType(String),
    /// The caller asks too often.
    TooMany {
        /// When to ask again.
        retry_after: Duration,
    },
    /// Something that is needed does not answer now; what.
    Unavailable(String),
    /// It took too long.
    Timeout,
    /// A defect of ours; the log has the cause.
    Internal,
    /// Any other status, which the framework chose.
    Other(StatusCode),
}

/// A place in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// A part of the path, or a query parameter.
    Parameter(String),
    /// A header.
    Header(String),
    /// A field of the body, as a JSON pointer; empty for the whole.
    Body(String),
}

impl Refusal {
    /// A parameter is wrong.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Refusal {
        Refusal::Invalid { at: At::Parameter(name.to_owned()), detail: detail.into() }
    }

    /// A header is wrong.
    pub fn header(name: &str, detail: impl Into<String>) -> Refusal {
        Refusal::Invalid { at: At::Header(name.to_owned()), detail: detail.into() }
    }

    /// A field of the body is wrong.
    pub fn body(pointer: &str, detail: impl Into<String>) -> Refusal {
        Refusal::Invalid { at: At::Body(pointer.to_owned()), detail: detail.into() }
    }

    /// What a response that nobody of us wrote means.
    pub(super) fn of_response(response: &Response) -> Refusal {
        if let Some(own) = response.extensions().get::<Refusal>() {
            return own.clone();
        }
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let seconds = || header("retry-after").and_then(|text| text.parse().ok());
        match response.status() {
            StatusCode::UNAUTHORIZED => Refusal::Unauthenticated(Unknown::Missing),
            StatusCode::FORBIDDEN => Refusal::Forbidden("this is not for you".to_owned()),
            StatusCode::NOT_FOUND => Refusal::NotFound("there is nothing here".to_owned()),
            StatusCode::METHOD_NOT_ALLOWED => {
                Refusal::Method(header("allow").unwrap_or("GET").to_owned())
            }
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Refusal::MediaType("application/json".to_owned()),
            StatusCode::TOO_MANY_REQUESTS => {
                let retry_after = seconds().map_or(RETRY_AFTER, Duration::from_secs);
                Refusal::TooMany { retry_after }
            }
            // Ours are extensions: this is the layer's that watches the time.
            StatusCode::SERVICE_UNAVAILABLE => Refusal::Timeout,
            StatusCode::REQUEST_TIMEOUT => Refusal::TooSlow,
            StatusCode::INTERNAL_SERVER_ERROR => Refusal::Internal,
            other => Refusal::Other(other),
        }
    }

    /// The status most APIs give it.
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::Unauthenticated(_) | Refusal::Unlinked => StatusCode::UNAUTHORIZED,
            Refusal::Forbidden(_) => StatusCode::FORBIDDEN,
            Refusal::NotFound(_) => StatusCode::NOT_FOUND,
            Refusal::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Invalid { .. } => StatusCode::BAD_REQUEST,
            Refusal::TooCostly(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Unavailable(_) | Refusal::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Other(status) => *status,
        }
    }

    /// The class of refusal: a stable word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Refusal::Unauthenticated(_) => "unauthenticated",
            Refusal::Unlinked => "unlinked",
            Refusal::Forbidden(_) => "forbidden",
            Refusal::NotFound(_) => "not-found",
            Refusal::Method(_) => "method",
            Refusal::Invalid { at: At::Parameter(_), .. } => "parameter",
            Refusal::Invalid { at: At::Header(_), .. } => "header",
            Refusal::Invalid { at: At::Body(_), .. } => "body",
            Refusal::TooCostly(_) => "cost",
            Refusal::TooLarge => "too-large",
            Refusal::TooSlow => "too-slow",
            Refusal::MediaType(_) => "media-type",
            Refusal::TooMany { .. } => "too-many",
            Refusal::Unavailable(_) => "unavailable",
            Refusal::Timeout => "timeout",
            Refusal::Internal => "internal",
            Refusal::Other(_) => "request",
        }
    }

    /// What is wrong in this request, and what would mend it.
    pub fn detail(&self) -> String {
        match self {
            // Why a credential does not hold is for the log: it would help who forges one.
            Refusal::Unauthenticated(Unknown::Missing) => Unknown::Missing.to_string(),
            Refusal::Unauthenticated(_) => "the credential does not hold".into(),
            Refusal::Unlinked => "the credential names no identity that acts".into(),
            Refusal::Forbidden(why) => why.clone(),
            Refusal::NotFound(what) | Refusal::Unavailable(what) => what.clone(),
            Refusal::Method(allow) => format!("this path answers {allow} only"),
            Refusal::Invalid { detail, .. } => detail.clone(),
            Refusal::TooCostly(limit) => {
                format!("the question costs too much: {limit}; narrow its time or filter")
            }
            Refusal::TooSlow => "the body did not come in time".into(),
            Refusal::TooLarge => "the body is too long; send less at once".into(),
            Refusal::MediaType(wanted) => format!("the body must be {wanted}"),
            Refusal::TooMany { retry_after } => {
                format!("too many requests; try again in {} s", retry_after.as_secs())
            }
            Refusal::Timeout => "the request took too long; ask for less, or try again".into(),
            Refusal::Internal => {
                "the request met a defect; the log names it under this x-request-id".into()
            }
            Refusal::Other(status) => {
                let reason = status.canonical_reason().unwrap_or("error");
                format!("the request was refused: {reason}")
            }
        }
    }

    /// When to try again; `None` where trying again changes nothing.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::TooMany { retry_after } => Some(*retry_after),
            Refusal::Unavailable(_) | Refusal::Timeout => Some(RETRY_AFTER),
            _ => None,
        }
    }
}

impl From<Unknown> for Refusal {
    fn from(unknown: Unknown) -> Refusal {
        tracing::info!(%unknown, "request refused");
        match unknown {
            Unknown::Unavailable(_) => {
                Refusal::Unavailable("credentials cannot be looked up now; try again".to_owned())
            }
            Unknown::TooOften { retry_after_s, .. } => {
                Refusal::TooMany { retry_after: Duration::from_secs(retry_after_s) }
            }
            Unknown::TooManyAtOnce(_) => Refusal::TooMany { retry_after: AT_ONCE_RETRY_AFTER },
            unknown => Refusal::Unauthenticated(unknown),
        }
    }
}

impl From<BodyFault> for Refusal {
    fn from(fault: BodyFault) -> Refusal {
        match fault {
            BodyFault::TooLong { .. } => Refusal::TooLarge,
            BodyFault::TooSlow { .. } => Refusal::TooSlow,
            BodyFault::Broken(_) => Refusal::body("", fault.to_string()),
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Refusal {
        match &error {
            ReadError::Unavailable(_) => {
                tracing::warn!(%error, "read not answered");
                let what = "the store of events does not answer now; try again";
                Refusal::Unavailable(what.to_owned())
            }
            ReadError::TooCostly(limit) => Refusal::TooCostly(limit.clone()),
            ReadError::Failed(_) => {
                tracing::error!(%error, "read failed");
                Refusal::Internal
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
