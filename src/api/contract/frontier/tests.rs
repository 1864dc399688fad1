//! Frontier's contract over a log in memory.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::access::{Caller, Role, Tenants};
use crate::api::tests::fixture::{api, ask_as, event, state, with_log, writer};
use crate::api::tests::log::Log;
use crate::api::{ApiConfig, ApiState, router};
use crate::event::{StoredActor, StoredEvent, StoredTarget};

const LOGS: &str = "/v1beta1/organizations/acme/auditlogs";

#[test]
fn two_logs_without_id_time_or_actor_id_are_listed_at_once() {
    let api = api(Vec::new());
    let body = json!({ "logs": [
        { "source": "guardian-service", "action": "project.create", "actor": { "name": "ann" } },
        { "source": "guardian-service", "action": "user.login", "context": { "k": "v" } },
    ] });
    let caller = writer("acme");
    let written = ask_as(&api, &caller, "POST", LOGS, &body.to_string());
    assert_eq!((written.status.as_u16(), &written.body), (200, &json!({})), "{}", written.body);
    let listed = ask_as(&api, &caller, "GET", LOGS, "");
    let logs = listed.body["logs"].as_array().unwrap();
    let mut actions: Vec<&str> = logs.iter().map(|log| log["action"].as_str().unwrap()).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["project.create", "user.login"]);
    for log in logs {
        assert_eq!(log["created_at"], "2026-01-31T12:00:00Z");
        assert_eq!(log["target"], json!({ "id": "", "type": "", "name": "" }));
        let path = format!("{LOGS}/{}", log["id"].as_str().unwrap());
        assert_eq!(ask_as(&api, &caller, "GET", &path, "").body["log"], *log);
    }
}

#[test]
fn what_is_wrong_is_said_before_who_asks_and_an_organisation_is_hidden() {
    let stranger = Caller { role: Role::Reader, ..writer("other") };
    let auditor = Caller { role: Role::Auditor, ..writer("other") };
    let api = api(vec![event(1, EVENT_AT)]);
    for (caller, method, path, body, status, code, message) in [
        (&stranger, "POST", LOGS, "{}", 400, 3, "at least 1 item(s)"),
        (&stranger, "POST", LOGS, "{", 400, 3, "invalid syntax in body"),
        (&stranger, "GET", "/v1beta1/organizations/ab/auditlogs", "", 400, 3, "at least 3 runes"),
        (
            &stranger,
            "GET",
            "/v1beta1/organizations/acme/auditlogs?start_time=x",
            "",
            400,
            3,
            "no time",
        ),
        (&stranger, "GET", LOGS, "", 403, 7, "not authorized"),
        (&stranger, "GET", "/v1beta1/organizations/nobody/auditlogs", "", 403, 7, "not authorized"),
        (&stranger, "POST", LOGS, r#"{"logs":[{"source":"ab","action":"cd"}]}"#, 403, 7, "writer"),
        (
            &auditor,
            "GET",
            "/v1beta1/organizations/nobody/auditlogs",
            "",
            404,
            5,
            "org doesn't exist",
        ),
        (
            &auditor,
            "GET",
            "/v1beta1/organizations/nobody/auditlogs/1",
            "",
            404,
            5,
            "org doesn't exist",
        ),
        (&auditor, "GET", "/v1beta1/organizations/acme/auditlogs/1", "", 404, 5, "audit log"),
        (&auditor, "DELETE", LOGS, "", 405, 12, "Method Not Allowed"),
        (&auditor, "GET", "/v1beta1/organizations/acme", "", 404, 5, "nothing at"),
    ] {
        let answer = ask_as(&api, caller, method, path, body);
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/json", "{method} {path}");
        assert_eq!(answer.body["code"], code, "{method} {path}");
        assert_eq!(answer.body["details"], json!([]), "{method} {path}");
        let said = answer.body["message"].as_str().unwrap();
        assert!(said.contains(message), "{method} {path}: {said}");
    }
}

/// An hour before the clock of the tests.
const EVENT_AT: i64 = 1_769_857_200_000_000;

#[test]
fn a_list_is_narrowed_by_source_action_time_and_the_system_s_own() {
    let caller = writer("acme");
    let api = api(Vec::new());
    let log = |action: &str, minute: u32| json!({ "source": "src", "action": action, "created_at": format!("2026-01-31T10:{minute:02}:00Z") });
    let logs = [log("app.user.created", 1), log("project.create", 2), log("project.create", 3)];
    ask_as(&api, &caller, "POST", LOGS, &json!({ "logs": logs }).to_string());
    for (query, minutes) in [
        ("", vec![3, 2, 1]),
        ("source=src", vec![3, 2, 1]),
        ("source=other", vec![]),
        ("action=project.create", vec![3, 2]),
        ("ignore_system=true", vec![3, 2]),
        ("ignore_system=false&unknown=1", vec![3, 2, 1]),
        ("start_time=2026-01-31T10:02:00Z&end_time=2026-01-31T10:02:00Z", vec![2]),
        ("startTime=2026-01-31T11:02:00%2B01:00", vec![3, 2]),
    ] {
        let answer = ask_as(&api, &caller, "GET", &format!("{LOGS}?{query}"), "");
        let minute = |log: &Value| log["created_at"].as_str().unwrap()[14..16].parse().unwrap();
        let found: Vec<u32> = answer.body["logs"].as_array().unwrap().iter().map(minute).collect();
        assert_eq!(found, minutes, "{query}");
    }
}

#[test]
fn an_organisation_goes_by_its_aliases() {
    let alias = ("5d0f6f2a-6a39-4bb0-9f0e-3a1f2f9f7f01".to_owned(), "acme".to_owned());
    let tenants: Tenants = [alias].into_iter().collect();
    let state = ApiState { tenants, ..state(vec![event(1, EVENT_AT)]) };
    let api = router(state, &ApiConfig::default());
    let path = "/v1beta1/organizations/5d0f6f2a-6a39-4bb0-9f0e-3a1f2f9f7f01/auditlogs";
    let answer = ask_as(&api, &writer("acme"), "GET", path, "");
    assert_eq!(answer.body["logs"].as_array().map(Vec::len), Some(1), "{}", answer.body);
}

#[test]
fn an_event_of_any_other_schema_is_said_as_far_as_a_log_can_say_it() {
    let other = StoredEvent {
        service: "shop".into(),
        actor: StoredActor { id: "ann".into(), ..StoredActor::default() },
        target: StoredTarget { id: "7".into(), kind: "order".into(), name: String::new() },
        attributes: [("colour".into(), "red".into())].into(),
        ..event(7, EVENT_AT)
    };
    let api = api(vec![other]);
    let answer = ask_as(&api, &writer("acme"), "GET", LOGS, "");
    let expected = json!({
        "id": "00000000-0000-0000-0000-000000000007",
        "source": "shop",
        "action": "test",
        "actor": { "id": "ann", "type": "", "name": "" },
        "target": { "id": "7", "type": "order", "name": "" },
        "context": { "colour": "red" },
        "created_at": "2026-01-31T11:00:00Z",
    });
    assert_eq!(answer.body["logs"], json!([expected]));
}

#[test]
fn without_kafka_a_batch_is_refused_with_503_and_says_nothing_of_the_inside() {
    let log = Log::down();
    let api = router(with_log(log), &ApiConfig::default());
    let body = r#"{"logs":[{"source":"ab","action":"cd"}]}"#;
    let answer = ask_as(&api, &writer("acme"), "POST", LOGS, body);
    assert_eq!(answer.status.as_u16(), 503);
    assert_eq!(answer.body["code"], 14);
    assert_eq!(answer.headers["retry-after"], "5");
    assert!(!answer.body.to_string().contains("secret"), "{}", answer.body);
}

#[test]
fn what_could_not_be_stored_is_refused_and_nothing_of_it_is_written() {
    let api = api(Vec::new());
    let caller = writer("acme");
    let twice = r#"{"logs":[{"source":"ab","action":"cd"},{"source":"ab","action":"cd","id":"1","id":"2"}]}"#;
    let answer = ask_as(&api, &caller, "POST", LOGS, twice);
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!(3)), "{}", answer.body);
    assert_eq!(ask_as(&api, &caller, "GET", LOGS, "").body, json!({ "logs": [] }));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-zA-Z0-9 ./_-]{1,12}", "\\PC{1,6}"]
}

fn party() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        (text(), text(), text())
            .prop_map(|(id, kind, name)| { json!({ "id": id, "type": kind, "name": name }) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn what_is_written_reads_back_unchanged(
        id in "[a-zA-Z0-9-]{1,20}",
        source in "\\PC{2,12}",
        action in "\\PC{2,12}",
        actor in party(),
        target in party(),
        context in proptest::collection::btree_map("\\PC{1,6}", text(), 0..4),
        nanos in proptest::option::of(0..1_000_000_000_u32),
    ) {
        // In these the mapping reads an empty text as absent, and so does the contract.
        prop_assume!(!source.trim().is_empty() && !action.trim().is_empty());
        let mut log = json!({
            "id": id, "source": source, "action": action, "actor": actor, "target": target,
            "context": context,
        });
        if let Some(nanos) = nanos {
            log["created_at"] = json!(format!("2026-01-31T13:00:00.{nanos:09}+02:00"));
        }
        let (api, caller) = (api(Vec::new()), writer("acme"));
        let written = ask_as(&api, &caller, "POST", LOGS, &json!({ "logs": [log] }).to_string());
        prop_assert_eq!(written.status.as_u16(), 200, "{}", written.body);
        let read = ask_as(&api, &caller, "GET", &format!("{LOGS}/{id}"), "").body["log"].clone();
        let empty = json!({ "id": "", "type": "", "name": "" });
        for name in ["actor", "target"] {
            let wanted = if log[name].is_null() { &empty } else { &log[name] };
            prop_assert_eq!(&read[name], wanted);
        }
        for name in ["id", "source", "action", "context"] {
            prop_assert_eq!(&read[name], &log[name]);
        }
        let time = |text: &Value| {
            chrono::DateTime::parse_from_rfc3339(text.as_str().unwrap()).unwrap().to_utc()
        };
        let wanted = nanos.map_or(json!("2026-01-31T12:00:00Z"), |_| log["created_at"].clone());
        prop_assert_eq!(time(&read["created_at"]), time(&wanted));
        prop_assert!(read["created_at"].as_str().unwrap().ends_with('Z'));
    }
}
