//! Which shard a database is, in its own words.
//!
//! In: a server of a cluster, or one that stands alone. Out: what stands against taking it for what the
//! settings say it is.
//!
//! A log's shard follows from how many shards there are and in which order. With another number, or in
//! another order, nobody would find what is stored, and store it again. So every database of a shard
//! says which it is, in the table `shard`, before it gets its first table.
//!
//! # Invariants
//! - What is recorded is never changed here.
//! - A database that has tables and no record stands alone: it never becomes a shard.
//!
//! Deliberately unknown here: how rows could be moved.

use clickhouse::Row;
use clickhouse::error::Error;
use serde::Deserialize;

use super::Warehouse;
use super::cluster::Shard;

const TABLE: &str = "\
CREATE TABLE IF NOT EXISTS shard
(
    `number` UInt32 COMMENT 'which of clickhouse.shards this database is, from 1',
    `shards` UInt32 COMMENT 'how many there are',
    `recorded_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when, milliseconds UTC'
)
ENGINE = MergeTree
ORDER BY number
COMMENT 'which shard this database is; may be recorded more than once'";

#[derive(Debug, Row, Deserialize)]
struct Recorded {
    number: u32,
    shards: u32,
}

impl Warehouse {
    /// Write down which shard this database is; nothing where it stands alone.
    pub(super) async fn record_place(&self) -> Result<(), Error> {
        let Some(Shard { number, shards }) = self.shard else { return Ok(()) };
        self.run(TABLE).await?;
        if self.recorded_places().await?.is_empty() {
            let insert = "INSERT INTO shard (number, shards) VALUES (?, ?)";
            let insert = self.client().query(insert).with_setting("async_insert", "0");
            insert.bind(number).bind(shards).execute().await?;
        }
        Ok(())
    }

    /// Why this database is not what the settings say; `None` where it is, or is empty.
    pub(super) async fn misplaced(&self, has_tables: bool) -> Result<Option<String>, Error> {
        let recorded = self.recorded_places().await?;
        Ok(objection(self.shard, &recorded, has_tables)
            .map(|why| format!("database {} at {}: {why}", self.database(), self.url)))
    }

    async fn recorded_places(&self) -> Result<Vec<Recorded>, Error> {
        if !self.has_table("shard").await? {
            return Ok(Vec::new());
        }
        let sql = "SELECT DISTINCT number, shards FROM shard ORDER BY number, shards";
        self.client().query(sql).fetch_all().await
    }
}

fn objection(wanted: Option<Shard>, recorded: &[Recorded], has_tables: bool) -> Option<String> {
    let is = |shard: &Shard| format!("shard {} of {}", shard.number, shard.shards);
    let of = |place: &Recorded| is(&Shard { number: place.number, shards: place.shards });
    match (wanted, recorded) {
        (None, []) => None,
        (None, [place, ..]) => Some(format!(
            "it is {}; set clickhouse.cluster and list [[clickhouse.shards]]",
            of(place)
        )),
        (Some(_), []) if !has_tables => None,
        (Some(wanted), []) => Some(format!(
            "it has tables and stands alone, and the settings make it {}: its logs would not be \
             found; begin a cluster with empty databases",
            is(&wanted)
        )),
        (Some(wanted), [place])
            if (place.number, place.shards) == (wanted.number, wanted.shards) =>
        {
            None
        }
        (Some(wanted), [place, ..]) => Some(format!(
            "it is {}, and the settings make it {}: its logs would not be found, and be stored \
             again; list [[clickhouse.shards]] as they were, in their order",
            of(place),
            is(&wanted)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_another_shard_than_the_settings_say_is_refused() {
        let second = Some(Shard { number: 2, shards: 3 });
        let place = |number, shards| vec![Recorded { number, shards }];
        let said =
            |wanted, recorded: Vec<Recorded>, has_tables| objection(wanted, &recorded, has_tables);
        assert_eq!(said(None, vec![], true), None);
        assert_eq!(said(second, vec![], false), None);
        assert_eq!(said(second, place(2, 3), true), None);
        for (wanted, recorded, words) in [
            (None, place(2, 3), "it is shard 2 of 3; set clickhouse.cluster"),
            (second, vec![], "stands alone"),
            (second, place(1, 3), "it is shard 1 of 3, and the settings make it shard 2 of 3"),
            (second, place(2, 2), "it is shard 2 of 2, and the settings make it shard 2 of 3"),
            (
                second,
                vec![Recorded { number: 2, shards: 3 }, Recorded { number: 3, shards: 3 }],
                "it is",
            ),
        ] {
            let told = said(wanted, recorded, true).unwrap();
            assert!(told.contains(words), "{words}: {told}");
        }
    }
}
