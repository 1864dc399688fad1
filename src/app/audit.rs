//! `trailhouse verify` and `trailhouse receipt`: what is stored, held against Kafka.
//!
//! In: a configuration, what to look at. Out: a [`Report`] or a [`Receipt`].
//!
//! # Invariants
//! - Kafka is asked first: what is stored meanwhile is beyond what is expected, and no fault.
//! - Progress goes to standard error, and only where that is a terminal.
//!
//! Deliberately unknown here: what is compared, and how it is printed.

use std::io::IsTerminal as _;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::up_to_date;
use crate::audit::{self, Receipt, Report, Scope};
use crate::config::Loaded;
use crate::source::KafkaConfig;
use crate::source::kafka::{self, LogEnds, log_ends};
use crate::warehouse::Warehouse;

/// Verify the topics of a configuration, or one of them, or a partition of it.
pub async fn verify(
    loaded: &Loaded,
    topic: Option<&str>,
    partition: Option<i32>,
    scope: Scope,
) -> anyhow::Result<Report> {
    let config = &loaded.config;
    let topics = match topic {
        None if config.kafka.topics.is_empty() => {
            bail!("the configuration names no topic; say --topic")
        }
        None => match topics(&config.kafka).await? {
            none if none.is_empty() => bail!("Kafka has no topic that kafka.topics' patterns find"),
            some => some,
        },
        Some(name) => vec![name.to_owned()],
    };
    let warehouse = Warehouse::connect(&config.clickhouse)?;
    up_to_date(&warehouse).await?;
    let ends = ends(&config.kafka, topics, partition).await?;
    let bar = std::io::stderr().is_terminal().then(bar);
    let mut progress = |done, total| {
        if let Some(bar) = &bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    };
    let report = audit::verify(&warehouse, ends, scope, &mut progress).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(report?)
}

/// Look one record up.
pub async fn receipt(
    loaded: &Loaded,
    topic: &str,
    partition: i32,
    offset: i64,
) -> anyhow::Result<Receipt> {
    let config = &loaded.config;
    let warehouse = Warehouse::connect(&config.clickhouse)?;
    up_to_date(&warehouse).await?;
    let ends = ends(&config.kafka, vec![topic.to_owned()], Some(partition)).await?;
    // INVARIANT: `ends` names the partition, or fails.
    let ends = ends.first().context("Kafka did not tell of the partition")?;
    Ok(audit::receipt(&warehouse, ends, offset).await?)
}

/// The topics that are configured, those of patterns included.
async fn topics(config: &KafkaConfig) -> anyhow::Result<Vec<String>> {
    let config = config.clone();
    let asked = tokio::task::spawn_blocking(move || kafka::topics(&config));
    Ok(asked.await.context("asking Kafka panicked")??)
}

/// The ends of these topics' logs; every topic is there, and the partition that was asked for.
async fn ends(
    config: &KafkaConfig,
    topics: Vec<String>,
    partition: Option<i32>,
) -> anyhow::Result<Vec<LogEnds>> {
    let (config, names) = (config.clone(), topics.clone());
    let asked = tokio::task::spawn_blocking(move || {
        log_ends(&config, &names.iter().map(String::as_str).collect::<Vec<_>>())
    });
    let mut ends = asked.await.context("asking Kafka panicked")??;
    if let Some(missing) =
        topics.iter().find(|name| ends.iter().all(|end| *end.log.topic != ***name))
    {
        bail!("Kafka has no topic `{missing}`; is its name right, and may this user describe it?");
    }
    if let Some(partition) = partition {
        ends.retain(|end| end.log.partition == partition);
        if ends.is_empty() {
            bail!("topic {} has no partition {partition}", topics.join(", "));
        }
    }
    Ok(ends)
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template(
        "verifying [{bar:30}] {human_pos}/{human_len} offsets, {eta} left",
    );
    // A template that does not parse is a slip of ours, and no reason not to verify.
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
