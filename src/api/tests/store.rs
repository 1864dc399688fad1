//! Stores that a test needs beside the log in memory: one that grows while it is read, one that does
//! not answer, one that is never done.

use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use uuid::Uuid;

use crate::event::{LogId, OffsetRange, StoredEvent};
use crate::query::memory::MemoryReader;
use crate::query::{
    Answer, Bucket, Chunks, EventReader, ExportFormat, Extents, Facet, Facets, FeedPage, FeedQuery,
    Interval, NextRow, Page, Query, ReadError, Selection, TenantScope,
};

/// A store that events are added to between two questions.
#[derive(Default)]
pub struct Growing(pub Mutex<Vec<StoredEvent>>);

impl Growing {
    fn now(&self) -> MemoryReader {
        MemoryReader { events: self.0.lock().unwrap().clone() }
    }
}

impl EventReader for Growing {
    fn page<'a>(&'a self, query: &'a Query) -> Answer<'a, Page> {
        Box::pin(async { self.now().page(query).await })
    }

    fn get<'a>(&'a self, tenants: &'a TenantScope, id: Uuid) -> Answer<'a, Option<StoredEvent>> {
        Box::pin(async move { self.now().get(tenants, id).await })
    }

    fn count<'a>(&'a self, selection: &'a Selection) -> Answer<'a, u64> {
        Box::pin(async { self.now().count(selection).await })
    }

    fn histogram<'a>(
        &'a self,
        selection: &'a Selection,
        interval: Interval,
    ) -> Answer<'a, Vec<Bucket>> {
        Box::pin(async move { self.now().histogram(selection, interval).await })
    }

    fn facets<'a>(
        &'a self,
        selection: &'a Selection,
        facet: &'a Facet,
        limit: u32,
    ) -> Answer<'a, Facets> {
        Box::pin(async move { self.now().facets(selection, facet, limit).await })
    }

    fn export<'a>(
        &'a self,
        selection: &'a Selection,
        format: ExportFormat,
        limit: Option<u64>,
    ) -> Answer<'a, Chunks> {
        Box::pin(async move { self.now().export(selection, format, limit).await })
    }

    fn extents(&self) -> Answer<'_, Extents> {
        Box::pin(async { self.now().extents().await })
    }

    fn feed<'a>(&'a self, query: &'a FeedQuery) -> Answer<'a, FeedPage> {
        Box::pin(async { self.now().feed(query).await })
    }

    fn ready(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// A store that does not answer.
pub enum Broken {
    Unavailable,
    Failed,
    Panics,
    Hangs,
}

impl EventReader for Broken {
    fn page<'a>(&'a self, _: &'a Query) -> Answer<'a, Page> {
        Box::pin(async move {
            match self {
                Broken::Unavailable => Err(ReadError::Unavailable("secret".into())),
                Broken::Failed => Err(ReadError::Failed("secret".into())),
                Broken::Panics => panic!("secret"),
                Broken::Hangs => std::future::pending().await,
            }
        })
    }

    fn get<'a>(&'a self, _: &'a TenantScope, _: Uuid) -> Answer<'a, Option<StoredEvent>> {
        Box::pin(async { Ok(None) })
    }

    fn count<'a>(&'a self, _: &'a Selection) -> Answer<'a, u64> {
        unasked()
    }

    fn histogram<'a>(&'a self, _: &'a Selection, _: Interval) -> Answer<'a, Vec<Bucket>> {
        unasked()
    }

    fn facets<'a>(&'a self, _: &'a Selection, _: &'a Facet, _: u32) -> Answer<'a, Facets> {
        unasked()
    }

    fn export<'a>(
        &'a self,
        _: &'a Selection,
        _: ExportFormat,
        _: Option<u64>,
    ) -> Answer<'a, Chunks> {
        unasked()
    }

    fn extents(&self) -> Answer<'_, Extents> {
        unasked()
    }

    fn feed<'a>(&'a self, _: &'a FeedQuery) -> Answer<'a, FeedPage> {
        unasked()
    }

    fn ready(&self) -> Answer<'_, ()> {
        Box::pin(async { Err(ReadError::Unavailable("it is down".into())) })
    }
}

/// A store that is never done: it answers the first round of a feed, which finds nothing, and no other;
/// of an export it always has more; of a page nothing ever.
#[derive(Default)]
pub struct Endless {
    rounds: AtomicU32,
    /// Pages that were asked for.
    pub pages: AtomicU32,
}

impl Endless {
    /// The only log, from offset 0 to 100.
    pub fn log() -> LogId {
        LogId::of_replay("c", "audit")
    }

    /// Where the first round of a feed ends.
    pub const PASSED: i64 = 10;
}

impl EventReader for Endless {
    fn page<'a>(&'a self, _: &'a Query) -> Answer<'a, Page> {
        self.pages.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    }

    fn get<'a>(&'a self, _: &'a TenantScope, _: Uuid) -> Answer<'a, Option<StoredEvent>> {
        unasked()
    }

    fn count<'a>(&'a self, _: &'a Selection) -> Answer<'a, u64> {
        Box::pin(async { Ok(0) })
    }

    fn histogram<'a>(&'a self, _: &'a Selection, _: Interval) -> Answer<'a, Vec<Bucket>> {
        unasked()
    }

    fn facets<'a>(&'a self, _: &'a Selection, _: &'a Facet, _: u32) -> Answer<'a, Facets> {
        unasked()
    }

    fn export<'a>(
        &'a self,
        _: &'a Selection,
        _: ExportFormat,
        _: Option<u64>,
    ) -> Answer<'a, Chunks> {
        Box::pin(async { Ok(Box::pin(Lines) as Chunks) })
    }

    fn extents(&self) -> Answer<'_, Extents> {
        let all = OffsetRange { first: 0, last: 100 };
        Box::pin(async move { Ok(Extents::from([(Endless::log(), all)])) })
    }

    fn feed<'a>(&'a self, query: &'a FeedQuery) -> Answer<'a, FeedPage> {
        if self.rounds.fetch_add(1, Ordering::SeqCst) > 0 {
            return Box::pin(std::future::pending());
        }
        let mut next = query.after.clone();
        next.set(Endless::log(), NextRow::behind(Endless::PASSED));
        Box::pin(async { Ok(FeedPage { events: Vec::new(), next }) })
    }

    fn ready(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Lines without end.
struct Lines;

impl Stream for Lines {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(Ok(Bytes::from_static(b"{}\n"))))
    }
}

/// What a store answers that a test does not ask.
pub fn unasked<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(async { Err(ReadError::Failed("the test does not ask this".into())) })
}
