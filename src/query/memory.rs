//! A naive store over a plain list: it says what a [`Query`] means.
//!
//! In: stored events. Out: the answers ClickHouse is held to, and a store for tests of the API.
//!
//! # Invariants
//! - Written to be obviously right: filter, sort, fold, cut. No index, no cleverness.
//! - The order is total: events of one [`Place`] are repeats, and stand by the position of their
//!   records. A fold shows the first of them.
//!
//! Deliberately unknown here: performance.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use uuid::Uuid;

use super::{
    Answer, Bucket, Chunks, Direction, EventReader, ExportFormat, Extents, Facet, FacetValue,
    Facets, FeedPage, FeedQuery, Interval, NextRow, Order, Page, Place, Query, ReadError,
    Selection, SortField, Start, TenantScope, TimeField, log_of,
};
use crate::event::{OffsetRange, StoredEvent, StoredPosition};

/// Events in a list.
#[derive(Debug, Default)]
pub struct MemoryReader {
    /// Every record's event, repeats included, in any order.
    pub events: Vec<StoredEvent>,
}

impl MemoryReader {
    fn answer(&self, query: &Query) -> Page {
        let selection = &query.selection;
        let found = |event: &StoredEvent| self.selects(selection, event);
        let mut found = self.folded(found, &query.order);
        match query.start {
            Start::First => {}
            Start::Offset(offset) => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(found.len());
                found.drain(..offset);
            }
            Start::After(place) => {
                if let Order::Time(by, direction) = query.order {
                    let behind = |event: &StoredEvent| {
                        let standing = Place::of(event, by).rank().cmp(&place.rank());
                        directed(standing, direction).is_gt()
                    };
                    found.retain(behind);
                }
            }
        }
        let more = found.len() > query.limit as usize;
        found.truncate(query.limit as usize);
        let next = match query.order {
            Order::Time(by, _) => found.last().map(|e| Place::of(e, by)).filter(|_| more),
            Order::Fields(_) => None,
        };
        let as_asked =
            |event: StoredEvent| StoredEvent { raw: event.raw.filter(|_| query.raw), ..event };
        Page { events: found.into_iter().map(as_asked).collect(), next }
    }

    /// Everything is complete that is there.
    fn stored(&self) -> Extents {
        let mut extents = Extents::new();
        for StoredEvent { kafka, .. } in &self.events {
            let own = OffsetRange { first: kafka.offset, last: kafka.offset };
            let range = extents.entry(log_of(kafka)).or_insert(own);
            range.first = range.first.min(kafka.offset);
            range.last = range.last.max(kafka.offset);
        }
        extents
    }

    /// Log by log, as far as the limit goes.
    fn next_stored(&self, query: &FeedQuery) -> FeedPage {
        let mut next = query.after.clone();
        let mut events = Vec::new();
        for (log, range) in &query.until {
            let from = next.next_of(log, range.first);
            let row = |event: &StoredEvent| NextRow {
                offset: event.kafka.offset,
                index: event.kafka.index,
            };
            let due = |event: &&StoredEvent| {
                log_of(&event.kafka) == *log
                    && row(event) >= from
                    && event.kafka.offset <= range.last
                    && query.tenants.allows(&event.tenant)
                    && query.filter.holds(event, &self.events)
            };
            let mut found: Vec<&StoredEvent> = self.events.iter().filter(due).collect();
            found.sort_by_key(|event| row(event));
            let room = query.limit as usize - events.len();
            let cut = found.get(room).map(|event| row(event));
            next.set(log.clone(), cut.unwrap_or(from.max(NextRow::behind(range.last))));
            let without_raw = |event: &StoredEvent| StoredEvent { raw: None, ..event.clone() };
            events.extend(found.into_iter().take(room).map(without_raw));
        }
        FeedPage { events, next }
    }

    fn selects(&self, selection: &Selection, event: &StoredEvent) -> bool {
        selection.tenants.allows(&event.tenant)
            && selection.window.contains(event.occurred_at)
            && selection.filter.holds(event, &self.events)
    }

    /// The records that match.
    fn records<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = &'a StoredEvent> {
        self.events.iter().filter(|event| self.selects(selection, event))
    }

    fn counted<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, u64> {
        let mut counts = BTreeMap::new();
        for key in keys {
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    fn commonest(&self, selection: &Selection, facet: &Facet, limit: u32) -> Facets {
        let values = self.records(selection).flat_map(|event| facet.values(event));
        let value = |(value, count): (&str, u64)| FacetValue { value: value.to_owned(), count };
        let mut values: Vec<_> = Self::counted(values).into_iter().map(value).collect();
        values.sort_by_key(|value| Reverse(value.count));
        let others = values.split_off(values.len().min(limit as usize));
        Facets {
            values,
            other_values: others.len() as u64,
            other_count: others.iter().map(|value| value.count).sum(),
        }
    }

    /// The events that match, in order, repeats folded.
    fn folded(&self, matches: impl Fn(&StoredEvent) -> bool, by: &Order) -> Vec<StoredEvent> {
        let mut found: Vec<&StoredEvent> = self.events.iter().filter(|e| matches(e)).collect();
        found.sort_by(|a, b| order(by, a, b).then_with(|| position(a).cmp(&position(b))));
        let mut folded: Vec<StoredEvent> = Vec::new();
        for event in found {
            match folded.last_mut() {
                Some(last) if order(by, last, event).is_eq() => last.repeats += 1,
                _ => folded.push(StoredEvent { repeats: 1, ..event.clone() }),
            }
        }
        folded
    }
}

fn order(by: &Order, a: &StoredEvent, b: &StoredEvent) -> Ordering {
    let place = |event, by| Place::of(event, by).rank();
    match by {
        Order::Time(time, direction) => directed(place(a, *time).cmp(&place(b, *time)), *direction),
        Order::Fields(fields) => {
            let compare = |(field, direction): &(SortField, Direction)| {
                directed(standing(field, a, b), *direction)
            };
            let newest = || place(b, TimeField::OccurredAt).cmp(&place(a, TimeField::OccurredAt));
            fields.iter().map(compare).find(|o| o.is_ne()).unwrap_or_else(newest)
        }
    }
}

fn standing(field: &SortField, a: &StoredEvent, b: &StoredEvent) -> Ordering {
    match field {
        SortField::Text(field) => field.main(a).cmp(field.main(b)),
        SortField::Time(time) => time.of(a).cmp(&time.of(b)),
        SortField::SourceNumber => {
            let number = |event: &StoredEvent| event.source_id.parse::<i64>().ok();
            number(a).cmp(&number(b))
        }
        SortField::Outcome => a.outcome.as_str().cmp(b.outcome.as_str()),
    }
}

fn directed(standing: Ordering, direction: Direction) -> Ordering {
    match direction {
        Direction::Ascending => standing,
        Direction::Descending => standing.reverse(),
    }
}

fn position(event: &StoredEvent) -> impl Ord {
    let StoredPosition { cluster, topic, incarnation, partition, offset, index } = &event.kafka;
    (cluster, topic, incarnation, partition, offset, index)
}

impl EventReader for MemoryReader {
    fn page<'a>(&'a self, query: &'a Query) -> Answer<'a, Page> {
        Box::pin(async { Ok(self.answer(query)) })
    }

    fn get<'a>(&'a self, tenants: &'a TenantScope, id: Uuid) -> Answer<'a, Option<StoredEvent>> {
        Box::pin(async move {
            let mine = |event: &StoredEvent| event.id == id && tenants.allows(&event.tenant);
            let found = self.folded(mine, &Order::default());
            Ok(found.into_iter().next())
        })
    }

    fn count<'a>(&'a self, selection: &'a Selection) -> Answer<'a, u64> {
        Box::pin(async { Ok(self.records(selection).count() as u64) })
    }

    fn histogram<'a>(
        &'a self,
        selection: &'a Selection,
        interval: Interval,
    ) -> Answer<'a, Vec<Bucket>> {
        let starts = self.records(selection).map(move |event| interval.start(event.occurred_at));
        let bucket = |(from, count)| Bucket { from, count };
        let buckets = Self::counted(starts).into_iter().map(bucket).collect();
        Box::pin(async { Ok(buckets) })
    }

    fn facets<'a>(
        &'a self,
        selection: &'a Selection,
        facet: &'a Facet,
        limit: u32,
    ) -> Answer<'a, Facets> {
        Box::pin(async move { Ok(self.commonest(selection, facet, limit)) })
    }

    /// NDJSON of the native API's events, whatever the format: what other formats look like is a
    /// store's own.
    fn export<'a>(
        &'a self,
        selection: &'a Selection,
        _: ExportFormat,
        limit: Option<u64>,
    ) -> Answer<'a, Chunks> {
        let mut found: Vec<&StoredEvent> = self.records(selection).collect();
        found.sort_by(|a, b| order(&Order::default(), a, b));
        found.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        let line = |event: &StoredEvent| {
            let json = serde_json::to_string(event).map(|json| Bytes::from(json + "\n"));
            json.map_err(|error| ReadError::Failed(error.to_string()))
        };
        let lines: Vec<_> = found.into_iter().map(line).collect();
        let chunks: Chunks = Box::pin(Lines(lines.into_iter()));
        Box::pin(async { Ok(chunks) })
    }

    fn extents(&self) -> Answer<'_, Extents> {
        Box::pin(async { Ok(self.stored()) })
    }

    fn feed<'a>(&'a self, query: &'a FeedQuery) -> Answer<'a, FeedPage> {
        Box::pin(async { Ok(self.next_stored(query)) })
    }

    fn ready(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Chunks that are all there.
struct Lines(std::vec::IntoIter<Result<Bytes, ReadError>>);

impl Stream for Lines {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next())
    }
}
