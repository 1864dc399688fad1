//! What bounds a question, over a store that is never done.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::response::Response;
use serde_json::json;
use tower::ServiceExt as _;

use super::fixture::{get, read, state};
use super::known::by_key;
use super::store::Endless;
use super::tail::PATIENCE;
use crate::access::{ApiKey, KeyRecord, Role};
use crate::api::auth::tests::fixture::{Store, key, record};
use crate::api::{ApiConfig, ApiState, Authenticator, LimitsConfig, router};
use crate::query::{CursorKey, Positions};

fn endless(authenticator: Authenticator) -> (Arc<Endless>, Router) {
    let store = Arc::new(Endless::default());
    let state = ApiState { reader: store.clone(), authenticator, ..state(Vec::new()) };
    (store, router(state, &ApiConfig::default()))
}

/// Two who may write, and the API over their keys.
async fn ann_and_bob() -> ([ApiKey; 2], Arc<Endless>, Router) {
    let keys = [1, 2].map(key);
    let writer = |key: &ApiKey| KeyRecord { role: Role::Writer, ..record(key) };
    let (store, api) = endless(by_key(Arc::new(Store::of(keys.each_ref().map(writer)))).await);
    (keys, store, api)
}

async fn ask(api: &Router, key: &ApiKey, method: Method, path: &str, body: &str) -> Response {
    let request = Request::builder().method(method).uri(path).header("x-tenant", "acme");
    let request = request.header("authorization", format!("Bearer {}", key.reveal()));
    api.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
}

const AT_ONCE: u32 = 8;

#[tokio::test]
async fn who_has_eight_questions_under_way_is_refused_a_ninth_by_every_api_in_its_words() {
    assert_eq!(LimitsConfig::default().questions_at_once, AT_ONCE);
    let ([ann, bob], store, api) = ann_and_bob().await;
    let page = |_| {
        let (api, key) = (api.clone(), key(1));
        tokio::spawn(async move { ask(&api, &key, Method::GET, "/v1/events", "").await })
    };
    let asked: Vec<_> = (0..AT_ONCE).map(page).collect();
    let under_way = async {
        while store.pages.load(Ordering::SeqCst) < AT_ONCE {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, under_way).await.unwrap();
    for (path, at, said) in [
        ("/v1/events", "/type", json!("urn:trailhouse:problem:rate")),
        ("/v1/me", "/status", json!(429)),
        ("/v1beta1/organizations/acme/auditlogs", "/code", json!(8)),
        ("/public/v1/audit/records", "/status", json!(429)),
        ("/v1/AuditLogs", "/statusCode", json!(429)),
        ("/api/v2/audit", "/http_status", json!(429)),
    ] {
        let refused = read(ask(&api, &ann, Method::GET, path, "").await).await;
        assert_eq!(refused.status.as_u16(), 429, "{path}: {}", refused.body);
        assert_eq!(refused.headers["retry-after"], "1", "{path}");
        assert_eq!(refused.body.pointer(at), Some(&said), "{path}: {}", refused.body);
    }
    assert_eq!(store.pages.load(Ordering::SeqCst), AT_ONCE);
    let body = r#"{"service":"a","actionName":"b"}"#;
    let write = "/v1/events?schema=pace";
    assert_eq!(ask(&api, &ann, Method::POST, write, body).await.status().as_u16(), 202);
    assert_eq!(ask(&api, &bob, Method::GET, "/v1/me", "").await.status().as_u16(), 200);
    asked[0].abort();
    let again = async {
        while ask(&api, &ann, Method::GET, "/v1/me", "").await.status().as_u16() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn an_export_is_a_question_until_its_end_and_a_tail_only_until_it_has_begun() {
    let ([ann, _], _, api) = ann_and_bob().await;
    let mut open = Vec::new();
    for path in ["/v1/events/tail", "/v1/events/export"].into_iter().cycle().take(16) {
        let answer = ask(&api, &ann, Method::GET, path, "").await;
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        open.push(answer);
    }
    let again = async || ask(&api, &ann, Method::GET, "/v1/me", "").await.status().as_u16();
    assert_eq!(again().await, 429);
    open.pop();
    assert_eq!(again().await, 200);
}

#[test]
fn a_feed_whose_filter_matches_little_is_answered_with_its_cursor_moved() {
    let (_, api) = endless(Authenticator::None);
    let answer = get(&api, "/v1/events/feed?action=rare");
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    assert_eq!(answer.body["events"], json!([]));
    assert_eq!(answer.body["more"], true);
    let cursor = answer.body["next_cursor"].as_str().unwrap();
    let passed = Positions::decode(cursor, &CursorKey::new([7; 32]).unwrap()).unwrap();
    assert_eq!(passed.next_of(&Endless::log(), 0).offset, Endless::PASSED + 1);
}
