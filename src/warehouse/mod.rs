//! All that knows ClickHouse: the client, and the doors to everything stored.
//!
//! In: a [`ClickHouseConfig`]. Out: a [`Warehouse`], which [`migrate`] brings up to date and which
//! answers questions as an [`crate::query::EventReader`].
//!
//! # Invariants
//! - Connecting sends nothing; the first statement does.
//! - A read is `readonly` and ends after [`READ_TIMEOUT`] on both sides, wherever the user's
//!   profile lets us say so.
//! - No value is ever formatted into SQL; it is bound.
//!
//! Deliberately unknown here: Kafka, HTTP routes, how an event is made.

mod account;
mod act;
mod aggregate;
pub mod block;
mod cluster;
mod column;
mod config;
mod ddl;
mod error;
mod export;
mod feed;
mod fitness;
mod hold;
mod insert;
mod key;
mod ledger;
pub mod migrate;
pub mod outcome;
mod placement;
mod probe;
mod quarantine;
mod question;
mod replay;
mod retention;
mod retire;
mod row;
mod select;
mod statement;
mod tally;
mod trace;
mod transport;
mod watch;
mod wide;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::{Client, Compression};
use tokio::sync::OnceCell;

use self::cluster::{Cluster, Shard};
use self::question::Reader;
use crate::telemetry::WarehouseMetrics;

pub use account::{BatchLine, GapLine, Incarnation, Stretch};
pub use act::{Act, Due, Form};
pub use cluster::ShardConfig;
pub use config::ClickHouseConfig;
pub use error::ServerError;
pub(crate) use error::error_code;
pub use hold::{ALL_TIME, Hold, NewHold};
pub use insert::{RowStream, Table, Token, made};
pub use ledger::{BatchRow, GapKind, GapRow, Reach, Summary};
pub use outcome::InsertError;
pub use probe::{DiskSpace, ServerFacts};
pub use quarantine::{Origin, Quarantined, Rejected, Resolution, Wanted};
pub use replay::{Candidate, Unplanned};
pub use retention::RetentionConfig;
pub use retire::{DuePart, Ended, MOST_ROWS_A_STEP};
pub use tally::Tally;
pub use trace::{BatchTrace, EventTrace, QuarantineTrace, ReplayTrace, RetiredTrace};

/// How long ClickHouse may work on one read, and how long we wait for it.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a statement that reads may be: a page names its keys in it, and a filter its conditions.
/// ClickHouse's own limit, 256 KiB, is less than the keys of tenants with long names.
const MOST_STATEMENT_BYTES: &str = "4194304";

/// A ClickHouse database. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Warehouse {
    /// Talks to the server without naming a database: for creating it.
    server: Client,
    /// Talks to the database.
    client: Client,
    database: Arc<str>,
    url: Arc<str>,
    user: Arc<str>,
    /// Which shard of a cluster this is; `None` for the whole of one, and for one that stands alone.
    shard: Option<Shard>,
    /// Whether its tables are replicated.
    is_replicated: bool,
    /// The servers behind it, where it is the whole of a cluster.
    cluster: Option<Arc<Cluster>>,
    /// What a read may cost.
    cost: ReadCost,
    /// The client for reads, once the user's profile is known.
    reader: Arc<OnceCell<Reader>>,
    /// Where it is counted what reads cost.
    metrics: Option<WarehouseMetrics>,
    /// Where this one may ask others: the one that asks `url` alone.
    home: Option<Arc<Warehouse>>,
}

/// What a read may cost; 0 for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadCost {
    /// Rows that ClickHouse may read for one statement.
    pub rows: u64,
    /// Bytes that it may read, uncompressed.
    pub bytes: u64,
    /// Bytes of events that one page may hold.
    pub page_bytes: u64,
}

impl Warehouse {
    /// A warehouse to talk to. Nothing is sent yet.
    pub fn connect(config: &ClickHouseConfig) -> Result<Warehouse, ConnectError> {
        Warehouse::over(config, &[&config.url])
    }

    /// The same for questions: while `url` takes no connection, the replicas beside it are asked.
    /// What is written, and what delivery rests on, never goes this way: a replica that lags would
    /// have it stored twice.
    pub fn connect_to_ask(config: &ClickHouseConfig) -> Result<Warehouse, ConnectError> {
        let home = Warehouse::connect(config)?;
        if config.fallback_urls.is_empty() {
            return Ok(home);
        }
        let urls: Vec<&str> = config.urls().collect();
        Ok(Warehouse { home: Some(Arc::new(home)), ..Warehouse::over(config, &urls)? })
    }

    fn over(config: &ClickHouseConfig, urls: &[&str]) -> Result<Warehouse, ConnectError> {
        let password = config.secret().map_err(|cause| ConnectError::Password {
            path: config.password_file.clone().unwrap_or_default(),
            cause,
        })?;
        let cluster = Cluster::connect(config)?;
        let database = match &cluster {
            Some(_) => cluster::whole(&config.database),
            None => config.database.clone(),
        };
        let compression = if config.compression { Compression::Lz4 } else { Compression::None };
        let server = transport::client(urls, config.ca_file.as_deref())?
            .with_user(&config.user)
            .with_password(password)
            .with_compression(compression);
        Ok(Warehouse {
            client: server.clone().with_database(database),
            server,
            database: config.database.as_str().into(),
            url: match &cluster {
                Some(cluster) => cluster.addresses(&config.url).into(),
                None => urls.join(", ").into(),
            },
            user: config.user.as_str().into(),
            shard: None,
            is_replicated: false,
            cluster,
            cost: ReadCost::default(),
            reader: Arc::default(),
            metrics: None,
            home: None,
        })
    }

    /// The same, but whose reads may cost no more than this, wherever the user's profile lets us
    /// say so.
    pub fn with_cost(self, cost: ReadCost) -> Warehouse {
        let home = self.home.as_deref().cloned().map(|home| Arc::new(home.with_cost(cost)));
        Warehouse { cost, reader: Arc::default(), home, ..self }
    }

    /// The same, but what its reads cost is counted.
    pub fn with_metrics(self, metrics: &WarehouseMetrics) -> Warehouse {
        let home = self.home.as_deref().cloned().map(|home| Arc::new(home.with_metrics(metrics)));
        Warehouse { metrics: Some(metrics.clone()), reader: Arc::default(), home, ..self }
    }

    /// Name of the database that holds the tables.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Run one statement that answers nothing, as it stands: no `?` is looked at. Of a cluster, on the
    /// tables over all shards, which take no writing; see [`Warehouse::shards`]. For migrations and tests; never with a value from outside in it.
    pub async fn run(&self, statement: &str) -> Result<(), clickhouse::error::Error> {
        // Since 26.2 inserts are asynchronous by default; a statement that has returned is done.
        let query = self.client.query_raw(statement).with_setting("async_insert", "0");
        // A replica that has not yet heard of a change of a table refuses the next one.
        let query = if self.is_replicated { query.with_setting("alter_sync", "2") } else { query };
        query.execute().await
    }

    /// The one text column of a statement's rows, as it stands: no `?` is looked at. For tests and
    /// operators; never with a value from outside in it.
    pub async fn read(&self, statement: &str) -> Result<Vec<String>, clickhouse::error::Error> {
        let client = match &self.cluster {
            Some(_) => cluster::over_all_shards(self.client.clone()),
            None => self.client.clone(),
        };
        client.query_raw(statement).fetch_all().await
    }

    /// The client, for writing.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The one that asks `url` alone: for answers that must lack nothing that is stored.
    pub(crate) fn home(&self) -> &Warehouse {
        self.home.as_deref().unwrap_or(self)
    }

    /// The client, for reading. A profile with `readonly = 1` lets us set nothing and needs
    /// nothing, one with `readonly = 2` lets us set all but that; so the first read asks.
    pub(crate) async fn reader(&self) -> Result<&Reader, clickhouse::error::Error> {
        let ask = || async {
            let sql = "SELECT toUInt8(getSetting('readonly'))";
            let readonly = self.server.query(sql).fetch_one::<u8>().await?;
            let mut client = self.client.clone();
            if readonly != 1 {
                let seconds = READ_TIMEOUT.as_secs().to_string();
                let ReadCost { rows, bytes, .. } = self.cost;
                client = client
                    .with_setting("max_execution_time", seconds)
                    .with_setting("max_query_size", MOST_STATEMENT_BYTES)
                    .with_setting("max_rows_to_read", rows.to_string())
                    .with_setting("max_bytes_to_read", bytes.to_string());
            }
            if readonly != 1 && self.cluster.is_some() {
                client = cluster::over_all_shards(client);
            }
            if readonly == 0 {
                client = client.with_setting("readonly", "1");
            }
            Ok(Reader { client, metrics: self.metrics.clone() })
        };
        self.reader.get_or_try_init(ask).await
    }
}

/// The settings make no way to ClickHouse.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The password file cannot be read.
    #[error(
        "clickhouse.password_file {}: {cause}; name a file that this user may read", path.display()
    )]
    Password {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// No client can be made.
    #[error(transparent)]
    Transport(#[from] transport::TransportError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_that_is_not_there_is_named() {
        let config = ClickHouseConfig {
            password_file: Some("/nowhere/secret".into()),
            ..ClickHouseConfig::default()
        };
        let error = Warehouse::connect(&config).err().unwrap().to_string();
        assert!(error.contains("/nowhere/secret"), "{error}");
    }
}
