//! The API as its callers see it, over the naive reader, with the clock stopped.

mod access;
mod bounds;
mod contracts;
mod counted;
mod document;
pub mod fixture;
mod known;
pub mod log;
mod onward;
mod questions;
mod store;
mod submit;
mod tail;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::http::StatusCode;
use uuid::Uuid;

use self::fixture::{api, ask, event, get, ids_of, state};
use self::store::Broken;
use super::{ApiConfig, ApiState, router};
use crate::event::{Micros, Outcome, StoredActor, StoredEvent, StoredTarget, Verb};
use crate::telemetry::Health;

/// 2026-01-31T12:00:00Z
const NOW: Micros = 1_769_860_800_000_000;
const HOUR: Micros = 3_600_000_000;

#[test]
fn a_wrong_parameter_is_named_with_what_it_allows() {
    let api = api(Vec::new());
    for (query, parameter, detail, allowed) in [
        ("actorid=x", "actorid", "the nearest is actor.id", "actor.id"),
        ("tenants=x", "tenants", "the nearest is tenant", "tenant"),
        ("Limit=1", "Limit", "the nearest is limit", "limit"),
        ("verb=made", "verb", "one of create, read", "create"),
        ("verb=Create", "verb", "one of create, read", "create"),
        ("outcome=ok", "outcome", "one of success", "failure"),
        ("limit=0", "limit", "a number from 1 to 1000", "a number from 1 to 1000"),
        ("limit=1001", "limit", "a number from 1 to 1000", "a number from 1 to 1000"),
        ("limit=-1", "limit", "a number from 1 to 1000", "a number from 1 to 1000"),
        ("limit=ten", "limit", "a number from 1 to 1000", "a number from 1 to 1000"),
        ("from=yesterday", "from", "which is no time", "now"),
        ("to=2026-01-31", "to", "which is no time", "now"),
        ("from=2026-01-01T00:00:00+02:00", "from", "%2B", "now"),
        ("action=a&action=b", "action", "more than once", "one value"),
        ("action=", "action", "empty", "a value"),
        ("tenant=", "tenant", "empty", "a value"),
        ("tenant=a,,b", "tenant", "empty entry", "NAME or NAME,NAME"),
        ("client_ip=host", "client_ip", "an IP address or a network", "2001:db8::/32"),
        ("client_ip=10.0.0.0/33", "client_ip", "an IP address or a network", "203.0.113.7"),
        ("origin=x", "origin", "one of user", "api"),
        ("order=id", "order", "one of -occurred_at", "received_at"),
        ("fields=id,actor.nam", "fields", "the nearest is actor.name", "attributes.NAME"),
        ("q=actor.id:a%20actorid:b", "q", "column 12: there is no field", "actor.id"),
        (
            "cursor=zzz",
            "cursor",
            "malformed",
            "next_cursor of a page, with the parameters of that page",
        ),
    ] {
        let answer = get(&api, &format!("/v1/events?{query}"));
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{query}");
        let problem = &answer.body;
        assert_eq!(problem["parameter"], parameter, "{query}");
        assert_eq!(problem["status"], 400, "{query}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{query}: {problem}");
        let offered = problem["allowed"].as_array().unwrap();
        assert!(offered.contains(&allowed.into()), "{query}: {problem}");
    }
}

#[test]
fn every_error_is_a_problem_with_a_request_id() {
    let api = api(Vec::new());
    let unknown = Uuid::from_u128(1);
    for (method, path, status, detail) in [
        ("GET", "/v2/events".into(), 404, "nothing at /v2/events"),
        ("GET", format!("/v1/events/{unknown}"), 404, "no event"),
        ("GET", "/v1/events/7".into(), 400, "no event's id"),
        ("GET", "/v1/events/%FF".into(), 400, "refused"),
        ("GET", "/v1/events?action=%FF".into(), 400, "refused"),
        ("GET", format!("/v1/events/{unknown}?x=1"), 400, "the nearest is tenant"),
        ("PUT", "/v1/events".into(), 405, "GET"),
    ] {
        let answer = ask(&api, method, &path);
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{method} {path}");
        assert!(!answer.headers["x-request-id"].is_empty(), "{method} {path}");
        assert_eq!(answer.body["status"], status, "{method} {path}");
        for field in ["type", "title", "detail"] {
            assert!(answer.body[field].is_string(), "{method} {path}: no {field}");
        }
        let said = answer.body["detail"].as_str().unwrap();
        assert!(said.contains(detail), "{method} {path}: {said}");
    }
    let allowed = ask(&api, "PUT", "/v1/events");
    assert_eq!(allowed.headers["allow"], "GET,HEAD,POST");
}

#[test]
fn a_filter_narrows_the_answer() {
    let acme = StoredEvent {
        action: "order.place".into(),
        verb: Verb::Create,
        outcome: Outcome::Failure,
        actor: StoredActor { id: "ann".into(), ..StoredActor::default() },
        targets: vec![StoredTarget { id: "7".into(), kind: "order".into(), name: "".into() }],
        client_ip: Some("::ffff:192.0.2.1".parse().unwrap()),
        ..event(1, NOW - HOUR)
    };
    let beta = StoredEvent { tenant: "beta".into(), schema: "x".into(), ..event(2, NOW - HOUR) };
    let old = event(3, NOW - 25 * HOUR);
    let api = api(vec![acme, beta, old]);
    for (query, ids) in [
        ("", vec![2, 1]),
        ("tenant=acme", vec![1]),
        ("tenant=acme,beta", vec![2, 1]),
        ("tenant=beta&tenant=acme", vec![2, 1]),
        ("tenant=none", vec![]),
        ("from=-2d", vec![2, 1, 3]),
        ("to=-24h", vec![3]),
        ("from=2026-01-30T10:00:00Z&to=2026-01-30T13:00:00%2B01:00", vec![3]),
        ("actor.id=ann", vec![1]),
        ("action=order.place", vec![1]),
        ("verb=create", vec![1]),
        ("target.id=7", vec![1]),
        ("target.type=order", vec![1]),
        ("outcome=failure", vec![1]),
        ("outcome=failure&tenant=beta", vec![]),
        ("schema=x", vec![2]),
        ("client_ip=192.0.2.1", vec![1]),
        ("client_ip=%3A%3Affff%3A192.0.2.1", vec![1]),
        ("limit=1", vec![2]),
    ] {
        let answer = get(&api, &format!("/v1/events?{query}"));
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.body);
        assert_eq!(ids_of(&answer.body), ids, "{query}");
    }
}

#[test]
fn the_answer_says_which_window_it_used() {
    let api = api(vec![event(1, NOW - HOUR)]);
    let window = &get(&api, "/v1/events").body["window"];
    assert_eq!(window["from"], "2026-01-30T12:00:00.000000Z");
    assert_eq!(window["to"], "2026-01-31T12:00:00.000000Z");
    let window = &get(&api, "/v1/events?to=-24h").body["window"];
    assert_eq!(window["from"], "2026-01-29T12:00:00.000000Z");
}

#[test]
fn walking_the_pages_meets_every_event_once_and_counts_its_repeats() {
    let mut events = Vec::new();
    for number in 0..23_u128 {
        // Many share a moment, and every fifth comes three times.
        let event = event(number, NOW - HOUR - i64::try_from(number / 7).unwrap());
        let times = if number % 5 == 0 { 3 } else { 1 };
        events.extend(std::iter::repeat_n(event, times));
    }
    let api = api(events);
    for limit in [1, 2, 5, 22, 23, 24] {
        let mut path = format!("/v1/events?limit={limit}&tenant=acme");
        let (mut seen, mut records) = (Vec::new(), 0);
        loop {
            let answer = get(&api, &path);
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
            seen.extend(ids_of(&answer.body));
            for event in answer.body["events"].as_array().unwrap() {
                records += event["repeats"].as_u64().unwrap_or(1);
                assert!(event.get("raw").is_none(), "a page has no raw");
            }
            let Some(link) = answer.headers.get("link") else {
                assert!(answer.body["next_cursor"].is_null());
                break;
            };
            let cursor = answer.body["next_cursor"].as_str().unwrap();
            let link = link.to_str().unwrap();
            assert!(link.contains(cursor) && link.ends_with("; rel=\"next\""), "{link}");
            path = link[1..link.find('>').unwrap()].to_owned();
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..23).collect::<Vec<_>>(), "limit {limit}");
        assert_eq!(records, 23 + 2 * 5, "limit {limit}");
    }
}

#[test]
fn a_relative_window_stays_still_between_pages() {
    static CLOCK: AtomicI64 = AtomicI64::new(NOW);
    let events = (1..5).map(|number| event(number, NOW - number as i64 * HOUR)).collect();
    let state = ApiState { now: || CLOCK.load(Ordering::SeqCst), ..state(events) };
    let api = router(state, &ApiConfig::default());

    let first = get(&api, "/v1/events?from=-4h&limit=1&action=test");
    let cursor = first.body["next_cursor"].as_str().unwrap();
    CLOCK.store(NOW + 48 * HOUR, Ordering::SeqCst);
    for repeated in ["", "&from=-4h", "&from=2026-01-31T08:00:00Z", "&from=-240m&to=now"] {
        let path = format!("/v1/events?limit=9&action=test{repeated}&cursor={cursor}");
        let next = get(&api, &path);
        assert_eq!(next.status, StatusCode::OK, "{repeated}: {}", next.body);
        assert_eq!(next.body["window"], first.body["window"], "{repeated}");
        assert_eq!(ids_of(&next.body), [2, 3, 4], "{repeated}");
    }
    for (other, parameter) in [
        ("action=test&from=-5h", "from"),
        ("action=test&to=-1h", "to"),
        ("action=other", "cursor"),
        ("action=test&tenant=acme", "cursor"),
        ("", "cursor"),
    ] {
        let answer = get(&api, &format!("/v1/events?{other}&cursor={cursor}"));
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{other}");
        assert_eq!(answer.body["parameter"], parameter, "{other}");
        assert!(answer.body["detail"].as_str().unwrap().contains("another question"), "{other}");
    }
}

#[test]
fn one_event_comes_with_its_raw_bytes_and_only_from_its_tenant() {
    let api = api(vec![event(7, NOW - 1_000 * HOUR)]);
    let id = Uuid::from_u128(7);
    let found = get(&api, &format!("/v1/events/{id}"));
    assert_eq!(found.body["raw"], "{\"n\":7}");
    assert_eq!(get(&api, &format!("/v1/events/{id}?tenant=acme")).status, StatusCode::OK);
    let hidden = get(&api, &format!("/v1/events/{id}?tenant=beta"));
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
}

#[test]
fn a_receipt_is_for_who_may_see_every_row_and_the_quarantine_is_asked_strictly() {
    let api = api(vec![event(7, NOW - HOUR)]);
    let receipt = get(&api, "/v1/receipts/audit/0/7?tenant=acme");
    assert_eq!(receipt.status, StatusCode::OK, "{}", receipt.body);
    assert_eq!(receipt.body["events"][0]["tenant"], "acme");
    let empty = get(&api, "/v1/receipts/audit/0/8?tenant=acme");
    assert_eq!(empty.status, StatusCode::NOT_FOUND, "nobody's rows are nobody's own");
    assert_eq!(get(&api, "/v1/receipts/audit/0/8").status, StatusCode::OK);
    let beyond = get(&api, "/v1/receipts/audit/99999999999/8");
    assert_eq!(beyond.status, StatusCode::NOT_FOUND);
    let said = beyond.body["detail"].as_str().unwrap();
    assert!(said.contains("audit 99999999999 8"), "as it was asked: {said}");
    for (path, parameter) in [
        ("/v1/receipts/audit/x/7", "partition"),
        ("/v1/receipts/audit/0/-1", "offset"),
        ("/v1/quarantine?limit=0", "limit"),
        ("/v1/quarantine?since=yesterday", "since"),
        ("/v1/quarantine?topics=a", "topics"),
    ] {
        let answer = get(&api, path);
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer.body["parameter"], parameter, "{path}");
    }
    let rows = get(&api, "/v1/quarantine?topic=audit&since=-1d&limit=5").body;
    assert_eq!(rows["rows"].as_array().map(Vec::len), Some(1), "{rows}");
    assert_eq!(get(&api, "/v1/quarantine?topic=other").body["rows"], serde_json::json!([]));
}

#[test]
fn not_ready_names_the_failing_part() {
    let well = api(Vec::new());
    assert_eq!(get(&well, "/readyz").status, StatusCode::OK);

    let health = Health::default();
    health.fails("consumer", "partition audit/3 is paused");
    health.fails("gateway", "no broker");
    health.works("gateway");
    let ill = ApiState { health, reader: Arc::new(Broken::Unavailable), ..state(Vec::new()) };
    let ill = router(ill, &ApiConfig::default());
    let answer = get(&ill, "/readyz");
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let failing = answer.body["failing"].to_string();
    assert!(failing.contains("\"consumer\"") && failing.contains("audit/3 is paused"), "{failing}");
    assert!(failing.contains("\"store\"") && !failing.contains("gateway"), "{failing}");
    assert_eq!(get(&ill, "/livez").status, StatusCode::OK);
}

#[test]
fn what_fails_inside_is_a_500_or_a_503_and_says_nothing_of_the_inside() {
    for (broken, status) in [
        (Broken::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        (Broken::Hangs, StatusCode::SERVICE_UNAVAILABLE),
        (Broken::Failed, StatusCode::INTERNAL_SERVER_ERROR),
        (Broken::Panics, StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let state = ApiState { reader: Arc::new(broken), ..state(Vec::new()) };
        let config = ApiConfig { request_timeout_ms: 50, ..ApiConfig::default() };
        let answer = get(&router(state, &config), "/v1/events");
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.headers.contains_key("retry-after"), status.as_u16() == 503);
        assert!(!answer.headers["x-request-id"].is_empty());
        assert!(!answer.body.to_string().contains("secret"), "{}", answer.body);
    }
}

#[test]
fn metrics_are_prometheus_text() {
    let state = state(Vec::new());
    let counter = prometheus::IntCounter::new("trailhouse_test_total", "a test").unwrap();
    state.metrics.registry.register(Box::new(counter)).unwrap();
    let answer = get(&router(state, &ApiConfig::default()), "/metrics");
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert!(answer.body.as_str().unwrap().contains("trailhouse_test_total 0"), "{}", answer.body);
}
