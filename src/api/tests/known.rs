//! What hangs on who asks, and on how long that stays so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use super::NOW;
use super::fixture::{Answered, send, state};
use super::store::{Broken, unasked};
use crate::access::{ApiKey, KeyRecord, Role, Tenants};
use crate::api::auth::tests::fixture::{Store, key, record};
use crate::api::{ApiConfig, ApiState, AuthConfig, Authenticator, LimitsConfig, router};
use crate::query::{Answer, Ledger, Refused, Told};
use crate::telemetry::Health;

/// An authenticator over these keys, which are looked up for each request.
async fn by_key(store: Arc<Store>) -> Authenticator {
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
