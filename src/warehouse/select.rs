//! Reading: a [`Query`] as SQL.
//!
//! In: a Query. Out: a [`Page`], in two steps: first the keys, from narrow columns in the order of
//! the primary key; then the wide columns, only for the rows of the page.
//!
//! # Invariants
//! - [`crate::query::memory`] says what the answer is; a property test holds this file to it.
//! - SQL is put together from `&'static str`; every value is bound.
//! - Every page is bounded by its window. Times are microseconds since the Unix epoch.
//! - `repeats` is right however many repeats an event has, and what is read for it stays bounded:
//!   their keys by [`MAX_KEY_ROWS`] a round, their wide columns not at all.
//!
//! Deliberately unknown here: HTTP parameters, cursors.

use std::collections::HashMap;

use clickhouse::{Client, Row, error::Error};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::row::EventRow;
use super::{READ_TIMEOUT, Warehouse, error_code};
use crate::event::{Micros, StoredEvent};
use crate::query::{
    Answer, Condition, EventReader, Page, Place, Query, ReadError, TenantScope, Window,
};

/// Most key rows read in one round (56 bytes each or so).
const MAX_KEY_ROWS: usize = 65_536;

/// What `DateTime64(6)` can hold, `[1900, 2300)`; a time beyond it would wrap or be refused.
const ALL_TIME: Window = Window { from: -2_208_988_800_000_000, to: 10_413_792_000_000_000 };

const POSITION_OF_FIRST: &str = "\
 AND (kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index) IN \
 (SELECT min((kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, \
 kafka_index)) FROM events WHERE ";

impl EventReader for Warehouse {
    fn page<'a>(&'a self, query: &'a Query) -> Answer<'a, Page> {
        Box::pin(self.in_time(async move {
            if sees_nothing(&query.tenants) || query.limit == 0 {
                return Ok(Page::default());
            }
            let client = self.reader().await?;
            let (keys, more) = keys(client, query).await?;
            let next = keys.last().map(Key::place).filter(|_| more);
            let events = rows_of(client, &keys, &query.conditions).await?;
            Ok(Page { events, next })
        }))
    }

    fn get<'a>(&'a self, tenants: &'a TenantScope, id: Uuid) -> Answer<'a, Option<StoredEvent>> {
        Box::pin(self.in_time(async move {
            if sees_nothing(tenants) {
                return Ok(None);
            }
            let client = self.reader().await?;
            // No window: the index on id finds the granules.
            let mut find = Statement::new("SELECT tenant, occurred_at, id, count() AS repeats");
            find.add(" FROM events WHERE id = toUUID(?)", id);
            find.tenants(tenants);
            find.then(" GROUP BY tenant, occurred_at, id ORDER BY occurred_at DESC LIMIT 1");
            let Some(key) = find.ask(client).fetch_optional::<Key>().await? else {
                return Ok(None);
            };
            // Rows of one id have one raw, so any of them will do.
            let mut raw = Statement::new("SELECT raw FROM events");
            raw.add(" WHERE id = toUUID(?)", id);
            raw.add(" AND tenant = ?", key.tenant.as_str());
            raw.add(
                " AND occurred_at = fromUnixTimestamp64Micro(?, 'UTC') LIMIT 1",
                key.occurred_at,
            );
            let raw = raw.ask(client).fetch_optional::<String>().await?;
            let event = rows_of(client, &[key], &[]).await?.pop();
            Ok(event.map(|event| StoredEvent { raw, ..event }))
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

fn sees_nothing(tenants: &TenantScope) -> bool {
    matches!(tenants, TenantScope::Only(tenants) if tenants.is_empty())
}

/// The primary key of an event, and how many records have it.
#[derive(Debug, Row, Deserialize)]
struct Key {
    tenant: String,
    occurred_at: Micros,
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    repeats: u64,
}

impl Key {
    fn place(&self) -> Place {
        Place { occurred_at: self.occurred_at, id: self.id }
    }
}

/// The keys of one page, and whether there are more. Repeats stand side by side, so folding them
/// may leave too few: then it goes on behind them, in rounds that grow.
async fn keys(client: &Client, query: &Query) -> Result<(Vec<Key>, bool), Error> {
    let limit = query.limit as usize;
    let mut keys: Vec<Key> = Vec::new();
    let mut after = query.after;
    let mut round_rows = limit + 1;
    loop {
        let mut ask =
            Statement::of("SELECT tenant, occurred_at, id, toUInt64(1) AS repeats", query);
        if let Some(after) = after {
            ask.after(after);
        }
        ask.add(" ORDER BY occurred_at DESC, id DESC LIMIT ?", round_rows as i64);
        let round: Vec<Key> = ask.ask(client).fetch_all().await?;
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
        last.repeats = repeats(client, query, last.place()).await?;
        after = Some(last.place());
        round_rows = (round_rows * 4).min(MAX_KEY_ROWS);
    }
}

async fn repeats(client: &Client, query: &Query, place: Place) -> Result<u64, Error> {
    let mut count = Statement::of("SELECT count()", query);
    count.add(" AND occurred_at = fromUnixTimestamp64Micro(?, 'UTC')", place.occurred_at);
    count.add(" AND id = toUUID(?)", place.id);
    count.ask(client).fetch_one().await
}

/// The events of some keys, in their order. Of repeats, the one that stands first in Kafka.
async fn rows_of(
    client: &Client,
    keys: &[Key],
    conditions: &[Condition],
) -> Result<Vec<StoredEvent>, Error> {
    let (Some(newest), Some(oldest)) = (keys.first(), keys.last()) else { return Ok(Vec::new()) };
    let window = Window { from: oldest.occurred_at, to: newest.occurred_at + 1 };
    let mut ask = Statement::new(EventRow::SELECT);
    ask.then(" FROM events WHERE ");
    ask.keys(keys, window, conditions);
    if keys.iter().any(|key| key.repeats > 1) {
        // Or a million repeats would be a million wide rows to sort.
        ask.then(POSITION_OF_FIRST);
        ask.keys(keys, window, conditions);
        ask.then(" GROUP BY occurred_at, id)");
    }
    ask.then(
        " ORDER BY occurred_at DESC, id DESC, kafka_cluster, kafka_topic, kafka_incarnation, \
         kafka_partition, kafka_offset, kafka_index LIMIT 1 BY occurred_at, id",
    );
    let rows: Vec<EventRow> = ask.ask(client).fetch_all().await?;
    let repeats: HashMap<Place, u64> = keys.iter().map(|key| (key.place(), key.repeats)).collect();
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let event = StoredEvent::from(row);
        let repeats = repeats.get(&Place::of(&event)).copied().unwrap_or(1);
        events.push(StoredEvent { repeats, ..event });
    }
    Ok(events)
}

/// SQL that is being put together, and the values for its `?`.
struct Statement {
    sql: String,
    values: Vec<Value>,
}

/// A value to bind.
#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Number(i64),
    Text(String),
    Texts(Vec<String>),
    Keys(Vec<(String, Micros, String)>),
}

impl Statement {
    fn new(sql: &'static str) -> Statement {
        Statement { sql: sql.into(), values: Vec::new() }
    }

    /// What is asked, without its place.
    fn of(select: &'static str, query: &Query) -> Statement {
        let mut statement = Statement::new(select);
        statement.then(" FROM events WHERE ");
        statement.window(query.window);
        statement.tenants(&query.tenants);
        query.conditions.iter().for_each(|condition| statement.condition(condition));
        statement
    }

    fn then(&mut self, sql: &'static str) {
        self.sql.push_str(sql);
    }

    fn add(&mut self, sql: &'static str, value: impl Into<Value>) {
        self.sql.push_str(sql);
        self.values.push(value.into());
    }

    fn window(&mut self, window: Window) {
        let inside = |at: Micros| at.clamp(ALL_TIME.from, ALL_TIME.to);
        self.add("occurred_at >= fromUnixTimestamp64Micro(?, 'UTC')", inside(window.from));
        self.add(" AND occurred_at < fromUnixTimestamp64Micro(?, 'UTC')", inside(window.to));
    }

    fn tenants(&mut self, tenants: &TenantScope) {
        match tenants {
            TenantScope::All => {}
            // Only with equality does ClickHouse read in the order of the key and stop early.
            TenantScope::Only(tenants) if tenants.len() == 1 => {
                self.add(" AND tenant = ?", tenants[0].as_str());
            }
            TenantScope::Only(tenants) => {
                self.add(" AND tenant IN ?", Value::Texts(tenants.clone()));
            }
        }
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::ActorId(id) => self.add(" AND actor_id = ?", id.as_str()),
            Condition::Action(action) => self.add(" AND action = ?", action.as_str()),
            Condition::Verb(verb) => self.add(" AND verb = ?", verb.as_str()),
            Condition::TargetId(id) => {
                self.add(" AND (target_id = ?", id.as_str());
                self.add(" OR has(targets.id, ?))", id.as_str());
            }
            Condition::TargetType(kind) => {
                self.add(" AND (target_type = ?", kind.as_str());
                self.add(" OR has(targets.type, ?))", kind.as_str());
            }
            Condition::Outcome(outcome) => self.add(" AND outcome = ?", outcome.as_str()),
            Condition::Schema(schema) => self.add(" AND schema = ?", schema.as_str()),
            // In the column `::` stands for absent, and an absent address is no address.
            Condition::ClientIp(ip) if ip.is_unspecified() => self.then(" AND 0"),
            Condition::ClientIp(ip) => self.add(" AND client_ip = toIPv6(?)", ip.to_string()),
        }
    }

    /// As a comparison of pairs this reads twice as much: the key's conditions must stand alone.
    fn after(&mut self, after: Place) {
        let at = after.occurred_at.clamp(ALL_TIME.from, ALL_TIME.to);
        self.add(" AND occurred_at <= fromUnixTimestamp64Micro(?, 'UTC')", at);
        self.add(" AND (occurred_at < fromUnixTimestamp64Micro(?, 'UTC')", at);
        self.add(" OR id < toUUID(?))", after.id);
    }

    /// Rows by primary key. The keys come as a subquery: a set that the index can use, where
    /// converting an array in place would become a scan.
    fn keys(&mut self, keys: &[Key], window: Window, conditions: &[Condition]) {
        self.window(window);
        let key = |key: &Key| (key.tenant.clone(), key.occurred_at, key.id.to_string());
        self.add(
            " AND (tenant, occurred_at, id) IN (SELECT k.1, fromUnixTimestamp64Micro(k.2, 'UTC'), \
             toUUID(k.3) FROM (SELECT arrayJoin(?) AS k))",
            Value::Keys(keys.iter().map(key).collect()),
        );
        conditions.iter().for_each(|condition| self.condition(condition));
    }

    fn ask(self, client: &Client) -> clickhouse::query::Query {
        self.values.iter().fold(client.query(&self.sql), |query, value| query.bind(value))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<Uuid> for Value {
    fn from(id: Uuid) -> Value {
        Value::Text(id.to_string())
    }
}

impl Warehouse {
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, ReadError> {
        let done = tokio::time::timeout(READ_TIMEOUT, work).await;
        done.unwrap_or(Err(Error::TimedOut)).map_err(|error| self.read_error(error))
    }

    fn read_error(&self, error: Error) -> ReadError {
        if let Some(60 | 81) = error_code(&error) {
            return ReadError::Unavailable(no_table());
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
