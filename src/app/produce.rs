//! `trailhouse produce`: records onto a topic, from a file or generated.
//!
//! In: the `[kafka]` settings; lines, or a schema's name, a count and a rate. Out: how many records
//! Kafka acknowledged.
//!
//! # Invariants
//! - A line travels as it is, byte for byte, without its line ending.
//!
//! Deliberately unknown here: what becomes of the records.

use std::io::BufRead;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::demo::{self, generate};
use crate::gateway::{Outgoing, Sender};
use crate::source::KafkaConfig;

/// Where records go, and how fast.
pub struct Target<'t> {
    /// Where Kafka is, and who we are there.
    pub kafka: &'t KafkaConfig,
    /// The topic.
    pub topic: &'t str,
    /// Headers of every record.
    pub headers: &'t [(String, String)],
    /// Records a second; 0 as fast as they go.
    pub rate: u64,
    /// Create the topic with so many partitions, if it is missing.
    pub create: Option<i32>,
}

impl Target<'_> {
    async fn sender(&self) -> anyhow::Result<Sender> {
        let (brokers, connection) = (&self.kafka.brokers, self.kafka.connection()?);
        let sender = Sender::over(brokers, &connection)?;
        if let Some(partitions) = self.create {
            sender.expect_broker()?;
            let topic = (self.topic, partitions);
            demo::create_topics_over(brokers, &connection, &[topic]).await?;
        }
        sender.expect_topic(self.topic)?;
        Ok(sender)
    }
}

/// Produce every line of a file.
pub async fn lines(target: &Target<'_>, mut lines: impl BufRead) -> anyhow::Result<u64> {
    let mut sender = target.sender().await?;
    let (mut pace, progress) = (Pace::new(target.rate), progress(None));
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).context("reading a line")? == 0 {
            break;
        }
        let payload = line.strip_suffix(b"\n").unwrap_or(&line);
        let payload = payload.strip_suffix(b"\r").unwrap_or(payload);
        if payload.trim_ascii().is_empty() {
            continue;
        }
        pace.turn().await;
        let (headers, payload) = (target.headers.to_vec(), payload.to_vec());
        sender.send(target.topic, &Outgoing { key: String::new(), headers, payload }).await?;
        progress.inc(1);
    }
    let sent = sender.close().await?;
    progress.finish_and_clear();
    Ok(sent)
}

/// Produce generated events of a schema.
pub async fn generated(target: &Target<'_>, schema: &str, count: u64) -> anyhow::Result<u64> {
    if !generate::SCHEMAS.contains(&schema) {
        let known = generate::SCHEMAS.join(", ");
        bail!("--generate: no generator for `{schema}`; there are {known}");
    }
    let mut sender = target.sender().await?;
    let (mut pace, progress) = (Pace::new(target.rate), progress(Some(count)));
    for n in 0..count {
        pace.turn().await;
        let now = chrono::Utc::now().timestamp_micros();
        let made = generate::generate(schema, n, now).context("no generator")?;
        let mut outgoing = outgoing(made);
        outgoing.headers.extend_from_slice(target.headers);
        sender.send(target.topic, &outgoing).await?;
        progress.inc(1);
    }
    let sent = sender.close().await?;
    progress.finish_and_clear();
    Ok(sent)
}

/// A generated record, ready to go.
pub fn outgoing(made: generate::Generated) -> Outgoing {
    let headers = made.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Outgoing { key: made.key, headers, payload: made.payload }
}

fn progress(count: Option<u64>) -> ProgressBar {
    let bar = count.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let shape = match count {
        Some(_) => "{bar:30} {human_pos}/{human_len} records {per_sec} eta {eta}",
        None => "{human_pos} records {per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(shape) {
        bar.set_style(style);
    }
    bar
}

/// Spreads records evenly over time.
pub struct Pace {
    tick: Option<Interval>,
    a_tick: u64,
    sent: u64,
}

impl Pace {
    /// So many a second; 0 as fast as they go.
    pub fn new(rate: u64) -> Pace {
        // At most a hundred ticks a second; several records a tick above that.
        let ticks = rate.clamp(1, 100);
        let tick = (rate > 0).then(|| {
            let mut tick = interval_at(Instant::now(), Duration::from_secs_f64(1.0 / ticks as f64));
            tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
            tick
        });
        Pace { tick, a_tick: rate.div_ceil(ticks), sent: 0 }
    }

    /// Wait for the next record's turn.
    pub async fn turn(&mut self) {
        if let Some(tick) = &mut self.tick
            && self.sent.is_multiple_of(self.a_tick)
        {
            tick.tick().await;
        }
        self.sent += 1;
    }
}
