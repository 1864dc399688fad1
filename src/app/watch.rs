//! What is looked at from time to time, for metrics alone: ClickHouse's parts, the end of API keys.
//!
//! In: a warehouse, which of the two. Out: gauges.
//!
//! # Invariants
//! - One question at a time; one that fails keeps what was known, and nobody waits for it.
//! - It ends when its [`Watch`] is dropped.
//!
//! Deliberately unknown here: what is done about it.

use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::telemetry::{Metrics, Seldom};
use crate::warehouse::Warehouse;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(15);

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Watched {
    /// How many parts the tables have.
    pub parts: bool,
    /// When the next API key expires.
    pub keys: bool,
}

/// Looks for as long as it is held.
pub struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begin to look.
pub fn watch(warehouse: Warehouse, metrics: &Metrics, watched: Watched) -> Watch {
    let metrics = metrics.clone();
    let mut seldom = Seldom::default();
    let task = tokio::spawn(async move {
        let mut times = tokio::time::interval(EVERY);
        times.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            if let Err(error) = look(&warehouse, &metrics, watched).await
                && let Some(kept_back) = seldom.happened(Instant::now())
            {
                tracing::debug!(error, kept_back, "ClickHouse does not say what metrics ask");
            }
        }
    });
    Watch(task.abort_handle())
}

async fn look(warehouse: &Warehouse, metrics: &Metrics, watched: Watched) -> Result<(), String> {
    if watched.parts {
        let parts = warehouse.parts().await.map_err(|error| error.to_string())?;
        // A table without a part has no row, and is not gone.
        metrics.warehouse.parts.reset();
        for (table, parts) in parts {
            metrics.warehouse.parts.with_label_values(&[table]).set(parts as i64);
        }
    }
    if watched.keys {
        let now = chrono::Utc::now().timestamp_micros();
        let next = warehouse.next_key_expiry(now).await.map_err(|error| error.to_string())?;
        metrics.process.next_key_expires(next.map(|at| at / 1_000_000));
    }
    Ok(())
}
