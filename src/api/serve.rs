//! Connections, and the requests on them.
//!
//! In: a listener, plain or encrypted; a router. Out: answers, until it is to stop.
//!
//! # Invariants
//! - A connection on which no whole head of a request comes within the time for it is closed: who
//!   sends slowly, or nothing, holds one connection and not for long.
//! - Stopping takes no further connection, and waits for the requests that had begun.
//!
//! Deliberately unknown here: what is asked.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;

/// Answer requests until the word to stop comes.
pub async fn serve(
    mut listener: impl Listener,
    router: Router,
    header_timeout: Duration,
    stop: impl Future<Output = ()>,
) {
    let connections = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    let mut stop = pin!(stop);
    loop {
        let (stream, _) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // The other side left, or was too slow.
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    connections.shutdown().await;
}
