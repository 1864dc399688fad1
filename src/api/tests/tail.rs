//! Feed and tail over a store that grows while it is read.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures_core::Stream as _;
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

use super::fixture::{event, get, state};
use super::store::Growing;
use crate::api::{ApiConfig, ApiState, Tails, router};

pub const PATIENCE: Duration = Duration::from_secs(30);

impl Growing {
    /// Store an event as the next of its partition.
    pub fn add(&self, number: u128) {
        let mut events = self.0.lock().unwrap();
        let mut event = event(number, 0);
        event.kafka.partition = (number % 3) as i32;
        event.kafka.offset = events.len() as i64;
        event.tenant = if number.is_multiple_of(2) { "even".into() } else { "odd".into() };
        events.push(event);
    }
}

fn growing() -> (Arc<Growing>, ApiState, Router) {
    let store = Arc::new(Growing::default());
    let state = ApiState { reader: store.clone(), ..state(Vec::new()) };
    let api = router(state.clone(), &ApiConfig::default());
    (store, state, api)
}

/// A tail, read message by message.
pub struct Reading {
    body: BodyDataStream,
    text: String,
    last_id: Option<String>,
    /// What a last message says.
    end: Option<Value>,
}

async fn open(api: &Router, path: &str, last_id: Option<&str>) -> Result<Reading, StatusCode> {
    begin(api, path, last_id.map(|id| ("Last-Event-ID", id.to_owned()))).await
}

/// A tail that is asked for with a token or a key.
pub async fn open_as(api: &Router, path: &str, credential: &str) -> Result<Reading, StatusCode> {
    begin(api, path, Some(("authorization", format!("Bearer {credential}")))).await
}

async fn begin(
    api: &Router,
    path: &str,
    header: Option<(&str, String)>,
) -> Result<Reading, StatusCode> {
    let mut request = Request::get(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let answer = api.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    if !answer.status().is_success() {
        return Err(answer.status());
    }
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let body = answer.into_body().into_data_stream();
    let mut reading = Reading { body, text: String::new(), last_id: None, end: None };
    // The first message has no event: it says where the tail begins.
    assert_eq!(reading.next().await, Some(None));
    Ok(reading)
}

impl Reading {
    /// The number of the next message's event; `Some(None)` where it has none, `None` at the end.
    pub async fn next(&mut self) -> Option<Option<u128>> {
        while !self.text.contains("\n\n") {
            let chunk = std::future::poll_fn(|cx| std::pin::Pin::new(&mut self.body).poll_next(cx));
            let chunk = tokio::time::timeout(PATIENCE, chunk).await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
        let (message, rest) = self.text.split_once("\n\n").unwrap();
        let (mut data, mut kind) = (String::new(), "message");
        for line in message.lines() {
            match line.split_once(": ").unwrap() {
                ("id", id) => self.last_id = Some(id.to_owned()),
                ("event", name) => kind = name,
                ("data", line) => data.push_str(line),
                other => panic!("{other:?}"),
            }
        }
        let data = (!data.is_empty()).then(|| serde_json::from_str::<Value>(&data).unwrap());
        let event = data.clone().filter(|_| kind == "message");
        self.end = data.filter(|_| kind == "end");
        self.text = rest.to_owned();
        Some(event.map(|event| event["id"].as_str().unwrap().parse::<Uuid>().unwrap().as_u128()))
    }

    /// The next event's number.
    pub async fn number(&mut self) -> u128 {
        loop {
            if let Some(number) = self.next().await.unwrap() {
                return number;
            }
        }
    }

    /// Why it ended: what its last message said.
    pub async fn ended(&mut self) -> Option<Value> {
        let read_out = async {
            let mut last = None;
            while self.next().await.is_some() {
                last = self.end.take();
            }
            last
        };
        tokio::time::timeout(PATIENCE, read_out).await.unwrap()
    }
}

#[tokio::test]
async fn a_tail_tells_what_is_stored_from_then_on_and_goes_on_behind_the_last_id() {
    let (store, _, api) = growing();
    store.add(1);
    let mut told = Vec::new();
    let mut reading = open(&api, "/v1/events/tail", None).await.unwrap();
    for number in 2..60 {
        store.add(number);
        if number % 7 == 0 {
            // What was on its way is lost with the connection.
            let last_id = reading.last_id.clone();
            reading = open(&api, "/v1/events/tail", last_id.as_deref()).await.unwrap();
        }
        if number % 3 == 0 {
            told.push(reading.number().await);
        }
    }
    while told.len() < 58 {
        told.push(reading.number().await);
    }
    told.sort_unstable();
    assert_eq!(told, (2..60).collect::<Vec<u128>>());
}

#[tokio::test]
async fn a_tail_tells_of_its_tenants_and_of_what_passes_its_filter_only() {
    let (store, _, api) = growing();
    let mut odd = open(&api, "/v1/events/tail?tenant=odd&action=test", None).await.unwrap();
    let mut none = open(&api, "/v1/events/tail?action=other", None).await.unwrap();
    for number in 1..10 {
        store.add(number);
    }
    let mut told = Vec::new();
    while told.len() < 5 {
        told.push(odd.number().await);
    }
    told.sort_unstable();
    assert_eq!(told, [1, 3, 5, 7, 9]);
    assert_eq!(none.next().await, Some(None), "an id alone, when nothing else has been said");
}

#[tokio::test]
async fn a_ticket_opens_a_tail_and_a_guess_does_not() {
    let (_, _, api) = growing();
    let request = Request::post("/v1/events/tail/ticket").body(Body::empty()).unwrap();
    let answer = api.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let bytes = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
    let ticket: Value = serde_json::from_slice(&bytes).unwrap();
    let path = format!("/v1/events/tail?ticket={}", ticket["ticket"].as_str().unwrap());
    open(&api, &path, None).await.unwrap();
    let guessed = open(&api, "/v1/events/tail?ticket=guessed", None).await;
    assert_eq!(guessed.err(), Some(StatusCode::UNAUTHORIZED));
    let forged = open(&api, "/v1/events/tail", Some("AQAA")).await;
    assert_eq!(forged.err(), Some(StatusCode::BAD_REQUEST));
}

#[tokio::test]
async fn too_many_tails_are_refused_until_one_ends() {
    let (_, state, api) = growing();
    let mut open_ones = Vec::new();
    let refused = loop {
        match open(&api, "/v1/events/tail", None).await {
            Ok(reading) => open_ones.push(reading),
            Err(status) => break status,
        }
    };
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    open_ones.pop();
    let freed = async {
        while open(&api, "/v1/events/tail", None).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.unwrap();
    let mut reading = open_ones.pop().unwrap();
    state.tails.close();
    assert_eq!(reading.next().await, None, "the process ends, and the tail with it");
    let _: Tails = state.tails;
}

#[test]
fn a_feed_tells_every_event_once_whoever_comes_late() {
    let (store, _, api) = growing();
    for number in 1..30 {
        store.add(number);
    }
    let (mut told, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/events/feed?limit=4&tenant=odd{cursor}");
        let answer = get(&api, &path);
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let ids = super::fixture::ids_of(&answer.body);
        assert!(ids.len() <= 4);
        told.extend(ids);
        cursor = format!("&cursor={}", answer.body["next_cursor"].as_str().unwrap());
        let link = answer.headers["link"].to_str().unwrap();
        assert!(link.contains(&cursor[1..]), "{link}");
        if answer.body["more"] == false {
            break;
        }
    }
    told.sort_unstable();
    assert_eq!(told, (1..30).step_by(2).collect::<Vec<u128>>());
    store.add(31);
    let late = get(&api, &format!("/v1/events/feed?tenant=odd{cursor}"));
    assert_eq!(super::fixture::ids_of(&late.body), [31]);
    let now = get(&api, "/v1/events/feed?begin=now");
    assert_eq!((super::fixture::ids_of(&now.body), &now.body["more"]), (vec![], &false.into()));
}

#[test]
fn a_feed_refuses_a_cursor_that_is_not_its_own() {
    let (_, _, api) = growing();
    for path in ["?cursor=AQAA", "?cursor=x", "?begin=middle", "?limit=1001", "?from=x"] {
        let answer = get(&api, &format!("/v1/events/feed{path}"));
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
    }
}
