//! `trailhouse verify` and `trailhouse receipt`: what is stored, held against Kafka.
//!
//! In: a configuration, what to look at. Out: a [`Report`] or a [`Receipt`].
//!
//! # Invariants
//! - Kafka is asked first: what is stored meanwhile is beyond what is expected, and no fault.
//! - Progress goes to standard error, and only where that is a terminal.
//!
//! Deliberately unknown here: what is compared, and how it is printed.

use std::fs::Permissions;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::up_to_date;
use crate::audit::{self, Receipt, Report, Scope};
use crate::config::Loaded;
use crate::source::KafkaConfig;
use crate::source::kafka::{self, LogEnds, log_ends};
use crate::telemetry::VerifyMetrics;
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

/// Write what was found as metrics: the whole file at once, for whoever reads it may come at any time.
pub fn write_metrics(report: &Report, file: &Path) -> anyhow::Result<()> {
    let missing = report.partitions.iter().map(|partition| partition.offsets.lost).sum();
    let now = chrono::Utc::now().timestamp();
    let text = VerifyMetrics::new()?.text(now, report.good, missing)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut whole| {
        whole.write_all(text.as_bytes())?;
        // Who collects it is another user.
        whole.as_file().set_permissions(Permissions::from_mode(0o644))?;
        Ok(whole.persist(file)?)
    });
    written.with_context(|| format!("--metrics-file {}", file.display()))?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_verify_found_is_one_whole_file_of_metrics() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("verify.prom");
        std::fs::write(&file, "what stood there before").unwrap();
        write_metrics(&Report { good: true, ..Report::default() }, &file).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        for line in ["trailhouse_verify_clean 1\n", "trailhouse_verify_missing_offsets 0\n"] {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.contains("\ntrailhouse_verify_last_run_timestamp_seconds 1"), "{text}");
        assert!(!text.contains("before"), "{text}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
        let nowhere = folder.path().join("no").join("verify.prom");
        let error = write_metrics(&Report::default(), &nowhere).unwrap_err().to_string();
        assert!(error.contains("--metrics-file"), "{error}");
    }
}
