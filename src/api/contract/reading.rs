//! What a contract that only reads works with: who asks, the store, walks by offset.
//!
//! In: a request. Out: its head and its [`Caller`].
//!
//! # Invariants
//! - Every role may read; of what, its tenants say.
//!
//! Deliberately unknown here: any contract's words.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::request::Parts;

use super::desk::{opened, told};
use super::walk::Walks;
use crate::access::Caller;
use crate::api::{ApiState, Refusal};

/// What a contract's handlers work with.
#[derive(Clone)]
pub(super) struct Reading {
    /// What is asked.
    pub api: ApiState,
    /// Walks by offset.
    pub walks: Arc<Walks>,
}

impl Reading {
    /// That of one contract.
    pub(super) fn new(api: ApiState) -> Reading {
        Reading { api, walks: Arc::default() }
    }

    /// Who asks, and the head of what they ask.
    pub(super) async fn caller(&self, request: Request) -> Result<(Caller, Parts), Refusal> {
        let (head, body) = opened(request).await?;
        let caller = told(&self.api, &head, &body).await?;
        Ok((caller, head))
    }
}
