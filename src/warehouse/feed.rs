//! Reading in the order of storage: a [`FeedQuery`] as SQL.
//!
//! In: positions, and how far each log is complete. Out: the rows behind them, in two steps as
//! pages are read: first where they stand, then the wide columns of those that fit.
//!
//! # Invariants
//! - [`crate::query::memory`] says what a feed is; a property test holds this file to it.
//! - A round looks at [`ROUND_OFFSETS`] offsets at most, found by the projection `by_position`, and
//!   at `limit` rows of a log; what it does not find moves the positions on all the same. It looks at
//!   as many offsets as a page has rows first: mostly those are the page, and looking for it among all
//!   would sort them all.
//! - What fits is shared among the logs that have something, so that none waits for another.
//! - What is held of a page is never much more than [`MOST_BYTES`], nor than
//!   [`super::ReadCost::page_bytes`], or is one event: where rows are long, a page has fewer of them.
//! - A log is complete as far as its highest batch: rows of `batches` are written after the rows
//!   they speak of, in the order of the log.
//!
//! Deliberately unknown here: who asks, how often.

use std::collections::{BTreeMap, HashMap};

use clickhouse::{Row, error::Error};
use serde::Deserialize;
use uuid::Uuid;

use super::question::Reader;
use super::row::EventRow;
use super::select::sees_nothing;
use super::statement::{Statement, Value};
use super::wide::TooLong;
use crate::event::{LogId, Micros, OffsetRange, StoredEvent, StoredPosition};
use crate::query::{Extents, FeedPage, FeedQuery, NextRow, Positions, Window, log_of};

/// Most offsets one round looks at.
const ROUND_OFFSETS: i64 = 262_144;
/// What each log gets of them at least, however many logs there are.
const LEAST_OFFSETS: i64 = 1_024;
/// Most logs of one round: those that are furthest behind.
const MOST_LOGS: usize = 128;
/// Bytes of a page: many tails hold one each, and a page that ends sooner loses nothing.
const MOST_BYTES: u64 = 16 << 20;

/// How far a log is stored.
#[derive(Row, Deserialize)]
struct Extent {
    kafka_cluster: String,
    kafka_topic: String,
    kafka_incarnation: String,
    kafka_partition: i32,
    first: i64,
    last: i64,
}

/// Where a row stands in its log, and its primary key.
#[derive(Debug, Clone, Row, Deserialize)]
struct Found {
    kafka_cluster: String,
    kafka_topic: String,
    kafka_incarnation: String,
    kafka_partition: i32,
    kafka_offset: i64,
    kafka_index: u32,
    tenant: String,
    occurred_at: Micros,
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
}

/// What one round reads of a log.
struct Stretch {
    log: LogId,
    from: NextRow,
    last: i64,
    found: Vec<Found>,
}

/// How far each log is complete. The projection `reach` keeps it for each part of the table.
pub(super) async fn extents(client: &Reader) -> Result<Extents, Error> {
    let sql = "SELECT kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, \
               min(first_offset) AS first, max(last_offset) AS last FROM batches \
               GROUP BY kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition";
    let rows = client.query(sql).fetch_all::<Extent>().await?;
    let extent = |row: Extent| {
        let log = LogId {
            cluster: row.kafka_cluster.into(),
            topic: row.kafka_topic.into(),
            incarnation: row.kafka_incarnation.into(),
            partition: row.kafka_partition,
        };
        (log, OffsetRange { first: row.first, last: row.last })
    };
    Ok(rows.into_iter().map(extent).collect())
}

/// What was stored next, in so many bytes; 0 for no limit but [`MOST_BYTES`].
pub(super) async fn page(
    client: &Reader,
    query: &FeedQuery,
    page_bytes: u64,
) -> Result<FeedPage, Error> {
    if sees_nothing(&query.tenants) {
        let mut next = query.after.clone();
        for (log, range) in &query.until {
            next.set(log.clone(), next.next_of(log, range.first).max(NextRow::behind(range.last)));
        }
        return Ok(FeedPage { events: Vec::new(), next });
    }
    let mut stretches = Vec::new();
    for round in [Round::Near, Round::Far] {
        stretches = due(query, round);
        if stretches.is_empty() || query.limit == 0 {
            return Ok(FeedPage { events: Vec::new(), next: query.after.clone() });
        }
        let all = find(client, query, &stretches).await?;
        let is_enough = all.len() >= query.limit as usize || !is_cut(query, &stretches);
        for found in all {
            let log = found.log();
            if let Some(stretch) = stretches.iter_mut().find(|stretch| stretch.log == log) {
                stretch.found.push(found);
            }
        }
        if is_enough {
            break;
        }
    }
    // The least first: what it leaves of its share is the others'.
    stretches.sort_by_key(|stretch| stretch.found.len());
    let most_bytes = if page_bytes == 0 { MOST_BYTES } else { page_bytes.min(MOST_BYTES) };
    let mut room = query.limit as usize;
    loop {
        let (rows, next) = shared(&stretches, query, room);
        let most_bytes = if rows.len() > 1 { most_bytes } else { 0 };
        match rows_of(client, &rows, most_bytes).await {
            Err(error) if TooLong::is(&error) => room = rows.len() / 2,
            events => return Ok(FeedPage { events: events?, next }),
        }
    }
}

/// What a page of so many rows tells of what was found, and where it ends.
fn shared<'s>(
    stretches: &'s [Stretch],
    query: &FeedQuery,
    mut room: usize,
) -> (Vec<&'s Found>, Positions) {
    let mut next = query.after.clone();
    let mut taken: BTreeMap<&LogId, &[Found]> = BTreeMap::new();
    let mut waiting = stretches.iter().filter(|stretch| !stretch.found.is_empty()).count();
    for Stretch { log, last, found, .. } in stretches {
        let is_whole = found.len() < query.limit as usize;
        let share = room.div_ceil(waiting.max(1));
        let told = &found[..found.len().min(share)];
        if !found.is_empty() {
            waiting -= 1;
            room -= told.len();
        }
        if is_whole && told.len() == found.len() {
            next.set(log.clone(), NextRow::behind(*last));
        } else if let Some(row) = told.last() {
            next.set(log.clone(), NextRow::after(row.kafka_offset, row.kafka_index));
        }
        taken.insert(log, told);
    }
    (taken.into_values().flatten().collect(), next)
}

/// How far is looked.
#[derive(Clone, Copy)]
enum Round {
    /// As many offsets of each log as a page has rows.
    Near,
    /// Each log's share of all a round may look at.
    Far,
}

/// Whether there is more than the stretches reach.
fn is_cut(query: &FeedQuery, stretches: &[Stretch]) -> bool {
    stretches.iter().any(|stretch| stretch.last < query.until[&stretch.log].last)
}

/// What a round reads: the logs that are behind, each as far as its share of offsets goes.
fn due(query: &FeedQuery, round: Round) -> Vec<Stretch> {
    let stretch = |(log, range): (&LogId, &OffsetRange)| {
        let from = query.after.next_of(log, range.first);
        let stretch = Stretch { log: log.clone(), from, last: range.last, found: Vec::new() };
        (from.offset <= range.last).then_some(stretch)
    };
    let mut stretches: Vec<Stretch> = query.until.iter().filter_map(stretch).collect();
    stretches.sort_by_key(|stretch| std::cmp::Reverse(stretch.last - stretch.from.offset));
    stretches.truncate(MOST_LOGS);
    let share = match round {
        Round::Near => i64::from(query.limit),
        Round::Far => (ROUND_OFFSETS / (stretches.len() as i64).max(1)).max(LEAST_OFFSETS),
    };
    for stretch in &mut stretches {
        stretch.last = stretch.last.min(stretch.from.offset + share - 1);
    }
    stretches
}

/// Where the rows stand that were stored next, as many of each log as a page holds.
async fn find(
    client: &Reader,
    query: &FeedQuery,
    stretches: &[Stretch],
) -> Result<Vec<Found>, Error> {
    let mut ask = Statement::new(
        "SELECT kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, \
         kafka_index, tenant, occurred_at, id FROM events WHERE (0",
    );
    for Stretch { log, from, last, .. } in stretches {
        ask.add(" OR (kafka_cluster = ?", &*log.cluster);
        ask.add(" AND kafka_topic = ?", &*log.topic);
        ask.add(" AND kafka_incarnation = ?", &*log.incarnation);
        ask.add(" AND kafka_partition = ?", i64::from(log.partition));
        ask.add(" AND kafka_offset >= ?", from.offset).add(" AND kafka_offset <= ?", *last);
        ask.add(" AND (kafka_offset > ?", from.offset);
        ask.add(" OR kafka_index >= ?))", i64::from(from.index));
    }
    ask.then(") AND ").tenants(&query.tenants);
    ask.then(" AND ").filter(&query.filter, &query.tenants);
    ask.then(
        " ORDER BY kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, \
         kafka_index",
    );
    ask.add(" LIMIT ? BY ", i64::from(query.limit));
    ask.then("kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition");
    ask.ask(client)?.fetch_all().await
}

/// The events at some places, in their order, without `raw`; 0 bytes for no limit.
async fn rows_of(
    client: &Reader,
    found: &[&Found],
    most_bytes: u64,
) -> Result<Vec<StoredEvent>, Error> {
    let times = found.iter().map(|found| found.occurred_at);
    let (Some(from), Some(last)) = (times.clone().min(), times.max()) else {
        return Ok(Vec::new());
    };
    let mut ask = Statement::new(EventRow::SELECT);
    ask.then(", '' AS original FROM events WHERE ").window(Window { from, to: last + 1 });
    let key = |found: &&Found| (found.tenant.clone(), found.occurred_at, found.id.to_string());
    ask.keys(found.iter().map(key).collect());
    // A key may have a million repeats elsewhere.
    ask.add(
        " AND (kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, \
         kafka_index) IN (SELECT p.1, p.2, p.3, toInt32(p.4), toInt64(p.5), toUInt32(p.6) FROM (SELECT \
         arrayJoin(?) AS p))",
        Value::Positions(found.iter().map(|found| found.position()).collect()),
    );
    let mut rows = ask.ask(client)?.fetch::<EventRow>()?;
    let mut events: HashMap<(LogId, i64, u32), StoredEvent> = HashMap::with_capacity(found.len());
    while let Some(row) = rows.next().await? {
        let event = row.into_event(false);
        if most_bytes > 0 && rows.decoded_bytes() > most_bytes {
            return Err(TooLong::of(most_bytes));
        }
        let StoredPosition { offset, index, .. } = event.kafka;
        events.insert((log_of(&event.kafka), offset, index), event);
    }
    client.count(rows.summary());
    let taken =
        |found: &&Found| events.remove(&(found.log(), found.kafka_offset, found.kafka_index));
    Ok(found.iter().filter_map(taken).collect())
}

impl Found {
    fn log(&self) -> LogId {
        LogId {
            cluster: self.kafka_cluster.as_str().into(),
            topic: self.kafka_topic.as_str().into(),
            incarnation: self.kafka_incarnation.as_str().into(),
            partition: self.kafka_partition,
        }
    }

    fn position(&self) -> (String, String, String, i32, i64, u32) {
        let Found { kafka_cluster, kafka_topic, kafka_incarnation, .. } = self.clone();
        let (partition, offset) = (self.kafka_partition, self.kafka_offset);
        (kafka_cluster, kafka_topic, kafka_incarnation, partition, offset, self.kafka_index)
    }
}
