//! The consuming part of a service: a source and a pipeline on a thread of their own.
//!
//! In: settings, mappings in use, a warehouse. Out: an [`Ingest`], to be stopped and waited for.
//!
//! # Invariants
//! - Kafka is waited for, for ever; what waiting cannot mend ends the thread, and shows in health.
//!
//! Deliberately unknown here: the API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use backon::BlockingRetryable as _;
use tokio::sync::oneshot;

use super::{KAFKA, dead_letter, patience};
use crate::config::{Live, Loaded};
use crate::gateway::DeadLetters;
use crate::pipeline::{Done, Pipeline, Stop};
use crate::source::kafka::KafkaSource;
use crate::source::{KafkaConfig, Source as _, SourceError, Waker};
use crate::telemetry::{Health, Metrics, Seldom, SourceMetrics};
use crate::warehouse::Warehouse;

/// What consumes.
pub(super) struct Ingest {
    pub(super) stop: Stop,
    pub(super) stopped: Arc<AtomicBool>,
    pub(super) done: Option<oneshot::Receiver<Result<Done, SourceError>>>,
}

/// Begin to consume.
pub(super) fn start_ingest(
    loaded: &Loaded,
    live: &Live,
    warehouse: &Warehouse,
    metrics: &Metrics,
    health: &Health,
) -> anyhow::Result<Ingest> {
    let waker = Arc::new(Waker::default());
    let stop = Stop::of(Arc::clone(&waker));
    let stopped = Arc::new(AtomicBool::new(false));
    let (ended, done) = oneshot::channel();
    let dead_letters = dead_letter::dead_letters(&loaded.config.kafka)?;
    let dead_letter_topic = &loaded.config.kafka.dead_letter_topic;
    let live = live.clone();
    let pipeline = Pipeline {
        config: loaded.config.pipeline.clone(),
        normaliser: Box::new(move |topic| live.normaliser(topic)),
        warehouse: warehouse.clone(),
        metrics: metrics.clone(),
        health: health.clone(),
        post: dead_letters.clone().map(|letters| dead_letter::post(dead_letter_topic, letters)),
        accept_gap: loaded.config.kafka.accept_gap.clone(),
        runtime: tokio::runtime::Handle::current(),
    };
    let (kafka, health) = (loaded.config.kafka.clone(), health.clone());
    let counted = metrics.source.clone();
    let (ask, given_up) = (stop.clone(), Arc::clone(&stopped));
    thread::spawn(move || {
        let result =
            match connect(&kafka, dead_letters.as_deref(), &waker, &health, &counted, &given_up) {
                Err(_) if given_up.load(Ordering::Acquire) => {
                    Ok(Done { drained: true, ..Done::default() })
                }
                Err(error) => Err(error),
                Ok(mut source) => pipeline.run(&mut source, &ask),
            };
        if let Err(error) = &result {
            tracing::error!(%error, "ingest ended");
            health.fails("ingest", error.to_string());
        }
        // Nobody listens only when the service was dropped.
        let _ = ended.send(result);
    });
    Ok(Ingest { stop, stopped, done: Some(done) })
}

/// Connect, again and again while Kafka cannot be reached.
fn connect(
    kafka: &KafkaConfig,
    dead_letters: Option<&DeadLetters>,
    waker: &Arc<Waker>,
    health: &Health,
    metrics: &SourceMetrics,
    given_up: &AtomicBool,
) -> Result<KafkaSource, SourceError> {
    let mut seldom = Seldom::default();
    let connect = || {
        if let Some(dead_letters) = dead_letters {
            dead_letter::expect_topic(dead_letters, kafka)?;
        }
        KafkaSource::connect(kafka, Arc::clone(waker), health.clone(), metrics)
    };
    let source = connect
        .retry(patience())
        .when(|error| {
            matches!(error, SourceError::Unavailable { .. }) && !given_up.load(Ordering::Acquire)
        })
        .notify(|error, delay| {
            health.fails(KAFKA, error.to_string());
            if let Some(kept_back) = seldom.happened(Instant::now()) {
                let delay_ms = delay.as_millis() as u64;
                tracing::warn!(%error, delay_ms, kept_back, "connecting to Kafka again");
            }
        })
        .call()?;
    health.works(KAFKA);
    // A ring for records that came while the retry slept.
    source.waker().ring();
    Ok(source)
}
