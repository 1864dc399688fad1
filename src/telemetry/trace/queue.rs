//! Between those who end spans and the one thread that sends them: a queue with an end.
//!
//! In: spans that have ended. Out: the same, to the batch processor of the SDK, and by its thread to
//! the exporter; where there are too many, none.
//!
//! # Invariants
//! - At most `most` spans wait or are on their way. Whoever brings another goes on at once without it.
//! - What is lost is counted, and logged at first and then seldom.
//!
//! Deliberately unknown here: what is in a span.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

use super::super::Seldom;

/// What is known of the spans of a process.
#[derive(Debug, Default)]
struct Account {
    /// Waiting, or on their way.
    held: AtomicUsize,
    /// For which there was no room.
    dropped: AtomicU64,
    /// That the endpoint did not take.
    refused: AtomicU64,
    told: Mutex<Seldom>,
}

impl Account {
    fn lost(&self, of: &AtomicU64, spans: usize, why: &str) {
        let total = of.fetch_add(spans as u64, Ordering::Relaxed) + spans as u64;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept_back) = told.happened(Instant::now()) {
            tracing::warn!(spans, total, kept_back, "spans are lost: {why}");
        }
    }
}

/// Takes spans while there is room.
#[derive(Debug)]
pub(super) struct Queue {
    processor: BatchSpanProcessor,
    account: Arc<Account>,
    most: usize,
}

impl Queue {
    /// A queue before an exporter, with room for `most` spans.
    pub(super) fn before(exporter: impl SpanExporter + 'static, most: usize) -> Queue {
        let account = Arc::new(Account::default());
        let exporter = Counted { exporter, account: Arc::clone(&account) };
        let config = BatchConfigBuilder::default().with_max_queue_size(most).build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        Queue { processor, account, most }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let more = |held: usize| (held < self.most).then_some(held + 1);
        let relaxed = Ordering::Relaxed;
        match self.account.held.fetch_update(relaxed, relaxed, more) {
            Ok(_) => self.processor.on_end(span),
            Err(_) => self.account.lost(&self.account.dropped, 1, "traces.queue_spans are waiting"),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

/// Gives room back once spans were sent, or could not be.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    account: Arc<Account>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        let count = spans.len();
        let sent = self.exporter.export(spans).await;
        self.account.held.fetch_sub(count, Ordering::Relaxed);
        if let Err(error) = &sent {
            self.account.lost(&self.account.refused, count, &error.to_string());
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
