//! What a store must be able to answer.
//!
//! In: a [`Query`], or a [`Selection`] to count or take away. Out: a [`Page`], counts, a stream of
//! bytes. Implemented by `warehouse` over ClickHouse, and by [`super::memory`] over a plain list,
//! which says what a question means.
//!
//! # Invariants
//! - No event outside the scope is ever answered, counted or streamed, whatever is asked.
//! - A page speaks of events and folds repeats; everything else speaks of records.
//! - Every question is answered: a store that forgets one does not compile.
//!
//! Deliberately unknown here: the store.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use futures_core::Stream;
use uuid::Uuid;

use super::{
    Bucket, ExportFormat, Extents, Facet, Facets, FeedPage, FeedQuery, Interval, Page, Query,
    Selection, TenantScope,
};
use crate::event::StoredEvent;

/// A boxed future, so that the API can hold any reader behind `Arc<dyn EventReader>`. A box a
/// request costs nothing beside the request.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ReadError>> + Send + 'a>>;

/// The bytes of an export, as they come. One error, and there is no more: what came before it is
/// not the whole.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, ReadError>> + Send>>;

/// A store of events.
pub trait EventReader: Send + Sync {
    /// The events of one page.
    fn page<'a>(&'a self, query: &'a Query) -> Answer<'a, Page>;

    /// One event with its raw bytes, the newest where an id has several times; `None` where the
    /// scope has no such id.
    fn get<'a>(&'a self, tenants: &'a TenantScope, id: Uuid) -> Answer<'a, Option<StoredEvent>>;

    /// How many records.
    fn count<'a>(&'a self, selection: &'a Selection) -> Answer<'a, u64>;

    /// How many records in each bucket that has some, the earliest first.
    fn histogram<'a>(
        &'a self,
        selection: &'a Selection,
        interval: Interval,
    ) -> Answer<'a, Vec<Bucket>>;

    /// The `limit` commonest values of a field.
    fn facets<'a>(
        &'a self,
        selection: &'a Selection,
        facet: &'a Facet,
        limit: u32,
    ) -> Answer<'a, Facets>;

    /// Records as bytes of a format, newest first; all of them where there is no limit. It is
    /// answered once the store has begun, so that a refusal is no broken stream.
    fn export<'a>(
        &'a self,
        selection: &'a Selection,
        format: ExportFormat,
        limit: Option<u64>,
    ) -> Answer<'a, Chunks>;

    /// How far each log is complete, which is how far a feed may read.
    fn extents(&self) -> Answer<'_, Extents>;

    /// What was stored next.
    fn feed<'a>(&'a self, query: &'a FeedQuery) -> Answer<'a, FeedPage>;

    /// Whether the store answers at all.
    fn ready(&self) -> Answer<'_, ()>;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store cannot be reached or is not ready; the same question may succeed later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The question costs more than a caller may: 422. A narrower one may be answered.
    #[error("the question costs too much: {0}")]
    TooCostly(String),
    /// The store answered, but not with an answer: a defect on our side or the schema's.
    #[error("the store refused the question: {0}")]
    Failed(String),
}
