//! A client that reads, and what reading costs.
//!
//! In: statements. Out: their rows; how much ClickHouse read for them, counted.
//!
//! # Invariants
//! - What is counted is what ClickHouse said when its answer began (`X-ClickHouse-Summary`): all of it
//!   where rows are sorted or summed up before the first can be answered, less where they stream.
//!
//! Deliberately unknown here: what is asked.

use std::ops::Deref;

use clickhouse::error::Error;
use clickhouse::query::{Query, RowCursor};
use clickhouse::{Client, QuerySummary, Row, RowOwned, RowRead};

use crate::telemetry::WarehouseMetrics;

/// A client for reads.
pub(crate) struct Reader {
    pub(super) client: Client,
    pub(super) metrics: Option<WarehouseMetrics>,
}

impl Deref for Reader {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Reader {
    /// Count what was read for an answer that has begun.
    pub(super) fn count(&self, summary: Option<&QuerySummary>) {
        if let (Some(metrics), Some(summary)) = (&self.metrics, summary) {
            metrics.read_rows.inc_by(summary.read_rows().unwrap_or(0));
            metrics.read_bytes.inc_by(summary.read_bytes().unwrap_or(0));
        }
    }
}

/// A statement that is to be asked.
pub(super) struct Question<'r> {
    pub(super) reader: &'r Reader,
    pub(super) query: Query,
}

impl<'r> Question<'r> {
    /// Every row.
    pub(super) async fn fetch_all<T: RowOwned + RowRead>(self) -> Result<Vec<T>, Error> {
        let (mut rows, mut all) = (self.query.fetch::<T>()?, Vec::new());
        while let Some(row) = rows.next().await? {
            all.push(row);
        }
        self.reader.count(rows.summary());
        Ok(all)
    }

    /// The one row there is.
    pub(super) async fn fetch_one<T: RowOwned + RowRead>(self) -> Result<T, Error> {
        self.fetch_optional().await?.ok_or(Error::RowNotFound)
    }

    /// The first row, if there is one.
    pub(super) async fn fetch_optional<T: RowOwned + RowRead>(self) -> Result<Option<T>, Error> {
        let mut rows = self.query.fetch::<T>()?;
        let row = rows.next().await?;
        self.reader.count(rows.summary());
        Ok(row)
    }

    /// Rows as they come; what they cost is for who takes them to count.
    pub(super) fn fetch<T: Row>(self) -> Result<RowCursor<T>, Error> {
        self.query.fetch()
    }
}
