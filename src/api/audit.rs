//! Every reading of the log is an event of the log: who asked, what, and how much was answered.
//!
//! In: a request whose caller is known, and its response. Out: a [`ReadEvent`] for whoever writes
//! them down; `app` puts them on a topic of their own.
//!
//! # Invariants
//! - An answer waits for nothing here: events go into a bounded queue. One that finds it full is
//!   counted as lost, never a reason not to answer.
//! - A credential is in no event; the question is, and so whom it was about.
//! - What a caller may make as long as they like is cut: [`MOST_REQUEST_ID_BYTES`] and
//!   [`MOST_USER_AGENT_BYTES`]. The address is whole, which HTTP bounds: it is what was asked.
//!
//! Deliberately unknown here: Kafka, what a question means.

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::percent_decode_str;
use prometheus::IntCounter;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::auth::Told;
use crate::access::Caller;
use crate::event::Micros;

/// Events that wait to be written down, at most.
const MOST_WAITING: usize = 10_000;

/// The longest request id that is written down; a longer one is cut.
const MOST_REQUEST_ID_BYTES: usize = 128;

/// The longest user agent, likewise.
const MOST_USER_AGENT_BYTES: usize = 512;

/// The parameter that is a credential.
const TICKET: &str = "ticket";

/// The `[api.audit]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// The topic that readings are written to; empty for none. Default empty.
    pub topic: String,
    /// Whose log they are: the tenant of those who run this. Default `trailhouse`.
    pub tenant: String,
}

impl Default for AuditConfig {
    fn default() -> AuditConfig {
        AuditConfig { topic: String::new(), tenant: "trailhouse".into() }
    }
}

/// How many events an answer holds. A handler that reads the log says it by an extension of its
/// response; one that streams, and does not know yet, leaves it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows(pub u64);

/// One reading. Its place in Kafka is its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadEvent {
    /// When it was asked, RFC 3339.
    pub at: String,
    /// Method and route, such as `GET /v1/events/{id}`.
    pub action: String,
    /// Who asked.
    pub caller: ReadBy,
    /// The address that was asked, with every parameter.
    pub request: String,
    /// `success` or `failure`.
    pub outcome: &'static str,
    /// The answer's status.
    pub status: u16,
    /// Events in the answer; absent where it was not known when it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// `x-request-id`, its first 128 bytes; empty for none.
    pub request_id: String,
    /// `user-agent`, its first 512 bytes; empty for none.
    pub user_agent: String,
}

/// Who asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReadBy {
    /// Stable identifier.
    pub id: String,
    /// Name for people; empty when unknown.
    pub name: String,
    /// Mail address; empty when unknown.
    pub email: String,
    /// What they may do.
    pub role: &'static str,
    /// Their tenants.
    pub tenants: Vec<String>,
}

/// Where readings are told. Cheap to clone; without a queue nothing is.
#[derive(Clone, Default)]
pub struct ReadAudit {
    queue: Option<(mpsc::Sender<ReadEvent>, IntCounter)>,
}

impl ReadAudit {
    /// Tell readings to whoever takes them from the other end; what finds it full is counted.
    pub fn new(lost: IntCounter) -> (ReadAudit, mpsc::Receiver<ReadEvent>) {
        let (queue, events) = mpsc::channel(MOST_WAITING);
        (ReadAudit { queue: Some((queue, lost)) }, events)
    }

    /// A reading that begins.
    fn asked(&self, request: &Request, at: Micros) -> Option<Reading> {
        let (queue, lost) = self.queue.clone()?;
        let text = |name, most_bytes| text(request.headers(), name, most_bytes);
        let path = request.extensions().get::<MatchedPath>();
        let path = path.map_or(request.uri().path(), MatchedPath::as_str);
        let at = DateTime::<Utc>::from_timestamp_micros(at).unwrap_or_default();
        let event = ReadEvent {
            at: at.to_rfc3339_opts(SecondsFormat::Micros, true),
            action: format!("{} {path}", request.method()),
            caller: ReadBy::default(),
            request: without_ticket(request.uri()),
            outcome: "failure",
            status: 0,
            rows: None,
            request_id: text("x-request-id", MOST_REQUEST_ID_BYTES),
            user_agent: text(header::USER_AGENT.as_str(), MOST_USER_AGENT_BYTES),
        };
        Some(Reading { event, queue, lost })
    }
}

/// Routes whose requests are told, once they have a caller; whichever API they are of.
pub(super) fn around(routes: Router, audit: ReadAudit, now: fn() -> Micros) -> Router {
    match audit.queue {
        None => routes,
        Some(_) => routes.layer(from_fn_with_state((audit, now), told)),
    }
}

async fn told(
    State((audit, now)): State<(ReadAudit, fn() -> Micros)>,
    mut request: Request,
    next: Next,
) -> Response {
    let (reading, caller) = (audit.asked(&request, now()), Told::default());
    request.extensions_mut().insert(caller.clone());
    let response = next.run(request).await;
    if let (Some(reading), Some(caller)) = (reading, caller.get()) {
        reading.answered(caller, &response);
    }
    response
}

/// A reading that has begun.
struct Reading {
    event: ReadEvent,
    queue: mpsc::Sender<ReadEvent>,
    lost: IntCounter,
}

impl Reading {
    /// Tell it, with who asked and what was answered.
    fn answered(mut self, caller: &Caller, response: &Response) {
        let status = response.status();
        let is_failure = status.is_client_error() || status.is_server_error();
        self.event.caller = ReadBy {
            id: caller.id.clone(),
            name: caller.name.clone(),
            email: caller.email.clone(),
            role: caller.role.as_str(),
            tenants: caller.tenants.iter().cloned().collect(),
        };
        self.event.outcome = if is_failure { "failure" } else { "success" };
        self.event.status = status.as_u16();
        self.event.rows = response.extensions().get::<Rows>().map(|rows| rows.0);
        if self.queue.try_send(self.event).is_err() {
            self.lost.inc();
        }
    }
}

/// The address, without the ticket that a browser's event stream brings in place of a token.
fn without_ticket(uri: &Uri) -> String {
    let is_ticket = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        percent_decode_str(name).eq(TICKET.bytes())
    };
    match uri.query() {
        None => uri.path().to_owned(),
        Some(query) => {
            let kept: Vec<&str> = query.split('&').filter(|pair| !is_ticket(pair)).collect();
            format!("{}?{}", uri.path(), kept.join("&"))
        }
    }
}

/// A header, cut at a character.
fn text(headers: &HeaderMap, name: &str, most_bytes: usize) -> String {
    let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text[..text.floor_char_boundary(most_bytes)].to_owned()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::StatusCode;

    use super::*;

    fn request() -> Request {
        let request = Request::builder()
            .uri("/v1/events?tenant=acme&ticket=hunter2&limit=1&ticket&%74icket=hunter2")
            .header("authorization", "Bearer hunter2")
            .header("user-agent", "curl/8")
            .header("x-request-id", "r-1");
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn a_reading_says_who_what_and_how_much_and_no_credential() {
        let (audit, mut readings) = ReadAudit::new(IntCounter::new("lost", "lost").unwrap());
        let reading = audit.asked(&request(), 1_769_860_800_000_000).unwrap();
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(Rows(3));
        reading.answered(&Caller::anyone(), &response);
        let told = readings.try_recv().unwrap();
        assert_eq!(told.at, "2026-01-31T12:00:00.000000Z");
        assert_eq!(told.request, "/v1/events?tenant=acme&limit=1");
        assert_eq!((told.caller.id.as_str(), told.caller.role), ("anonymous", "admin"));
        assert_eq!((told.outcome, told.status, told.rows), ("success", 200, Some(3)));
        assert!(!serde_json::to_string(&told).unwrap().contains("hunter2"));

        let refused = audit.asked(&request(), 0).unwrap();
        *response.status_mut() = StatusCode::FORBIDDEN;
        refused.answered(&Caller::anyone(), &response);
        assert_eq!(readings.try_recv().unwrap().outcome, "failure");
    }

    #[test]
    fn a_caller_makes_no_event_as_long_as_they_like() {
        let (audit, _readings) = ReadAudit::new(IntCounter::new("lost", "lost").unwrap());
        let request = Request::builder()
            .uri("/v1/events")
            .header("user-agent", "u".repeat(100_000))
            .header("x-request-id", "r".repeat(100_000));
        let reading = audit.asked(&request.body(Body::empty()).unwrap(), 0).unwrap();
        assert_eq!(reading.event.user_agent, "u".repeat(512));
        assert_eq!(reading.event.request_id, "r".repeat(128));
    }

    #[test]
    fn a_reading_that_finds_no_room_is_counted_and_holds_up_nobody() {
        let lost = IntCounter::new("lost", "lost").unwrap();
        let (audit, readings) = ReadAudit::new(lost.clone());
        for _ in 0..MOST_WAITING + 5 {
            let reading = audit.asked(&request(), 0).unwrap();
            reading.answered(&Caller::anyone(), &Response::new(Body::empty()));
        }
        assert_eq!((readings.len(), lost.get()), (MOST_WAITING, 5));
    }

    #[test]
    fn nothing_is_told_where_nobody_listens() {
        assert!(ReadAudit::default().asked(&request(), 0).is_none());
    }
}
