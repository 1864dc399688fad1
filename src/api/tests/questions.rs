//! Questions of every kind, over the naive reader: `q`, order, fields, counts, exports.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::fixture::{api, by, event, get, ids_of, state};
use super::{HOUR, NOW};
use crate::api::{ApiConfig, ApiState, ReadAudit, fields, router};
use crate::event::{
    Micros, Outcome, StoredActor, StoredChanges, StoredEvent, StoredTarget, TimeSource, Verb,
};

const MINUTE: Micros = HOUR / 60;

/// An event with a value for everything.
fn full() -> StoredEvent {
    let json = |text: &str| serde_json::value::RawValue::from_string(text.into()).ok();
    let some = || "x".to_owned();
    let target = || StoredTarget { id: "7".into(), kind: "order".into(), name: "n".into() };
    let mut full = StoredEvent {
        source_id: some(),
        service: some(),
        reason: some(),
        actor: StoredActor {
            id: "ann".into(),
            kind: some(),
            name: some(),
            email: some(),
            account_id: some(),
            account_name: some(),
        },
        target: target(),
        targets: vec![target()],
        client_ip: Some("::ffff:192.0.2.1".parse().unwrap()),
        user_agent: some(),
        country: some(),
        region: some(),
        session_id: some(),
        request_id: some(),
        correlation_id: some(),
        message: some(),
        changes: StoredChanges { old: json("{\"n\": 1.50}"), new: json("null") },
        attributes: [("a.b".to_owned(), some()), ("c".to_owned(), some())].into(),
        written_by: some(),
        headers: [("tenant".to_owned(), some())].into(),
        time_source: TimeSource::Event,
        ..event(1, NOW - HOUR)
    };
    full.kafka.incarnation = some();
    full
}

#[test]
fn q_selects_beside_the_parameters_and_bounds_the_window() {
    let api = api(vec![
        by("ann", 1, NOW - HOUR),
        by("bob", 2, NOW - 2 * HOUR),
        StoredEvent { outcome: Outcome::Failure, ..by("ann", 3, NOW - 48 * HOUR) },
    ]);
    for (query, ids, from, to) in [
        ("q=actor.id:ann", vec![1], "2026-01-30T12:00:00.000000Z", "2026-01-31T12:00:00.000000Z"),
        ("q=-actor.id:ann&action=test", vec![2], "2026-01-30T12", "2026-01-31T12:00:00.000000Z"),
        ("q=occurred_at:>-3d", vec![1, 2, 3], "2026-01-28T12:00:00.000001Z", "2026-01-31T12"),
        ("q=occurred_at:2026-01-29", vec![3], "2026-01-29T00", "2026-01-30T00"),
        ("q=occurred_at:<-47h", vec![3], "2026-01-28T13", "2026-01-29T13"),
        ("q=outcome:failure&from=-7d", vec![3], "2026-01-24T12", "2026-01-31T12"),
        ("q=occurred_at:>-3d&from=-90m", vec![1], "2026-01-31T10:30", "2026-01-31T12"),
        ("q=occurred_at:>2027-01-01", vec![], "2027-01-02T00", "2027-01-02T00"),
        ("q=occurred_at:>-1h%20occurred_at:<-2h", vec![], "2026-01-31T11", "2026-01-31T11"),
        ("q=actor.id:(ann%20OR%20bob)%20-outcome:failure", vec![1, 2], "2026-01-30T12", "2026"),
        ("order=occurred_at&from=-7d", vec![3, 2, 1], "2026-01-24T12", "2026-01-31T12"),
        ("order=-received_at", vec![1, 2], "2026-01-30T12", "2026-01-31T12"),
        ("client_ip=10.0.0.0/8", vec![], "2026-01-30T12", "2026-01-31T12"),
        ("from=now&to=now", vec![], "2026-01-31T12", "2026-01-31T12"),
        ("from=-1h&to=-2h", vec![], "2026-01-31T11", "2026-01-31T11"),
        ("from=2027-01-01T00:00:00Z", vec![], "2027-01-01T00", "2027-01-01T00"),
    ] {
        let answer = get(&api, &format!("/v1/events?{query}"));
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.body);
        assert_eq!(ids_of(&answer.body), ids, "{query}");
        let window = &answer.body["window"];
        assert!(window["from"].as_str().unwrap().starts_with(from), "{query}: {window}");
        assert!(window["to"].as_str().unwrap().starts_with(to), "{query}: {window}");
    }
}

#[test]
fn a_tenant_is_asked_for_by_any_of_its_names() {
    let aliases = [("acme.example".to_owned(), "acme".to_owned())];
    let events = vec![event(1, NOW - HOUR)];
    let state = ApiState { tenants: aliases.into_iter().collect(), ..state(events) };
    let api = router(state, &ApiConfig::default());
    let id = Uuid::from_u128(1);
    for (path, found) in [
        ("/v1/events?", "/events/0/id"),
        ("/v1/events/count?", "/count"),
        ("/v1/events/facets?field=action&", "/values/0/count"),
        ("/v1/events/feed?", "/events/0/id"),
        (&format!("/v1/events/{id}?"), "/id"),
        (&format!("/v1/events/{id}/related?"), "/window"),
    ] {
        let [own, alias, other] = ["acme", "acme.example", "example"]
            .map(|name| get(&api, &format!("{path}tenant={name}")).body.pointer(found).cloned());
        assert!(own.is_some() && own == alias && own != other, "{path}: {own:?} {alias:?}");
    }
}

#[test]
fn every_field_of_the_language_is_a_parameter_too() {
    let api = api(vec![full(), event(2, NOW - HOUR)]);
    for name in crate::query::language::names() {
        if ["id", "tenant", "occurred_at", "received_at"].contains(&name) {
            continue;
        }
        let whole = serde_json::to_value(full()).unwrap();
        let value = match name.split_once('.') {
            Some((group, part)) => &whole[group][part],
            None => &whole[name],
        };
        let path = format!("/v1/events?{name}={}", value.as_str().unwrap());
        let answer = get(&api, &path);
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        assert!(ids_of(&answer.body).contains(&1), "{path}");
        let other = get(&api, &format!("/v1/events?q={name}:zzz"));
        let found_or_refused = other.status == 400 || ids_of(&other.body).is_empty();
        assert!(found_or_refused, "{name}: {}", other.body);
    }
}

#[test]
fn the_fields_of_an_event_are_those_that_may_be_kept() {
    let whole = serde_json::to_value(StoredEvent { raw: None, ..full() }).unwrap();
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys(&whole), fields::NAMES.map(str::to_owned).into());
    for (group, parts) in fields::PARTS {
        let parts: BTreeSet<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        assert!(parts.is_empty() || parts == keys(&whole[group]), "{group}");
    }

    let api = api(vec![full()]);
    for (asked, expected) in [
        ("id", json!({"id": whole["id"]})),
        (
            "action,kafka.offset",
            json!({"action": "test", "kafka": {"offset": whole["kafka"]["offset"]}}),
        ),
        ("actor.id,actor", json!({"actor": whole["actor"]})),
        ("attributes.a.b", json!({"attributes": {"a.b": "x"}})),
        ("attributes.zzz,verb", json!({"verb": "other"})),
    ] {
        let answer = get(&api, &format!("/v1/events?fields={asked}"));
        assert_eq!(answer.body["events"], json!([expected]), "{asked}");
    }
    let request = Request::get("/v1/events?fields=changes.old").body(Body::empty()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let text = runtime.block_on(async {
        let answer = api.oneshot(request).await.unwrap();
        to_bytes(answer.into_body(), usize::MAX).await.unwrap()
    });
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("{\"changes\":{\"old\":{\"n\": 1.50}}}"), "byte for byte: {text}");
}

#[test]
fn counts_are_of_records_under_the_very_same_filter() {
    let twice = by("ann", 1, NOW - HOUR);
    let read = StoredEvent { verb: Verb::Read, ..by("bob", 2, NOW - 10 * MINUTE) };
    let target = |kind: &str| StoredTarget { kind: kind.into(), ..StoredTarget::default() };
    let targets = StoredEvent {
        target: target("order"),
        targets: vec![target("order"), target("item")],
        ..by("ann", 3, NOW - HOUR)
    };
    let api = api(vec![twice.clone(), twice, read, targets]);
    let ask = |path: &str| {
        let answer = get(&api, path);
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    };
    assert_eq!(ask("/v1/events/count")["count"], 4);
    assert_eq!(ask("/v1/events/count?q=actor.id:ann")["count"], 3);
    assert_eq!(ask("/v1/events/count?actor.id=ann&to=-2h")["count"], 0);

    let drawn = ask("/v1/events/histogram?from=-90m&interval=15m");
    let buckets = drawn["buckets"].as_array().unwrap();
    let counts: Vec<u64> = buckets.iter().map(|b| b["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [0, 0, 3, 0, 0, 1]);
    assert_eq!(buckets[0]["from"], "2026-01-31T10:30:00.000000Z");
    assert_eq!(ask("/v1/events/histogram")["interval"], "15m", "24 hours in at most 120 bars");
    let week = ask("/v1/events/histogram?from=-70d");
    assert_eq!(week["interval"], "1d");
    assert_eq!(week["buckets"].as_array().unwrap().len(), 71);

    let facets = |query: &str| ask(&format!("/v1/events/facets?{query}"));
    let ann = json!([{"value": "ann", "count": 3}]);
    let one = facets("field=actor.id&limit=1");
    assert_eq!(
        (&one["values"], &one["other_values"], &one["other_count"]),
        (&ann, &1.into(), &1.into())
    );
    assert_eq!(facets("field=actor.id&q=-verb:read")["values"], ann);
    let kinds = json!([{"value": "item", "count": 1}, {"value": "order", "count": 1}]);
    assert_eq!(facets("field=target.type")["values"], kinds);
    assert_eq!(facets("field=verb")["values"][0], json!({"value": "other", "count": 3}));
    assert_eq!(facets("field=attributes.x")["values"], json!([]));
}

#[test]
fn a_count_that_cannot_be_asked_is_refused_by_name() {
    let api = api(Vec::new());
    for (path, parameter, detail) in [
        ("count?limit=1", "limit", "no parameter"),
        ("count?q=(", "q", "column 2"),
        ("histogram?interval=2h", "interval", "one of 1m"),
        ("facets", "field", "missing"),
        ("facets?field=actor", "field", "the nearest is action"),
        ("facets?field=action&limit=1001", "limit", "from 1 to 1000"),
        ("export?format=xml", "format", "one of ndjson, csv, parquet"),
        ("export?limit=0", "limit", "from 1"),
        ("export?cursor=x", "cursor", "no parameter"),
    ] {
        let answer = get(&api, &format!("/v1/events/{path}"));
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer.body["parameter"], parameter, "{path}: {}", answer.body);
        assert!(
            answer.body["detail"].as_str().unwrap().contains(detail),
            "{path}: {}",
            answer.body
        );
    }
}

#[test]
fn a_histogram_draws_what_one_looks_at_and_refuses_what_nobody_can() {
    let api = api(Vec::new());
    for (interval, window, buckets) in [
        ("1m", "from=-2d", 2_880),
        ("5m", "from=-7d", 2_016),
        ("15m", "from=-31d", 2_976),
        ("1h", "from=-92d", 2_208),
        ("6h", "from=-365d", 1_460),
        ("1h", "from=now&to=now", 0),
        ("1m", "from=-1h&to=-2h", 0),
    ] {
        let answer = get(&api, &format!("/v1/events/histogram?interval={interval}&{window}"));
        assert_eq!(answer.status, StatusCode::OK, "{interval} {window}: {}", answer.body);
        let drawn = answer.body["buckets"].as_array().unwrap().len();
        assert_eq!(drawn, buckets, "{interval} {window}");
    }
    for (query, detail, allowed) in [
        ("interval=1m&from=-7d", "10080 buckets", "5m"),
        ("interval=1h&from=-126d", "the most is 3000", "6h"),
        ("from=0001-01-01T00:00:00Z", "the most is 3000", "a shorter window"),
    ] {
        let answer = get(&api, &format!("/v1/events/histogram?{query}"));
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {}", answer.body);
        assert_eq!(answer.body["type"], "urn:trailhouse:problem:cost", "{query}");
        assert_eq!(answer.body["parameter"], "interval", "{query}");
        assert!(answer.body["detail"].as_str().unwrap().contains(detail), "{query}");
        assert!(answer.body["allowed"].as_array().unwrap().contains(&allowed.into()), "{query}");
    }
}

#[test]
fn related_is_what_shares_an_operation_and_what_the_actor_did_around_it() {
    let session = |number, at| StoredEvent { session_id: "s".into(), ..event(number, at) };
    let mut middle = by("ann", 5, NOW - 5 * MINUTE);
    middle.session_id = "s".into();
    let stranger = StoredEvent { tenant: "beta".into(), ..session(9, NOW - 5 * MINUTE) };
    let api = api(vec![
        session(1, NOW - 9 * MINUTE),
        session(2, NOW - MINUTE),
        session(3, NOW - 3 * HOUR),
        by("ann", 6, NOW - 7 * MINUTE),
        by("ann", 7, NOW - 6 * MINUTE),
        by("bob", 8, NOW - 5 * MINUTE),
        middle,
        stranger,
    ]);
    let ids = |query: &str, kind: &str| {
        let answer = get(&api, &format!("/v1/events/{}/related{query}", Uuid::from_u128(5)));
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        ids_of(&json!({"events": answer.body[kind]}))
    };
    assert_eq!(ids("", "operation"), [1, 2]);
    assert_eq!(ids("", "actor"), [6, 7]);
    assert_eq!(ids("?around=1d", "operation"), [3, 1, 2]);
    assert_eq!(ids("?limit=1", "actor"), [7]);
    assert_eq!(ids("?around=0s", "operation"), [0_u128; 0]);
    let alone = get(&api, &format!("/v1/events/{}/related", Uuid::from_u128(3)));
    assert_eq!(alone.body["actor"], json!([]), "no actor is not the same actor");
    let absent = get(&api, &format!("/v1/events/{}/related?tenant=beta", Uuid::from_u128(5)));
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    let long = get(&api, &format!("/v1/events/{}/related?around=32d", Uuid::from_u128(5)));
    assert_eq!(long.body["parameter"], "around");
}

#[test]
fn every_answer_with_events_in_it_says_how_many_to_who_writes_down_who_reads() {
    let lost = prometheus::IntCounter::new("lost", "lost").unwrap();
    let (audit, mut readings) = ReadAudit::new(lost);
    let events = (1..=3).map(|n| by("ann", n, NOW - HOUR)).collect();
    let api = router(ApiState { audit, ..state(events) }, &ApiConfig::default());
    let one = Uuid::from_u128(2);
    for (path, rows) in [
        ("/v1/events?limit=2", Some(2)),
        (&format!("/v1/events/{one}"), Some(1)),
        (&format!("/v1/events/{one}/related"), Some(2)),
        ("/v1/events/feed", Some(3)),
        ("/v1/quarantine", Some(3)),
        ("/v1/events/count", None),
    ] {
        assert_eq!(get(&api, path).status, StatusCode::OK, "{path}");
        assert_eq!(readings.try_recv().unwrap().rows, rows, "{path}");
    }
}

#[test]
fn who_asks_and_what_is_mapped_is_told() {
    let api = api(Vec::new());
    let me = get(&api, "/v1/me").body;
    assert_eq!(me, json!({"id": "anonymous", "role": "admin", "all_tenants": true, "tenants": []}));
    let text = include_str!("../../../config/schemas/cockpit.toml");
    let catalog = crate::schema::Catalog::load([("f", "cockpit", text)]).unwrap();
    let catalog = Arc::new(catalog);
    let state = ApiState { catalog: Arc::new(move || Arc::clone(&catalog)), ..state(Vec::new()) };
    let schemas = get(&router(state, &ApiConfig::default()), "/v1/schemas").body;
    let cockpit = &schemas["schemas"][0];
    assert_eq!(cockpit["name"], "cockpit");
    assert!(cockpit["fields"].as_array().unwrap().contains(&"actor.email".into()), "{cockpit}");
    assert_eq!(cockpit["required"], json!(["action", "source_id", "occurred_at"]));
    assert_eq!(get(&api, "/v1/me?x=1").status, StatusCode::BAD_REQUEST);
}
