//! What a store must be able to answer.
//!
//! In: a [`Query`]. Out: a [`Page`]. Implemented by `warehouse` over ClickHouse, and by
//! [`super::memory`] over a plain list, which says what a Query means.
//!
//! # Invariants
//! - No event outside the scope is ever answered, whatever is asked.
//!
//! Deliberately unknown here: the store.

use std::future::Future;
use std::pin::Pin;

use uuid::Uuid;

use super::{Extents, FeedPage, FeedQuery, Page, Query, TenantScope};
use crate::event::StoredEvent;

/// A boxed future, so that the API can hold any reader behind `Arc<dyn EventReader>`. A box a
/// request costs nothing beside the request.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ReadError>> + Send + 'a>>;

/// A store of events.
pub trait EventReader: Send + Sync {
    /// The events of one page.
    fn page<'a>(&'a self, query: &'a Query) -> Answer<'a, Page>;

    /// One event with its raw bytes, the newest where an id has several times; `None` where the
    /// scope has no such id.
    fn get<'a>(&'a self, tenants: &'a TenantScope, id: Uuid) -> Answer<'a, Option<StoredEvent>>;

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
    /// The store answered, but not with an answer: a defect on our side or the schema's.
    #[error("the store refused the question: {0}")]
    Failed(String),
}
