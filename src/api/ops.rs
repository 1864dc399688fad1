//! The routes for those who run it: alive, ready, metrics.
//!
//! In: the store, the other parts' own word on how they are, the metrics. Out: 200, or 503 naming
//! each part that is not ready.
//!
//! # Invariants
//! - `/livez` asks nobody: a ClickHouse that is down is no reason to restart us.
//! - `/readyz` answers within [`STORE_TIMEOUT`], however dead the store is.
//!
//! Deliberately unknown here: what the other parts are.

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use prometheus::{TEXT_FORMAT, TextEncoder};

use super::ApiState;
use super::error::{Failing, Problem};

/// How long the store may take to say that it is there; probes commonly wait a few seconds.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn livez() -> &'static str {
    "alive\n"
}

pub(super) async fn readyz(State(state): State<ApiState>) -> Result<&'static str, Problem> {
    let failing = state.health.failing().into_iter();
    let mut failing: Vec<Failing> =
        failing.map(|(part, reason)| Failing { part, reason }).collect();
    let store = match tokio::time::timeout(STORE_TIMEOUT, state.reader.ready()).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", STORE_TIMEOUT.as_secs())),
    };
    failing.extend(store.err().map(|reason| Failing { part: "store".to_owned(), reason }));
    if failing.is_empty() { Ok("ready\n") } else { Err(Problem::not_ready(failing)) }
}

pub(super) async fn metrics(State(state): State<ApiState>) -> Result<impl IntoResponse, Problem> {
    let text = TextEncoder::new().encode_to_string(&state.registry.gather());
    let text = text.map_err(|error| {
        tracing::error!(%error, "metrics cannot be written");
        Problem::internal()
    })?;
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], text))
}
