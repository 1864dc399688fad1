//! The routes for those who run it: alive, started, ready, metrics.
//!
//! In: the store, the other parts' own word on how they are, the metrics. Out: 200, or 503 naming
//! each part that is not ready.
//!
//! # Invariants
//! - `/livez` asks nobody: a ClickHouse that is down is no reason to restart us.
//! - `/startupz` is 503 until every part has worked once, and 200 from then on, whatever fails.
//! - `/readyz` and `/metrics` answer within [`STORE_TIMEOUT`], however dead the store is.
//! - They name the parts that fail to whoever asks, and says why to an auditor alone: what a store or
//!   a broker says holds addresses and names. The log has it.
//!
//! Deliberately unknown here: what the other parts are.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use prometheus::{TEXT_FORMAT, TextEncoder};

use super::ApiState;
use super::auth::Told;
use super::error::{Failing, Problem};
use super::seat::Turn;
use crate::access::Role;

/// How long the store may take to say that it is there; probes commonly wait a few seconds.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn livez() -> &'static str {
    "alive\n"
}

pub(super) async fn readyz(
    State(state): State<ApiState>,
    mut head: Parts,
) -> Result<&'static str, Problem> {
    // A probe is no reading of the log, and no question of it, whoever sends it.
    head.extensions.remove::<Told>();
    head.extensions.remove::<Turn>();
    let caller = tokio::time::timeout(STORE_TIMEOUT, state.authenticator.caller(&head, b""));
    let (failing, caller) = tokio::join!(failing(&state), caller);
    let may_know_why = matches!(caller, Ok(Ok(caller)) if caller.role >= Role::Auditor);
    if failing.is_empty() {
        return Ok("ready\n");
    }
    let told = |(part, why)| Failing { part, reason: may_know_why.then_some(why) };
    Err(Problem::not_ready(failing.into_iter().map(told).collect()))
}

/// Whether the start is over. Nobody is asked.
pub(super) async fn startupz(State(state): State<ApiState>) -> Result<&'static str, Problem> {
    let awaited = state.health.awaited();
    if awaited.is_empty() {
        return Ok("started\n");
    }
    let told = |part| Failing { part, reason: None };
    Err(Problem::not_ready(awaited.into_iter().map(told).collect()))
}

/// The parts that fail, the store among them.
async fn failing(state: &ApiState) -> BTreeMap<String, String> {
    let store = tokio::time::timeout(STORE_TIMEOUT, state.reader.ready()).await;
    let mut failing = state.health.failing();
    let why = match store {
        Ok(answer) => answer.err().map(|error| error.to_string()),
        Err(_) => Some(format!("no answer within {} s", STORE_TIMEOUT.as_secs())),
    };
    if let Some(why) = why {
        // The other parts have said it where they met it; a probe asks every few seconds.
        if let Some(kept_back) = state.health.store_fails() {
            tracing::warn!(why, kept_back, "not ready: the store");
        }
        failing.insert("store".to_owned(), why);
    }
    failing
}

pub(super) async fn metrics(State(state): State<ApiState>) -> Result<impl IntoResponse, Problem> {
    state.metrics.process.ready.set(i64::from(failing(&state).await.is_empty()));
    let text = TextEncoder::new().encode_to_string(&state.metrics.registry.gather());
    let text = text.map_err(|error| {
        tracing::error!(%error, "metrics cannot be written");
        Problem::internal()
    })?;
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], text))
}
