//! The wide columns of a page, by the keys of its rows.
//!
//! In: [`Key`]s in the order of a page. Out: the events they name, in that order.
//!
//! # Invariants
//! - Of repeats, the one that stands first in Kafka. What is read for it stays bounded, however many
//!   there are: of those at the same place only the first, of those at other places none.
//! - What is held of a page is never much more than [`super::ReadCost::page_bytes`].
//!
//! Deliberately unknown here: how keys are found.

use std::collections::{BTreeSet, HashMap};

use clickhouse::{Row, error::Error};
use serde::Deserialize;
use uuid::Uuid;

use super::column;
use super::question::Reader;
use super::row::EventRow;
use super::statement::Statement;
use crate::event::{Micros, StoredEvent};
use crate::query::{Comparison, Filter, Place, TenantScope, TimeField, Window};

/// Keys in one statement: twice some 70 bytes each, and more where tenants have long names.
const MOST_KEYS: usize = 1_000;

const POSITION_OF_FIRST: &str = " AND (kafka_cluster, kafka_topic, kafka_incarnation, \
    kafka_partition, kafka_offset, kafka_index) IN (SELECT min((kafka_cluster, kafka_topic, \
    kafka_incarnation, kafka_partition, kafka_offset, kafka_index)) FROM events WHERE ";

/// The primary key of an event, its time in the order, and how many records have it.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Key {
    pub(super) tenant: String,
    pub(super) occurred_at: Micros,
    pub(super) at: Micros,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) id: Uuid,
    pub(super) repeats: u64,
}

impl Key {
    pub(super) fn place(&self) -> Place {
        Place { at: self.at, id: self.id }
    }
}

/// What is wanted of the rows of some keys.
pub(super) struct Wide<'q> {
    /// What held of them when their keys were found; what all rows of a key share is not asked again.
    pub(super) filter: &'q Filter,
    /// By which time they stand in order.
    pub(super) by: TimeField,
    /// Whether they are to have their `raw`.
    pub(super) raw: bool,
    /// Bytes at most; 0 for no limit.
    pub(super) most_bytes: u64,
}

impl Wide<'_> {
    /// The events of some keys, in their order.
    pub(super) async fn events(
        &self,
        client: &Reader,
        keys: &[Key],
    ) -> Result<Vec<StoredEvent>, Error> {
        let mut events = Vec::with_capacity(keys.len());
        let mut read_bytes = 0;
        // In as many statements as it takes to name them.
        for keys in keys.chunks(MOST_KEYS) {
            let mut rows = self.question(keys).ask(client)?.fetch::<EventRow>()?;
            let mut found: HashMap<Place, StoredEvent> = HashMap::with_capacity(keys.len());
            while let Some(row) = rows.next().await? {
                let event = row.into_event(self.raw);
                found.insert(Place::of(&event, self.by), event);
                if self.most_bytes > 0 && read_bytes + rows.decoded_bytes() > self.most_bytes {
                    return Err(TooLong::of(self.most_bytes));
                }
            }
            read_bytes += rows.decoded_bytes();
            client.count(rows.summary());
            let with_repeats = |key: &Key| {
                let event = found.remove(&key.place())?;
                Some(StoredEvent { repeats: key.repeats, ..event })
            };
            events.extend(keys.iter().filter_map(with_repeats));
        }
        Ok(events)
    }

    fn question(&self, keys: &[Key]) -> Statement {
        let mut ask = Statement::new(EventRow::SELECT);
        ask.then(if self.raw { ", raw AS original" } else { ", '' AS original" })
            .then(" FROM events WHERE ");
        self.of_keys(&mut ask, keys);
        if keys.iter().any(|key| key.repeats > 1) {
            // Or a million repeats would be a million wide rows to sort.
            ask.then(POSITION_OF_FIRST);
            self.of_keys(&mut ask, keys);
            ask.then(" GROUP BY ").then(column::time(self.by)).then(", id)");
        }
        ask.then(
            " ORDER BY kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, \
             kafka_offset, kafka_index LIMIT 1 BY ",
        );
        ask.then(column::time(self.by)).then(", id");
        ask
    }

    /// Rows by primary key, as far as the page reaches: an event that came a million times has one
    /// key, and stands at a million places in the order of `received_at`.
    fn of_keys(&self, ask: &mut Statement, keys: &[Key]) {
        ask.window(span(keys.iter().map(|key| key.occurred_at)));
        let key = |key: &Key| (key.tenant.clone(), key.occurred_at, key.id.to_string());
        ask.keys(keys.iter().map(key).collect());
        // What the filter asks of other events, it asks of these tenants'.
        let tenants: BTreeSet<&str> = keys.iter().map(|key| key.tenant.as_str()).collect();
        let tenants = TenantScope::Only(tenants.into_iter().map(str::to_owned).collect());
        ask.then(" AND ").filter(&unsettled(self.filter), &tenants);
        if self.by == TimeField::ReceivedAt {
            let Window { from, to } = span(keys.iter().map(|key| key.at));
            for (comparison, at) in [(Comparison::AtLeast, from), (Comparison::Less, to)] {
                ask.then(" AND ").filter(&Filter::Time(self.by, comparison, at), &tenants);
            }
        }
    }
}

/// A filter without the question whether a version is settled, where that stands for itself: it goes
/// through all that ended, and rows of one key have one answer, since they share outcome and source id.
fn unsettled(filter: &Filter) -> Filter {
    match filter {
        Filter::Settled => Filter::everything(),
        Filter::All(parts) => Filter::All(parts.iter().map(unsettled).collect()),
        other => other.clone(),
    }
}

/// From the first of some moments to behind the last.
fn span(moments: impl Iterator<Item = Micros> + Clone) -> Window {
    let from = moments.clone().min().unwrap_or_default();
    Window { from, to: moments.max().map_or(from, |last| last + 1) }
}

/// A page that would be more than somebody may hold.
#[derive(Debug, thiserror::Error)]
#[error("its answer would hold more than {most_bytes} bytes of events")]
pub(super) struct TooLong {
    most_bytes: u64,
}

impl TooLong {
    /// The error of a page that would be more than so many bytes.
    pub(super) fn of(most_bytes: u64) -> Error {
        Error::Other(Box::new(TooLong { most_bytes }))
    }

    /// Whether an error is that of a page that is too long.
    pub(super) fn is(error: &Error) -> bool {
        matches!(error, Error::Other(cause) if cause.is::<TooLong>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_version_is_settled_is_not_asked_again_where_all_rows_answer_alike() {
        let (settled, ip) = (Filter::Settled, Filter::HasClientIp);
        let all =
            |parts: &[&Filter]| Filter::All(parts.iter().map(|part| (*part).clone()).collect());
        let any = Filter::Any(vec![settled.clone(), ip.clone()]);
        let not = Filter::Not(Box::new(settled.clone()));
        assert_eq!(unsettled(&settled), Filter::everything());
        let asked = all(&[&all(&[&settled, &ip]), &any, &not]);
        assert_eq!(unsettled(&asked), all(&[&all(&[&Filter::everything(), &ip]), &any, &not]));
    }
}
