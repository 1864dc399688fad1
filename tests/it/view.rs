//! The view `audit_events`, and what docs/SQL.md says of it.
//!
//! In: events; the document's statements, asked by an analyst and an auditor. Out: rows.
//!
//! # Invariants
//! - A statement of the document stands above its answer; the answer is over [`LOG`].
//!
//! Deliberately unknown here: who may see what.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use trailhouse::demo::USER;
use trailhouse::event::StoredEvent;
use trailhouse::warehouse::Warehouse;
use uuid::Uuid;

use crate::desk::{Desk, desk, granules};
use crate::harness;
use crate::house::read;
use crate::reading::{sample, store};

/// What the answers in docs/SQL.md are about: November of one tenant, a repeat, a neighbour.
const LOG: &str = include_str!("view/log.sql");

fn read_lines(warehouse: &Warehouse, sql: &str) -> Vec<String> {
    Runtime::new().unwrap().block_on(warehouse.read(sql)).unwrap()
}

#[test]
fn a_row_of_the_view_is_the_event_as_the_api_tells_it() {
    let warehouse = harness::clickhouse();
    let mut events = sample(&mut TestRunner::deterministic());
    let address = |text: &str| Some(text.parse().unwrap());
    events[0].client_ip = address("2001:db8::7");
    events[1].client_ip = address("::ffff:203.0.113.7");
    Runtime::new().unwrap().block_on(store(&warehouse, &events));
    let rows = read_lines(
        &warehouse,
        "SELECT formatRowNoNewline('JSONEachRow', *) FROM audit_events \
         SETTINGS date_time_output_format = 'iso', output_format_json_quote_64bit_integers = 0",
    );
    let row = |row: &String| {
        let mut row: Map<String, Value> = serde_json::from_str(row).unwrap();
        // A redaction is no matter of the event.
        assert_eq!(row.remove("retired_by"), Some(json!(Uuid::nil())));
        without_absent(row)
    };
    let sorted = |mut events: Vec<String>| {
        events.sort();
        events
    };
    let ours = sorted(rows.iter().map(row).collect());
    let told = sorted(events.iter().map(|event| without_absent(flat(event))).collect());
    assert_eq!(ours.len(), told.len(), "repeats are rows");
    for (ours, told) in ours.iter().zip(&told) {
        assert_eq!(ours, told);
    }
}

/// The JSON of the API with the view's names: `actor.id` is `actor_id`.
fn flat(event: &StoredEvent) -> Map<String, Value> {
    let mut flat = Map::new();
    let Value::Object(told) = serde_json::to_value(event).unwrap() else { panic!("no object") };
    for (name, value) in told {
        match value {
            Value::Object(parts) if ["actor", "target", "kafka"].contains(&name.as_str()) => {
                flat.extend(
                    parts.into_iter().map(|(part, value)| (format!("{name}_{part}"), value)),
                );
            }
            value => drop(flat.insert(name, value)),
        }
    }
    let ids: Vec<&str> = event.targets.iter().map(|target| target.id.as_str()).collect();
    flat.insert("target_ids".to_owned(), json!(ids));
    let address = event.client_ip.unwrap_or(Ipv6Addr::UNSPECIFIED);
    flat.insert("client_address".to_owned(), json!(address));
    // The source's own text, and not folded.
    flat.remove("changes");
    flat.remove("repeats");
    for (name, change) in [("changes_old", &event.changes.old), ("changes_new", &event.changes.new)]
    {
        flat.insert(name.to_owned(), json!(change.as_ref().map_or("", |json| json.get())));
    }
    flat
}

/// As text, without what the API leaves out.
fn without_absent(mut row: Map<String, Value>) -> String {
    for target in row.get_mut("targets").and_then(Value::as_array_mut).into_iter().flatten() {
        target.as_object_mut().unwrap().retain(|_, part| *part != json!(""));
    }
    row.retain(|_, value| ![json!(""), json!([]), json!({})].contains(value));
    let row: BTreeMap<String, Value> = row.into_iter().collect();
    serde_json::to_string(&row).unwrap()
}

#[test]
fn a_redacted_row_says_which_act_redacted_it_and_the_others_say_none() {
    let warehouse = harness::clickhouse();
    let act = Uuid::from_u128(7);
    let runtime = Runtime::new().unwrap();
    let fill = format!(
        "INSERT INTO events (id, tenant, source_id, retired_by) SELECT generateUUIDv4(), 'acme', \
         toString(number), if(number = 3, toUUID('{act}'), toUUID('{}')) FROM numbers(5)",
        Uuid::nil()
    );
    runtime.block_on(warehouse.run(&fill)).unwrap();
    let acts = format!(
        "INSERT INTO retirements (id, kind, standing, tenant, reason) \
         VALUES ('{act}', 'erasure', 'done', 'acme', 'DSR-2031')"
    );
    runtime.block_on(warehouse.run(&acts)).unwrap();
    let whose = "SELECT concat(event.source_id, ' ', act.reason) FROM audit_events AS event \
                 INNER JOIN retirements AS act ON act.id = event.retired_by";
    assert_eq!(read_lines(&warehouse, whose), ["3 DSR-2031"]);
}

#[test]
fn a_question_of_one_tenant_and_day_reads_as_little_of_the_view_as_of_the_table() {
    let warehouse = harness::clickhouse();
    let fill = "INSERT INTO events (id, tenant, occurred_at) SELECT generateUUIDv4(), \
         'tenant-' || toString(number % 10), toDateTime64('2026-01-20', 6, 'UTC') + number * 20 \
         FROM numbers(200000)";
    Runtime::new().unwrap().block_on(warehouse.run(fill)).unwrap();
    let read_by = |table: &str, condition: &str| {
        let sql =
            format!("EXPLAIN indexes = 1 SELECT count(actor_id) FROM {table} WHERE {condition}");
        granules(&read_lines(&warehouse, &sql).join("\n"))
    };
    let day = "occurred_at >= '2026-02-03' AND occurred_at < '2026-02-04'";
    for (of_view, of_table) in [
        ("tenant = 'tenant-3'", "tenant = 'tenant-3'"),
        ("tenant IN ('tenant-1', 'tenant-2')", "tenant IN ('tenant-1', 'tenant-2')"),
        ("1", "1"),
        ("actor_id = 'nobody'", "actor_id = 'nobody'"),
        ("has(target_ids, 'nothing')", "has(targets.id, 'nothing')"),
        ("client_address = toIPv6('203.0.113.7')", "client_ip = toIPv6('203.0.113.7')"),
    ] {
        let of_view = read_by("audit_events", &format!("{day} AND {of_view}"));
        let of_table = read_by("events", &format!("{day} AND {of_table}"));
        assert_eq!(of_view, of_table);
        let (first, last) = (of_view.first().unwrap(), of_view.last().unwrap());
        assert!(last.read < first.of, "{of_view:?}");
    }
}

#[test]
fn the_view_has_every_column_of_the_table_but_the_servers_own_and_says_what_each_is() {
    let warehouse = harness::clickhouse();
    let columns = |table: &str, what: &str| {
        let sql = format!(
            "SELECT {what} FROM system.columns \
             WHERE database = currentDatabase() AND table = '{table}' ORDER BY position"
        );
        read_lines(&warehouse, &sql)
    };
    let names = columns("audit_events", "name");
    // When ClickHouse took a row.
    let own = "ingested_at";
    for name in columns("events", "name") {
        assert_eq!(names.contains(&name), name != own, "{name}");
    }
    let document = read("docs/SQL.md");
    let row = "concat('| `', name, '` | ', replaceAll(type, 'LowCardinality(String)', 'String'), ' | ', comment, ' |')";
    let rows = columns("audit_events", row);
    assert_eq!(rows.len(), names.len());
    for row in rows {
        assert!(!row.ends_with("|  |"), "no comment: {row}");
        assert!(document.contains(&format!("\n{row}\n")), "docs/SQL.md lacks\n{row}");
    }
}

/// One statement of the document: what stands above it, itself, the table below it.
struct Question {
    heading: String,
    sql: String,
    answer: String,
}

fn questions() -> Vec<Question> {
    let document = read("docs/SQL.md");
    let (_, questions) = document.split_once("\n## Ten questions\n").unwrap();
    let (questions, _) = questions.split_once("\n## ").unwrap();
    let sections = questions.split("\n### ").skip(1);
    let question = |section: &str| {
        let (heading, rest) = section.split_once('\n').unwrap();
        let (_, rest) = rest.split_once("```sql\n").unwrap();
        let (sql, rest) = rest.split_once("\n```").unwrap();
        let answer: Vec<&str> = rest.lines().filter(|line| line.starts_with('|')).collect();
        Question { heading: heading.to_owned(), sql: sql.to_owned(), answer: answer.join("\n") }
    };
    sections.map(question).collect()
}

#[test]
fn every_question_of_the_document_is_answered_as_it_says() {
    let desk: &Desk = desk();
    for statement in LOG.split(";\n").filter(|text| !text.trim().is_empty()) {
        desk.ask(USER, statement).unwrap();
    }
    let questions = questions();
    assert_eq!(questions.len(), 10);
    for Question { heading, sql, answer } in questions {
        let user = if heading.contains("auditor") { "ada" } else { "dana" };
        if sql.ends_with("FORMAT Parquet") {
            let file = desk.ask(user, &sql).unwrap();
            assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"), "{heading}");
            continue;
        }
        let told = desk.text(user, &format!("{sql}\nFORMAT Markdown"));
        assert_eq!(told, Ok(answer), "{heading}");
    }
}
