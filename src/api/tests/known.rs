//! What hangs on who asks, and on how long that stays so.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{Request, StatusCode};
use futures_core::Stream as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::NOW;
use super::fixture::{Answered, read, send, state};
use super::store::{Broken, Endless, Growing, unasked};
use super::tail::{PATIENCE, open_as};
use crate::access::{ApiKey, KeyRecord, Role, Tenants};
use crate::api::auth::tests::fixture::{SECRET, Store, but, hs256, key, record, text};
use crate::api::{ApiConfig, ApiState, AuthConfig, Authenticator, LimitsConfig, router};
use crate::query::{Answer, Ledger, Refused, Told};
use crate::telemetry::Health;

/// An authenticator over these keys, which are looked up for each request.
pub async fn by_key(store: Arc<Store>) -> Authenticator {
    let config = AuthConfig { mode: "token".into(), key_cache_s: 0, ..AuthConfig::default() };
    let limits = LimitsConfig { requests_per_second: 0, ..LimitsConfig::default() };
    Authenticator::open(&config, &limits, Tenants::default(), store, || NOW).await.unwrap()
}

fn ready(api: &Router, key: Option<&ApiKey>) -> Answered {
    let mut request = Request::get("/readyz");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {}", key.reveal()));
    }
    send(api, request.body(Body::empty()).unwrap())
}

#[test]
fn why_a_part_is_not_ready_is_told_to_an_auditor_alone() {
    let [auditor, reader] = [1, 2].map(key);
    let keys = [KeyRecord { role: Role::Auditor, ..record(&auditor) }, record(&reader)];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let by_key = runtime.block_on(by_key(Arc::new(Store::of(keys))));
    let health = Health::default();
    health.fails("kafka", "no broker at secret:9092");
    let api = |authenticator| {
        let (health, reader) = (health.clone(), Arc::new(Broken::Unavailable));
        let state = ApiState { health, reader, authenticator, ..state(Vec::new()) };
        router(state, &ApiConfig::default())
    };
    let (known, nobody) = (api(by_key), api(Authenticator::Nobody));
    for (api, credential, is_told) in [
        (&known, None, false),
        (&known, Some(&reader), false),
        (&known, Some(&key(9)), false),
        (&known, Some(&auditor), true),
        (&nobody, None, false),
        (&nobody, Some(&auditor), false),
    ] {
        let answer = ready(api, credential);
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let failing = answer.body["failing"].to_string();
        assert!(failing.contains("\"kafka\"") && failing.contains("\"store\""), "{failing}");
        let told = answer.body.to_string();
        assert_eq!(told.contains("secret:9092"), is_told, "{told}");
        assert_eq!(told.contains("it is down"), is_told, "{told}");
    }
}

/// The API over a store that grows, whose callers must be known.
fn growing(authenticator: Authenticator) -> (Arc<Growing>, Router) {
    let store = Arc::new(Growing::default());
    let state = ApiState { reader: store.clone(), authenticator, ..state(Vec::new()) };
    (store, router(state, &ApiConfig::default()))
}

/// A key of both tenants of a growing store.
fn of_both(key: &ApiKey) -> KeyRecord {
    KeyRecord { tenants: ["even", "odd"].map(str::to_owned).into(), ..record(key) }
}

fn revoke(store: &Store, key: &ApiKey) {
    let mut keys = store.keys.lock().unwrap();
    keys.as_mut().unwrap().get_mut(key.prefix()).unwrap().revoked_at = Some(NOW);
}

#[tokio::test]
async fn a_tail_and_a_ticket_s_tail_end_when_their_key_is_revoked_and_say_so_last() {
    let (ann, bob) = (key(1), key(2));
    let keys = Arc::new(Store::of([of_both(&ann), of_both(&bob)]));
    let (store, api) = growing(by_key(keys.clone()).await);
    let request = Request::post("/v1/events/tail/ticket");
    let request = request.header("authorization", format!("Bearer {}", ann.reveal()));
    let answer = api.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let ticket = read(answer).await.body["ticket"].as_str().unwrap().to_owned();
    let with_ticket = format!("/v1/events/tail?ticket={ticket}");
    let mut own = open_as(&api, "/v1/events/tail", &ann.reveal()).await.unwrap();
    let mut of_ticket = open_as(&api, &with_ticket, "").await.unwrap();
    let mut other = open_as(&api, "/v1/events/tail", &bob.reveal()).await.unwrap();
    store.add(1);
    for tail in [&mut own, &mut of_ticket, &mut other] {
        assert_eq!(tail.number().await, 1);
    }
    revoke(&keys, &ann);
    for tail in [&mut own, &mut of_ticket] {
        let last = tail.ended().await.unwrap();
        assert_eq!(last["type"], "urn:trailhouse:problem:unauthenticated", "{last}");
        assert!(!last.to_string().contains(ann.prefix()), "{last}");
    }
    store.add(2);
    assert_eq!(other.number().await, 2, "another's key is another's");
    let again = open_as(&api, &with_ticket, "").await.err();
    assert_eq!(again, Some(StatusCode::UNAUTHORIZED), "the ticket has ended with its key");
}

#[tokio::test]
async fn who_has_a_ticket_is_told_what_is_wrong_with_the_other_parameters() {
    let ann = key(1);
    let (_, api) = growing(by_key(Arc::new(Store::of([of_both(&ann)]))).await);
    let request = Request::post("/v1/events/tail/ticket");
    let request = request.header("authorization", format!("Bearer {}", ann.reveal()));
    let answer = api.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let ticket = read(answer).await.body["ticket"].as_str().unwrap().to_owned();
    for (ticket, status) in [(&*ticket, 400), ("guessed", 401)] {
        let path = format!("/v1/events/tail?ticket={ticket}&actorid=ann");
        let request = Request::get(&path).body(Body::empty()).unwrap();
        let answer = read(api.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn an_export_breaks_off_when_its_key_is_revoked_and_another_s_goes_on() {
    let [ann, bob] = [1, 2].map(key);
    let keys = Arc::new(Store::of([record(&ann), record(&bob)]));
    let authenticator = by_key(keys.clone()).await;
    let reader = Arc::new(Endless::default());
    let state = ApiState { reader, authenticator, ..state(Vec::new()) };
    let api = router(state, &ApiConfig::default());
    let export = async |key: &ApiKey| {
        let request = Request::get("/v1/events/export");
        let request = request.header("authorization", format!("Bearer {}", key.reveal()));
        let answer = api.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body().into_data_stream()
    };
    let (mut own, mut other) = (export(&ann).await, export(&bob).await);
    assert!(next(&mut own).await.unwrap().is_ok());
    revoke(&keys, &ann);
    let broken = async {
        loop {
            match next(&mut own).await {
                Some(Ok(_)) => tokio::task::yield_now().await,
                end => return end,
            }
        }
    };
    let end = tokio::time::timeout(PATIENCE, broken).await.unwrap();
    assert!(matches!(end, Some(Err(_))), "what came is not the whole: {end:?}");
    assert!(next(&mut other).await.unwrap().is_ok());
}

async fn next(body: &mut BodyDataStream) -> Option<Result<Bytes, axum::Error>> {
    std::future::poll_fn(|context| Pin::new(&mut *body).poll_next(context)).await
}

#[tokio::test]
async fn a_tail_ends_when_its_token_expires() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("jwks.json");
    std::fs::write(&set, json!({"keys": [{"kty": "oct", "k": text(SECRET)}]}).to_string()).unwrap();
    let config = AuthConfig {
        mode: "token".into(),
        jwks_file: Some(set),
        issuer: "https://id.example".into(),
        audience: "trailhouse".into(),
        leeway_s: 0,
        ..AuthConfig::default()
    };
    let (limits, keys) = (LimitsConfig::default(), Arc::new(Store::default()));
    let opened = Authenticator::open(&config, &limits, Tenants::default(), keys, || NOW);
    let (_, api) = growing(opened.await.unwrap());
    let of = |seconds: i64| {
        let exp = json!(chrono::Utc::now().timestamp() + seconds);
        hs256(&json!({"alg": "HS256"}), &but("exp", exp), SECRET)
    };
    let mut long = open_as(&api, "/v1/events/tail", &of(3_600)).await.unwrap();
    let mut short = open_as(&api, "/v1/events/tail", &of(2)).await.unwrap();
    let last = short.ended().await.unwrap();
    assert_eq!(last["status"], 401, "{last}");
    assert_eq!(long.next().await, Some(None), "a token that holds goes on");
}

#[tokio::test]
async fn a_tail_whose_key_cannot_be_looked_up_tells_nothing_until_it_can_be() {
    let ann = key(1);
    let keys = Arc::new(Store::of([of_both(&ann)]));
    let (store, api) = growing(by_key(keys.clone()).await);
    let mut tail = open_as(&api, "/v1/events/tail", &ann.reveal()).await.unwrap();
    let known = keys.keys.lock().unwrap().take();
    let asked = keys.asked.load(Ordering::SeqCst);
    let noticed = async {
        while keys.asked.load(Ordering::SeqCst) == asked {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.unwrap();
    store.add(1);
    assert_eq!(tail.next().await, Some(None), "it says where it stands, and no event");
    *keys.keys.lock().unwrap() = known;
    assert_eq!(tail.number().await, 1, "and has lost nothing");
}

#[tokio::test]
async fn one_caller_opens_ten_tails_and_leaves_the_others_their_seats() {
    let [ann, bob] = [1, 2].map(key);
    let keys = Store::of([of_both(&ann), of_both(&bob)]);
    let (_, api) = growing(by_key(Arc::new(keys)).await);
    let mut open = Vec::new();
    let refused = loop {
        match open_as(&api, "/v1/events/tail", &ann.reveal()).await {
            Ok(tail) => open.push(tail),
            Err(status) => break status,
        }
    };
    assert_eq!((open.len(), refused), (10, StatusCode::TOO_MANY_REQUESTS));
    assert!(open_as(&api, "/v1/events/tail", &bob.reveal()).await.is_ok());
    open.pop();
    let freed = async {
        while open_as(&api, "/v1/events/tail", &ann.reveal()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.unwrap();
}

/// An account that counts how often it is asked.
#[derive(Default)]
struct Counting(AtomicU32);

impl Ledger for Counting {
    fn has(&self, topic: &str) -> bool {
        topic == "audit"
    }

    fn receipt<'a>(&'a self, _: &'a str, _: i32, _: i64) -> Answer<'a, Option<Told>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let told = Told { tenants: vec!["acme".into()], receipt: json!({}) };
        Box::pin(async { Ok(Some(told)) })
    }

    fn refused<'a>(&'a self, _: &'a Refused) -> Answer<'a, Vec<Value>> {
        unasked()
    }
}

#[test]
fn who_may_see_no_receipt_has_nobody_asked_for_it() {
    let ann = key(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let authenticator = runtime.block_on(by_key(Arc::new(Store::of([record(&ann)]))));
    let ledger = Arc::new(Counting::default());
    let state = ApiState { ledger: ledger.clone(), authenticator, ..state(Vec::new()) };
    let api = router(state, &ApiConfig::default());
    let ask = |path: &str| {
        let request = Request::get(format!("/v1/receipts/{path}"));
        let request = request.header("authorization", format!("Bearer {}", ann.reveal()));
        send(&api, request.body(Body::empty()).unwrap()).status.as_u16()
    };
    for (path, status, asked) in [
        ("audit/0/7?tenant=beta", 404, 0),
        ("other/0/7", 404, 0),
        ("%00/0/7", 404, 0),
        ("audit/x/7", 400, 0),
        ("audit/0/7", 200, 1),
        ("audit/0/7?tenant=acme", 200, 2),
    ] {
        assert_eq!((ask(path), ledger.0.load(Ordering::SeqCst)), (status, asked), "{path}");
    }
}
