//! SoftwareOne's contract over a log in memory.

use axum::Router;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::access::{Caller, Role};
use crate::api::tests::fixture::{api, ask_as, event, writer};
use crate::event::{StoredEvent, StoredTarget};

const RECORDS: &str = "/public/v1/audit/records";
const NOW: &str = "2026-01-31T12:00:00Z";

fn ids(api: &Router, caller: &Caller, query: &str) -> Vec<String> {
    let answer = ask_as(api, caller, "GET", &format!("{RECORDS}?{query}"), "");
    assert_eq!(answer.status.as_u16(), 200, "{query}: {}", answer.body);
    let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
    answer.body["data"].as_array().unwrap().iter().map(id).collect()
}

#[test]
fn what_the_client_leaves_out_is_filled_in_and_reads_back_so() {
    let (api, account) = (api(Vec::new()), Some(("ACC-1".to_owned(), "Acme".to_owned())));
    let caller = Caller { account, ..writer("acme") };
    let body = r#"{"event":"extensions.x.agreement.cloned","object":{"id":"AGR-1"},"payload":{"a":1},"documents":{"n":1.50}}"#;
    let written = ask_as(&api, &caller, "POST", RECORDS, body);
    assert_eq!(written.status.as_u16(), 201, "{}", written.body);
    let record = &written.body;
    assert_eq!(record["event"], "extensions.x.agreement.cloned");
    assert_eq!(record["timestamp"], NOW);
    assert_eq!((&record["type"], &record["viewers"]), (&json!("Private"), &json!([])));
    let actor =
        json!({ "id": "usr-7", "name": "Ann Arbor", "account": { "id": "ACC-1", "name": "Acme" } });
    assert_eq!(record["actor"], actor);
    let id = record["id"].as_str().unwrap();
    assert!(id.starts_with("AUD-"), "{id}");
    let read = ask_as(&api, &caller, "GET", &format!("{RECORDS}/{id}"), "");
    assert_eq!(read.body, *record);
    let again = ask_as(&api, &caller, "POST", RECORDS, body);
    assert_ne!(again.body["id"], record["id"]);
    let least = ask_as(&api, &caller, "POST", RECORDS, "{}");
    assert_eq!(least.status.as_u16(), 201, "{}", least.body);
    assert_eq!(ids(&api, &caller, "").len(), 3);
}

#[test]
fn rql_asks_for_records() {
    let (api, caller) = (api(Vec::new()), writer("acme"));
    for (id, more) in [
        (
            "1",
            json!({ "event": "platform.commerce.order.created", "summary": "Order Created", "object": { "id": "ORD-1", "objectType": "Order" } }),
        ),
        (
            "2",
            json!({ "event": "platform.commerce.order.deleted", "type": "Public", "actor": { "id": "USR-2", "account": { "id": "ACC-2" } }, "object": { "id": "ORD-1" } }),
        ),
        (
            "3",
            json!({ "event": "platform.catalog.product.created", "request": { "api": { "ip": "203.0.113.9" } }, "object": { "id": "PRD-1" }, "documents": { "product": { "id": "PRD-1" } } }),
        ),
    ] {
        let mut body = json!({ "id": id, "timestamp": format!("2026-01-31T10:0{id}:00Z") });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let written = ask_as(&api, &caller, "POST", RECORDS, &body.to_string());
        assert_eq!(written.status.as_u16(), 201, "{}", written.body);
    }
    for (query, expected) in [
        ("", vec!["3", "2", "1"]),
        ("order=timestamp", vec!["1", "2", "3"]),
        ("order=event,-timestamp", vec!["3", "1", "2"]),
        ("eq(object.id,ORD-1)", vec!["2", "1"]),
        ("object.id=ORD-1", vec!["2", "1"]),
        ("ne(object.id,ORD-1)", vec!["3"]),
        ("id=2", vec!["2"]),
        ("in(id,(1,3))", vec!["3", "1"]),
        ("out(id,(1,3))", vec!["2"]),
        ("like(event,platform.commerce.*)", vec!["2", "1"]),
        ("like(event,*.CREATED)", vec![]),
        ("ilike(event,*.CREATED)", vec!["3", "1"]),
        ("ilike(summary,*order*)", vec!["1"]),
        ("ilike(summary,order%20created)", vec!["1"]),
        ("eq(summary,null())", vec!["3", "2"]),
        ("ne(summary,empty())", vec!["1"]),
        ("gt(timestamp,2026-01-31T10:01:00Z)&le(timestamp,2026-01-31T10:02:00Z)", vec!["2"]),
        ("ge(timestamp,2026-01-31T11:03:00+01:00)", vec!["3"]),
        ("timestamp=2026-01-31T10:03:00Z", vec!["3"]),
        ("type=Private", vec!["3", "1"]),
        ("eq(type,Public)", vec!["2"]),
        ("or(eq(actor.account.id,ACC-2),eq(request.api.ip,203.0.113.9))", vec!["3", "2"]),
        ("and(not(id=1),not(id=2))", vec!["3"]),
        ("eq(documents.product.id,PRD-1)", vec!["3"]),
        ("eq(object.objectType,Order)&limit=1", vec!["1"]),
        ("limit=1&offset=1", vec!["2"]),
        ("eq(event,x'%20OR%20'1'='1)", vec![]),
    ] {
        assert_eq!(ids(&api, &caller, query), expected, "{query}");
    }
    let count = ask_as(&api, &caller, "GET", &format!("{RECORDS}?limit=0&object.id=ORD-1"), "");
    let meta = json!({ "pagination": { "offset": 0, "limit": 0, "total": 2 }, "omitted": [] });
    assert_eq!(count.body, json!({ "$meta": meta, "data": [] }));
}

#[test]
fn a_choice_leaves_members_out_and_names_them() {
    let (api, caller) = (api(Vec::new()), writer("acme"));
    let body = r#"{"id":"1","event":"a.b.c.d","details":"{{order.id}} made","documents":{"order":{"id":"ORD-1"}},"object":{"id":"x","icon":"/i"}}"#;
    ask_as(&api, &caller, "POST", RECORDS, body);
    let path = format!("{RECORDS}?select=+object,-documents,-object.icon&render=true");
    let answer = ask_as(&api, &caller, "GET", &path, "").body;
    assert_eq!(answer["$meta"]["omitted"], json!(["documents", "object.icon"]));
    let record = &answer["data"][0];
    assert!(record.get("documents").is_none());
    assert_eq!(record["object"], json!({ "id": "x" }));
    assert_eq!(record["details"], "ORD-1 made");
    let one = ask_as(&api, &caller, "GET", &format!("{RECORDS}/1?select=-actor"), "").body;
    assert!(one.get("actor").is_none() && one["details"] == "{{order.id}} made");
}

#[test]
fn a_walk_by_offset_repeats_nothing_while_records_come() {
    let (api, caller) = (api(Vec::new()), writer("acme"));
    let write = |id: u32, minute: u32| {
        let body = json!({ "id": id.to_string(), "event": "a.b.c.d", "timestamp": format!("2026-01-31T10:{minute:02}:00Z") });
        assert_eq!(ask_as(&api, &caller, "POST", RECORDS, &body.to_string()).status.as_u16(), 201);
    };
    (0..20).for_each(|id| write(id, id));
    let mut seen = Vec::new();
    for page in 0..4 {
        seen.extend(ids(&api, &caller, &format!("limit=5&offset={}", page * 5)));
        write(100 + page, 59);
    }
    let expected: Vec<String> = (0..20).rev().map(|id| id.to_string()).collect();
    assert_eq!(seen, expected);
    assert_eq!(ids(&api, &caller, "limit=5&offset=20"), [""; 0]);
}

#[test]
fn an_event_of_any_other_schema_is_said_as_far_as_a_record_can_say_it() {
    let target = StoredTarget { id: "7".into(), kind: "order".into(), name: String::new() };
    let api = api(vec![StoredEvent { target, ..event(7, 1_769_857_200_000_000) }]);
    let id = "00000000-0000-0000-0000-000000000007";
    let record = ask_as(&api, &writer("acme"), "GET", &format!("{RECORDS}/{id}"), "").body;
    assert_eq!((&record["id"], &record["event"]), (&json!(id), &json!("test")));
    assert_eq!(record["object"], json!({ "id": "7", "name": null, "objectType": "order" }));
    assert_eq!(record["timestamp"], "2026-01-31T11:00:00Z");
    for name in ["summary", "details", "type", "documents", "viewers"] {
        assert!(record[name].is_null(), "{name}");
    }
}

#[test]
fn event_types_are_the_events_that_are_stored() {
    let (api, caller) = (api(Vec::new()), writer("acme"));
    for event in ["platform.commerce.order.created", "platform.commerce.order.created", "a.b.c.d"] {
        ask_as(&api, &caller, "POST", RECORDS, &json!({ "event": event }).to_string());
    }
    let types = ask_as(&api, &caller, "GET", "/public/v1/audit/event-types", "").body;
    assert_eq!(types["$meta"]["pagination"]["total"], 2);
    let key = "platform.commerce.order.created";
    let order = json!({ "id": key, "key": key, "name": "Order created", "description": null });
    assert_eq!(types["data"][0], order);
    let path = format!("/public/v1/audit/event-types/{key}");
    assert_eq!(ask_as(&api, &caller, "GET", &path, "").body, order);
    assert_eq!(ask_as(&api, &caller, "PUT", &path, "{}").status.as_u16(), 403);
    let absent = ask_as(&api, &caller, "GET", "/public/v1/audit/event-types/none", "");
    assert_eq!(absent.status.as_u16(), 404);
}

#[test]
fn event_types_beyond_those_that_are_looked_at_are_refused_not_cut() {
    let typed = |n: u128| StoredEvent { action: format!("a.b.{n}"), ..event(n, 1) };
    let api = api((0..10_001).map(typed).collect());
    let list = |query: &str| {
        let path = format!("/public/v1/audit/event-types?{query}");
        ask_as(&api, &writer("acme"), "GET", &path, "")
    };
    let last = list("offset=9990&limit=10").body;
    assert_eq!(last["data"].as_array().unwrap().len(), 10);
    assert_eq!(last["$meta"]["pagination"]["total"], 10_001);
    let beyond = list("offset=9990&limit=11");
    assert_eq!(beyond.status.as_u16(), 400, "{}", beyond.body);
    assert!(beyond.body["errors"]["offset"].is_array(), "{}", beyond.body);
}

#[test]
fn what_is_refused_is_a_problem_with_a_trace_and_the_field() {
    let api = api(vec![event(1, 0)]);
    let reader = Caller { role: Role::Reader, ..writer("acme") };
    let stranger = writer("other");
    for (caller, method, path, body, status, field) in [
        (&stranger, "POST", RECORDS, "[]", 400, Some("")),
        (&stranger, "POST", RECORDS, r#"{"type":"Secret"}"#, 400, Some("type")),
        (&stranger, "POST", RECORDS, r#"{"object":{"id":1}}"#, 400, Some("object.id")),
        (&stranger, "POST", RECORDS, r#"{"documents":[]}"#, 400, Some("documents")),
        (&stranger, "POST", RECORDS, r#"{"viewers":[{"id":1}]}"#, 400, Some("viewers.0.id")),
        (&stranger, "POST", RECORDS, r#"{"id":"1","id":"2"}"#, 400, Some("")),
        (&reader, "POST", RECORDS, "{}", 403, None),
        (&reader, "GET", "/public/v1/audit/records?eq(a", "", 400, Some("query")),
        (&reader, "GET", "/public/v1/audit/records?colour=red", "", 400, Some("colour")),
        (&reader, "GET", "/public/v1/audit/records?limit=100001", "", 400, Some("limit")),
        (&reader, "GET", "/public/v1/audit/records?offset=1000001", "", 400, Some("offset")),
        (&reader, "GET", "/public/v1/audit/records?select=-colour", "", 400, Some("select")),
        (&reader, "GET", "/public/v1/audit/records?type=Secret", "", 400, Some("type")),
        (&reader, "GET", "/public/v1/audit/records?timestamp=now", "", 400, Some("timestamp")),
        (&reader, "GET", "/public/v1/audit/records?like(timestamp,*)", "", 400, Some("timestamp")),
        (&reader, "GET", "/public/v1/audit/records/x?event=y", "", 400, Some("event")),
        (
            &stranger,
            "GET",
            "/public/v1/audit/records/00000000-0000-0000-0000-000000000001",
            "",
            404,
            None,
        ),
        (&reader, "DELETE", RECORDS, "", 405, None),
        (&reader, "GET", "/public/v1/audit/other", "", 404, None),
    ] {
        let answer = ask_as(&api, caller, method, path, body);
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {body}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/json", "{method} {path}");
        assert_eq!(answer.body["status"], status, "{method} {path}");
        assert_eq!(answer.body["traceId"], answer.headers["x-request-id"].to_str().unwrap());
        let named = answer.body["errors"].as_object().and_then(|errors| errors.keys().next());
        assert_eq!(named.map(String::as_str), field, "{method} {path} {body}: {}", answer.body);
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,5}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn what_is_written_reads_back_unchanged(
        id in prop::option::of("[A-Z0-9-]{1,16}"),
        event in prop::option::of("[a-z]{2,9}\\.[a-z]{2,9}"),
        texts in prop::collection::btree_map(prop::sample::select(vec!["summary", "details"]), "\\PC{1,20}", 0..3),
        time in prop::option::of(prop::sample::select(vec![
            "2026-01-31T10:00:00.1234567+02:00", "2026-01-31T10:00:00Z", "1999-12-31T23:59:59.9-11:30",
        ])),
        kind in prop::option::of(prop::sample::select(vec!["Private", "Public"])),
        documents in prop::option::of(prop::collection::btree_map("[a-zA-Z.]{1,8}", json_value(), 0..4)),
        viewer in prop::option::of("\\PC{1,8}"),
        actor in prop::option::of("\\PC{1,8}"),
    ) {
        let mut body = json!(texts);
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body[name] = value;
            }
        };
        set("id", id.map(Value::from));
        set("event", event.map(Value::from));
        set("timestamp", time.map(Value::from));
        set("type", kind.map(Value::from));
        set("documents", documents.map(|map| json!(map)));
        set("viewers", viewer.map(|id| json!([{ "id": id, "type": "Vendor" }])));
        set("actor", actor.map(|id| json!({ "id": id, "account": { "accountType": "Client" } })));
        let (api, caller) = (api(Vec::new()), writer("acme"));
        let written = ask_as(&api, &caller, "POST", RECORDS, &body.to_string());
        prop_assert_eq!(written.status.as_u16(), 201, "{}", written.body);
        let id = written.body["id"].as_str().unwrap();
        let read = ask_as(&api, &caller, "GET", &format!("{RECORDS}/{id}"), "").body;
        prop_assert_eq!(&read, &written.body);
        for (name, value) in body.as_object().unwrap() {
            prop_assert_eq!(&read[name], value, "{}", name);
        }
        for name in ["id", "timestamp", "actor", "type", "viewers"] {
            prop_assert!(!read[name].is_null(), "{} is not filled in", name);
        }
    }
}
