//! What the API answers from: the store, the way in, who may ask, and who is told of it.
//!
//! In: [`Loaded`] settings and mappings, a warehouse. Out: the [`ApiState`], and the task that writes
//! down who reads.
//!
//! # Invariants
//! - A process that answers no questions looks up no credentials.
//!
//! Deliberately unknown here: listening, stopping.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::Role;
use super::ledger::StoredLedger;
use super::measured::Measured;
use super::reading;
use crate::access::Tenants;
use crate::api::{ApiState, Authenticator, Normalisers, ReadAudit, Submissions, Tails};
use crate::config::{Live, Loaded};
use crate::gateway::{Gateway, Recorder};
use crate::source::TopicConfig;
use crate::telemetry::{Health, Metrics};
use crate::warehouse::{ReadCost, Warehouse};

/// What an API needs.
pub(super) struct Answering {
    /// What the routes answer from.
    pub(super) state: ApiState,
    /// Who writes down who reads, where that is wanted.
    pub(super) readings: Option<JoinHandle<()>>,
}

/// Everything an API of a role answers from.
pub(super) async fn from(
    loaded: &Loaded,
    role: Role,
    live: &Live,
    warehouse: &Warehouse,
    metrics: &Metrics,
    health: &Health,
) -> anyhow::Result<Answering> {
    let config = &loaded.config;
    let now = || chrono::Utc::now().timestamp_micros();
    let (auth, limits) = (&config.api.auth, &config.api.limits);
    let page_bytes = limits.page_bytes;
    let cost = ReadCost { rows: limits.read_rows, bytes: limits.read_bytes, page_bytes };
    let warehouse = warehouse.clone().with_metrics(&metrics.warehouse);
    let asked = Warehouse::connect_to_ask(&config.clickhouse)?.with_metrics(&metrics.warehouse);
    let stored = Arc::new(asked.with_cost(cost));
    let (audit, readings) = match config.api.audit.topic.as_str() {
        "" => (ReadAudit::default(), None),
        _ => {
            let (audit, events) = ReadAudit::new(metrics.api.readings_lost.clone());
            let lost = metrics.api.readings_lost.clone();
            (audit, Some(reading::write(&config.kafka, &config.api.audit, events, lost)?))
        }
    };
    let tenants: Tenants = config.aliases().collect();
    let authenticator = match role {
        Role::Ingest if auth.is_required() => Authenticator::Nobody,
        Role::Ingest => Authenticator::None,
        Role::All | Role::Api => {
            let keys = stored.clone();
            Authenticator::open(auth, limits, tenants.clone(), keys, now).await?
        }
    };
    let gateway = Gateway::new(&config.kafka.brokers, &config.kafka.connection()?)?;
    let recorder: Arc<dyn Recorder> = Arc::new(gateway);
    let (kafka, of_topic, catalog) = (config.kafka.clone(), live.clone(), live.clone());
    let normalisers: Normalisers =
        Arc::new(move |topic| kafka.topic(topic).map(|_| of_topic.normaliser(topic)));
    // A pattern names no topic that could be written to.
    let is_one = |topic: &&TopicConfig| !topic.schema.is_empty() && !topic.is_pattern();
    let named = config.kafka.topics.iter().filter(is_one);
    let topics = named.map(|topic| (topic.schema.clone(), topic.name.clone()));
    let state = ApiState {
        reader: Arc::new(Measured::new(stored, &metrics.api)),
        authenticator,
        audit,
        ledger: Arc::new(StoredLedger::of(warehouse, config.kafka.clone(), &metrics.api)),
        submissions: Arc::new(Submissions::new(topics, &recorder, &normalisers)),
        recorder,
        normalisers,
        tenants,
        metrics: metrics.clone(),
        health: health.clone(),
        catalog: Arc::new(move || catalog.catalog()),
        cursors: config.api.cursor_key()?,
        tails: Tails::default(),
        now,
    };
    Ok(Answering { state, readings })
}
