//! Migrations: the tables as numbered statements, embedded from `deploy/clickhouse`.
//!
//! In: a [`Warehouse`]. Out: which statements it has had ([`status`]), and the rest of them run
//! ([`up`]).
//!
//! # Invariants
//! - One statement a file; a file that has been released is never edited, only followed by another
//!   (its SHA-256 is kept beside its number, and [`up`] refuses when they differ).
//! - Every statement may run twice (`IF NOT EXISTS`, `OR REPLACE`) and is recorded only after it has run. So a
//!   crash in between, or two workers at once, repeat a statement that changes nothing and record
//!   it twice; a version counts once however often it is recorded. No lock is needed.
//! - A version this program does not know was applied by a newer one: it is left alone, so that an
//!   old worker may restart in the middle of an upgrade. Unless its recorded name begins with
//!   [`CONTRACTS`]: then it took away what older programs use.
//!
//! Deliberately unknown here: what the columns mean (their comments say).

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::Row;
use clickhouse::error::Error;
use clickhouse::sql::Identifier;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::cluster::Cluster;
use super::{ServerError, Warehouse};

/// How long ClickHouse may take to say what it has had.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Begins the name of a migration that takes something away. All others only add, so that programs
/// which do not know them go on: see CONTRIBUTING.md.
pub const CONTRACTS: &str = "contract_";

const LEDGER: &str = "\
CREATE TABLE IF NOT EXISTS schema_migrations
(
    `version` UInt32 COMMENT 'number the file begins with',
    `name` String COMMENT 'rest of the file name',
    `checksum` String COMMENT 'SHA-256 of the file, lower-case hex',
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when, milliseconds UTC'
)
ENGINE = MergeTree
ORDER BY version
COMMENT 'migrations that have run; a version may be recorded more than once'";

/// One numbered statement.
#[derive(Debug, PartialEq, Eq)]
pub struct Migration {
    /// Number the file begins with.
    pub version: u32,
    /// Rest of the file's name.
    pub name: &'static str,
    /// The statement.
    pub sql: &'static str,
}

/// Every migration, in order.
pub const ALL: &[Migration] = &[
    Migration::of(1, "events", include_str!("../../deploy/clickhouse/0001_events.sql")),
    Migration::of(2, "quarantine", include_str!("../../deploy/clickhouse/0002_quarantine.sql")),
    Migration::of(3, "batches", include_str!("../../deploy/clickhouse/0003_batches.sql")),
    Migration::of(4, "gaps", include_str!("../../deploy/clickhouse/0004_gaps.sql")),
    Migration::of(5, "replays", include_str!("../../deploy/clickhouse/0005_replays.sql")),
    Migration::of(6, "resolutions", include_str!("../../deploy/clickhouse/0006_resolutions.sql")),
    Migration::of(7, "api_keys", include_str!("../../deploy/clickhouse/0007_api_keys.sql")),
    Migration::of(
        9,
        "batches_reach",
        include_str!("../../deploy/clickhouse/0009_batches_reach.sql"),
    ),
    Migration::of(
        10,
        "audit_events",
        include_str!("../../deploy/clickhouse/0010_audit_events.sql"),
    ),
    Migration::of(11, "retirements", include_str!("../../deploy/clickhouse/0011_retirements.sql")),
    Migration::of(12, "retired", include_str!("../../deploy/clickhouse/0012_retired.sql")),
    Migration::of(13, "holds", include_str!("../../deploy/clickhouse/0013_holds.sql")),
    Migration::of(
        14,
        "events_retired_by",
        include_str!("../../deploy/clickhouse/0014_events_retired_by.sql"),
    ),
    Migration::of(
        16,
        "events_compact",
        include_str!("../../deploy/clickhouse/0016_events_compact.sql"),
    ),
    Migration::of(
        17,
        "audit_events_retired_by",
        include_str!("../../deploy/clickhouse/0017_audit_events_retired_by.sql"),
    ),
];

impl Migration {
    const fn of(version: u32, name: &'static str, sql: &'static str) -> Migration {
        Migration { version, name, sql }
    }

    /// SHA-256 of the statement, in lower-case hex.
    pub fn checksum(&self) -> String {
        Sha256::digest(self.sql).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A version, and how a database stands to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// The number.
    pub version: u32,
    /// The name.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
}

/// How a database stands to a migration, from good to bad; a newer program's are in no order to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It has run.
    Applied,
    /// It has not run.
    Pending,
    /// It has run with another text than this program's.
    Changed,
    /// It was run by a newer program, and only added something.
    Unknown,
    /// It was run by a newer program, and took away what this one may use.
    Contracted,
}

impl Standing {
    /// The word `migrate status` prints.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Applied => "applied",
            Standing::Pending => "pending",
            Standing::Changed => "changed",
            Standing::Unknown => "unknown (applied by a newer trailhouse)",
            Standing::Contracted => {
                "unknown (applied by a newer trailhouse; this one is too old for it)"
            }
        }
    }
}

/// How the database stands to every migration, by version; of a cluster, the worst of its shards.
/// Changes nothing.
pub async fn status(warehouse: &Warehouse) -> Result<Vec<MigrationState>, MigrateError> {
    let mut worst: BTreeMap<u32, MigrationState> = BTreeMap::new();
    for shard in warehouse.shards() {
        for state in status_of(shard).await? {
            let known = worst.entry(state.version).or_insert_with(|| state.clone());
            known.standing = known.standing.max(state.standing);
        }
    }
    Ok(worst.into_values().collect())
}

async fn status_of(server: &Warehouse) -> Result<Vec<MigrationState>, MigrateError> {
    let asked = async {
        let recorded = recorded(server).await?;
        Ok((server.misplaced(!recorded.is_empty()).await?, recorded))
    };
    let asked = tokio::time::timeout(ANSWERS_WITHIN, asked).await;
    let asked = asked.unwrap_or(Err(Error::TimedOut)).map_err(|error| server.explain(error))?;
    match asked {
        (Some(why), _) => Err(MigrateError::Misplaced(why)),
        (None, recorded) => Ok(compare(ALL, &recorded)),
    }
}

/// Run what is pending, creating the database if it is missing; answers what was run. With
/// `dry_run` answers what would be, and changes nothing. Of a cluster every server is asked.
pub async fn up(
    warehouse: &Warehouse,
    dry_run: bool,
) -> Result<Vec<&'static Migration>, MigrateError> {
    let cluster = warehouse.cluster.as_deref();
    let mut ran = BTreeMap::new();
    for server in warehouse.servers() {
        let of_server = up_on(server, cluster, dry_run).await?;
        ran.extend(of_server.into_iter().map(|migration| (migration.version, migration)));
    }
    // When every server has its tables: a question to one of them asks all.
    if let Some(cluster) = cluster.filter(|_| !dry_run) {
        for server in warehouse.servers() {
            server.distribute(&cluster.name).await.map_err(|error| server.explain(error))?;
        }
    }
    Ok(ran.into_values().collect())
}

async fn up_on(
    warehouse: &Warehouse,
    cluster: Option<&Cluster>,
    dry_run: bool,
) -> Result<Vec<&'static Migration>, MigrateError> {
    let states = status_of(warehouse).await?;
    if let Some(changed) = states.iter().find(|state| state.standing == Standing::Changed) {
        return Err(MigrateError::Changed {
            version: changed.version,
            name: changed.name.clone(),
            database: warehouse.database().to_owned(),
        });
    }
    let is_pending = |migration: &&Migration| {
        states.iter().any(|s| s.version == migration.version && s.standing == Standing::Pending)
    };
    let pending: Vec<&'static Migration> = ALL.iter().filter(is_pending).collect();
    if dry_run || pending.is_empty() {
        return Ok(pending);
    }
    let explain = |error| warehouse.explain(error);
    if !database_exists(warehouse).await.map_err(explain)? {
        let create = warehouse.server.query("CREATE DATABASE IF NOT EXISTS ?");
        create.bind(Identifier(warehouse.database())).execute().await.map_err(explain)?;
    }
    warehouse.record_place().await.map_err(explain)?;
    warehouse.run(LEDGER).await.map_err(explain)?;
    for migration in &pending {
        let sql = warehouse.rendered(cluster, migration.sql);
        warehouse.run(&sql).await.map_err(|error| MigrateError::Statement {
            version: migration.version,
            name: migration.name,
            cause: explain(error),
        })?;
        let record = "INSERT INTO schema_migrations (version, name, checksum) VALUES (?, ?, ?)";
        let record = warehouse.client().query(record).with_setting("async_insert", "0");
        record
            .bind(migration.version)
            .bind(migration.name)
            .bind(migration.checksum())
            .execute()
            .await
            .map_err(explain)?;
        tracing::info!(version = migration.version, name = migration.name, "migration applied");
    }
    Ok(pending)
}

#[derive(Debug, Clone, Row, Deserialize)]
struct Record {
    version: u32,
    name: String,
    checksum: String,
}

async fn database_exists(warehouse: &Warehouse) -> Result<bool, Error> {
    let sql = "SELECT count() FROM system.databases WHERE name = ?";
    let found: u64 = warehouse.server.query(sql).bind(warehouse.database()).fetch_one().await?;
    Ok(found > 0)
}

impl Warehouse {
    /// Whether the database has a table; also where it is not there itself.
    pub(super) async fn has_table(&self, name: &str) -> Result<bool, Error> {
        let sql = "SELECT count() FROM system.tables WHERE database = ? AND name = ?";
        let found: u64 =
            self.server.query(sql).bind(self.database()).bind(name).fetch_one().await?;
        Ok(found > 0)
    }
}

async fn recorded(warehouse: &Warehouse) -> Result<Vec<Record>, Error> {
    if !warehouse.has_table("schema_migrations").await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT ?fields FROM schema_migrations ORDER BY version, applied_at";
    warehouse.client().query(sql).fetch_all().await
}

fn compare(known: &[Migration], recorded: &[Record]) -> Vec<MigrationState> {
    let mut states = BTreeMap::new();
    for migration in known {
        states.insert(migration.version, (migration.name.to_owned(), Standing::Pending));
    }
    for record in recorded {
        let same = known.iter().find(|migration| migration.version == record.version);
        let standing = match same {
            None if record.name.starts_with(CONTRACTS) => Standing::Contracted,
            None => Standing::Unknown,
            Some(migration) if migration.checksum() == record.checksum => Standing::Applied,
            Some(_) => Standing::Changed,
        };
        let state = states.entry(record.version).or_insert((record.name.clone(), standing));
        // Two programs may have recorded one version: a text that differs is never hidden.
        if state.1 != Standing::Changed {
            state.1 = standing;
        }
    }
    let state = |(version, (name, standing))| MigrationState { version, name, standing };
    states.into_iter().map(state).collect()
}

/// Why the tables could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A released file was edited.
    #[error(
        "migration {version:04}_{name} was applied to database {database} with another text; \
         restore deploy/clickhouse/{version:04}_{name}.sql and put the change into a new file"
    )]
    Changed {
        /// Its number.
        version: u32,
        /// Its name.
        name: String,
        /// The database that has the other text.
        database: String,
    },
    /// A statement was refused.
    #[error("migration {version:04}_{name}: {cause}; mend the cause and run migrate up again")]
    Statement {
        /// Its number.
        version: u32,
        /// Its name.
        name: &'static str,
        /// Why.
        cause: ServerError,
    },
    /// A server is not what the settings say.
    #[error("{0}")]
    Misplaced(String),
    /// ClickHouse could not be asked.
    #[error(transparent)]
    ClickHouse(#[from] ServerError),
}

impl MigrateError {
    /// Whether waiting may mend it.
    pub fn may_pass(&self) -> bool {
        matches!(self, MigrateError::ClickHouse(error) if error.may_pass())
    }
}

#[cfg(test)]
mod tests;
