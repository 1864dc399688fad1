//! Erasure: a person's data goes, the evidence stays.
//!
//! In: records of several people and tenants. Out: rows, reports, receipts.
//!
//! # Invariants
//! - Whatever is erased, verify with digests finds nothing lost and nothing altered.
//!
//! Deliberately unknown here: retention.

use trailhouse::app::audit::receipt;
use trailhouse::app::replay::{Selection, run as replay};
use trailhouse::app::retire::{Erasure, erase};
use trailhouse::audit::State;
use uuid::Uuid;

use crate::lifecycle::{
    asked, count, days_ago, ended, event, of, one, read_again, report, rows, stored, sum,
};

fn of_ann(delete: bool) -> Erasure {
    Erasure { tenant: "acme".into(), subject: "ann".into(), anywhere: false, delete }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_erased_and_its_evidence_stays_without_its_data() {
    let now = days_ago(1);
    let records = vec![
        event("acme", "carl", "p", &now, 0),
        event("acme", "ann", "p", &now, 1),
        event("acme", "bob", "ann", &now, 2),
        event("acme", "bob", "p", &now, 3),
        event("beta", "ann", "p", &now, 4),
        of("acme", "{\"actor\": \"ann\""),
        of("acme", "{\"actor\": \"bob\""),
    ];
    let (loaded, warehouse, topic) = stored(records).await;
    let position = "concat(toString(kafka_partition), ' ', toString(kafka_offset))";
    let place =
        one(&warehouse, &format!("SELECT {position} FROM events WHERE source_id = '1'")).await;
    let digest = "SELECT lower(hex(SHA256(raw))) FROM events WHERE source_id = '1'";
    let digest = one(&warehouse, digest).await;

    // A name that stands in the bytes alone is found where it is asked for, and its actor stays.
    let mail = Erasure { subject: "carl@acme.example".into(), ..of_ann(false) };
    assert!(erase(&loaded, &mail, &asked()).await.unwrap().tenants.is_empty());
    let mail = Erasure { anywhere: true, ..mail };
    assert_eq!(ended(&erase(&loaded, &mail, &asked()).await.unwrap(), "acme"), rows(1, 0, 0));
    let is_carl =
        "source_id = '0' AND actor_id = 'carl' AND empty(attributes) AND raw LIKE 'erased:%'";
    assert_eq!(count(&warehouse, "events", is_carl).await, 1);

    let outcome = erase(&loaded, &of_ann(false), &asked()).await.unwrap();
    assert_eq!(ended(&outcome, "acme"), rows(2, 1, 0));
    let id = outcome.id;
    let mark = format!("erased:{id} sha256:{digest}");
    let is_redacted = format!(
        "source_id = '1' AND actor_id = 'erased:{id}' AND actor_name = '' AND target_id = 'p' \
         AND raw = '{mark}' AND empty(attributes) AND action = 'project.create'"
    );
    assert_eq!(count(&warehouse, "events", &is_redacted).await, 1);
    let is_target = format!("source_id = '2' AND actor_id = 'bob' AND target_id = 'erased:{id}'");
    assert_eq!(count(&warehouse, "events", &is_target).await, 1);
    // Nowhere in what is stored of the tenant, nor in what ClickHouse keeps of the statements.
    let all = "tenant = 'acme' AND (toString(tuple(*)) LIKE '%ann%')";
    assert_eq!(count(&warehouse, "events", all).await, 0);
    assert_eq!(count(&warehouse, "quarantine", "raw LIKE '%ann%'").await, 0);
    let ours = format!("database = '{}' AND command LIKE '%ann%'", warehouse.database());
    assert_eq!(count(&warehouse, "system.mutations", &ours).await, 0);
    assert_eq!(count(&warehouse, "events", "tenant = 'beta' AND actor_id = 'ann'").await, 1);
    assert_eq!(count(&warehouse, "quarantine", "1").await, 1);

    let found = report(&loaded).await;
    assert!(found.good, "{found}");
    assert_eq!((sum(&found, |o| o.retired), sum(&found, |o| o.stored)), (4, 2), "{found}");
    let (partition, offset) = place.split_once(' ').unwrap();
    let receipt = receipt(&loaded, &topic, partition.parse().unwrap(), offset.parse().unwrap())
        .await
        .unwrap();
    assert_eq!((receipt.state, receipt.is_good()), (State::Retired, true), "{receipt}");
    let [row] = &receipt.retired[..] else { panic!("{receipt}") };
    assert_eq!((&*row.form, &*row.kind, &row.sha256), ("redacted", "erasure", &digest));
    assert_eq!(row.retirement, id.to_string());

    // Neither offsets set back nor a replay brings anything back, and a second time finds nothing.
    read_again(&loaded, &warehouse).await;
    replay(&loaded, &Selection::default()).await.unwrap();
    assert_eq!(count(&warehouse, "events", all).await, 0);
    assert_eq!(count(&warehouse, "events", "1").await, 5);
    let again = report(&loaded).await;
    assert!(again.good && sum(&again, |o| o.retired) == 4, "{again}");
    assert!(erase(&loaded, &of_ann(false), &asked()).await.unwrap().tenants.is_empty());

    // A redacted row is redacted once, whoever is erased next; deleted, it counts as before.
    let bob = Erasure { subject: "bob".into(), ..of_ann(false) };
    assert_eq!(ended(&erase(&loaded, &bob, &asked()).await.unwrap(), "acme"), rows(2, 1, 0));
    assert_eq!(count(&warehouse, "events", &format!("raw LIKE '%{id}%'")).await, 2);
    assert!(report(&loaded).await.good);
    let beta = Erasure { tenant: "beta".into(), ..of_ann(true) };
    assert_eq!(ended(&erase(&loaded, &beta, &asked()).await.unwrap(), "beta"), rows(1, 0, 0));
    assert_eq!(count(&warehouse, "events", "tenant = 'beta'").await, 0);
    let last = report(&loaded).await;
    assert!(last.good && sum(&last, |o| o.retired) == 7, "{last}");

    // A mark that a hand has put there is found.
    let forged = format!(
        "ALTER TABLE events UPDATE raw = '{mark}', retired_by = toUUID('{}') WHERE source_id = '3' \
         SETTINGS mutations_sync = 2",
        Uuid::nil()
    );
    warehouse.run(&forged).await.unwrap();
    let robbed = report(&loaded).await;
    assert!(!robbed.good, "{robbed}");
}
