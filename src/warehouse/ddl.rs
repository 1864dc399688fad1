//! Statements of migrations as a cluster needs them.
//!
//! In: a migration's statement. Out: the same for a server of a cluster: a replicated engine where the
//! tables are replicated, and the Distributed tables and views over all shards.
//!
//! There is no `ON CLUSTER`: `migrate up` goes to every server by itself, so it needs no queue in Keeper,
//! and a server that was away gets what it has missed by running it again.
//!
//! # Invariants
//! - A migration's file is one text for every set-up, and its checksum too: only what is sent differs.
//! - A replica's path names the shard by the number the settings give it, so that two shards with one
//!   `shard` macro cannot become replicas of each other; only the macro `replica` is asked of a server.
//! - Distributed tables hold nothing: they are made again by every `migrate up`, with the columns that
//!   the tables have then. They have no sharding key, so ClickHouse refuses to write through them.
//!
//! Deliberately unknown here: what the tables are for.

use clickhouse::error::Error;
use clickhouse::sql::Identifier;

use super::Warehouse;
use super::cluster::{Cluster, whole};
use super::migrate::{self, Migration};

const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS ";
const CREATE_VIEW: &str = "CREATE VIEW IF NOT EXISTS ";
const REPLACE_VIEW: &str = "CREATE OR REPLACE VIEW ";

impl Warehouse {
    /// A migration's statement as this server is to run it.
    pub(super) fn rendered(&self, cluster: Option<&Cluster>, sql: &str) -> String {
        match (self.shard, cluster) {
            (Some(shard), Some(cluster)) if self.is_replicated => {
                replicated(sql, &cluster.name, shard.number)
            }
            _ => sql.to_owned(),
        }
    }

    /// Make the Distributed tables on this server, and the views over them.
    pub(super) async fn distribute(&self, cluster: &str) -> Result<(), Error> {
        let (ours, all) = (self.database().to_owned(), whole(self.database()));
        let create = self.server.query("CREATE DATABASE IF NOT EXISTS ?");
        create.bind(Identifier(&all)).execute().await?;
        for table in migrate::ALL.iter().filter_map(table_of) {
            let sql = "CREATE OR REPLACE TABLE ?.? AS ?.? ENGINE = Distributed(?, ?, ?)";
            let create = self.server.query(sql).bind(Identifier(&all)).bind(Identifier(table));
            let create = create.bind(Identifier(&ours)).bind(Identifier(table));
            create.bind(cluster).bind(&ours).bind(table).execute().await?;
        }
        let client = self.server.clone().with_database(&all);
        for (_, sql) in views() {
            client.query_raw(&sql).execute().await?;
        }
        Ok(())
    }
}

/// The table that a migration creates.
fn table_of(migration: &Migration) -> Option<&'static str> {
    let (_, after) = migration.sql.split_once(CREATE_TABLE)?;
    after.split_whitespace().next()
}

/// Every view with its name, to be made again: as the last migration that makes it says.
fn views() -> Vec<(&'static str, String)> {
    let mut views: Vec<(&str, String)> = Vec::new();
    for Migration { sql, .. } in migrate::ALL {
        let begin = |line: &&str| line.starts_with(CREATE_VIEW) || line.starts_with(REPLACE_VIEW);
        let Some(name) = sql.lines().find(begin).and_then(|line| line.split(' ').next_back())
        else {
            continue;
        };
        views.retain(|(known, _)| *known != name);
        views.push((name, sql.replacen(CREATE_VIEW, REPLACE_VIEW, 1)));
    }
    views
}

/// A statement whose engine is replicated.
fn replicated(sql: &str, cluster: &str, shard: u32) -> String {
    let line = |line: &str| {
        let engine = line.strip_prefix("ENGINE = ").map(str::trim_end)?;
        let (name, arguments) = match engine.split_once('(') {
            Some((name, rest)) => (name, format!(", {}", rest.strip_suffix(')')?)),
            None => (engine, String::new()),
        };
        let path = format!("/clickhouse/tables/{cluster}/{shard}/{{database}}/{{table}}");
        name.ends_with("MergeTree")
            .then(|| format!("ENGINE = Replicated{name}('{path}', '{{replica}}'{arguments})"))
    };
    let lines: Vec<String> =
        sql.lines().map(|text| line(text).unwrap_or_else(|| text.to_owned())).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(name: &str) -> String {
        let migration = migrate::ALL.iter().find(|migration| migration.name == name).unwrap();
        replicated(migration.sql, "main", 2)
    }

    #[test]
    fn a_replicated_table_differs_in_its_engine_alone() {
        let golden = "CREATE TABLE IF NOT EXISTS gaps\n(\n";
        let tail = "\
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/main/2/{database}/{table}', '{replica}')
ORDER BY (kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, first_offset)
SETTINGS
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800
COMMENT 'offsets that were lost before they could be read'";
        let gaps = rendered("gaps");
        assert!(gaps.contains(golden) && gaps.ends_with(tail), "{gaps}");
        let keys = "ENGINE = ReplicatedReplacingMergeTree(\
                    '/clickhouse/tables/main/2/{database}/{table}', '{replica}', revoked_at)";
        assert!(rendered("api_keys").lines().any(|line| line == keys));
    }

    #[test]
    fn every_table_of_every_migration_is_replicated_and_nothing_else_changes() {
        for migration in migrate::ALL {
            let text = replicated(migration.sql, "main", 1);
            let pairs = migration.sql.lines().zip(text.lines());
            let changed: Vec<(&str, &str)> = pairs.filter(|(was, is)| was != is).collect();
            assert_eq!(migration.sql.lines().count(), text.lines().count(), "{}", migration.name);
            // A table without a line of its own for its engine would stay on one replica.
            assert_eq!(changed.len(), usize::from(table_of(migration).is_some()), "{changed:?}");
            assert!(changed.iter().all(|(_, is)| is.starts_with("ENGINE = Replicated")));
        }
    }

    #[test]
    fn the_tables_and_views_over_all_shards_are_read_from_the_migrations() {
        let tables: Vec<&str> = migrate::ALL.iter().filter_map(table_of).collect();
        for table in ["events", "quarantine", "batches", "gaps", "replays", "resolutions"] {
            assert!(tables.contains(&table), "{table} of {tables:?}");
        }
        let [(name, sql)] = &views()[..] else { panic!("{:?}", views()) };
        assert_eq!(*name, "audit_events");
        assert!(sql.contains("CREATE OR REPLACE VIEW audit_events\n"), "{sql}");
        assert!(sql.contains("retired_by"), "an older one: {sql}");
    }
}
