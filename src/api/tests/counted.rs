//! What of requests is on the metrics: routes, refusals, and nothing that somebody asked.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};

use super::fixture::{ask, get, send, state};
use super::known::by_key;
use crate::access::ApiKey;
use crate::api::auth::tests::fixture::{Store, key, record};
use crate::api::{ApiConfig, ApiState, router};
use crate::telemetry::{Health, Metrics};

fn ask_with(api: &Router, path: &str, key: &ApiKey) -> StatusCode {
    let request = Request::get(path).header("authorization", format!("Bearer {}", key.reveal()));
    send(api, request.body(Body::empty()).unwrap()).status
}

fn failures(metrics: &Metrics) -> [u64; 4] {
    let of = |reason| metrics.api.auth_failures.with_label_values(&[reason]).get();
    ["missing", "refused", "malformed", "unavailable"].map(of)
}

#[test]
fn who_is_not_known_is_counted_by_the_reason_and_a_probe_is_not() {
    let (known, unknown) = (key(1), key(2));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Arc::new(Store::of([record(&known)]));
    let authenticator = runtime.block_on(by_key(store));
    let state = ApiState { authenticator, ..state(Vec::new()) };
    let metrics = state.metrics.clone();
    let api = router(state, &ApiConfig::default());
    for path in ["/readyz", "/livez", "/startupz", "/metrics"] {
        assert_eq!(get(&api, path).status, StatusCode::OK);
    }
    assert_eq!(failures(&metrics), [0, 0, 0, 0]);
    get(&api, "/v1/events");
    // A vendor's path, too.
    get(&api, "/v1/AuditLogs");
    assert_eq!(failures(&metrics), [2, 0, 0, 0]);
    assert_eq!(ask_with(&api, "/v1/events", &unknown), StatusCode::UNAUTHORIZED);
    assert_eq!(ask_with(&api, "/v1/me", &known), StatusCode::OK);
    assert_eq!(failures(&metrics), [2, 1, 0, 0]);
}

#[test]
fn a_request_is_counted_by_its_route_and_the_status_that_leaves() {
    let state = state(Vec::new());
    let requests = state.metrics.api.requests.clone();
    let api = router(state, &ApiConfig::default());
    get(&api, "/v1/events/00000000-0000-0000-0000-000000000007");
    get(&api, "/v1/events/00000000-0000-0000-0000-000000000008");
    get(&api, "/v1/events?limit=0");
    ask(&api, "PUT", "/v1/events");
    ask(&api, "BREW", "/coffee");
    let count = |labels: [&str; 3]| requests.with_label_values(&labels).get_sample_count();
    assert_eq!(count(["/v1/events/{id}", "GET", "404"]), 2);
    assert_eq!(count(["/v1/events", "GET", "400"]), 1);
    assert_eq!(count(["/v1/events", "other", "405"]), 1);
    assert_eq!(count(["other", "other", "404"]), 1);
}

#[test]
fn startup_is_over_once_every_part_has_worked_whatever_fails_then() {
    let health = Health::default();
    health.awaits("clickhouse");
    let api =
        router(ApiState { health: health.clone(), ..state(Vec::new()) }, &ApiConfig::default());
    let answer = get(&api, "/startupz");
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body["failing"][0]["part"], "clickhouse");
    health.works("clickhouse");
    health.fails("clickhouse", "gone");
    assert_eq!(get(&api, "/startupz").status, StatusCode::OK);
    assert_eq!(get(&api, "/readyz").status, StatusCode::SERVICE_UNAVAILABLE);
    let ready = get(&api, "/metrics").body.as_str().unwrap().contains("\ntrailhouse_ready 0\n");
    assert!(ready);
}
