//! What came in by a contract's schema reads back through that contract unchanged.
//!
//! In: generated rows of Cloud Cockpit and of BloodHound, on Kafka. Out: nothing, or the row that
//! came back another.
//!
//! # Invariants
//! - Compared are JSON texts of the documented members, so that `1.50` is not `1.5`; a member that
//!   was not written is null.
//!
//! Deliberately unknown here: how rows are kept.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::value::RawValue;

use crate::scenario::{CallerSaid, Stage, Words, authorization};

/// Rows of each schema.
const ROWS: usize = 200;

/// A member's JSON text, or nothing where it is left out.
type Member = Option<String>;

fn member(values: impl Strategy<Value = String> + 'static) -> BoxedStrategy<Member> {
    prop_oneof![6 => values.prop_map(Some), 1 => Just(Some("null".to_owned())), 1 => Just(None)]
        .boxed()
}

fn text() -> impl Strategy<Value = String> {
    let texts = prop_oneof![
        "\\PC{0,12}",
        select(vec!["it's", "\\", "\u{0}\n\t", "😀", "</script>", "=1+1", "null", "0"])
            .prop_map(str::to_owned),
    ];
    let plain = texts.prop_map(|text| serde_json::to_string(&text).unwrap());
    // The same characters, escaped as another serialiser would.
    prop_oneof![plain, Just(r#""\u00e4\/\u20AC""#.to_owned())]
}

fn number() -> impl Strategy<Value = String> {
    let written = select(vec!["1.50", "1e3", "-0.0", "12345678901234567890", "0.1"]);
    prop_oneof![any::<i64>().prop_map(|n| n.to_string()), written.prop_map(str::to_owned)]
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        text(),
        number(),
        select(vec!["true", "false", "null"]).prop_map(str::to_owned)
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let array = prop::collection::vec(inner.clone(), 0..3);
        let array = array.prop_map(|parts| format!("[{}]", parts.join(" , ")));
        prop_oneof![array, object(inner)]
    })
}

fn object(values: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    // Keys are distinct: a repeated key is quarantined.
    let members = prop::collection::btree_map("[a-z.A-Z]{1,6}", values, 0..4);
    members.prop_map(|members| {
        let members: Vec<String> =
            members.into_iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn uuid() -> impl Strategy<Value = String> {
    any::<u128>().prop_map(|n| format!("\"{}\"", uuid::Uuid::from_u128(n)))
}

/// A time of the last twenty days, in one of many spellings.
fn time(now: i64) -> impl Strategy<Value = String> {
    let zones = select(vec!["Z", "+00:00", "+05:30", "-08:00"]);
    (60..20 * 86_400_i64, select(vec!["", ".5", ".123456789"]), zones).prop_map(
        move |(ago, fraction, zone)| {
            let offset =
                chrono::DateTime::parse_from_rfc3339(&format!("2026-01-01T00:00:00{zone}"));
            let time = chrono::DateTime::from_timestamp(now - ago, 0).unwrap();
            let local = time.with_timezone(offset.unwrap().offset());
            format!("\"{}{fraction}{zone}\"", local.format("%Y-%m-%dT%H:%M:%S"))
        },
    )
}

/// Members by name, of which some are always there.
type Row = BTreeMap<&'static str, String>;

fn row(
    always: Vec<(&'static str, BoxedStrategy<String>)>,
    maybe: Vec<(&'static str, BoxedStrategy<Member>)>,
) -> BoxedStrategy<Row> {
    let always = always.into_iter().map(|(name, values)| (name, values.prop_map(Some).boxed()));
    let named = |(name, values): (&'static str, BoxedStrategy<Member>)| {
        values.prop_map(move |value| Some((name, value?))).boxed()
    };
    let members: Vec<BoxedStrategy<Option<(&'static str, String)>>> =
        always.chain(maybe).map(named).collect();
    members.prop_map(|members| members.into_iter().flatten().collect()).boxed()
}

fn cockpit(now: i64) -> impl Strategy<Value = Row> {
    let status = select(vec!["Processing", "Succeded", "Failed", "Paused"]);
    let origin = select(vec!["User", "API", "System", "Robot"]);
    let named = |name: &str| format!("{{\"name\": \"{name}\"}}");
    row(
        vec![
            ("id", uuid().boxed()),
            ("timestamp", time(now).boxed()),
            ("status", status.prop_map(named).boxed()),
            ("origin", origin.prop_map(named).boxed()),
        ],
        vec![
            ("customer", member(text())),
            ("reseller", member(text())),
            ("operation", member(text())),
            ("user", member(text())),
            ("entityType", member(text())),
            ("entityId", member(uuid())),
            ("oldValues", member(object(json()))),
            ("newValues", member(object(json()))),
            ("message", member(text())),
            ("correlationId", member(uuid())),
        ],
    )
}

fn bloodhound(now: i64) -> impl Strategy<Value = Row> {
    let status = select(vec!["\"intent\"", "\"success\"", "\"failure\""]);
    let actions = select(vec!["\"CreateUser\"", "\"LoginAttempt\"", "\"\\u00c4ndern\""]);
    let address = select(vec!["\"198.51.100.7\"", "\"2001:db8::7, 10.0.0.1\"", "\"\"", "\"x\""]);
    row(
        vec![
            ("id", (1..i64::MAX).prop_map(|id| id.to_string()).boxed()),
            ("created_at", time(now).boxed()),
            ("action", actions.prop_map(str::to_owned).boxed()),
            ("commit_id", uuid().boxed()),
        ],
        vec![
            ("actor_id", member(uuid())),
            ("actor_name", member(text())),
            ("actor_email", member(text())),
            ("fields", member(object(json()))),
            ("request_id", member(uuid())),
            ("source_ip_address", member(address.prop_map(str::to_owned))),
            ("source", member(text())),
            ("status", member(status.prop_map(str::to_owned))),
        ],
    )
}

/// The record, and what is to be read: every member, as the text it was written in.
fn written(row: &Row, members: &[&'static str]) -> (String, BTreeMap<String, String>) {
    let record: Vec<String> =
        row.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
    let expected = |name: &&str| {
        let value = row.get(name).cloned().unwrap_or_else(|| "null".to_owned());
        ((*name).to_owned(), squeezed(name, &value))
    };
    (format!("{{ {} }}", record.join(" , ")), members.iter().map(expected).collect())
}

/// The dialect writes `{"name": …}` itself, so blanks there do not count.
fn squeezed(name: &str, json: &str) -> String {
    if ["status", "origin"].contains(&name) { json.replace(": ", ":") } else { json.to_owned() }
}

fn sample<T: std::fmt::Debug>(rows: impl Strategy<Value = T>) -> Vec<T> {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    prop::collection::vec(rows, ROWS).new_tree(&mut runner).unwrap().current()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_cloud_cockpit_or_bloodhound_reads_back_unchanged() {
    const COCKPIT: [&str; 14] = [
        "id",
        "customer",
        "reseller",
        "timestamp",
        "operation",
        "status",
        "user",
        "origin",
        "entityType",
        "entityId",
        "oldValues",
        "newValues",
        "message",
        "correlationId",
    ];
    const BLOODHOUND: [&str; 12] = [
        "id",
        "created_at",
        "actor_id",
        "actor_name",
        "actor_email",
        "action",
        "fields",
        "request_id",
        "source_ip_address",
        "source",
        "status",
        "commit_id",
    ];
    let words = Words::of("unchanged.example");
    let now = words.now.timestamp();
    let stage = Stage::start().await;
    let caller = CallerSaid::default();
    let tenant = ("x-tenant".to_owned(), words.fill("{{tenant}}"));
    for (schema, rows, members, request, list) in [
        ("cockpit", sample(cockpit(now)), &COCKPIT[..], "GET /v1/AuditLogs?PageSize=2000", "items"),
        ("bloodhound", sample(bloodhound(now)), &BLOODHOUND, "GET /api/v2/audit", "data"),
    ] {
        let other = if schema == "bloodhound" { "bloodhound." } else { "" };
        let words = Words::of(&format!("{other}unchanged.example"));
        let rows: Vec<_> = rows.iter().map(|row| written(row, members)).collect();
        let payloads = rows.iter().map(|(record, _)| record.clone());
        stage.send(schema, &words.fill("{{tenant}}"), payloads).await;
        let authorization = authorization(&caller, &words).unwrap();
        let tenant = (tenant.0.clone(), words.fill("{{tenant}}"));
        let headers = vec![("authorization".to_owned(), authorization), tenant];
        let answer = stage.ask(request, headers, String::new()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let body: BTreeMap<String, &RawValue> = serde_json::from_str(&answer.text).unwrap();
        let mut list = body[list].get();
        if schema == "bloodhound" {
            let data: BTreeMap<String, &RawValue> = serde_json::from_str(list).unwrap();
            list = data["logs"].get();
        }
        let entries: Vec<BTreeMap<String, &RawValue>> = serde_json::from_str(list).unwrap();
        assert_eq!(entries.len(), rows.len(), "{schema}");
        let mut read: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for entry in entries {
            let texts = entry.iter().map(|(name, value)| (name.clone(), value.get().to_owned()));
            read.insert(entry["id"].get().to_owned(), texts.collect());
        }
        for (record, expected) in &rows {
            assert_eq!(read.get(&expected["id"]), Some(expected), "{record}");
        }
    }
    stage.stop().await;
}
