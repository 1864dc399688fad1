//! What is asked for metrics alone: how many parts tables have, when the next API key expires.
//!
//! In: the clock. Out: numbers.
//!
//! # Invariants
//! - Of a cluster it is the server that answers whose parts are counted.
//!
//! Deliberately unknown here: what is too many.

use super::ledger::soon;
use super::{ServerError, Table, Warehouse};
use crate::event::Micros;

impl Warehouse {
    /// Active parts of each of the tables that batches go to.
    pub async fn parts(&self) -> Result<Vec<(&'static str, u64)>, ServerError> {
        let sql = "SELECT table, count() FROM system.parts WHERE active AND \
                   database = currentDatabase() GROUP BY table";
        let asked =
            async { soon(self.reader().await?.query(sql).fetch_all::<(String, u64)>()).await };
        let found = asked.await.map_err(|error| self.explain(error))?;
        let of = |table: Table| {
            let rows = found.iter().find(|(name, _)| name == table.name());
            (table.name(), rows.map_or(0, |(_, parts)| *parts))
        };
        Ok([Table::Events, Table::Quarantine, Table::Batches].map(of).to_vec())
    }

    /// When the next API key expires that has not yet, and is not revoked.
    pub async fn next_key_expiry(&self, now: Micros) -> Result<Option<Micros>, ServerError> {
        let sql = "SELECT minOrNull(toUnixTimestamp64Micro(expires_at)) FROM api_keys FINAL \
                   WHERE toUnixTimestamp64Micro(revoked_at) = 0 \
                   AND toUnixTimestamp64Micro(expires_at) > ?";
        let asked = async { soon(self.reader().await?.query(sql).bind(now).fetch_one()).await };
        asked.await.map_err(|error| self.explain(error))
    }
}
