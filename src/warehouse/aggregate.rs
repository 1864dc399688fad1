//! Counting: how many records, in which buckets of time, with which values.
//!
//! In: a [`Selection`]. Out: a count, a histogram, facets.
//!
//! # Invariants
//! - [`crate::query::memory`] says what the answer is; a property test holds this file to it.
//! - Records are counted, byte-identical repeats each; nothing is read but what is asked about.
//! - Buckets begin at microseconds since the Unix epoch.
//!
//! Deliberately unknown here: HTTP parameters, names of intervals.

use clickhouse::{Row, error::Error};
use serde::Deserialize;

use super::column;
use super::question::Reader;
use super::select::sees_nothing;
use super::statement::Statement;
use crate::event::Micros;
use crate::query::{Bucket, Facet, FacetValue, Facets, Field, Interval, Selection};

#[derive(Row, Deserialize)]
struct BucketRow {
    bucket: Micros,
    records: u64,
}

#[derive(Row, Deserialize)]
struct ValueRow {
    facet_value: String,
    records: u64,
    all_values: u64,
    all_records: u64,
}

/// How many records.
pub(super) async fn count(client: &Reader, selection: &Selection) -> Result<u64, Error> {
    if sees_nothing(&selection.tenants) {
        return Ok(0);
    }
    let mut ask = Statement::new("SELECT count()");
    ask.from(selection);
    ask.ask(client)?.fetch_one().await
}

/// How many records in each bucket that has some, the earliest first.
pub(super) async fn histogram(
    client: &Reader,
    selection: &Selection,
    interval: Interval,
) -> Result<Vec<Bucket>, Error> {
    if sees_nothing(&selection.tenants) {
        return Ok(Vec::new());
    }
    let mut ask = Statement::new("SELECT toInt64(toUnixTimestamp64Micro(occurred_at) - ");
    ask.add("positiveModulo(toUnixTimestamp64Micro(occurred_at) - toInt64(?), ", interval.origin());
    ask.add("toInt64(?))) AS bucket, count() AS records", interval.micros());
    ask.from(selection).then(" GROUP BY bucket ORDER BY bucket");
    let rows = ask.ask(client)?.fetch_all::<BucketRow>().await?;
    Ok(rows.into_iter().map(|row| Bucket { from: row.bucket, count: row.records }).collect())
}

/// The commonest values of a field.
pub(super) async fn facets(
    client: &Reader,
    selection: &Selection,
    facet: &Facet,
    limit: u32,
) -> Result<Facets, Error> {
    if sees_nothing(&selection.tenants) {
        return Ok(Facets::default());
    }
    let mut ask = Statement::new(
        "SELECT facet_value, records, count() OVER () AS all_values, \
         sum(records) OVER () AS all_records FROM (SELECT facet_value, count() AS records FROM (",
    );
    ask.values_of(facet);
    ask.from(selection);
    ask.then(") WHERE facet_value != '' GROUP BY facet_value) ORDER BY records DESC, facet_value");
    // One at least, for it tells how many others there are.
    ask.add(" LIMIT ?", i64::from(limit.max(1)));
    let mut rows = ask.ask(client)?.fetch_all::<ValueRow>().await?;
    let Some(ValueRow { all_values, all_records, .. }) = rows.first() else {
        return Ok(Facets::default());
    };
    let (all_values, all_records) = (*all_values, *all_records);
    rows.truncate(limit as usize);
    let named: u64 = rows.iter().map(|row| row.records).sum();
    let value = |row: ValueRow| FacetValue { value: row.facet_value, count: row.records };
    Ok(Facets {
        other_values: all_values - rows.len() as u64,
        other_count: all_records - named,
        values: rows.into_iter().map(value).collect(),
    })
}

impl Statement {
    /// `SELECT` each value of a facet, once a record, as `facet_value`; empty where it has none.
    fn values_of(&mut self, facet: &Facet) -> &mut Statement {
        let field = match facet {
            Facet::Verb => return self.then("SELECT toString(verb) AS facet_value"),
            Facet::Outcome => return self.then("SELECT toString(outcome) AS facet_value"),
            Facet::Origin => return self.then("SELECT toString(origin) AS facet_value"),
            Facet::Text(Field::Attribute(name)) => {
                return self.add("SELECT attributes[?] AS facet_value", name.as_str());
            }
            Facet::Text(field) => field,
        };
        self.then("SELECT ");
        match column::of_targets(field) {
            None => self.then("toString(").then(column::text(field)).then(")"),
            Some(all) => self
                .then("arrayJoin(arrayDistinct(arrayPushBack(")
                .then(all)
                .then(", toString(")
                .then(column::text(field))
                .then("))))"),
        };
        self.then(" AS facet_value")
    }
}
