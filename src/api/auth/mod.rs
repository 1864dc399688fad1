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

/// Why a request is from nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No credential is given.
    #[error("the request has no credential")]
    Missing,
    /// One is given that does not hold; why, for the log.
    #[error("the credential does not hold: {0}")]
    Refused(String),
}
