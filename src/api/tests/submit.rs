//! Writing natively, over a log in memory.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::fixture::{Answered, ask_as, get, send, with_log, writer};
use super::log::Log;
use crate::access::Caller;
use crate::api::{ApiConfig, ApiState, Normalisers, Submissions, router};
use crate::config::Config;
use crate::gateway::Recorder;
use crate::schema::SkipConfig;

const ONE: &str = r#"{"service":"pay","actionName":"list_cards"}"#;

fn write(api: &Router, caller: &Caller, query: &str, key: &str, body: &str) -> Answered {
    let request = Request::builder()
        .method("POST")
        .uri(format!("/v1/events?{query}"))
        .extension(caller.clone())
        .header("content-type", "application/json");
    let request = if key.is_empty() { request } else { request.header("idempotency-key", key) };
    send(api, request.body(Body::from(body.to_owned())).unwrap())
}

#[test]
fn one_an_array_or_a_cloud_event_is_one_record_with_a_receipt() {
    let log = Log::of(Vec::new());
    let api = router(with_log(log.clone()), &ApiConfig::default());
    let caller = Caller::anyone();
    let array = format!("[{ONE},{ONE}]");
    let cloud =
        format!(r#"{{"specversion":"1.0","id":"1","type":"t","source":"/s","data":{ONE}}}"#);
    for (offset, body) in [ONE, &array, &cloud].into_iter().enumerate() {
        let answer = write(&api, &caller, "schema=pace&tenant=acme", "", body);
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
        let place = json!({ "topic": "audit.pace", "partition": 0, "offset": offset });
        assert_eq!(answer.body, json!({ "receipts": [place] }));
    }
    // They happen now, and a window ends before now.
    let path = "/v1/events?tenant=acme&to=2026-02-01T00:00:00Z";
    assert_eq!(get(&api, path).body["events"].as_array().unwrap().len(), 4);
    assert_eq!(log.records.lock().unwrap()[1].payload, array.as_bytes());
}

#[test]
fn a_write_that_a_rule_leaves_out_is_taken_and_answered_with_the_rules_name() {
    let log = Log::of(Vec::new());
    let rule = SkipConfig {
        name: "no-lists".to_owned(),
        verbs: vec!["read".to_owned()],
        ..SkipConfig::default()
    };
    let mut loaded = Config::load(None).unwrap();
    loaded.config.skip = vec![rule];
    let of_topic = loaded.normalisers();
    let skipping: Normalisers = Arc::new(move |topic| Some(of_topic(topic)));
    let recorder: Arc<dyn Recorder> = log.clone();
    let topics = [("pace".to_owned(), "audit.pace".to_owned())];
    let submissions = Arc::new(Submissions::new(topics, &recorder, &skipping));
    let api = router(ApiState { submissions, ..with_log(log.clone()) }, &ApiConfig::default());
    let paid = r#"{"service":"pay","actionName":"create_payment"}"#;
    for (body, skipped) in [
        (ONE.to_owned(), json!([{ "index": 0, "rule": "no-lists" }])),
        (format!("[{paid},{ONE}]"), json!([{ "index": 1, "rule": "no-lists" }])),
        (paid.to_owned(), json!(null)),
    ] {
        let query = "schema=pace&tenant=acme";
        let answer = write(&api, &Caller::anyone(), query, "", &body);
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
        assert_eq!(answer.body["receipts"][0]["skipped"], skipped, "{body}");
    }
    assert_eq!(log.records.lock().unwrap().len(), 3, "all of it goes onto Kafka");
}

#[test]
fn a_key_writes_once_and_belongs_to_one_request() {
    let log = Log::of(Vec::new());
    let api = router(with_log(log.clone()), &ApiConfig::default());
    let caller = Caller::anyone();
    let query = "schema=pace&tenant=acme";
    let first = write(&api, &caller, query, "k-1", ONE);
    assert_eq!(write(&api, &caller, query, "k-1", ONE).body, first.body);
    assert_eq!(log.records.lock().unwrap().len(), 1);
    let other = write(&api, &caller, query, "k-1", &format!("[{ONE}]"));
    assert_eq!(other.status.as_u16(), 400, "{}", other.body);
    assert!(other.body["detail"].as_str().unwrap().contains("given before"), "{}", other.body);
    assert_ne!(write(&api, &caller, query, "k-2", ONE).body, first.body);
    assert_eq!(log.records.lock().unwrap().len(), 2);
}

#[test]
fn a_request_that_is_refused_leaves_its_key_free() {
    let log = Log::of(Vec::new());
    let api = router(with_log(log.clone()), &ApiConfig::default());
    let (caller, query) = (Caller::anyone(), "schema=pace&tenant=acme");
    for broken in ["{}", "{"] {
        assert_eq!(write(&api, &caller, query, "k-1", broken).status.as_u16(), 400);
    }
    let mended = write(&api, &caller, query, "k-1", ONE);
    assert_eq!(mended.status.as_u16(), 202, "{}", mended.body);
    assert_eq!(write(&api, &caller, query, "k-1", ONE).body, mended.body);
    assert_eq!(log.records.lock().unwrap().len(), 1);
}

#[test]
fn what_is_wrong_with_a_write_is_a_problem() {
    let api = router(with_log(Log::of(Vec::new())), &ApiConfig::default());
    let caller = Caller::anyone();
    for (query, body, status, detail) in [
        ("tenant=acme", ONE, 400, "cockpit, pace"),
        ("schema=okta_system&tenant=acme", ONE, 400, "cockpit, pace"),
        ("schema=pace&tenant=acme&tenant=beta", ONE, 400, "one tenant"),
        ("schema=pace&tenant=acme&colour=red", ONE, 400, "the nearest is"),
        ("schema=pace&tenant=acme", "{", 400, "JSON"),
        ("schema=pace&tenant=acme", "{}", 400, "action is required"),
        ("schema=pace", ONE, 400, "tenant"),
    ] {
        let answer = write(&api, &caller, query, "", body);
        assert_eq!(answer.status.as_u16(), status, "{query} {body}: {}", answer.body);
        let said = answer.body["detail"].as_str().unwrap();
        assert!(said.contains(detail), "{query} {body}: {said}");
    }
    let unread = ApiState { normalisers: Arc::new(|_| None), ..with_log(Log::of(Vec::new())) };
    let unread = router(unread, &ApiConfig::default());
    for path in ["/user/2024-2/auditlogs/record", "/public/v1/audit/records"] {
        let answer = ask_as(&unread, &writer("acme"), "POST", path, "{}");
        assert_eq!(answer.status.as_u16(), 503, "{path}: {}", answer.body);
    }
    let down = router(with_log(Log::down()), &ApiConfig::default());
    let answer = write(&down, &caller, "schema=pace&tenant=acme", "", ONE);
    assert_eq!(answer.status.as_u16(), 503);
    assert!(!answer.body.to_string().contains("secret"));
}
