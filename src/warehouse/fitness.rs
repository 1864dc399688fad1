//! Whether the tables can keep what delivery promises.
//!
//! In: the tables as they are. Out: what stands in the way, each with the statement that mends it.
//!
//! # Invariants
//! - A table that forgets tokens is refused: a repeated insert would be stored twice, silently. The
//!   same holds for the target of a materialized view that hangs on one of ours.
//! - Columns of one's own are welcome; one of ours that is missing is not.
//! - A cluster is, to ClickHouse, of as many shards as to us.
//! - Nothing hides rows from us: what read-back does not find is inserted again.
//!
//! Deliberately unknown here: when it is asked.

use clickhouse::Row;
use clickhouse::error::Error;
use clickhouse::sql::Identifier;
use serde::Deserialize;

use super::insert::Table;
use super::migrate;
use super::{READ_TIMEOUT, ServerError, Warehouse};

/// Every table an insert goes to.
const TABLES: [Table; 4] = [Table::Events, Table::Quarantine, Table::Batches, Table::Gaps];

/// A table that rows of ours reach.
#[derive(Debug, Row, Deserialize)]
struct Reached {
    database: String,
    name: String,
    engine: String,
    engine_full: String,
    is_view_target: bool,
}

const REACHED: &str = "
    WITH views AS (
        SELECT view.1 AS database, view.2 AS name
        FROM system.tables ARRAY JOIN arrayZip(dependencies_database, dependencies_table) AS view
        WHERE system.tables.database = currentDatabase() AND system.tables.name IN ?
    ),
    targets AS (
        SELECT if(target = '', database, extract(create_table_query, ' TO ([^ .]+)[.]')) AS to_database,
               if(target = '', concat('.inner_id.', toString(uuid)), target) AS to_name,
               extract(create_table_query, ' TO [^ .]+[.]([^ (]+)') AS target
        FROM system.tables WHERE engine = 'MaterializedView' AND (database, name) IN views
    )
    SELECT database, name, engine, engine_full,
           (database, name) IN (SELECT replaceAll(to_database, '`', ''), replaceAll(to_name, '`', '')
                                FROM targets) AS is_view_target
    FROM system.tables
    WHERE engine LIKE '%MergeTree'
      AND ((database = currentDatabase() AND name IN ?) OR is_view_target)
    ORDER BY database, name";

impl Reached {
    /// The setting that says how many blocks' tokens it remembers.
    fn setting(&self) -> &'static str {
        match self.engine.starts_with("Replicated") {
            true => "replicated_deduplication_window",
            false => "non_replicated_deduplication_window",
        }
    }

    /// What it is set to; without a word a MergeTree remembers none, a replicated one thousands.
    fn forgets(&self) -> bool {
        let settings =
            self.engine_full.split_once(" SETTINGS ").map_or("", |(_, settings)| settings);
        let of_setting = |pair: &str| Some(pair.split_once(" = ")?.1.to_owned());
        let is_ours = |pair: &&str| pair.split(" = ").next() == Some(self.setting());
        let value = settings.split(", ").find(is_ours).and_then(of_setting);
        value.map_or(!self.engine.starts_with("Replicated"), |value| value == "0")
    }

    fn sentence(&self) -> String {
        let Reached { database, name, is_view_target, .. } = self;
        let what = if *is_view_target { "the target of a materialized view" } else { "a table" };
        let setting = self.setting();
        format!(
            "`{database}`.`{name}`, {what}, forgets insert tokens ({setting} = 0), so a repeated \
             insert would be stored twice; run: ALTER TABLE `{database}`.`{name}` MODIFY SETTING \
             {setting} = 100000"
        )
    }
}

impl Warehouse {
    /// What stands in the way of exactly once, as sentences with the fix; none where all is well.
    pub async fn obstacles(&self) -> Result<Vec<String>, ServerError> {
        let mut found = Vec::new();
        for shard in self.shards() {
            let of_shard = |sentence| match shard.shard {
                Some(_) => format!("{}: {sentence}", shard.place()),
                None => sentence,
            };
            found.extend(shard.obstacles_here().await?.into_iter().map(of_shard));
        }
        found.extend(self.unknown_shards().await?);
        Ok(found)
    }

    /// The same of this server's own tables alone.
    pub async fn obstacles_here(&self) -> Result<Vec<String>, ServerError> {
        let asked = tokio::time::timeout(READ_TIMEOUT, self.ask_obstacles()).await;
        asked.unwrap_or(Err(Error::TimedOut)).map_err(|error| self.explain(error))
    }

    /// Where ClickHouse knows another number of shards than the settings list: that, with the fix.
    pub async fn unknown_shards(&self) -> Result<Option<String>, ServerError> {
        let Some(cluster) = &self.cluster else { return Ok(None) };
        let asked = tokio::time::timeout(READ_TIMEOUT, self.ask_known_shards(&cluster.name)).await;
        let known = asked.unwrap_or(Err(Error::TimedOut)).map_err(|error| self.explain(error))?;
        let listed = self.shards().len();
        Ok((known != listed as u64).then(|| {
            format!(
                "ClickHouse knows {known} shards of the cluster `{0}`, and clickhouse.shards lists \
                 {listed}: reads would not see what is written; mend remote_servers.{0}",
                cluster.name
            )
        }))
    }

    async fn ask_known_shards(&self, cluster: &str) -> Result<u64, Error> {
        let sql = "SELECT uniqExact(shard_num) FROM system.clusters WHERE cluster = ?";
        self.server.query(sql).bind(cluster).fetch_one().await
    }

    async fn ask_obstacles(&self) -> Result<Vec<String>, Error> {
        let names = TABLES.map(Table::name);
        let query = self.reader().await?.query(REACHED).bind(&names[..]).bind(&names[..]);
        let reached = query.fetch_all::<Reached>().await?;
        let forgetful = reached.iter().filter(|table| table.forgets());
        let mut found: Vec<String> = forgetful.map(Reached::sentence).collect();
        let columns = "SELECT concat(table, '.', name) FROM system.columns \
                       WHERE database = currentDatabase() AND table IN ?";
        let query = self.reader().await?.query(columns).bind(&names[..]);
        let there = query.fetch_all::<String>().await?;
        let missing = wanted().filter(|column| !there.contains(column));
        found.extend(missing.map(|column| {
            format!("column {column} is missing; restore it as deploy/clickhouse has it")
        }));
        // What was erased is read back as well: hidden, it would be stored again.
        for table in names.into_iter().chain(["retired"]) {
            if self.is_filtered(table).await? {
                found.push(self.filtered_sentence(table));
            }
        }
        Ok(found)
    }

    /// Whether a row policy stands between us and a table. Only a plan tells everybody that, and
    /// the plan of an empty table says nothing.
    async fn is_filtered(&self, table: &str) -> Result<bool, Error> {
        let query = self.reader().await?.query("EXPLAIN actions = 1 SELECT * FROM ?");
        let plan = query.bind(Identifier(table)).fetch_all::<String>().await?;
        Ok(plan.iter().any(|line| line.to_lowercase().contains("row level filter")))
    }

    fn filtered_sentence(&self, name: &str) -> String {
        let (database, user) = (self.database(), &self.user);
        format!(
            "a row policy hides rows of `{database}`.`{name}` from the user `{user}`, so what is \
             stored would not be found and be stored again; run: CREATE ROW POLICY everything ON \
             `{database}`.`{name}` USING 1 TO `{user}`"
        )
    }
}

/// Every column of our tables, as `table.column`, from the migrations that create them.
fn wanted() -> impl Iterator<Item = String> {
    TABLES.into_iter().flat_map(|table| {
        let created = migrate::ALL.iter().filter(move |migration| migration.name == table.name());
        let columns = created.flat_map(|migration| migration.sql.lines()).filter_map(|line| {
            // As our own files are written: one column a line, its name in backticks.
            line.strip_prefix("    `")?.split_once('`').map(|(column, _)| column)
        });
        columns.map(move |column| format!("{}.{column}", table.name()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_read_from_the_migrations() {
        let columns: Vec<String> = wanted().collect();
        for column in ["events.raw", "quarantine.sentence", "batches.token", "gaps.accepted"] {
            assert!(columns.iter().any(|known| known == column), "{column} of {columns:?}");
        }
    }
}
