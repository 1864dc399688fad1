//! Legal holds: what must not be retired.
//!
//! In: a [`NewHold`], the id of one to release. Out: [`Hold`]s, and the conditions that tell a held
//! row, for whoever retires.
//!
//! # Invariants
//! - A hold stands until a row with its id releases it; no row is changed. A tenant's rows are on every
//!   shard, and a mutation reads the holds beside it: so a hold is placed on each, and it stands while
//!   it stands on any.
//! - A condition reads the holds that stand when it is asked, not those of an earlier moment.
//! - A quarantined row has no time and perhaps no tenant of its own to rely on: it is held by any hold
//!   of its tenant, or of any tenant where its own is unknown, whatever the hold's times.
//!
//! Deliberately unknown here: why a row is to be retired.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::ledger::soon;
use super::{ServerError, Warehouse};
use crate::event::Micros;

/// What is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
    /// Names it.
    pub id: Uuid,
    /// Whose rows.
    pub tenant: String,
    /// Of whom; empty for everything of the tenant.
    pub subject: String,
    /// From this time on, by `occurred_at`.
    pub since: Option<Micros>,
    /// Before this time.
    pub until: Option<Micros>,
    /// Why.
    pub reason: String,
    /// Who asks.
    pub acted_by: String,
}

/// A hold, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Hold {
    /// Names it.
    #[serde(with = "clickhouse::serde::uuid")]
    pub id: Uuid,
    /// Whose rows it keeps.
    pub tenant: String,
    /// Of whom; empty for everything of the tenant.
    pub subject: String,
    /// From this time on.
    pub since: Micros,
    /// Before this time.
    pub until: Micros,
    /// Why it was placed.
    pub reason: String,
    /// Who placed it.
    pub placed_by: String,
    /// When, microseconds since the Unix epoch.
    pub placed_at: Micros,
    /// Who released it; empty while it stands.
    pub released_by: String,
    /// On how many shards it was placed.
    #[serde(skip_deserializing)]
    pub shards: usize,
}

/// Times that no event lies beyond: the ends of ClickHouse's own.
pub const ALL_TIME: (Micros, Micros) = (-2_208_988_800_000_000, 10_413_791_999_000_000);

/// The holds that stand, as an array of (tenant, subject, since, until).
const STANDING: &str =
    "(SELECT groupArray((hold_tenant, hold_subject, hold_since, hold_until)) FROM (
        SELECT any(tenant) AS hold_tenant, any(subject) AS hold_subject, any(since) AS hold_since,
               any(until) AS hold_until
        FROM holds GROUP BY id HAVING NOT max(released)))";

/// Whether a hold stands over a row of `events`, as a condition.
pub(super) fn holds_event() -> String {
    format!(
        "arrayExists(h -> h.1 = tenant AND occurred_at >= h.3 AND occurred_at < h.4 AND (h.2 = ''
            OR actor_id = h.2 OR actor_email = h.2 OR target_id = h.2 OR has(targets.id, h.2)
            OR written_by = h.2), {STANDING})"
    )
}

/// Whether a hold stands over a row of `quarantine`, as a condition.
pub(super) fn holds_quarantined() -> String {
    format!(
        "arrayExists(h -> (h.1 = tenant OR tenant = '') AND (h.2 = '' OR position(raw, h.2) > 0
            OR position(key, h.2) > 0 OR arrayExists(v -> position(v, h.2) > 0, mapValues(headers))),
         {STANDING})"
    )
}

impl Warehouse {
    /// Place a hold. After an error it may stand on some shards, and keeps what is there.
    pub async fn place_hold(&self, hold: &NewHold) -> Result<(), ServerError> {
        for shard in self.shards() {
            shard.write_hold(hold, false).await?;
        }
        Ok(())
    }

    async fn write_hold(&self, hold: &NewHold, is_released: bool) -> Result<(), ServerError> {
        let sql = "INSERT INTO holds (id, tenant, subject, since, until, released, reason, acted_by)
                   SELECT ?, ?, ?, fromUnixTimestamp64Micro(?, 'UTC'), fromUnixTimestamp64Micro(?, 'UTC'),
                          ?, ?, ?";
        let query = self
            .client()
            .query(sql)
            .bind(hold.id.to_string())
            .bind(&hold.tenant)
            .bind(&hold.subject)
            .bind(hold.since.unwrap_or(ALL_TIME.0))
            .bind(hold.until.unwrap_or(ALL_TIME.1))
            .bind(is_released)
            .bind(&hold.reason)
            .bind(&hold.acted_by)
            .with_setting("async_insert", "0");
        soon(query.execute()).await.map_err(|error| self.explain(error))
    }

    /// How many events a hold keeps now.
    pub async fn count_held(&self, hold: &NewHold) -> Result<u64, ServerError> {
        let sql = "SELECT count() FROM events
                   WHERE tenant = ? AND occurred_at >= fromUnixTimestamp64Micro(?, 'UTC')
                     AND occurred_at < fromUnixTimestamp64Micro(?, 'UTC')
                     AND (? = '' OR actor_id = ? OR actor_email = ? OR target_id = ?
                          OR has(targets.id, ?) OR written_by = ?)";
        let query = self.client().query(sql).bind(&hold.tenant);
        let query = query.bind(hold.since.unwrap_or(ALL_TIME.0));
        let query = query.bind(hold.until.unwrap_or(ALL_TIME.1));
        let query = (0..6).fold(query, |query, _| query.bind(&hold.subject));
        query.fetch_one().await.map_err(|error| self.explain(error))
    }

    /// Release a hold, for ever.
    pub async fn release_hold(
        &self,
        hold: &Hold,
        reason: &str,
        acted_by: &str,
    ) -> Result<(), ServerError> {
        let Hold { id, tenant, subject, since, until, .. } = hold.clone();
        let (since, until) = (Some(since), Some(until));
        let (reason, acted_by) = (reason.to_owned(), acted_by.to_owned());
        let released = NewHold { id, tenant, subject, since, until, reason, acted_by };
        for shard in self.shards() {
            shard.write_hold(&released, true).await?;
        }
        Ok(())
    }

    /// Every hold there ever was, the newest last.
    pub async fn holds(&self) -> Result<Vec<Hold>, ServerError> {
        let mut holds: BTreeMap<Uuid, Hold> = BTreeMap::new();
        for shard in self.shards() {
            for hold in shard.holds_here().await? {
                let stands = hold.released_by.is_empty();
                let known = holds.entry(hold.id).or_insert(hold);
                known.shards += usize::from(stands);
                if stands {
                    known.released_by.clear();
                }
            }
        }
        let mut holds: Vec<Hold> = holds.into_values().collect();
        holds.sort_by_key(|hold| (hold.placed_at, hold.id));
        Ok(holds)
    }

    async fn holds_here(&self) -> Result<Vec<Hold>, ServerError> {
        let sql = "SELECT id, any(h.tenant) AS tenant, any(h.subject) AS subject,
                          toUnixTimestamp64Micro(any(h.since)) AS since,
                          toUnixTimestamp64Micro(any(h.until)) AS until,
                          anyIf(h.reason, NOT h.released) AS reason,
                          anyIf(h.acted_by, NOT h.released) AS placed_by,
                          toUnixTimestamp64Milli(min(h.at)) * 1000 AS placed_at,
                          anyIf(h.acted_by, h.released) AS released_by
                   FROM holds AS h GROUP BY id";
        let asked = async { soon(self.reader().await?.query(sql).fetch_all()).await };
        asked.await.map_err(|error| self.explain(error))
    }
}
