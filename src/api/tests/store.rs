//! Stores that a test needs beside the log in memory: one that grows while it is read, one that does
//! not answer.

use std::sync::Mutex;

use uuid::Uuid;

use crate::event::StoredEvent;
use crate::query::memory::MemoryReader;
use crate::query::{
    Answer, Bucket, Chunks, EventReader, ExportFormat, Extents, Facet, Facets, FeedPage, FeedQuery,
    Interval, Page, Query, ReadError, Selection, TenantScope,
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

/// What a store answers that a test does not ask.
pub fn unasked<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(async { Err(ReadError::Failed("the test does not ask this".into())) })
}
