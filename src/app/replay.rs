//! `trailhouse quarantine replay`: what could not be normalised, once more, with today's mappings.
//!
//! In: quarantined rows. Out: those that are events now, on the lane `@replay/TOPIC`, each once; a row
//! in `resolutions` for each; and of the others how many there are, by reason. No row of `quarantine`
//! is changed or deleted.
//!
//! Rows are tried in the order of their positions, some at a time. Of those that would be stored a
//! **plan** is made: which row stands at which offset of the lane, from the lane's next one on. The
//! plan is stored first. Then its rows go through the ordinary pipeline as one batch, and then what is
//! stored of it is written down as resolutions. Why that is once, whatever happens in between:
//!
//! - *A row is in one plan at most.* The lane's next offset is asked for before the rows that have no
//!   plan are, and the plan is one block under a token that names its first offset alone. Had another
//!   plan of the same row been stored before we asked, we would not have been given the row; had it
//!   been stored since, it has our first offset and our token, and ours is swallowed whole. Whoever
//!   finds the plan not to be its own gives up: another replay is at work.
//! - *A planned row has one place.* The place is durable before anything is inserted there. After a
//!   crash the plan is found unfinished, and its rows are made again at the same offsets: what is
//!   stored is looked for first, and what is sent goes under the token that it went under before, for
//!   a plan is always one batch with the plan's own ends.
//! - *A plan is finished when each of its rows is resolved,* and that is read off what is stored. Were
//!   resolutions lost, their plans would be made again, be found stored, and be resolved again.
//!
//! Two replays that go on with one unfinished plan at the same time send the same rows under the same
//! token. Only if they also have different mappings, which put a row into different months or tables,
//! may both be stored: one replay at a time is the operator's part.
//!
//! # Invariants
//! - Unfinished plans come first, whatever else is asked for.
//! - A row of which at least one element becomes an event, or is left out by a rule, is replayed
//!   whole. Its other elements are then quarantined on the lane and stand there for themselves.
//! - An element's slice is normalised as a record of its own: what stood around it is not kept.
//!
//! Deliberately unknown here: SQL, how rows are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bumpalo::Bump;
use indicatif::{ProgressBar, ProgressStyle};

use super::up_to_date;
use crate::config::Loaded;
use crate::event::{Fate, Headers, LogId, OffsetRange, REPLAY, Reason};
use crate::pipeline::{Done, Pipeline, PipelineConfig, Stop};
use crate::schema::Normaliser;
use crate::source::Source as _;
use crate::source::replay::{ReplaySource, Replayed};
use crate::telemetry::{Health, Metrics};
use crate::warehouse::{Candidate, Origin, Unplanned, Warehouse};

/// Rows tried at a time, so rows of a plan at most.
const MOST_ROWS: u64 = 50_000;
/// Bytes tried at a time; the row that reaches it is the last.
const MOST_BYTES: usize = 16 << 20;

/// What to replay.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Rows of this topic only.
    pub topic: Option<String>,
    /// Rows quarantined for this reason only.
    pub reason: Option<String>,
    /// Only try.
    pub dry_run: bool,
}

/// What a replay did with the rows of one topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The topic.
    pub topic: String,
    /// Rows that are replayed, or would be.
    pub replayed: u64,
    /// Rows this added to `events`.
    pub event_rows: u64,
    /// Rows this added to `quarantine`: elements that still fail, of records of which others do not.
    pub quarantined_rows: u64,
    /// Elements that rules leave out.
    pub skipped: u64,
    /// Rows that stay as they are, by today's reason.
    pub still: BTreeMap<&'static str, u64>,
}

/// Replay what can be.
pub async fn run(loaded: &Loaded, selection: &Selection) -> anyhow::Result<Vec<Outcome>> {
    let known = |reason: &str| Reason::ALL.iter().any(|known| known.code() == reason);
    if let Some(reason) = selection.reason.as_deref().filter(|reason| !known(reason)) {
        bail!("--reason: there is no reason `{reason}`; docs/OPERATING.md lists them");
    }
    let warehouse = Warehouse::connect(&loaded.config.clickhouse)?;
    up_to_date(&warehouse).await?;
    let replay = Replay {
        loaded,
        selection,
        warehouse,
        metrics: Metrics::new().context("registering metrics")?,
        planned_by: format!("{}-{}", std::process::id(), chrono::Utc::now().timestamp_micros()),
    };
    let mut outcomes = Vec::new();
    for lane in replay.warehouse.replay_lanes(selection.topic.as_deref()).await? {
        outcomes.push(replay.lane(lane).await?);
    }
    Ok(outcomes)
}

/// Say what a replay did, a line a topic.
pub fn report(outcomes: &[Outcome], dry_run: bool, out: &mut impl Write) -> anyhow::Result<()> {
    for Outcome { topic, replayed, event_rows, quarantined_rows, skipped, still } in outcomes {
        match dry_run {
            true => write!(out, "{topic}: {replayed} would be replayed")?,
            false => write!(out, "{topic}: {replayed} replayed, {event_rows} events stored")?,
        }
        if *quarantined_rows > 0 {
            write!(out, ", {quarantined_rows} of their elements quarantined anew")?;
        }
        if *skipped > 0 {
            write!(out, ", {skipped} skipped by rules")?;
        }
        write!(out, "; {} stay", still.values().sum::<u64>())?;
        for (at, (reason, rows)) in still.iter().enumerate() {
            write!(out, "{} {reason} {rows}", if at == 0 { ":" } else { "," })?;
        }
        writeln!(out)?;
    }
    if outcomes.is_empty() {
        writeln!(out, "nothing in quarantine fits")?;
    }
    Ok(())
}

struct Replay<'r> {
    loaded: &'r Loaded,
    selection: &'r Selection,
    warehouse: Warehouse,
    metrics: Metrics,
    planned_by: String,
}

impl Replay<'_> {
    async fn lane(&self, lane: LogId) -> anyhow::Result<Outcome> {
        let topic = lane.replayed_topic();
        let mut outcome = Outcome { topic: topic.to_owned(), ..Outcome::default() };
        if !self.selection.dry_run {
            for plan in self.warehouse.unfinished_replays(&lane).await? {
                tracing::info!(%lane, range = %plan, "going on with a replay that did not finish");
                self.make(&lane, plan, &mut outcome).await?;
            }
        }
        let (warehouse, reason) = (&self.warehouse, self.selection.reason.as_deref());
        let normaliser = self.loaded.normalisers()(topic);
        let before = warehouse.next_replay(&lane).await?;
        let wanted = Unplanned { lane: &lane, before, reason };
        let progress = progress(topic, warehouse.count_candidates(wanted).await?);
        let mut after: Option<Origin> = None;
        loop {
            // Before the candidates: see above.
            let first = warehouse.next_replay(&lane).await?;
            let rows = warehouse.candidates(wanted, after.as_ref(), MOST_ROWS, MOST_BYTES);
            let rows = rows.await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.origin.clone());
            progress.inc(rows.len() as u64);
            let (normaliser, asked_for) = (Arc::clone(&normaliser), reason.is_some());
            let tried = tokio::task::spawn_blocking(move || tried(rows, &normaliser, asked_for));
            let (good, still) = tried.await.context("normalising panicked")?;
            for (reason, rows) in still {
                *outcome.still.entry(reason).or_insert(0) += rows;
            }
            if good.is_empty() {
                continue;
            }
            if self.selection.dry_run {
                outcome.replayed += good.len() as u64;
                continue;
            }
            let origins: Vec<&Origin> = good.iter().collect();
            let planned = warehouse.plan_replay(&lane, first, &origins, &self.planned_by);
            let planned = planned.await.with_context(|| {
                format!(
                    "planning a replay of {topic}; unless another replay is at work, run this again"
                )
            })?;
            if !planned {
                bail!("another replay of {topic} is at work; run this again when it has ended");
            }
            let plan = OffsetRange { first, last: first + good.len() as i64 - 1 };
            self.make(&lane, plan, &mut outcome).await?;
        }
        progress.finish_and_clear();
        Ok(outcome)
    }

    /// Store a plan's rows and resolve them.
    async fn make(
        &self,
        lane: &LogId,
        plan: OffsetRange,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let rows = self.warehouse.planned(lane, plan).await?;
        let rows: Vec<Replayed> = rows.into_iter().map(replayed).collect();
        if !rows.is_empty() {
            let records = rows.len() as u64;
            let done = self.store(ReplaySource::new(lane.clone(), plan, rows)).await?;
            if !done.drained || done.records != records {
                bail!("{lane}: {} of {records} records were stored; run this again", done.records);
            }
            outcome.replayed += records;
            outcome.event_rows += done.event_rows;
            outcome.quarantined_rows += done.quarantined_rows;
            outcome.skipped += done.skipped;
        }
        Ok(self.warehouse.resolve(lane, plan).await?)
    }

    async fn store(&self, mut source: ReplaySource) -> anyhow::Result<Done> {
        let normalisers = self.loaded.normalisers();
        let pipeline = Pipeline {
            normaliser: Box::new(move |lane| {
                normalisers(lane.strip_prefix(REPLAY).unwrap_or(lane))
            }),
            config: one_batch(&self.loaded.config.pipeline),
            warehouse: self.warehouse.clone(),
            metrics: self.metrics.clone(),
            health: Health::default(),
            post: None,
            accept_gap: BTreeSet::new(),
            runtime: tokio::runtime::Handle::current(),
        };
        let stop = Stop::of(source.waker());
        let done = tokio::task::spawn_blocking(move || pipeline.run(&mut source, &stop)).await;
        Ok(done.context("the pipeline panicked")??)
    }
}

/// Limits that any plan fits, so that it is one batch whatever the configuration says.
fn one_batch(config: &PipelineConfig) -> PipelineConfig {
    PipelineConfig {
        batch_records: usize::MAX,
        batch_bytes: usize::MAX,
        memory_bytes: usize::MAX,
        batch_age_ms: 24 * 60 * 60 * 1_000,
        ..config.clone()
    }
}

/// The rows that would be stored now, and how many would not, by reason.
fn tried(
    rows: Vec<Candidate>,
    normaliser: &Normaliser,
    asked_for: bool,
) -> (Vec<Origin>, BTreeMap<&'static str, u64>) {
    let (mut good, mut still) = (Vec::new(), BTreeMap::new());
    let mut arena = Bump::new();
    for row in rows {
        // It was an event that ClickHouse did not take: only who mended that knows better.
        if row.reason == Reason::Refused.code() && !asked_for {
            *still.entry(Reason::Refused.code()).or_insert(0) += 1;
            continue;
        }
        let origin = row.origin.clone();
        let record = replayed(row);
        match rejected(&record, normaliser, &arena) {
            Some(reason) => *still.entry(reason.code()).or_insert(0) += 1,
            None => good.push(origin),
        }
        arena.reset();
    }
    (good, still)
}

/// The first reason, if there is nothing but reasons.
fn rejected(record: &Replayed, normaliser: &Normaliser, arena: &Bump) -> Option<Reason> {
    let (mut first, mut is_good) = (None, false);
    normaliser.normalise(&record.record(), arena, |_, fate| match fate {
        Fate::Quarantine(why) => first = first.or(Some(why.reason)),
        Fate::Event(_) | Fate::Skip { .. } => is_good = true,
    });
    first.filter(|_| !is_good)
}

fn replayed(row: Candidate) -> Replayed {
    let mut headers = Vec::new();
    for (name, value) in &row.headers {
        Headers::pack(&mut headers, name, value);
    }
    Replayed {
        offset: row.sequence,
        // An absent timestamp was kept as the epoch.
        timestamp: (row.received_at != 0).then_some(row.received_at),
        key: (!row.key.is_empty()).then_some(row.key),
        headers,
        payload: row.raw,
    }
}

fn progress(topic: &str, rows: u64) -> ProgressBar {
    let bar = ProgressBar::new(rows).with_message(topic.to_owned());
    let shape = "{msg} {bar:30} {human_pos}/{human_len} rows {per_sec} eta {eta}";
    if let Ok(style) = ProgressStyle::with_template(shape) {
        bar.set_style(style);
    }
    bar
}
