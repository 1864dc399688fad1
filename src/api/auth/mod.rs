//! Who a request is from.
//!
//! In: a request's head and body. Out: a [`Caller`], or [`Unknown`]: why it is from nobody.
//!
//! # Invariants
//! - A route answers nothing before it has a caller; the operators' routes apart.
//! - Each API says [`Unknown`] in its own words.
//!
//! Deliberately unknown here: what the caller asks for.

use axum::http::request::Parts;

use crate::access::Caller;

/// How callers are told.
#[derive(Debug, Clone, Default)]
pub enum Authenticator {
    /// They are not; for loopback.
    #[default]
    None,
}

impl Authenticator {
    /// The caller of a request. The body is for schemes that sign it.
    pub async fn caller(&self, _head: &Parts, _body: &[u8]) -> Result<Caller, Unknown> {
        match self {
            Authenticator::None => Ok(Caller::anyone()),
        }
    }
}

/// Why a request is from nobody. Each API says it in its own words; the reasons are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No credential is given: 401.
    #[error("the request has no credential")]
    Missing,
    /// One is given that does not hold: 401.
    #[error("the credential does not hold: {0}")]
    Refused(String),
    /// One is given that cannot be read: 400 where the API has one for it (BloodHound), else 401.
    #[error("the credential is malformed: {0}")]
    Malformed(String),
    /// What it is to be held against cannot be reached: 503.
    #[error("the credential cannot be looked up: {0}")]
    Unavailable(String),
    /// The caller is known, and asks too often: 429.
    #[error("{id} asks too often")]
    TooOften {
        /// Who.
        id: String,
        /// When to ask again, in seconds: `Retry-After`.
        retry_after_s: u64,
    },
}
