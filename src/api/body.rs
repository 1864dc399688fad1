//! The body of a request, read whole: not too long, and not too slowly.
//!
//! In: a body. Out: its bytes, or [`BodyFault`].
//!
//! # Invariants
//! - What is held of a body is never more than `body_bytes`, and never longer than
//!   `body_timeout_ms`.
//!
//! Deliberately unknown here: what a body means.

use std::error::Error as _;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use http_body_util::LengthLimitError;

use super::config::LimitsConfig;

/// Read a body to its end.
pub async fn read(body: Body, limits: &LimitsConfig) -> Result<Bytes, BodyFault> {
    let most_bytes = usize::try_from(limits.body_bytes).unwrap_or(usize::MAX);
    let patience = Duration::from_millis(limits.body_timeout_ms);
    match tokio::time::timeout(patience, to_bytes(body, most_bytes)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.source().is_some_and(|cause| cause.is::<LengthLimitError>()) => {
            Err(BodyFault::TooLong { most_bytes: limits.body_bytes })
        }
        Ok(Err(error)) => Err(BodyFault::Broken(error.to_string())),
        Err(_) => Err(BodyFault::TooSlow { most_ms: limits.body_timeout_ms }),
    }
}

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It is longer than is taken.
    #[error("the body is longer than {most_bytes} bytes")]
    TooLong {
        /// Bytes of a body at most.
        most_bytes: u64,
    },
    /// It did not come in time.
    #[error("the body did not come within {most_ms} ms")]
    TooSlow {
        /// How long a body may take, in milliseconds.
        most_ms: u64,
    },
    /// It broke off, or is no body.
    #[error("the body could not be read: {0}")]
    Broken(String),
}
