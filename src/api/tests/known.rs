//! What hangs on who asks, and on how long that stays so.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};

use super::NOW;
use super::fixture::{Answered, send, state};
use super::store::Broken;
use crate::access::{ApiKey, KeyRecord, Role, Tenants};
use crate::api::auth::tests::fixture::{Store, key, record};
use crate::api::{ApiConfig, ApiState, AuthConfig, Authenticator, LimitsConfig, router};
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
