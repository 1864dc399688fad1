//! Retention and legal holds: what ends, what stays, and what verify says of it.
//!
//! In: topics that were stored, settings of retention, subjects. Out: rows, reports, receipts.
//!
//! # Invariants
//! - Whatever ends, verify with digests finds nothing lost and nothing altered.
//!
//! Deliberately unknown here: how a mutation works.

use std::collections::BTreeMap;
use std::process::Command;

use chrono::{SecondsFormat, TimeDelta, Utc};
use trailhouse::app::audit::verify;
use trailhouse::app::lifecycle::{Holding, Task, run};
use trailhouse::app::retire::{Asked, Outcome, retire};
use trailhouse::audit::{Report, Scope};
use trailhouse::config::Loaded;
use trailhouse::demo::watermarks;
use trailhouse::gateway::Outgoing;
use trailhouse::warehouse::{Act, Due, Ended, Form, NewHold, Table, Warehouse, migrate};
use uuid::Uuid;

use crate::harness::{broker, exe, in_kafka, loaded, produce, serve, unique, until, until_stored};

/// So many days ago, RFC 3339.
pub fn days_ago(days: i64) -> String {
    (Utc::now() - TimeDelta::days(days)).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A record of a tenant.
pub fn of(tenant: &str, payload: impl Into<Vec<u8>>) -> Outgoing {
    let headers = vec![("tenant".to_owned(), tenant.to_owned())];
    Outgoing { key: String::new(), headers, payload: payload.into() }
}

/// An event of a tenant.
pub fn event(tenant: &str, actor: &str, target: &str, at: &str, n: u64) -> Outgoing {
    let text = format!(
        r#"{{"id":"{n}","source":"iam","action":"project.create","created_at":"{at}",
            "actor":{{"id":"{actor}","type":"user","name":"{actor} by name"}},
            "target":{{"id":"{target}","type":"user","name":"{target} by name"}},
            "context":{{"mail":"{actor}@acme.example"}}}}"#
    );
    of(tenant, text)
}

/// Who asks, and why.
pub fn asked() -> Asked {
    Asked { by: "tester".to_owned(), reason: "DSR-1".to_owned(), dry_run: false }
}

/// A topic whose records are stored.
pub async fn stored(records: Vec<Outgoing>) -> (Loaded, Warehouse, String) {
    let topic = unique("lifecycle");
    let loaded = loaded(&[(&topic, "frontier")]).await;
    produce(&topic, records).await;
    let service = serve(&loaded).await;
    until_stored(&loaded).await;
    service.stop().await.unwrap();
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    (loaded, warehouse, topic)
}

/// Every record is read once more, as if nobody had read any.
pub async fn read_again(loaded: &Loaded, warehouse: &Warehouse) {
    // With the table its memory of tokens goes, which would swallow the same batches.
    warehouse.run("DROP TABLE batches SYNC").await.unwrap();
    for migration in migrate::ALL.iter().filter(|migration| migration.name.starts_with("batches")) {
        warehouse.run(migration.sql).await.unwrap();
    }
    let mut again = loaded.clone();
    again.config.kafka.group = unique("group");
    let service = serve(&again).await;
    let wanted = in_kafka(loaded).await;
    let covered = "SELECT toString(sum(last_offset - first_offset + 1)) FROM batches";
    until(async || one(warehouse, covered).await.parse::<u64>().unwrap() >= wanted).await;
    service.stop().await.unwrap();
}

/// The one text that a statement answers.
pub async fn one(warehouse: &Warehouse, sql: &str) -> String {
    warehouse.read(sql).await.unwrap().remove(0)
}

/// Rows of a table.
pub async fn count(warehouse: &Warehouse, table: &str, condition: &str) -> u64 {
    let sql = format!("SELECT toString(count()) FROM {table} WHERE {condition}");
    one(warehouse, &sql).await.parse().unwrap()
}

/// What verify finds, digests included.
pub async fn report(loaded: &Loaded) -> Report {
    verify(loaded, None, None, Scope { digests: true, ..Scope::default() }).await.unwrap()
}

/// Offsets in a state, of all partitions.
pub fn sum(report: &Report, of: fn(&trailhouse::audit::Offsets) -> u64) -> u64 {
    report.partitions.iter().map(|partition| of(&partition.offsets)).sum()
}

/// What became of a tenant's rows.
pub fn ended(outcome: &Outcome, tenant: &str) -> Ended {
    let found = outcome.tenants.iter().find(|(act, _)| act.tenant == tenant);
    found.map(|(_, ended)| *ended).unwrap_or_default()
}

/// Rows of the two tables, and held ones.
pub fn rows(event_rows: u64, quarantined_rows: u64, held_rows: u64) -> Ended {
    Ended { event_rows, quarantined_rows, held_rows }
}

/// 35 old events of ann and 5 of bob, 20 new ones, a quarantined one; and 30 old ones of another.
fn two_tenants() -> Vec<Outgoing> {
    let (old, new) = (days_ago(400), days_ago(2));
    let ann = (0..35).map(|n| event("acme", "ann", "p", &old, n));
    let bob = (35..40).map(|n| event("acme", "bob", "p", &old, n));
    let recent = (40..60).map(|n| event("acme", "ann", "p", &new, n));
    let other = (60..90).map(|n| event("beta", "ann", "p", &old, n));
    let broken = [of("acme", "{\"actor\": \"ann\"")];
    ann.chain(bob).chain(recent).chain(other).chain(broken).collect()
}

fn keep_a_year(loaded: &mut Loaded) {
    loaded.config.retention.tenants = BTreeMap::from([("acme".to_owned(), 365)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_its_tenants_days_ends_but_for_what_a_hold_keeps_and_verify_stays_clean()
{
    let (mut loaded, warehouse, _) = stored(two_tenants()).await;
    keep_a_year(&mut loaded);
    let audit = unique("audit_trail");
    broker().create_topics(&[(&audit, 1)]).await.unwrap();
    loaded.config.api.audit.topic = audit.clone();
    let holding = Holding {
        tenant: "acme".into(),
        subject: Some("bob".into()),
        asked: asked(),
        ..Holding::default()
    };
    assert!(run(&loaded, Task::Hold(holding), &mut Vec::new()).await.unwrap());

    let tried = retire(&loaded, &Asked { dry_run: true, ..asked() }).await.unwrap();
    assert_eq!(ended(&tried, "acme"), rows(35, 0, 5));
    assert_eq!(count(&warehouse, "events", "1").await, 90);
    assert_eq!(count(&warehouse, "retirements", "1").await, 0);

    let mut told = Vec::new();
    assert!(run(&loaded, Task::Retire(asked()), &mut told).await.unwrap());
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("35 events deleted, 0 quarantined rows deleted, 5 rows kept"), "{told}");
    assert_eq!(count(&warehouse, "events", "tenant = 'acme'").await, 25);
    assert_eq!(count(&warehouse, "events", "tenant = 'beta'").await, 30);
    assert_eq!(
        count(&warehouse, "retirements", "kind = 'retention' AND acted_by = 'tester'").await,
        2
    );
    let done = "standing = 'done' AND event_rows = 35 AND held_rows = 5 AND reason = 'DSR-1'";
    assert_eq!(count(&warehouse, "retirements", done).await, 1);
    let found = report(&loaded).await;
    assert!(found.good, "{found}");
    assert_eq!((sum(&found, |o| o.retired), sum(&found, |o| o.lost)), (35, 0), "{found}");
    assert_eq!(sum(&found, |o| o.stored), 55, "{found}");
    assert!(found.to_string().contains("35 retired"), "{found}");
    // One record of the hold, one of the retirement.
    let name = audit.clone();
    let marks = tokio::task::spawn_blocking(move || watermarks(&broker().bootstrap(), &[&name]));
    assert_eq!(marks.await.unwrap().unwrap()[0].end, 2);

    // A deletion that nobody recorded is told apart from the others.
    read_again(&loaded, &warehouse).await;
    assert_eq!(count(&warehouse, "events", "1").await, 55, "what was retired came back");
    let again = report(&loaded).await;
    assert!(again.good && sum(&again, |o| o.retired) == 35, "{again}");
    let by_hand = "ALTER TABLE events DELETE WHERE source_id = '41' SETTINGS mutations_sync = 2";
    warehouse.run(by_hand).await.unwrap();
    let robbed = report(&loaded).await;
    assert!(!robbed.good && sum(&robbed, |o| o.lost) == 1, "{robbed}");

    // Released, the rest is due; with shorter days, what is stored already is, too.
    let hold = one(&warehouse, "SELECT toString(id) FROM holds").await;
    let release = Task::Release { id: hold[..8].to_owned(), asked: asked() };
    run(&loaded, release, &mut Vec::new()).await.unwrap();
    loaded.config.retention.tenants.insert("beta".to_owned(), 1);
    let older = "ALTER TABLE quarantine UPDATE ingested_at = now64(3) - INTERVAL 400 DAY, tenant = 'acme' \
                 WHERE 1 SETTINGS mutations_sync = 2";
    warehouse.run(older).await.unwrap();
    let outcome = retire(&loaded, &asked()).await.unwrap();
    assert_eq!(ended(&outcome, "acme"), rows(5, 1, 0));
    assert_eq!(ended(&outcome, "beta"), rows(30, 0, 0));
    assert_eq!(count(&warehouse, "events", "1").await, 19);
    assert_eq!(count(&warehouse, "quarantine", "1").await, 0);
    let bare = report(&loaded).await;
    assert_eq!((sum(&bare, |o| o.retired), sum(&bare, |o| o.lost)), (71, 1), "{bare}");
    let nothing = retire(&loaded, &asked()).await.unwrap();
    assert!(nothing.tenants.is_empty(), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_comes_between_the_plan_and_the_deletion_still_wins() {
    let (mut loaded, warehouse, _) = stored(two_tenants()).await;
    keep_a_year(&mut loaded);
    let act = Act {
        id: Uuid::from_u128(7),
        tenant: "acme".into(),
        due: Due::Before(Utc::now().timestamp_micros() - 365 * 86_400_000_000),
        form: Form::Deleted,
        reason: String::new(),
        acted_by: String::new(),
    };
    let hold = NewHold {
        id: Uuid::from_u128(8),
        tenant: "acme".into(),
        subject: String::new(),
        since: None,
        until: None,
        reason: String::new(),
        acted_by: String::new(),
    };
    // Holds of other times, another subject or another tenant keep none of these.
    let year = |years: i64| Utc::now().timestamp_micros() - years * 365 * 86_400_000_000;
    for (id, other) in [
        (9, NewHold { until: Some(year(2)), ..hold.clone() }),
        (10, NewHold { since: Some(year(1)), ..hold.clone() }),
        (11, NewHold { subject: "carl".into(), ..hold.clone() }),
        (12, NewHold { tenant: "beta".into(), ..hold.clone() }),
    ] {
        warehouse.place_hold(&NewHold { id: Uuid::from_u128(id), ..other }).await.unwrap();
    }
    let parts = warehouse.due(&act, Table::Events).await.unwrap();
    assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), 40);
    let mut kept = 0;
    for (step, part) in (1..).zip(&parts) {
        let most = u64::MAX / 2;
        let planned = warehouse
            .plan_retirement(&act, Table::Events, &part.partition, step, most)
            .await
            .unwrap();
        assert_eq!(planned, part.rows);
        warehouse.place_hold(&hold).await.unwrap();
        let tell = &mut |_| {};
        kept += warehouse.end_rows(&act, Table::Events, &part.partition, step, tell).await.unwrap();
    }
    assert_eq!((kept, count(&warehouse, "events", "tenant = 'acme'").await), (40, 60));
    let found = report(&loaded).await;
    assert!(found.good && sum(&found, |o| o.stored) == 90, "{found}");
    let outcome = retire(&loaded, &asked()).await.unwrap();
    assert_eq!(ended(&outcome, "acme"), rows(0, 0, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_say_what_they_did_and_an_erasure_that_a_hold_stops_is_a_failure() {
    let (loaded, warehouse, _) = stored(two_tenants()).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.toml");
    let clickhouse = &loaded.config.clickhouse;
    let text = format!(
        "[clickhouse]\nurl = {:?}\ndatabase = {:?}\nuser = {:?}\n[retention.tenants]\nacme = 365\n\
         [[tenant]]\nid = \"acme\"\naliases = [\"ACC-1\"]\n",
        clickhouse.url, clickhouse.database, clickhouse.user,
    );
    std::fs::write(&file, text).unwrap();
    let go = |arguments: &[&str]| {
        let mut program = Command::new(exe());
        program.args(arguments).arg("--config").arg(&file).env("USER", "ann the operator");
        let output = program.output().unwrap();
        let text = [&output.stdout[..], &output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    // By another name of the tenant.
    let hold = ["hold", "add", "--tenant", "ACC-1", "--actor", "bob", "--reason", "case 17"];
    let (code, out) = go(&hold);
    let id = out.lines().find_map(|line| line.strip_prefix("hold ")).unwrap_or_default().to_owned();
    assert!(code == 0 && Uuid::parse_str(&id).is_ok(), "{out}");
    assert!(out.contains("keeps 5 events of acme now"), "{out}");
    let (code, out) = go(&["hold", "list"]);
    let told = out.contains("by ann the operator") && out.contains("stands\n    case 17");
    assert!(code == 0 && told, "{out}");

    let (code, out) = go(&["erase", "--tenant", "acme", "--actor-id", "bob", "--reason", "DSR-2"]);
    assert!(code == 1 && out.contains("0 events redacted") && out.contains("5 rows kept"), "{out}");
    let (code, out) = go(&["retire", "--dry-run"]);
    assert!(code == 0 && out.contains("35 events would be deleted"), "{out}");
    let (code, out) = go(&["retire"]);
    assert!(code == 0 && out.contains("35 events deleted") && out.contains("retirement "), "{out}");
    let (code, out) = go(&["hold", "release", &id[..9], "--reason", "closed"]);
    assert!(code == 0 && out.contains(&id), "{out}");
    let (_, out) = go(&["hold", "list"]);
    assert!(out.contains("released by ann the operator"), "{out}");
    let (code, out) =
        go(&["erase", "--tenant", "acme", "--subject", "bob", "--reason", "DSR-2", "--delete"]);
    assert!(code == 0 && out.contains("5 events deleted"), "{out}");
    assert_eq!(count(&warehouse, "events", "tenant = 'acme'").await, 20);

    for (arguments, words) in [
        (&["erase", "--tenant", "acme", "--subject", "x"][..], "--reason"),
        (&["erase", "--tenant", "acme", "--subject", " ", "--reason", "r"], "says nothing"),
        (&["hold", "add", "--tenant", "acme", "--reason", "r", "--from", "soon"], "neither"),
    ] {
        let (code, out) = go(arguments);
        assert!(code == 2 && out.contains(words), "{arguments:?}: {code}: {out}");
    }
    let (code, out) = go(&["hold", "release", "zz", "--reason", "r"]);
    assert!(code == 1 && out.contains("0 holds begin with zz"), "{out}");
    let reversed = [
        "hold",
        "add",
        "--tenant",
        "a",
        "--reason",
        "r",
        "--from",
        "2026-01-02",
        "--to",
        "2026-01-01",
    ];
    let (code, out) = go(&reversed);
    assert!(code == 1 && out.contains("--from must be before --to"), "{out}");
}
