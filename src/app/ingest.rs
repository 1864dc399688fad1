//! `trailhouse ingest`: a file into the warehouse, without Kafka.
//!
//! In: an NDJSON file. Out: its lines as events or quarantine rows, under positions of the file's
//! own lane.
//!
//! # Invariants
//! - The same file again adds nothing: reading begins where its batches end, and what stands beyond
//!   is looked for first. Two runs at the same time are not kept apart.
//!
//! Deliberately unknown here: Kafka.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::{fit_to_insert, up_to_date};
use crate::config::Loaded;
use crate::pipeline::{Done, Pipeline, Stop};
use crate::source::file::FileSource;
use crate::source::{Source as _, TopicConfig};
use crate::telemetry::{Health, Metrics};
use crate::warehouse::Warehouse;

/// What to ingest.
pub struct FileIngest<'f> {
    /// The file.
    pub file: &'f Path,
    /// The mapping of all its lines; empty leaves the choice to shapes.
    pub schema: &'f str,
    /// The tenant of all its lines; `None` takes the body's word.
    pub tenant: Option<&'f str>,
}

/// Ingest a file.
pub async fn run(mut loaded: Loaded, what: FileIngest<'_>) -> anyhow::Result<Done> {
    if let Some(unknown) = loaded.catalog.unknown(what.schema).filter(|_| !what.schema.is_empty()) {
        bail!("--schema: {unknown}");
    }
    let headers: Vec<(&str, &str)> = what.tenant.iter().map(|tenant| ("tenant", *tenant)).collect();
    let mut source = FileSource::open(what.file, &headers)?;
    let warehouse = Warehouse::connect(&loaded.config.clickhouse)?;
    up_to_date(&warehouse).await?;
    fit_to_insert(&warehouse).await?;
    loaded.config.kafka.topics.push(TopicConfig {
        name: source.partition().topic.to_string(),
        schema: what.schema.to_owned(),
        tenant: String::new(),
        tenant_from_body: true,
    });
    // Age would cut a slow run's batches elsewhere than a quick one's.
    loaded.config.pipeline.batch_age_ms = 600_000;
    let pipeline = Pipeline {
        normaliser: Box::new(loaded.normalisers()),
        config: loaded.config.pipeline,
        warehouse,
        metrics: Metrics::new().context("registering metrics")?,
        health: Health::default(),
        post: None,
        accept_gap: BTreeSet::new(),
        runtime: tokio::runtime::Handle::current(),
    };
    let stop = Stop::of(source.waker());
    let done = tokio::task::spawn_blocking(move || pipeline.run(&mut source, &stop)).await;
    Ok(done.context("ingest panicked")??)
}
