//! `/v1/events/tail`: what is stored, as it is stored, as server-sent events.
//!
//! In: filters, `Last-Event-ID` (or `cursor`), a credential or a ticket. Out: one event a message;
//! its `id` is the vector of positions behind it.
//!
//! # Invariants
//! - A tail begins behind everything that is complete when it is asked for, or behind the positions
//!   it is given: whoever hands the last id back misses nothing and is told nothing twice.
//! - A follower holds one page and [`MESSAGES`] messages, and no more, however slowly they are
//!   taken: a page is asked for when the one before it has gone.
//! - A tail ends with the credential it was asked with, a ticket's with that of the ticket: looked at
//!   every [`LOOK_EVERY`], and before anything more is told. Its last message says so.
//! - There are never more tails than there are seats for; one more is answered 429 or 503.
//! - Something is said every [`BEAT`], an id without an event: so a filter that matches little moves
//!   on, and who has gone is noticed.
//!
//! Deliberately unknown here: how often is looked, how rows are found.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use futures_core::Stream;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::ApiState;
use super::auth::{Admitted, Authenticator, Credential, Unknown};
use super::error::Problem;
use super::feed::positions;
use super::horizon::{Horizon, View};
use super::parameter::Parameters;
use super::seat::{Full, Seat, Seats};
use super::selection;
use super::ticket::{self, Tickets};
use crate::access::Caller;
use crate::event::StoredEvent;
use crate::query::{CursorKey, EventReader, FeedPage, FeedQuery, Positions, ReadError};

/// Where it is.
pub(super) const PATH: &str = "/v1/events/tail";
/// Parameters beside the filter's.
pub(super) const OWN: [&str; 2] = ["cursor", "ticket"];
/// Events of a page.
const PAGE: u32 = 500;
/// Messages that wait to be taken.
const MESSAGES: usize = 32;
/// Tails that may be open, and of them those of one caller: nine tenths are the others'.
const MOST: usize = 100;
const MOST_OF_CALLER: usize = 10;
/// Longest silence.
const BEAT: Duration = Duration::from_secs(5);
/// How often it is looked whether the credential still holds.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When to try again where all seats are taken, in seconds.
const SEAT_AFTER_S: u64 = 5;
/// How long is waited where the store does not answer.
pub(super) const RETRY_IN: Duration = Duration::from_secs(1);

/// What all tails share.
#[derive(Clone)]
pub struct Tails {
    horizon: Horizon,
    seats: Seats,
    tickets: Tickets,
}

impl Default for Tails {
    fn default() -> Tails {
        let seats = Seats::new(MOST, MOST_OF_CALLER);
        Tails { horizon: Horizon::default(), seats, tickets: Tickets::default() }
    }
}

impl Tails {
    /// End them all, and those that come: the process stops.
    pub fn close(&self) {
        self.horizon.close();
    }

    /// Whom a request for a tail is from, where it brings a ticket instead of a credential.
    pub(super) fn admitted(&self, uri: &Uri) -> Option<Result<Admitted, Unknown>> {
        // What is wrong with the others is for the one whom the ticket stands for.
        let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
        let (_, ticket) = given.into_iter().find(|(name, _)| name == "ticket")?;
        let admitted = self.tickets.admitted(&ticket, std::time::Instant::now());
        Some(admitted.ok_or_else(|| Unknown::Refused("the ticket does not hold".to_owned())))
    }
}

#[derive(Serialize)]
struct Ticket {
    ticket: String,
    holds_s: u64,
}

pub(super) async fn ticket(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Extension(credential): Extension<Credential>,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    Parameters::read(&uri, &[], &[])?;
    let admitted = Admitted { caller, credential };
    let ticket = state.tails.tickets.give(admitted, std::time::Instant::now());
    let ticket = ticket.ok_or_else(|| Problem::unavailable("too many tickets hold; try again"))?;
    let holds_s = ticket::HOLDS.as_secs();
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(Ticket { ticket, holds_s })))
}

pub(super) async fn tail(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Extension(credential): Extension<Credential>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let parameters = selection::parameters(&uri, &OWN)?;
    let (tenants, filter) =
        selection::unbounded(&parameters, &caller, &state.tenants, (state.now)())?;
    let told = match last_event_id(&headers) {
        Some(text) => Some(positions("Last-Event-ID", text, &state)?),
        None => {
            parameters.get("cursor").map(|text| positions("cursor", text, &state)).transpose()?
        }
    };
    let known = (credential != Credential::None).then_some(&*caller.id);
    let seat = state.tails.seats.take(known)?;
    let until = state.reader.extents().await?;
    let after = told.unwrap_or_else(|| Positions::at_end(&until));
    let (out, messages) = mpsc::channel(MESSAGES);
    let follower = Follower {
        query: FeedQuery { tenants, filter, after, until, limit: PAGE },
        view: state.tails.horizon.follow(&state.reader),
        reader: state.reader,
        authenticator: state.authenticator,
        credential,
        key: state.cursors,
        out,
        beat_at: Instant::now(),
        look_at: Instant::now() + LOOK_EVERY,
        _seat: seat,
    };
    tokio::spawn(follower.follow().in_current_span());
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // A proxy that collects before it sends makes a tail into a dump.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(Messages(messages))))
}

impl From<Full> for Problem {
    fn from(full: Full) -> Problem {
        match full {
            Full::OfCaller => {
                let detail = format!(
                    "{MOST_OF_CALLER} tails of this caller are open, as many as one may have; close one, or \
                     ask /v1/events/feed"
                );
                Problem::too_much(detail, SEAT_AFTER_S)
            }
            Full::All => Problem::unavailable("too many tails are open; try again"),
        }
    }
}

/// As a browser sends it when it connects again; an empty one says nothing.
fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("last-event-id")?.to_str().ok()?;
    Some(id).filter(|id| !id.is_empty())
}

/// One tail.
struct Follower {
    reader: Arc<dyn EventReader>,
    query: FeedQuery,
    view: watch::Receiver<View>,
    authenticator: Authenticator,
    credential: Credential,
    key: CursorKey,
    out: mpsc::Sender<Bytes>,
    /// When something must be said.
    beat_at: Instant,
    /// When the credential is to be looked at.
    look_at: Instant,
    _seat: Seat,
}

/// Nobody listens, or nothing more can be said.
struct Over;

impl Follower {
    async fn follow(mut self) {
        // First of all where it begins: whoever loses the connection now goes on from there. Every
        // way this ends, the stream ends with it.
        if self.beat().await.is_ok() {
            while self.round().await.is_ok() {}
        }
    }

    /// Say what there is; then wait for more, or for silence to have been long enough.
    async fn round(&mut self) -> Result<(), Over> {
        while self.holds().await? && self.query.after.is_behind(&self.query.until) {
            match self.reader.feed(&self.query).await {
                Ok(page) => self.tell(page).await?,
                Err(error @ ReadError::Unavailable(_)) => {
                    tracing::warn!(%error, "a tail waits for the store");
                    tokio::time::sleep(RETRY_IN).await;
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "a tail ends: the store refused it");
                    return Err(Over);
                }
            }
        }
        if Instant::now() >= self.beat_at {
            self.beat().await?;
        }
        tokio::select! {
            changed = self.view.changed() => changed.map_err(|_| Over)?,
            () = tokio::time::sleep_until(self.beat_at.min(self.look_at)) => {}
            () = self.out.closed() => return Err(Over),
        }
        let view = self.view.borrow_and_update().clone();
        // What is looked up for all may be older than what this one looked up when it began.
        for (log, range) in view.extents.iter() {
            let known = self.query.until.entry(log.clone()).or_insert(*range);
            known.last = known.last.max(range.last);
        }
        if view.is_last { Err(Over) } else { Ok(()) }
    }

    /// Whether the credential holds. While that cannot be known nothing is told, and nothing lost: a
    /// page is asked for again from where the telling stopped.
    async fn holds(&mut self) -> Result<bool, Over> {
        if Instant::now() < self.look_at {
            return Ok(true);
        }
        match self.authenticator.holds(&self.credential).await {
            Ok(()) => {
                self.look_at = Instant::now() + LOOK_EVERY;
                Ok(true)
            }
            Err(error @ Unknown::Unavailable(_)) => {
                tracing::warn!(%error, "a tail waits: its credential cannot be looked up");
                tokio::time::sleep(RETRY_IN).await;
                Ok(false)
            }
            Err(ended) => {
                let why = serde_json::to_string(&Problem::from(ended)).map_err(|_| Over)?;
                self.say(format!("event: end\ndata: {why}\n\n")).await?;
                Err(Over)
            }
        }
    }

    async fn tell(&mut self, page: FeedPage) -> Result<(), Over> {
        let FeedPage { mut events, next } = page;
        let last = events.pop();
        for event in events {
            if !self.holds().await? {
                return Ok(());
            }
            self.query.after.pass(&event.kafka);
            self.message(&event).await?;
        }
        if !self.holds().await? {
            return Ok(());
        }
        self.query.after = next;
        match last {
            Some(event) => self.message(&event).await,
            None => Ok(()),
        }
    }

    /// One event, and where the tail stands behind it.
    async fn message(&mut self, event: &StoredEvent) -> Result<(), Over> {
        let json = serde_json::to_string(event).map_err(|_| Over)?;
        let mut message = format!("id: {}\n", self.query.after.encode(&self.key));
        // JSON text of the source may have lines, between its tokens.
        for line in json.split(['\n', '\r']) {
            message.push_str("data: ");
            message.push_str(line);
            message.push('\n');
        }
        message.push('\n');
        self.say(message).await
    }

    /// Where the tail stands, without an event.
    async fn beat(&mut self) -> Result<(), Over> {
        self.say(format!("id: {}\n\n", self.query.after.encode(&self.key))).await
    }

    async fn say(&mut self, message: String) -> Result<(), Over> {
        self.out.send(message.into()).await.map_err(|_| Over)?;
        self.beat_at = Instant::now() + BEAT;
        Ok(())
    }
}

/// Messages as a body.
struct Messages(mpsc::Receiver<Bytes>);

impl Stream for Messages {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|message| message.map(Ok))
    }
}
