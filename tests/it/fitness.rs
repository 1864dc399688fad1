//! Whether a start finds out what would break delivery: tables that forget, or lack a column.
//!
//! In: a database whose tables were changed by hand. Out: what the start says about it.
//!
//! # Invariants
//! - Every sentence that is found names the statement that mends it, and that statement does.
//!
//! Deliberately unknown here: Kafka.

use trailhouse::demo::ClickHouseServer;
use trailhouse::warehouse::{ClickHouseConfig, Warehouse, migrate, outcome};

use crate::harness::{clickhouse, exe};
use crate::house::read;

async fn fresh() -> Warehouse {
    tokio::task::spawn_blocking(clickhouse).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_as_the_migrations_make_them_have_nothing_against_them() {
    assert_eq!(fresh().await.obstacles().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_forgets_tokens_is_refused_and_the_sentence_mends_it() {
    let warehouse = fresh().await;
    let forget = "ALTER TABLE quarantine MODIFY SETTING non_replicated_deduplication_window = 0";
    warehouse.run(forget).await.unwrap();
    let found = warehouse.obstacles().await.unwrap();
    let [sentence] = found.as_slice() else { panic!("{found:?}") };
    assert!(sentence.contains("`quarantine`"), "{sentence}");
    let (_, mending) = sentence.split_once("run: ").unwrap();
    warehouse.run(mending).await.unwrap();
    assert_eq!(warehouse.obstacles().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_of_a_materialized_view_is_held_to_the_same() {
    let warehouse = fresh().await;
    for statement in [
        "CREATE TABLE by_tenant (tenant String, events UInt64) ENGINE = SummingMergeTree ORDER BY tenant",
        "CREATE MATERIALIZED VIEW counting TO by_tenant AS SELECT tenant, count() AS events FROM events GROUP BY tenant",
        // A table that hangs on nothing of ours is no business of ours.
        "CREATE TABLE apart (x UInt8) ENGINE = MergeTree ORDER BY x",
    ] {
        warehouse.run(statement).await.unwrap();
    }
    let found = warehouse.obstacles().await.unwrap();
    let [sentence] = found.as_slice() else { panic!("{found:?}") };
    assert!(sentence.contains("`by_tenant`, the target of a materialized view"), "{sentence}");
    warehouse.run(sentence.split_once("run: ").unwrap().1).await.unwrap();
    let inner = "CREATE MATERIALIZED VIEW inner_one ENGINE = MergeTree ORDER BY tenant \
                 AS SELECT tenant FROM events";
    warehouse.run(inner).await.unwrap();
    let found = warehouse.obstacles().await.unwrap();
    assert!(found.len() == 1 && found[0].contains("`.inner_id."), "{found:?}");
    warehouse.run(found[0].split_once("run: ").unwrap().1).await.unwrap();
    assert_eq!(warehouse.obstacles().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_gone_is_named() {
    let warehouse = fresh().await;
    warehouse.run("ALTER TABLE events DROP COLUMN written_by").await.unwrap();
    warehouse.run("ALTER TABLE events ADD COLUMN my_own String").await.unwrap();
    let found = warehouse.obstacles().await.unwrap();
    assert!(found.len() == 1 && found[0].contains("events.written_by"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_errors_we_know_by_number_are_called_so_by_the_engine() {
    let warehouse = fresh().await;
    for (number, name) in outcome::listed() {
        let sql = format!("SELECT toString(errorCodeToName({number}))");
        assert_eq!(warehouse.read(&sql).await.unwrap(), [name], "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_deploy_gives_to_who_migrates_are_enough() {
    let document = read("deploy/README.md");
    let grant = |line: &str| {
        let (grant, _) = line.trim().split_once(" TO trailhouse_migrate;")?;
        grant.starts_with("GRANT ").then(|| format!("<query>{grant}</query>"))
    };
    let grants: Vec<String> = document.lines().filter_map(grant).collect();
    assert_eq!(grants.len(), 3, "{grants:?}");
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("users.d")).unwrap();
    let users = format!(
        "<clickhouse><users><trailhouse_migrate><no_password/><profile>default</profile>\
         <quota>default</quota><networks><ip>127.0.0.1</ip></networks><grants>{}</grants>\
         </trailhouse_migrate></users></clickhouse>",
        grants.concat()
    );
    std::fs::write(dir.path().join("users.d/migrate.xml"), users).unwrap();
    let server = ClickHouseServer::start(dir.path(), exe()).unwrap();
    let config = ClickHouseConfig {
        url: server.url(),
        user: "trailhouse_migrate".to_owned(),
        ..ClickHouseConfig::default()
    };
    let warehouse = Warehouse::connect(&config).unwrap();
    assert_eq!(migrate::up(&warehouse, false).await.unwrap().len(), migrate::ALL.len());
}
