//! Backup and restore, as docs/OPERATING.md has them: from a backup made under load to a clean verify.
//!
//! In: a database that is backed up while records are stored, lost, and restored. Out: reports.
//!
//! # Invariants
//! - `batches` is backed up before what it vouches for.
//!
//! Deliberately unknown here: where backups are kept.

use trailhouse::app::audit::verify;
use trailhouse::audit::{Report, Scope};
use trailhouse::config::Loaded;
use trailhouse::gateway::Outgoing;
use trailhouse::warehouse::Warehouse;

use crate::harness::{
    in_kafka, loaded, produce, record, serve, tally, unique, until, until_stored,
};

fn records(from: u64, to: u64) -> Vec<Outgoing> {
    let text = |n| format!(r#"{{"id":"{n}","source":"iam","action":"a","actor":{{"id":"ann"}}}}"#);
    (from..to).map(|n| record(text(n))).collect()
}

async fn report(loaded: &Loaded) -> Report {
    verify(loaded, None, None, Scope { digests: true, ..Scope::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_is_filled_from_kafka_until_verify_is_clean() {
    let topic = unique("backed_up");
    let loaded = loaded(&[(&topic, "frontier")]).await;
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let database = warehouse.database().to_owned();
    produce(&topic, records(0, 300)).await;
    let service = serve(&loaded).await;
    until_stored(&loaded).await;

    // Under load: records go on coming while both halves are backed up.
    let name = topic.clone();
    let load = tokio::spawn(async move { produce(&name, records(300, 20_300)).await });
    until(async || tally(&loaded).await.records > 300).await;
    for statement in [
        format!("BACKUP TABLE {database}.batches TO File('{database}_batches')"),
        format!("BACKUP DATABASE {database} EXCEPT TABLES batches TO File('{database}_rest')"),
    ] {
        warehouse.run(&statement).await.unwrap();
    }
    load.await.unwrap();
    until_stored(&loaded).await;
    produce(&topic, records(20_300, 20_400)).await;
    until_stored(&loaded).await;
    assert!(service.stop().await.unwrap().unwrap().drained);
    assert!(report(&loaded).await.good);

    // The disaster, and the restore: an older state, which says itself how far it goes.
    warehouse.run(&format!("DROP DATABASE {database} SYNC")).await.unwrap();
    let server = Warehouse::connect(&trailhouse::warehouse::ClickHouseConfig {
        database: "default".to_owned(),
        ..loaded.config.clickhouse.clone()
    })
    .unwrap();
    for statement in [
        format!("RESTORE DATABASE {database} FROM File('{database}_rest')"),
        format!("RESTORE TABLE {database}.batches FROM File('{database}_batches')"),
    ] {
        server.run(&statement).await.unwrap();
    }
    let all = in_kafka(&loaded).await;
    let restored = report(&loaded).await;
    let stored: u64 = restored.partitions.iter().map(|p| p.offsets.stored).sum();
    assert!(restored.good && (300..all).contains(&stored), "{restored}");

    // The mistake: the group's offsets are ahead. What they stepped over is lost, and named.
    let service = serve(&loaded).await;
    let before = tally(&loaded).await.records;
    produce(&topic, records(20_400, 20_500)).await;
    until(async || tally(&loaded).await.records >= before + 100).await;
    service.stop().await.unwrap();
    let wrong = report(&loaded).await;
    let lost: u64 = wrong.partitions.iter().map(|p| p.findings.lost.rows).sum();
    let missing = in_kafka(&loaded).await - tally(&loaded).await.records;
    assert!(!wrong.good && lost > 0, "{wrong}");
    // Of a partition without a new record nobody can know yet; rows beyond the last batch are there.
    let not_yet: u64 = wrong.partitions.iter().map(|p| p.offsets.not_yet).sum();
    assert!(lost <= missing && missing <= lost + not_yet, "{missing} {wrong}");

    // Without committed offsets reading goes on behind the contiguous batches.
    let mut again = loaded.clone();
    again.config.kafka.group = unique("group");
    let service = serve(&again).await;
    let filled = until_stored(&again).await;
    service.stop().await.unwrap();
    assert_eq!((filled.records, filled.duplicated), (in_kafka(&loaded).await, 0));
    let clean = report(&loaded).await;
    assert!(clean.good, "{clean}");
    assert_eq!(clean.partitions.iter().map(|p| p.offsets.stored).sum::<u64>(), filled.records);
}
