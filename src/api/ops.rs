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

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use prometheus::{TEXT_FORMAT, TextEncoder};

use super::ApiState;
use super::error::{Failing, Problem};

/// How long the store may take to say that it is there; probes commonly wait a few seconds.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The parts of the process that must be well for it to be ready, each under its name.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<(&'static str, Check)>,
}

impl Readiness {
    /// One part more. `check` is called for every probe, must not block, and says what is wrong.
    pub fn with(
        mut self,
        part: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Readiness {
        self.checks.push((part, Arc::new(check)));
        self
    }

    fn failing(&self) -> Vec<Failing> {
        let failing = |(part, check): &(&'static str, Check)| {
            check().err().map(|reason| Failing { part, reason })
        };
        self.checks.iter().filter_map(failing).collect()
    }
}

pub(super) async fn livez() -> &'static str {
    "alive\n"
}

pub(super) async fn readyz(State(state): State<ApiState>) -> Result<&'static str, Problem> {
    let mut failing = state.readiness.failing();
    let store = match tokio::time::timeout(STORE_TIMEOUT, state.reader.ready()).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", STORE_TIMEOUT.as_secs())),
    };
    failing.extend(store.err().map(|reason| Failing { part: "store", reason }));
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
