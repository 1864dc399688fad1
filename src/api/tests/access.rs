//! Who may not: every native route, asked by those who may not ask it.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::NOW;
use super::fixture::{Answered, event, send, state, with_log};
use super::log::Log;
use crate::access::{Role, Tenants};
use crate::api::auth::tests::fixture::{SECRET, Store, but, claims, hs256, text};
use crate::api::{
    ApiConfig, ApiState, AuthConfig, Authenticator, LimitsConfig, ROUTES, Who, router,
};
use crate::event::StoredEvent;
use crate::query::CursorKey;

/// How each route is asked for what is acme's, and what one gets who is not of acme.
const ROWS: &[(&str, &str, &str, u16)] = &[
    ("GET", "/v1/events", "/v1/events?from=-1d", 200),
    ("POST", "/v1/events", "/v1/events?schema=pace&tenant=acme", 403),
    ("GET", "/v1/events/{id}", "/v1/events/00000000-0000-0000-0000-000000000007", 404),
    (
        "GET",
        "/v1/events/{id}/related",
        "/v1/events/00000000-0000-0000-0000-000000000007/related",
        404,
    ),
    ("GET", "/v1/events/count", "/v1/events/count?action=only-acme-may-read-this", 200),
    ("GET", "/v1/events/histogram", "/v1/events/histogram?action=only-acme-may-read-this", 200),
    ("GET", "/v1/events/facets", "/v1/events/facets?field=action", 200),
    ("GET", "/v1/events/export", "/v1/events/export?q=action:*", 200),
    ("GET", "/v1/events/feed", "/v1/events/feed?limit=10", 200),
    ("GET", "/v1/events/tail", "/v1/events/tail?cursor=BEGIN", 200),
    ("POST", "/v1/events/tail/ticket", "/v1/events/tail/ticket", 201),
    ("GET", "/v1/schemas", "/v1/schemas", 200),
    ("GET", "/v1/me", "/v1/me", 200),
    ("GET", "/openapi.json", "/openapi.json", 200),
    ("GET", "/docs", "/docs", 200),
    ("GET", "/docs/{file}", "/docs/start.js", 200),
    ("GET", "/v1/receipts/{topic}/{partition}/{offset}", "/v1/receipts/audit/0/7", 404),
    ("GET", "/v1/quarantine", "/v1/quarantine", 403),
    ("GET", "/livez", "/livez", 200),
    ("GET", "/readyz", "/readyz", 200),
    ("GET", "/startupz", "/startupz", 200),
    ("GET", "/metrics", "/metrics", 200),
];

/// Routes that answer with numbers, by which acme's is told from another's.
const COUNTING: &[&str] = &["/v1/events/count", "/v1/events/histogram"];

/// Routes that answer nothing of any tenant, or of the caller's own alone.
const OF_NO_TENANT: &[&str] = &["/v1/schemas", "/v1/me", "/v1/events/tail/ticket"];

/// The route that answers what is around an event, and nothing where that stands alone.
const AROUND: &str = "/v1/events/{id}/related";

/// A word that stands in acme's events alone.
pub(super) const ACME: &str = "only-acme-may-read-this";

#[test]
fn every_route_refuses_who_may_not_ask_it() {
    let api = guarded(Store::default());
    let mut table = format!("{:<36} no token  expired  wrong role  other tenant\n", "route");
    for route in ROUTES {
        let name = format!("{} {}", route.method, route.path);
        let row = ROWS.iter().find(|row| (row.0, row.1) == (route.method.as_str(), route.path));
        let (method, _, address, stranger) =
            row.unwrap_or_else(|| panic!("{name} has no row here"));
        let ask = |token: Option<String>, address: &str| ask(&api, method, address, token);
        let Who::Caller(least) = route.who else {
            let answer = ask(None, address);
            assert_eq!(answer.status.as_u16(), *stranger, "{name}: {}", answer.body);
            assert!(!answer.body.to_string().contains(ACME), "{name}");
            table.push_str(&format!(
                "{name:<36} {:<9} -        -           -\n",
                answer.status.as_u16()
            ));
            continue;
        };
        let of = |role: Role, tenant: &str| {
            let mut claims = but("role", json!(role.as_str()));
            claims["tenants"] = json!([tenant]);
            Some(token(&claims))
        };
        let own = ask(of(least, "acme"), address);
        assert!(own.status.is_success(), "{name}: {} {}", own.status, own.body);
        // What is written is not answered again.
        let is_wordless = COUNTING.contains(&route.path)
            || OF_NO_TENANT.contains(&route.path)
            || route.path == AROUND
            || route.method == Method::POST;
        let shows = own.body.to_string().contains(ACME);
        assert!(shows || is_wordless, "{name}: no event to be hidden");

        let mut limited = but("role", json!(least.as_str()));
        limited["tenants"] = json!(["acme"]);
        limited["resellers"] = json!(["r1"]);
        let limited = ask(Some(token(&limited)), address);
        assert_eq!(limited.status, StatusCode::FORBIDDEN, "{name}: {}", limited.body);

        let unknown = ask(None, address);
        assert_eq!(unknown.status, StatusCode::UNAUTHORIZED, "{name}");
        assert!(unknown.headers.contains_key("www-authenticate"), "{name}");
        let past = chrono::Utc::now().timestamp() - 3600;
        let expired = ask(Some(token(&but("exp", json!(past)))), address);
        assert_eq!(expired.status, StatusCode::UNAUTHORIZED, "{name}");

        let lower = Role::ALL.into_iter().rfind(|role| *role < least);
        let lower = lower.map(|role| ask(of(role, "acme"), address));
        let forbidden = lower.as_ref().map_or("-".to_owned(), |answer| {
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
            answer.status.as_u16().to_string()
        });
        let sign = if address.contains('?') { '&' } else { '?' };
        let mut addresses = vec![address.to_string()];
        if !OF_NO_TENANT.contains(&route.path) {
            addresses.push(format!("{address}{sign}tenant=acme"));
        }
        for address in addresses {
            // An auditor has all tenants: a route for auditors has no stranger.
            if least < Role::Auditor {
                let other = ask(of(least, "beta"), &address);
                assert_eq!(other.status.as_u16(), *stranger, "{name}: {}", other.body);
                assert!(!other.body.to_string().contains(ACME), "{name}: {}", other.body);
                assert!(!COUNTING.contains(&route.path) || other.body != own.body, "{name}");
            }
        }
        for refused in [&unknown, &expired].into_iter().chain(&lower) {
            assert_eq!(refused.headers["content-type"], "application/problem+json", "{name}");
            assert!(!refused.body.to_string().contains(ACME), "{name}");
        }
        table.push_str(&format!(
            "{name:<36} {:<9} {:<8} {forbidden:<11} {stranger}\n",
            unknown.status.as_u16(),
            expired.status.as_u16(),
        ));
    }
    for row in ROWS {
        let is_there =
            |route: &crate::api::Route| (route.method.as_str(), route.path) == (row.0, row.1);
        assert!(ROUTES.iter().any(is_there), "{} {} is no route any more", row.0, row.1);
    }
    println!("{table}");
}

#[test]
fn a_tenant_of_one_s_own_is_what_is_meant_by_none() {
    let api = guarded(Store::default());
    let mut two = claims();
    two["tenants"] = json!(["acme", "beta"]);
    let ids = |claims: &Value, address: &str| {
        let answer = ask(&api, "GET", address, Some(token(claims)));
        super::fixture::ids_of(&answer.body)
    };
    assert_eq!(ids(&two, "/v1/events"), [8, 7]);
    two["tenant"] = json!("beta");
    assert_eq!(ids(&two, "/v1/events"), [8]);
    assert_eq!(ids(&two, "/v1/events?tenant=acme,gamma"), [7]);
    assert_eq!(ids(&but("tenants", Value::Null), "/v1/events"), [0_u128; 0]);
    assert_eq!(ids(&but("role", json!("auditor")), "/v1/events"), [9, 8, 7]);
}

#[test]
fn a_page_of_an_allowed_origin_may_ask_and_another_may_not() {
    let mut config = ApiConfig::default();
    config.cors.origins = vec!["https://console.example".into()];
    let api = router(state(Vec::new()), &config);
    let preflight = |origin: &str| {
        let request = Request::builder()
            .method("OPTIONS")
            .uri("/v1/events")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization");
        send(&api, request.body(Body::empty()).unwrap()).headers
    };
    let allowed = preflight("https://console.example");
    assert_eq!(allowed["access-control-allow-origin"], "https://console.example");
    let headers = allowed["access-control-allow-headers"].to_str().unwrap();
    for name in ["authorization", "idempotency-key", "last-event-id", "x-tenant"] {
        assert!(headers.contains(name), "{name}: {headers}");
    }
    let request = Request::builder().uri("/v1/events/export");
    let request = request.header("origin", "https://console.example").body(Body::empty());
    let exposed = send(&api, request.unwrap()).headers;
    let exposed = exposed["access-control-expose-headers"].to_str().unwrap().to_owned();
    assert!(exposed.contains("x-trailhouse-window") && exposed.contains("link"), "{exposed}");
    let evil = preflight("https://console.example.evil.example");
    assert!(!evil.contains_key("access-control-allow-origin"));
    let shut = router(state(Vec::new()), &ApiConfig::default());
    let request = Request::builder().uri("/livez").header("origin", "https://a.example");
    let answer = send(&shut, request.body(Body::empty()).unwrap());
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}

#[test]
fn without_authentication_a_page_of_another_site_neither_writes_nor_reads() {
    let own = [("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")];
    let foreign = [("host", "127.0.0.1:8080"), ("origin", "https://evil.example")];
    let rebound = [("host", "evil.example:8080"), ("origin", "http://evil.example:8080")];
    let send = |api: &Router, method: &str, path: &str, headers: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // A blob: no content type, so a browser asks nobody before it sends.
        let body = r#"{"service":"a","actionName":"b"}"#;
        send(api, request.body(Body::from(body)).unwrap())
    };
    let log = Log::of(Vec::new());
    let api = router(with_log(log.clone()), &ApiConfig::default());
    let pace = "/user/2024-2/auditlogs/record";
    for (method, path) in [
        ("POST", "/v1/events?schema=pace&tenant=acme"),
        ("POST", pace),
        ("GET", "/v1/events"),
        ("GET", "/v1/AuditLogs"),
        ("GET", "/metrics"),
    ] {
        for headers in [&foreign, &rebound] {
            let answer = send(&api, method, path, headers);
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}: {}", answer.body);
        }
    }
    assert!(log.records.lock().unwrap().is_empty());
    let refused = send(&api, "POST", pace, &foreign);
    assert_eq!(refused.body["errors"][0]["status"], "403", "in the contract's words");
    let written = send(&api, "POST", "/v1/events?schema=pace&tenant=acme", &own);
    assert_eq!(written.status, StatusCode::ACCEPTED, "{}", written.body);
    // Who needs a credential is not asked by whom.
    let me = Request::builder().uri("/v1/me").header("host", "audit.example");
    let me = me.header("authorization", format!("Bearer {}", token(&claims())));
    let guarded = super::fixture::send(&guarded(Store::default()), me.body(Body::empty()).unwrap());
    assert_eq!(guarded.status, StatusCode::OK, "{}", guarded.body);
}

#[test]
fn a_body_that_is_too_long_or_too_slow_is_refused() {
    let mut config = ApiConfig::default();
    config.limits = LimitsConfig { body_bytes: 10, body_timeout_ms: 20, ..config.limits };
    let api = router(state(Vec::new()), &config);
    let post = |body: Body| send(&api, Request::builder().uri("/v1/events").body(body).unwrap());
    assert_eq!(post(Body::from("0123456789")).status, StatusCode::OK);
    let long = post(Body::from("0123456789a"));
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(long.body["detail"].as_str().unwrap().contains("10 bytes"), "{}", long.body);
    let slow = post(Body::new(Never));
    assert_eq!(slow.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(slow.headers["content-type"], "application/problem+json");
}

/// A body that never comes.
struct Never;

impl axum::body::HttpBody for Never {
    type Data = axum::body::Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// The API over an event of each of three tenants, whose callers must be known.
pub(super) fn guarded(store: Store) -> Router {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("jwks.json");
    std::fs::write(&set, json!({"keys": [{"kty": "oct", "k": text(SECRET)}]}).to_string()).unwrap();
    let config = AuthConfig {
        mode: "token".into(),
        jwks_file: Some(set),
        issuer: "https://id.example".into(),
        audience: "trailhouse".into(),
        ..AuthConfig::default()
    };
    let limits = LimitsConfig { requests_per_second: 0, ..LimitsConfig::default() };
    let opened = Authenticator::open(&config, &limits, Tenants::default(), Arc::new(store), || NOW);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let authenticator = runtime.block_on(opened).unwrap();
    let of = |tenant: &str, number| StoredEvent { tenant: tenant.into(), ..event(number, NOW - 1) };
    let acme = StoredEvent { action: ACME.into(), ..of("acme", 7) };
    let state = ApiState { authenticator, ..state(vec![acme, of("beta", 8), of("gamma", 9)]) };
    // So that a tail tells what there is, and ends.
    state.tails.close();
    router(state, &ApiConfig::default())
}

pub(super) fn token(claims: &Value) -> String {
    hs256(&json!({"alg": "HS256"}), claims, SECRET)
}

fn ask(api: &Router, method: &str, address: &str, token: Option<String>) -> Answered {
    // A tail from the first event on.
    let begin = crate::query::Positions::default().encode(&CursorKey::new([7; 32]).unwrap());
    let mut request = Request::builder().method(method).uri(address.replace("BEGIN", &begin));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = if method == "POST" { r#"{"service":"a","actionName":"b"}"# } else { "" };
    send(api, request.body(Body::from(body)).unwrap())
}
