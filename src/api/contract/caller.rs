//! Who asks a contract.
//!
//! In: a request. Out: its caller and its head.
//!
//! # Invariants
//! - The body is read before the caller is told, for some credentials sign it; it is never longer
//!   than [`MOST_BYTES`].
//!
//! Deliberately unknown here: what a credential is, any contract's words.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::request::Parts;

use crate::access::Caller;
use crate::api::{ApiState, Refusal};

/// The longest body of a request that asks.
const MOST_BYTES: usize = 2 << 20;

/// The caller of a request.
pub(super) async fn of(state: &ApiState, request: Request) -> Result<(Caller, Parts), Refusal> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, MOST_BYTES).await.map_err(|_| Refusal::TooLarge)?;
    let caller = state.authenticator.caller(&head, &body).await?;
    Ok((caller, head))
}
