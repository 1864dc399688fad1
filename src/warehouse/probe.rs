//! What ClickHouse says of itself: version, clock, disks, and which of our tables are there.
//!
//! In: nothing. Out: facts, for whoever looks for the reason that something fails.
//!
//! # Invariants
//! - It only reads, and asks one server; of a cluster's shards each is asked by itself.
//!
//! Deliberately unknown here: which of it is bad.

use clickhouse::Row;
use clickhouse::error::Error;
use serde::Deserialize;

use super::cluster::whole;
use super::{READ_TIMEOUT, ServerError, Warehouse, migrate};
use crate::event::Micros;

/// A server that lets us in.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct ServerFacts {
    /// Its version.
    pub version: String,
    /// Its clock.
    pub now: Micros,
}

/// A disk of the server.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct DiskSpace {
    /// Its name.
    pub name: String,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

impl Warehouse {
    /// What the server is.
    pub async fn facts(&self) -> Result<ServerFacts, ServerError> {
        let sql = "SELECT version() AS version, toUnixTimestamp64Micro(now64(6)) AS now";
        self.in_time_or_say(self.server.query(sql).fetch_one::<ServerFacts>()).await
    }

    /// The disks it keeps tables on.
    pub async fn disks(&self) -> Result<Vec<DiskSpace>, ServerError> {
        let sql = "SELECT name, free_space AS free_bytes, total_space AS total_bytes \
                   FROM system.disks WHERE type = 'Local' OR type = 'local' ORDER BY name";
        self.in_time_or_say(self.server.query(sql).fetch_all::<DiskSpace>()).await
    }

    /// Tables that migrations have made, as they are recorded, and that are not there; each with
    /// the migration that makes it.
    pub async fn missing_tables(
        &self,
    ) -> Result<Vec<(&'static str, &'static migrate::Migration)>, ServerError> {
        let there = self.tables_of(self.database()).await?;
        let made = migrate::ALL.iter().filter_map(|one| Some((table_of(one.sql)?, one)));
        Ok(made.filter(|(table, _)| !there.iter().any(|name| name == table)).collect())
    }

    /// Of a cluster, the tables over all shards that are not there, with their database.
    pub async fn missing_over_all(&self) -> Result<Vec<String>, ServerError> {
        let database = whole(self.database());
        let there = self.tables_of(&database).await?;
        let made = migrate::ALL.iter().filter_map(|one| table_of(one.sql));
        let missing = made.filter(|table| !there.iter().any(|name| name == table));
        Ok(missing.map(|table| format!("{database}.{table}")).collect())
    }

    /// Ask something of every shard, as questions do. What is asked is of no interest.
    pub async fn ask_every_shard(&self) -> Result<(), ServerError> {
        let asked = async { self.read("SELECT toString(count()) FROM gaps").await };
        self.in_time_or_say(asked).await.map(|_| ())
    }

    async fn tables_of(&self, database: &str) -> Result<Vec<String>, ServerError> {
        let sql = "SELECT name FROM system.tables WHERE database = ?";
        self.in_time_or_say(self.server.query(sql).bind(database).fetch_all()).await
    }

    async fn in_time_or_say<T>(
        &self,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, ServerError> {
        let asked = tokio::time::timeout(READ_TIMEOUT, asked).await;
        asked.unwrap_or(Err(Error::TimedOut)).map_err(|error| self.explain(error))
    }
}

/// The table that a statement creates.
fn table_of(sql: &str) -> Option<&str> {
    let (_, after) = sql.split_once("CREATE TABLE IF NOT EXISTS ")?;
    after.split(|c: char| c.is_whitespace() || c == '(').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_read_from_the_migrations() {
        let tables: Vec<&str> = migrate::ALL.iter().filter_map(|one| table_of(one.sql)).collect();
        for table in ["events", "quarantine", "batches", "gaps", "api_keys"] {
            assert!(tables.contains(&table), "{table} of {tables:?}");
        }
    }
}
