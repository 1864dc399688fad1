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
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;

use super::WholeUri;
use super::walk::Walks;
use crate::access::{Caller, Role};
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
        let writer = Writer::new(topic, schema, api.recorder.clone(), &api.normalisers);
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
    Ok(api.authenticator.caller(&asked, body).await?)
}

/// A request taken apart.
pub(super) async fn opened(request: Request) -> Result<(Parts, Bytes), Refusal> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await;
    let body = body.map_err(|error| Refusal::body("", format!("the body broke off: {error}")))?;
    Ok((head, body))
}

/// The tenant that a caller writes for where the request names none. For one who has all and no
/// default it is empty: the topic's own rule says, or the record is refused.
pub(super) fn home(caller: &Caller) -> Result<&str, Refusal> {
    let only = match caller.tenants.iter().collect::<Vec<_>>()[..] {
        [only] => Some(only.as_str()),
        [] if caller.role >= Role::Auditor => Some(""),
        _ => None,
    };
    let why = "the credential names no tenant to write for, or several and no default";
    let home = caller.default_tenant.as_deref().or(only);
    home.ok_or_else(|| Refusal::Forbidden(why.to_owned()))
}

/// Refuse a body that says it is no JSON; one that says nothing is taken to be.
pub(super) fn must_be_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is_json = kind == "application/json"
        || kind == "text/json"
        || kind.starts_with("application/") && kind.ends_with("+json");
    is_json.then_some(()).ok_or_else(|| Refusal::MediaType("application/json".to_owned()))
}
