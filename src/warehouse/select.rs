//! Reading: a [`Query`] as SQL.
//!
//! In: a Query. Out: a [`Page`], in two steps: first the keys, from narrow columns in the order
//! asked for; then the wide columns ([`super::wide`]), only for the rows of the page.
//!
//! # Invariants
//! - [`crate::query::memory`] says what the answer is; a property test holds this file to it.
//! - Every page is bounded by its window. Times are microseconds since the Unix epoch.
//! - `repeats` is right however many repeats an event has, and what is read for it stays bounded:
//!   their keys by [`MAX_KEY_ROWS`] a round, their wide columns not at all.
//!
//! Deliberately unknown here: HTTP parameters, cursors.

use clickhouse::error::Error;
use uuid::Uuid;

use super::aggregate;
use super::column;
use super::feed;
use super::question::Reader;
use super::statement::{Statement, TooMany};
use super::wide::{Key, TooLong, Wide};
use super::{READ_TIMEOUT, Warehouse, error_code};
use crate::event::StoredEvent;
use crate::query::{
    Answer, Bucket, Chunks, Direction, EventReader, ExportFormat, Extents, Facet, Facets, FeedPage,
    FeedQuery, Filter, Interval, Order, Page, Place, Query, ReadError, Selection, SortField, Start,
    TenantScope, TimeField,
};

/// Most key rows read in one round (56 bytes each or so).
const MAX_KEY_ROWS: usize = 65_536;

impl EventReader for Warehouse {
    fn page<'a>(&'a self, query: &'a Query) -> Answer<'a, Page> {
        Box::pin(self.in_time(async move {
            if sees_nothing(&query.selection.tenants) || query.limit == 0 {
                return Ok(Page::default());
            }
            let client = self.reader().await?;
            let newest = (TimeField::OccurredAt, Direction::Descending);
            let (fields, time): (&[_], _) = match &query.order {
                Order::Time(by, direction) => (&[], (*by, *direction)),
                Order::Fields(fields) => (fields, newest),
            };
            let (keys, more) = match (&query.order, query.start) {
                (Order::Time(..), Start::First) => walked(client, query, time, None).await?,
                (Order::Time(..), Start::After(place)) => {
                    walked(client, query, time, Some(place)).await?
                }
                (_, Start::Offset(offset)) => skipped(client, query, fields, time, offset).await?,
                (Order::Fields(_), _) => skipped(client, query, fields, time, 0).await?,
            };
            let can_go_on = more && matches!(query.order, Order::Time(..));
            let next = keys.last().map(Key::place).filter(|_| can_go_on);
            let (filter, raw) = (&query.selection.filter, query.raw);
            let wide = Wide { filter, by: time.0, raw, most_bytes: self.cost.page_bytes };
            Ok(Page { events: wide.events(client, &keys).await?, next })
        }))
    }

    fn get<'a>(&'a self, tenants: &'a TenantScope, id: Uuid) -> Answer<'a, Option<StoredEvent>> {
        Box::pin(self.in_time(async move {
            if sees_nothing(tenants) {
                return Ok(None);
            }
            let client = self.reader().await?;
            // No window: the index on id finds the granules.
            let mut find = Statement::new(
                "SELECT tenant, occurred_at, occurred_at AS at, id, count() AS repeats FROM events",
            );
            find.add(" WHERE id = toUUID(?)", id).then(" AND ").tenants(tenants);
            find.then(" GROUP BY tenant, occurred_at, id ORDER BY occurred_at DESC LIMIT 1");
            let key = find.ask(client)?.fetch_optional::<Key>().await?;
            let keys: Vec<Key> = key.into_iter().collect();
            let (filter, by) = (&Filter::everything(), TimeField::OccurredAt);
            let wide = Wide { filter, by, raw: true, most_bytes: 0 };
            Ok(wide.events(client, &keys).await?.pop())
        }))
    }

    fn count<'a>(&'a self, selection: &'a Selection) -> Answer<'a, u64> {
        let work = async move { aggregate::count(self.reader().await?, selection).await };
        Box::pin(self.in_time(work))
    }

    fn histogram<'a>(
        &'a self,
        selection: &'a Selection,
        interval: Interval,
    ) -> Answer<'a, Vec<Bucket>> {
        Box::pin(self.in_time(async move {
            aggregate::histogram(self.reader().await?, selection, interval).await
        }))
    }

    fn facets<'a>(
        &'a self,
        selection: &'a Selection,
        facet: &'a Facet,
        limit: u32,
    ) -> Answer<'a, Facets> {
        Box::pin(self.in_time(async move {
            aggregate::facets(self.reader().await?, selection, facet, limit).await
        }))
    }

    fn export<'a>(
        &'a self,
        selection: &'a Selection,
        format: ExportFormat,
        limit: Option<u64>,
    ) -> Answer<'a, Chunks> {
        Box::pin(self.take_away(selection, format, limit))
    }

    fn extents(&self) -> Answer<'_, Extents> {
        Box::pin(self.in_time(async move { feed::extents(self.home().reader().await?).await }))
    }

    fn feed<'a>(&'a self, query: &'a FeedQuery) -> Answer<'a, FeedPage> {
        Box::pin(self.in_time(async move {
            feed::page(self.home().reader().await?, query, self.cost.page_bytes).await
        }))
    }

    fn ready(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let ask = async { self.client().query("EXISTS TABLE events").fetch_one::<u8>().await };
            match self.in_time(ask).await? {
                0 => Err(ReadError::Unavailable(no_table())),
                _ => Ok(()),
            }
        })
    }
}

pub(super) fn sees_nothing(tenants: &TenantScope) -> bool {
    matches!(tenants, TenantScope::Only(tenants) if tenants.is_empty())
}

/// The keys of one page, and whether there are more. Repeats stand side by side, so folding them
/// may leave too few: then it goes on behind them, in rounds that grow.
async fn walked(
    client: &Reader,
    query: &Query,
    (by, direction): (TimeField, Direction),
    mut after: Option<Place>,
) -> Result<(Vec<Key>, bool), Error> {
    let limit = query.limit as usize;
    let mut keys: Vec<Key> = Vec::new();
    let mut round_rows = limit + 1;
    loop {
        let mut ask = Statement::new("SELECT tenant, occurred_at, ");
        ask.then(column::time(by)).then(" AS at, id, toUInt64(1) AS repeats");
        ask.first_from(&query.selection, by);
        if let Some(after) = after {
            ask.after(after, by, direction);
        }
        ask.then(" ORDER BY ").then(column::time(by)).then(column::direction(direction));
        ask.then(", id").then(column::direction(direction));
        ask.add(" LIMIT ?", round_rows as i64);
        let round: Vec<Key> = ask.ask(client)?.fetch_all().await?;
        let is_full = round.len() == round_rows;
        for key in round {
            match keys.last_mut() {
                Some(last) if last.place() == key.place() => last.repeats += 1,
                _ => keys.push(key),
            }
        }
        if keys.len() > limit {
            keys.truncate(limit);
            return Ok((keys, true));
        }
        let Some(last) = keys.last_mut().filter(|_| is_full) else { return Ok((keys, false)) };
        // The round's end may have cut this one's repeats: count them all, and step over them.
        let mut count = Statement::new("SELECT count()");
        count.from(&query.selection).at(last.place(), by);
        last.repeats = count.ask(client)?.fetch_one().await?;
        after = Some(last.place());
        round_rows = (round_rows * 4).min(MAX_KEY_ROWS);
    }
}

/// The keys of a page that begins behind so many events: all keys are put in order, and nothing
/// but keys and what they are ordered by.
async fn skipped(
    client: &Reader,
    query: &Query,
    fields: &[(SortField, Direction)],
    (by, direction): (TimeField, Direction),
    offset: u64,
) -> Result<(Vec<Key>, bool), Error> {
    let limit = query.limit as usize;
    let mut ask = Statement::new("SELECT tenant, occurred_at, ");
    ask.then(column::time(by)).then(" AS at, id, count() AS repeats");
    ask.from(&query.selection).then(" GROUP BY tenant, occurred_at, at, id ORDER BY ");
    for (field, direction) in fields {
        // Of repeats any: what is compared is in the bytes they share.
        ask.then("any(").sort_field(field);
        ask.then(")").then(column::direction(*direction)).then(", ");
    }
    ask.then("at").then(column::direction(direction));
    ask.then(", id").then(column::direction(direction));
    ask.add(" LIMIT ?", limit as i64 + 1);
    ask.add(" OFFSET ?", i64::try_from(offset).unwrap_or(i64::MAX));
    let mut keys: Vec<Key> = ask.ask(client)?.fetch_all().await?;
    let more = keys.len() > limit;
    keys.truncate(limit);
    Ok((keys, more))
}

impl Warehouse {
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, ReadError> {
        let done = tokio::time::timeout(READ_TIMEOUT, work).await;
        done.unwrap_or(Err(Error::TimedOut)).map_err(|error| self.read_error(error))
    }

    pub(super) fn read_error(&self, error: Error) -> ReadError {
        if let Error::Other(cause) = &error
            && (TooLong::is(&error) || cause.is::<TooMany>())
        {
            return ReadError::TooCostly(cause.to_string());
        }
        match error_code(&error) {
            Some(60 | 81) => return ReadError::Unavailable(no_table()),
            Some(158) => {
                let limit = format!("it would read more than {} rows", self.cost.rows);
                return ReadError::TooCostly(limit);
            }
            Some(307) => {
                let limit = format!("it would read more than {} bytes", self.cost.bytes);
                return ReadError::TooCostly(limit);
            }
            // Too deep, too big, or cut off at `max_query_size`.
            Some(167 | 168) => return ReadError::TooCostly(TooMany.to_string()),
            Some(62) if error.to_string().contains("Max query size exceeded") => {
                return ReadError::TooCostly(TooMany.to_string());
            }
            _ => {}
        }
        let told = self.explain(error);
        match told.may_pass() {
            true => ReadError::Unavailable(told.to_string()),
            false => ReadError::Failed(told.to_string()),
        }
    }
}

fn no_table() -> String {
    "the database has no table events; run trailhouse migrate up".to_owned()
}
