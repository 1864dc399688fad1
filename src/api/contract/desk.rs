//! What a contract that writes works with: who asks, and the way in.
//!
//! In: a request. Out: its head, its body, its [`Caller`] where they may ask.
//!
//! # Invariants
//! - A body is whole before a caller is told: some credentials sign it. It was bounded before.
//! - A caller whom a door further out has told is not told again.
//!
//! Deliberately unknown here: any contract's words.

use std::sync::Arc;

use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;

use super::WholeUri;
use super::walk::Walks;
use crate::access::{Caller, Role};
use crate::api::auth::LIMITED_TO_RESELLERS;
use crate::api::write::Writer;
use crate::api::{ApiState, Refusal};

/// What a contract's handlers work with.
#[derive(Clone)]
pub(super) struct Desk {
    /// What is asked.
    pub api: ApiState,
    /// Where is written.
    pub writer: Arc<Writer>,
    /// Walks by offset.
    pub walks: Arc<Walks>,
}

impl Desk {
    /// The desk of a contract that writes its schema onto a topic.
    pub(super) fn new(api: ApiState, schema: &'static str, topic: String) -> Desk {
        let writer = Writer::new(topic, schema.to_owned(), api.recorder.clone(), &api.normalisers);
        Desk { api, writer: Arc::new(writer), walks: Arc::default() }
    }

    /// Who asks, who must be at least this.
    pub(super) async fn caller(
        &self,
        head: &Parts,
        body: &[u8],
        least: Role,
    ) -> Result<Caller, Refusal> {
        let caller = told(&self.api, head, body).await?;
        unlimited(&caller)?;
        if caller.role < least {
            let role = caller.role;
            let why = format!("this needs the role {least}; the credential gives {role}");
            return Err(Refusal::Forbidden(why));
        }
        Ok(caller)
    }
}

/// Who asks.
pub(super) async fn told(api: &ApiState, head: &Parts, body: &[u8]) -> Result<Caller, Refusal> {
    if let Some(caller) = head.extensions.get::<Caller>() {
        return Ok(caller.clone());
    }
    let mut asked = head.clone();
    if let Some(WholeUri(uri)) = head.extensions.get() {
        // What a client signs is the URI it asked.
        asked.uri = uri.clone();
    }
    Ok(api.admitted(&asked, body).await?.caller)
}

/// Refuse a caller who is limited to some resellers: rows that say no reseller cannot be limited.
pub(super) fn unlimited(caller: &Caller) -> Result<(), Refusal> {
    match caller.resellers {
        None => Ok(()),
        Some(_) => Err(Refusal::Forbidden(LIMITED_TO_RESELLERS.to_owned())),
    }
}

/// A request taken apart.
pub(super) async fn opened(request: Request) -> Result<(Parts, Bytes), Refusal> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await;
    let body = body.map_err(|error| Refusal::body("", format!("the body broke off: {error}")))?;
    Ok((head, body))
}
