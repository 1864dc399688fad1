//! What the system tells a process: end, or read the settings again.
//!
//! In: signals. Out: something to wait for.
//!
//! # Invariants
//! - From the first call on, a signal that is listened for ends the process no more by itself.
//!
//! Deliberately unknown here: what follows from it.

use std::future::Future;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use trailhouse::app::output::tell;

/// Rings at each SIGHUP, which from this call on ends the process no more.
pub fn hangup() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("listening for SIGHUP")
}

/// Resolves at the first SIGINT or SIGTERM. From this call on the first of them no more ends the
/// process; the second does, at once, with the code a shell would give it.
pub fn interrupted() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let (first, told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => SignalKind::terminate(),
                _ = interrupt.recv() => SignalKind::interrupt(),
            }
        };
        next().await;
        // Nobody listens any more where the process is ending already.
        let _ = first.send(());
        let signal = next().await;
        tell("trailhouse: ended at once by a second signal");
        std::process::exit(128 + signal.as_raw_value());
    });
    Ok(async move {
        // INVARIANT: the sender sends before it is dropped.
        let _ = told.await;
    })
}
