//! A reader whose questions are measured.
//!
//! In: questions. Out: another reader's answers; how long they took, and which cost too much.
//!
//! # Invariants
//! - What is answered is the other's word for word.
//! - An export counts until it begins; how long somebody takes it is theirs.
//!
//! Deliberately unknown here: the store.

use std::sync::Arc;

use uuid::Uuid;

use crate::event::StoredEvent;
use crate::query::{
    Answer, Bucket, Chunks, EventReader, ExportFormat, Extents, Facet, Facets, FeedPage, FeedQuery,
    Interval, Page, Query, ReadError, Selection, TenantScope,
};
use crate::telemetry::ApiMetrics;

/// A reader that is measured.
pub struct Measured {
    reader: Arc<dyn EventReader>,
    metrics: ApiMetrics,
}

impl Measured {
    /// Measure a reader.
    pub fn new(reader: Arc<dyn EventReader>, metrics: &ApiMetrics) -> Measured {
        Measured { reader, metrics: metrics.clone() }
    }

    fn of<'a, T: 'a>(&'a self, question: &'static str, answer: Answer<'a, T>) -> Answer<'a, T> {
        Box::pin(async move {
            let answer = self.metrics.timed(question, answer).await;
            if let Err(ReadError::TooCostly(_)) = &answer {
                self.metrics.rate_limited.with_label_values(&["cost"]).inc();
            }
            answer
        })
    }
}

impl EventReader for Measured {
    fn page<'a>(&'a self, query: &'a Query) -> Answer<'a, Page> {
        self.of("page", self.reader.page(query))
    }

    fn get<'a>(&'a self, tenants: &'a TenantScope, id: Uuid) -> Answer<'a, Option<StoredEvent>> {
        self.of("event", self.reader.get(tenants, id))
    }

    fn count<'a>(&'a self, selection: &'a Selection) -> Answer<'a, u64> {
        self.of("count", self.reader.count(selection))
    }

    fn histogram<'a>(
        &'a self,
        selection: &'a Selection,
        interval: Interval,
    ) -> Answer<'a, Vec<Bucket>> {
        self.of("histogram", self.reader.histogram(selection, interval))
    }

    fn facets<'a>(
        &'a self,
        selection: &'a Selection,
        facet: &'a Facet,
        limit: u32,
    ) -> Answer<'a, Facets> {
        self.of("facets", self.reader.facets(selection, facet, limit))
    }

    fn export<'a>(
        &'a self,
        selection: &'a Selection,
        format: ExportFormat,
        limit: Option<u64>,
    ) -> Answer<'a, Chunks> {
        self.of("export", self.reader.export(selection, format, limit))
    }

    fn extents(&self) -> Answer<'_, Extents> {
        self.of("extents", self.reader.extents())
    }

    fn feed<'a>(&'a self, query: &'a FeedQuery) -> Answer<'a, FeedPage> {
        self.of("feed", self.reader.feed(query))
    }

    fn ready(&self) -> Answer<'_, ()> {
        self.reader.ready()
    }
}
