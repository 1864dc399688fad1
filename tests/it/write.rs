//! What is written over HTTP: where it went, what became of it, and who is told.
//!
//! In: requests to a service over a real broker and a real ClickHouse. Out: receipts, rows.
//!
//! # Invariants
//! - A write is looked for by its receipt alone.
//!
//! Deliberately unknown here: what each contract answers; scenarios say that.

use serde_json::{Value, json};
use trailhouse::app::{Role, Service};
use trailhouse::warehouse::Warehouse;

use crate::harness::{get, loaded, produce, record, unique, until};
use crate::scenario::{Answered, CallerSaid, Stage, Words, authorization};

const TENANT: &str = "written.example";

const ONE: &str =
    r#"{"service":"pay","actionName":"list_cards","resource":{"identifier":"fleet-12"}}"#;

/// Ask a stage as somebody of a role in a tenant.
async fn ask(stage: &Stage, request: &str, (role, tenant): (&str, &str), body: &str) -> Answered {
    ask_with(stage, request, (role, tenant), &[], body).await
}

async fn ask_with(
    stage: &Stage,
    request: &str,
    (role, tenant): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Answered {
    let tenants = Some(tenant).filter(|tenant| !tenant.is_empty()).map(str::to_owned);
    let tenants = tenants.into_iter().collect();
    let caller = CallerSaid { role: role.to_owned(), tenants, ..CallerSaid::default() };
    let mut sent: Vec<(String, String)> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let authorization = authorization(&caller, &Words::of(TENANT));
    sent.extend(authorization.map(|value| ("authorization".to_owned(), value)));
    stage.ask(request, sent, body.to_owned()).await
}

/// The path of the only receipt of a write.
fn receipt_of(answer: &Answered) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text);
    let answer = answer.json();
    let [place] = &answer["receipts"].as_array().unwrap()[..] else { panic!("{answer}") };
    let topic = place["topic"].as_str().unwrap();
    format!("/v1/receipts/{topic}/{}/{}", place["partition"], place["offset"])
}

/// A receipt, once it is not "not yet".
async fn settled(stage: &Stage, path: &str) -> Value {
    let auditor = ("auditor", "");
    let request = format!("GET {path}");
    let is_known = async || {
        let answer = ask(stage, &request, auditor, "").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["state"] != "not_yet"
    };
    until(is_known).await;
    ask(stage, &request, auditor, "").await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_answered_with_a_receipt_and_the_receipt_says_it_is_stored() {
    let stage = Stage::start().await;
    let writer = ("writer", TENANT);
    let array = format!("[{ONE},{{\"service\":\"bill\",\"actionName\":\"pay_invoice\"}}]");
    let cloud =
        format!(r#"{{"specversion":"1.0","id":"1","type":"t","source":"/s","data":{ONE}}}"#);
    for (body, actions) in [
        (ONE, &["list_cards"][..]),
        (&array, &["list_cards", "pay_invoice"]),
        (&cloud, &["list_cards"]),
    ] {
        let path = receipt_of(&ask(&stage, "POST /v1/events?schema=pace", writer, body).await);
        let receipt = settled(&stage, &path).await;
        assert_eq!(receipt["state"], "stored", "{receipt}");
        let rows = receipt["events"].as_array().unwrap();
        let stored: Vec<&str> = rows.iter().map(|row| row["action"].as_str().unwrap()).collect();
        assert_eq!(stored, actions, "{receipt}");
        assert!(rows.iter().all(|row| row["tenant"] == TENANT), "{receipt}");

        // Whoever may see every row of it is told the same.
        let own = ask(&stage, &format!("GET {path}"), ("reader", TENANT), "").await;
        assert_eq!((own.status, &own.json()["events"]), (200, &receipt["events"]), "{}", own.text);
        let id = rows[0]["id"].as_str().unwrap();
        let event = ask(&stage, &format!("GET /v1/events/{id}"), ("reader", TENANT), "").await;
        assert_eq!(event.status, 200, "{}", event.text);
        assert_eq!(event.json()["kafka"]["offset"], receipt["offset"], "{}", event.text);
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_write_with_the_same_key_is_one_record() {
    let stage = Stage::start().await;
    let write = async |key: &str| {
        let headers = [("idempotency-key", key)];
        let request = "POST /v1/events?schema=pace";
        ask_with(&stage, request, ("writer", TENANT), &headers, ONE).await
    };
    let first = receipt_of(&write("k-1").await);
    assert_eq!(receipt_of(&write("k-1").await), first);
    let other = receipt_of(&write("k-2").await);
    assert_ne!(other, first);
    for path in [&first, &other] {
        assert_eq!(settled(&stage, path).await["state"], "stored");
    }
    let count = "GET /v1/events/count?from=-1h&to=2100-01-01T00:00:00Z";
    let count = ask(&stage, count, ("reader", TENANT), "").await;
    assert_eq!(count.json()["count"], 2, "{}", count.text);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_for_who_may_see_its_rows_and_the_quarantine_for_auditors() {
    let stage = Stage::start().await;
    let written = ask(&stage, "POST /v1/events?schema=pace", ("writer", TENANT), ONE).await;
    let path = receipt_of(&written);
    let receipt = settled(&stage, &path).await;
    let (topic, partition) = (receipt["topic"].as_str().unwrap(), &receipt["partition"]);

    let mut broken = record(b"{\xff".to_vec());
    broken.headers = vec![("tenant".to_owned(), TENANT.to_owned())];
    produce(topic, [broken]).await;
    let quarantine = format!("GET /v1/quarantine?topic={topic}");
    let rows = async || {
        let answer = ask(&stage, &quarantine, ("auditor", ""), "").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["rows"].as_array().unwrap().clone()
    };
    until(async || !rows().await.is_empty()).await;
    let row = &rows().await[0];
    let refused =
        format!("/v1/receipts/{topic}/{}/{}", row["kafka"]["partition"], row["kafka"]["offset"]);
    let found = settled(&stage, &refused).await;
    assert_eq!(found["state"], "quarantined", "{found}");
    assert_eq!(found["quarantined"][0]["reason"], row["reason"], "{found} {row}");

    let ahead = format!("/v1/receipts/{topic}/{partition}/1000000");
    let elsewhere = format!("/v1/receipts/{topic}/99/0");
    let unheard = "/v1/receipts/no.such.topic/0/0".to_owned();
    for (path, caller, status) in [
        (&path, ("reader", TENANT), 200),
        (&path, ("writer", TENANT), 200),
        (&path, ("reader", "other.example"), 404),
        (&path, ("auditor", ""), 200),
        (&ahead, ("auditor", ""), 200),
        // It has no row that could be theirs.
        (&ahead, ("reader", TENANT), 404),
        (&elsewhere, ("auditor", ""), 404),
        (&unheard, ("auditor", ""), 404),
        (&unheard, ("reader", TENANT), 404),
        (&refused, ("reader", "other.example"), 404),
    ] {
        let answer = ask(&stage, &format!("GET {path}"), caller, "").await;
        assert_eq!(answer.status, status, "{path} {caller:?}: {}", answer.text);
        assert!(status != 404 || !answer.text.contains("list_cards"), "{}", answer.text);
    }
    let forbidden = ask(&stage, &quarantine, ("writer", TENANT), "").await;
    assert_eq!(forbidden.status, 403, "{}", forbidden.text);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_more_than_a_hundred_thousand_logs_is_refused_and_a_narrower_one_is_not() {
    const MOST: u64 = 100_000;
    let mut loaded = loaded(&[]).await;
    // It is the count that is refused, however slow the machine.
    loaded.config.api.request_timeout_ms = 600_000;
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let acme = unique("many");
    let rows = format!(
        "INSERT INTO events (id, tenant, action, occurred_at, received_at) SELECT \
         generateUUIDv4(), '{acme}', if(number < 10, 'seldom', 'often'), \
         now64(6) - number - 60, now64(6) FROM numbers({})",
        MOST + 1
    );
    warehouse.run(&rows).await.unwrap();
    let service = Service::start(&loaded, Role::Api).await.unwrap();
    let list = format!("/v1beta1/organizations/{acme}/auditlogs");
    let (status, body) = get(&service, &list).await;
    assert_eq!((status, &body["code"]), (400, &json!(3)), "{body}");
    assert!(body["message"].as_str().unwrap().contains(&MOST.to_string()), "{body}");
    let (status, body) = get(&service, &format!("{list}?action=seldom")).await;
    assert_eq!((status, body["logs"].as_array().unwrap().len()), (200, 10));
    service.stop().await.unwrap();
}
