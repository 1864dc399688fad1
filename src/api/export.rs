//! `/v1/events/export`: records to take away, as they stream from the store.
//!
//! In: the parameters of a filter, a format. Out: the store's bytes, untouched.
//!
//! # Invariants
//! - Nothing is collected: a chunk is passed on before the next is asked for.
//! - An error on the way breaks the transfer off, so that what came is not taken for the whole.
//! - An export is a question until its last byte has gone: it keeps its turn.
//! - An export ends with the credential it was asked with, as a tail does: looked at every
//!   [`LOOK_EVERY`], and before anything more is told.
//!
//! Deliberately unknown here: what the formats look like inside.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::IntoResponse;
use futures_core::Stream;
use tokio::time::Instant;

use super::ApiState;
use super::auth::{Authenticator, Credential, Unknown};
use super::error::Problem;
use super::seat::Turn;
use super::selection::{parameters, rfc3339, selection};
use super::tail::{LOOK_EVERY, RETRY_IN};
use crate::access::Caller;
use crate::query::{Chunks, ExportFormat, ReadError, Window};

/// What an export takes beside a filter.
pub(super) const OWN: [&str; 2] = ["format", "limit"];

/// Says the window that was used, as an interval of ISO 8601.
const WINDOW: HeaderName = HeaderName::from_static("x-trailhouse-window");

pub(super) async fn export(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Extension(credential): Extension<Credential>,
    Extension(turn): Extension<Turn>,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let parameters = parameters(&uri, &OWN)?;
    let format = parameters.word("format", &ExportFormat::ALL, ExportFormat::as_str)?;
    let format = format.unwrap_or(ExportFormat::Ndjson);
    let limit = parameters.number("limit", 1, u32::MAX)?.map(u64::from);
    let selection = selection(&parameters, &caller, &state.tenants, (state.now)())?;
    let chunks = state.reader.export(&selection, format, limit).await?;
    let headers = headers(format, selection.window)?;
    let authenticator = state.authenticator;
    let (look_at, look, held) = (Instant::now() + LOOK_EVERY, None, None);
    let taken = Taken { chunks, authenticator, credential, look_at, look, held, _turn: turn };
    Ok((headers, Body::from_stream(taken)))
}

fn headers(format: ExportFormat, window: Window) -> Result<HeaderMap, Problem> {
    let kind = match format {
        ExportFormat::Ndjson => "application/x-ndjson",
        ExportFormat::Csv => "text/csv; charset=utf-8; header=present",
        ExportFormat::Parquet => "application/vnd.apache.parquet",
    };
    let (from, to) = (rfc3339(window.from), rfc3339(window.to));
    let file = format!("attachment; filename=\"events-{}.{}\"", &from[..10], format.as_str());
    let value = |text: String| HeaderValue::try_from(text).map_err(|_| Problem::internal());
    Ok(HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, value(file)?),
        (WINDOW, value(format!("{from}/{to}"))?),
    ]))
}

/// Chunks on their way. An error, after which there are no more, is logged: no caller sees its cause.
struct Taken {
    chunks: Chunks,
    authenticator: Authenticator,
    credential: Credential,
    /// When the credential is to be looked at.
    look_at: Instant,
    /// That look, while it lasts.
    look: Option<Look>,
    /// What has come, and waits for it.
    held: Option<Bytes>,
    _turn: Turn,
}

type Look = Pin<Box<dyn Future<Output = Result<(), Unknown>> + Send>>;

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Store(ReadError),
    #[error(transparent)]
    Credential(Unknown),
}

impl Taken {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broken>> {
        loop {
            if let Some(look) = &mut self.look {
                let looked = ready!(look.as_mut().poll(context));
                self.look = None;
                looked.map_err(Broken::Credential)?;
                self.look_at = Instant::now() + LOOK_EVERY;
            }
            if self.held.is_none() {
                self.held = ready!(self.chunks.as_mut().poll_next(context))
                    .transpose()
                    .map_err(Broken::Store)?;
            }
            if self.held.is_none() || Instant::now() < self.look_at {
                return Poll::Ready(Ok(self.held.take()));
            }
            self.look = Some(Box::pin(holds(self.authenticator.clone(), self.credential.clone())));
        }
    }
}

impl Stream for Taken {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let told = ready!(self.poll(context));
        if let Err(error) = &told {
            // What waits stays untold, should somebody ask on.
            self.held = None;
            match error {
                Broken::Store(error) => tracing::error!(%error, "export broken off"),
                Broken::Credential(error) => tracing::info!(%error, "export broken off"),
            }
        }
        Poll::Ready(told.transpose())
    }
}

/// Whether a credential holds; while that cannot be known it waits.
async fn holds(authenticator: Authenticator, credential: Credential) -> Result<(), Unknown> {
    loop {
        match authenticator.holds(&credential).await {
            Err(error @ Unknown::Unavailable(_)) => {
                tracing::warn!(%error, "an export waits: its credential cannot be looked up");
                tokio::time::sleep(RETRY_IN).await;
            }
            told => return told,
        }
    }
}
