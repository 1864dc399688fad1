//! PACE's contract over a log in memory.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::access::{Caller, Role};
use crate::api::tests::fixture::{ask_as, send, state, with_log, writer};
use crate::api::tests::log::Log;
use crate::api::{ApiConfig, router};

const RECORD: &str = "/user/2024-2/auditlogs/record";

#[test]
fn an_action_is_taken_with_the_token_s_tenant_and_actor_byte_for_byte() {
    let log = Log::of(Vec::new());
    let api = router(with_log(log.clone()), &ApiConfig::default());
    let body = r#"{ "service": "pay", "actionName": "list_transactions", "tenant": "other",
        "resource": {"identifier": "x", "resourceType": "card"}, "actionData": {"n": 1.50},
        "actionDate": "2024-05-04T09:42:00+00:00" }"#;
    for body in [body, "{}"] {
        let answer = ask_as(&api, &writer("acme"), "POST", &format!("{RECORD}?unknown=1"), body);
        assert_eq!(answer.status.as_u16(), 204, "{}", answer.body);
        assert_eq!(answer.body, "");
    }
    let records = log.records.lock().unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].payload, body.as_bytes());
    for (name, value) in [("tenant", "acme"), ("actor-id", "usr-7"), ("written-by", "key-1")] {
        assert!(records[0].headers.contains(&(name.into(), value.into())), "{name}");
    }
}

#[test]
fn what_is_refused_is_a_json_api_error() {
    let api = router(state(Vec::new()), &ApiConfig::default());
    let reader = Caller { role: Role::Reader, ..writer("acme") };
    let unlinked = Caller { actor: None, ..writer("acme") };
    let several = Caller { tenants: ["a".into(), "b".into()].into(), ..writer("acme") };
    let ann = writer("acme");
    for (caller, method, path, body, status, code, source) in [
        (&ann, "POST", RECORD, "[]", 400, "1000", json!({ "pointer": "" })),
        (&ann, "POST", RECORD, "{", 400, "1000", json!({ "pointer": "" })),
        (&ann, "POST", RECORD, r#"{"service":1}"#, 400, "1000", json!({ "pointer": "/service" })),
        (
            &ann,
            "POST",
            RECORD,
            r#"{"resource":{"identifier":[]}}"#,
            400,
            "1000",
            json!({ "pointer": "/resource/identifier" }),
        ),
        (
            &ann,
            "POST",
            RECORD,
            r#"{"actionDate":"2024-05-04"}"#,
            400,
            "1000",
            json!({ "pointer": "/actionDate" }),
        ),
        (
            &ann,
            "POST",
            RECORD,
            r#"{"service":"a","service":"b"}"#,
            400,
            "1000",
            json!({ "pointer": "" }),
        ),
        (&unlinked, "POST", RECORD, "{}", 401, "missing-linked-identity", json!({})),
        (&reader, "POST", RECORD, "{}", 403, "1000", json!({})),
        (&several, "POST", RECORD, "{}", 403, "1000", json!({})),
        (&ann, "GET", RECORD, "", 405, "1000", json!({})),
        (&ann, "POST", "/user/2024-2/other", "{}", 404, "1000", json!({})),
    ] {
        let answer = ask_as(&api, caller, method, path, body);
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {body}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/vnd.api+json", "{body}");
        let error = &answer.body["errors"][0];
        assert_eq!(error["status"], status.to_string(), "{body}");
        assert_eq!((&error["code"], &error["source"]), (&json!(code), &source), "{body}");
        for name in ["id", "title", "detail"] {
            assert!(error[name].is_string(), "{body}: {name}");
        }
    }
}

#[test]
fn a_body_that_says_it_is_no_json_or_is_too_long_is_refused() {
    let api = router(state(Vec::new()), &ApiConfig::default());
    let ask = |kind: &str, body: String| {
        let request = Request::builder().method("POST").uri(RECORD).extension(writer("acme"));
        send(&api, request.header("content-type", kind).body(Body::from(body)).unwrap())
    };
    for (kind, status) in [
        ("application/vnd.api+json", 204),
        ("application/json; charset=utf-8", 204),
        ("text/plain", 415),
        ("application/jsonx", 415),
    ] {
        assert_eq!(ask(kind, "{}".into()).status.as_u16(), status, "{kind}");
    }
    let long = format!(r#"{{"service":"{}"}}"#, "a".repeat(2 << 20));
    let answer = ask("application/json", long);
    assert_eq!(answer.status.as_u16(), 413);
    assert_eq!(answer.body["errors"][0]["status"], "413");
}
