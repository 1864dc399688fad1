//! `/v1/events/export`: records to take away, as they stream from the store.
//!
//! In: the parameters of a filter, a format. Out: the store's bytes, untouched.
//!
//! # Invariants
//! - Nothing is collected: a chunk is passed on before the next is asked for.
//! - An error on the way breaks the transfer off, so that what came is not taken for the whole.
//!
//! Deliberately unknown here: what the formats look like inside.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::IntoResponse;
use futures_core::Stream;

use super::ApiState;
use super::error::Problem;
use super::selection::{parameters, rfc3339, selection};
use crate::access::Caller;
use crate::query::{Chunks, ExportFormat, ReadError, Window};

/// What an export takes beside a filter.
pub(super) const OWN: [&str; 2] = ["format", "limit"];

/// Says the window that was used, as an interval of ISO 8601.
const WINDOW: HeaderName = HeaderName::from_static("x-trailhouse-window");

pub(super) async fn export(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let parameters = parameters(&uri, &OWN)?;
    let format = parameters.word("format", &ExportFormat::ALL, ExportFormat::as_str)?;
    let format = format.unwrap_or(ExportFormat::Ndjson);
    let limit = parameters.number("limit", 1, u32::MAX)?.map(u64::from);
    let selection = selection(&parameters, &caller, &state.tenants, (state.now)())?;
    let chunks = state.reader.export(&selection, format, limit).await?;
    let headers = headers(format, selection.window)?;
    Ok((headers, Body::from_stream(Watched(chunks))))
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

/// Chunks whose error, after which there are no more, is logged: no caller sees its cause.
struct Watched(Chunks);

impl Stream for Watched {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.0.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Err(error))) = &next {
            tracing::error!(%error, "export broken off");
        }
        next
    }
}
