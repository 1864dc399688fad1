//! `trailhouse retire` and `trailhouse erase`: rows that are ended, and told of.
//!
//! In: settings of retention, or a subject. Out: fewer rows, and an [`Outcome`] that says how many.
//!
//! # Invariants
//! - What was asked, by whom and why stands in `retirements` before the first row ends, and how many
//!   there were after the last; on each shard that rows are due on, of its rows.
//! - Progress goes to standard error, and only where that is a terminal.
//!
//! Deliberately unknown here: SQL, what a hold is.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, SecondsFormat, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use uuid::{Builder, Uuid};

use super::up_to_date;
use crate::config::Loaded;
use crate::event::Micros;
use crate::warehouse::{Act, Due, Ended, Form, MOST_ROWS_A_STEP, Table, Warehouse};

/// Who asks for an act, and why.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether only to say what would be done.
    pub dry_run: bool,
}

/// Whom an erasure is about.
#[derive(Debug, Clone, Default)]
pub struct Erasure {
    /// Whose log.
    pub tenant: String,
    /// The subject, as sources name it.
    pub subject: String,
    /// Whether events count, too, in whose bytes the name stands anywhere.
    pub anywhere: bool,
    /// Whether events are deleted rather than redacted.
    pub delete: bool,
}

/// What an act came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The act.
    pub id: Uuid,
    /// Each tenant that rows were due of, and what became of them.
    pub tenants: Vec<(Act, Ended)>,
}

/// End what is older than its tenant's retention.
pub async fn retire(loaded: &Loaded, asked: &Asked) -> anyhow::Result<Outcome> {
    let warehouse = connected(loaded).await?;
    let (id, now) = (new_id()?, Utc::now().timestamp_micros());
    let act = |tenant: String| {
        let before = loaded.config.retention.ends_before(&tenant, now)?;
        Some(Act {
            id,
            tenant,
            due: Due::Before(before),
            form: Form::Deleted,
            reason: asked.reason.clone(),
            acted_by: asked.by.clone(),
        })
    };
    let mut tenants = BTreeSet::new();
    for shard in warehouse.shards() {
        tenants.extend(shard.tenants_stored().await?);
    }
    let acts: Vec<Act> = tenants.into_iter().filter_map(act).collect();
    on_each_shard(&warehouse, id, &acts, asked.dry_run).await
}

/// End what is stored of a subject.
pub async fn erase(loaded: &Loaded, of: &Erasure, asked: &Asked) -> anyhow::Result<Outcome> {
    let warehouse = connected(loaded).await?;
    let id = new_id()?;
    let act = Act {
        id,
        tenant: of.tenant.clone(),
        due: Due::Subject { name: of.subject.clone(), anywhere: of.anywhere },
        form: if of.delete { Form::Deleted } else { Form::Redacted },
        reason: asked.reason.clone(),
        acted_by: asked.by.clone(),
    };
    on_each_shard(&warehouse, id, &[act], asked.dry_run).await
}

/// End what is due by acts that share an id, shard by shard: where one fails, those before it are done,
/// and asking again goes on with the others.
async fn on_each_shard(
    warehouse: &Warehouse,
    id: Uuid,
    acts: &[Act],
    dry_run: bool,
) -> anyhow::Result<Outcome> {
    let mut tenants: Vec<(Act, Ended)> = Vec::new();
    for shard in warehouse.shards() {
        for (act, ended) in carry_out(shard, acts, dry_run).await? {
            match tenants.iter_mut().find(|(known, _)| known.tenant == act.tenant) {
                None => tenants.push((act, ended)),
                Some((_, sum)) => {
                    sum.event_rows += ended.event_rows;
                    sum.quarantined_rows += ended.quarantined_rows;
                    sum.held_rows += ended.held_rows;
                }
            }
        }
    }
    Ok(Outcome { id, tenants })
}

/// The same on one server, table partition by table partition: each is rewritten once for all acts, or
/// once for each [`MOST_ROWS_A_STEP`] rows.
async fn carry_out(
    warehouse: &Warehouse,
    acts: &[Act],
    dry_run: bool,
) -> anyhow::Result<Vec<(Act, Ended)>> {
    let mut tenants = Vec::new();
    let mut partitions = BTreeSet::new();
    for act in acts {
        let mut due = Ended::default();
        for table in [Table::Events, Table::Quarantine] {
            for part in warehouse.due(act, table).await? {
                *count(&mut due, table) += part.rows;
                due.held_rows += part.held;
                if part.rows > 0 {
                    partitions.insert((table.name(), part.partition));
                }
            }
        }
        if due != Ended::default() {
            tenants.push((act.clone(), due));
        }
    }
    if dry_run {
        return Ok(tenants);
    }
    for (act, due) in &tenants {
        warehouse.record_act(act, "begun", *due).await?;
    }
    let due: Vec<Ended> = tenants.iter().map(|(_, due)| *due).collect();
    for ((_, ended), due) in tenants.iter_mut().zip(&due) {
        *ended = Ended { held_rows: due.held_rows, ..Ended::default() };
    }
    let bar = bar();
    let mut step = 0;
    for (table, partition) in &partitions {
        let table = if *table == Table::Events.name() { Table::Events } else { Table::Quarantine };
        bar.set_message(format!("{} {partition}", table.name()));
        loop {
            step += 1;
            let planned = end_step(warehouse, &mut tenants, table, partition, step, &bar).await?;
            if planned < MOST_ROWS_A_STEP {
                break;
            }
        }
    }
    bar.finish_and_clear();
    for (act, ended) in &tenants {
        warehouse.record_act(act, "done", *ended).await?;
    }
    Ok(tenants)
}

/// One mutation: what of a partition is due by any act, up to [`MOST_ROWS_A_STEP`]; how many rows
/// were planned.
async fn end_step(
    warehouse: &Warehouse,
    tenants: &mut [(Act, Ended)],
    table: Table,
    partition: &str,
    step: u32,
    bar: &ProgressBar,
) -> anyhow::Result<u64> {
    let mut planned = 0;
    for (act, ended) in tenants.iter_mut() {
        let room = MOST_ROWS_A_STEP - planned;
        let now = warehouse.plan_retirement(act, table, partition, step, room).await?;
        *count(ended, table) += now - planned;
        planned = now;
        if planned >= MOST_ROWS_A_STEP {
            break;
        }
    }
    let Some((act, ended)) = tenants.first_mut().filter(|_| planned > 0) else { return Ok(0) };
    let tell = &mut |parts: u64| bar.set_position(parts);
    let kept = warehouse.end_rows(act, table, partition, step, tell).await?;
    if kept > 0 {
        // A hold was placed between the plan and the mutation; whose rows they were it does not say.
        ended.held_rows += kept;
        let sum = count(ended, table);
        *sum = sum.saturating_sub(kept);
    }
    Ok(planned)
}

/// Say what an act came to, tenant by tenant; whether no hold kept anything back.
pub fn report(outcome: &Outcome, dry_run: bool, out: &mut impl Write) -> anyhow::Result<bool> {
    let mut held = 0;
    for (act, ended) in &outcome.tenants {
        let Ended { event_rows, quarantined_rows, held_rows } = ended;
        let tenant = if act.tenant.is_empty() { "(no known tenant)" } else { &act.tenant };
        let what = match act.due {
            Due::Before(before) => format!("before {}", time(before)),
            Due::Subject { .. } => "of the subject".to_owned(),
        };
        let verb = if dry_run { "would be " } else { "" };
        writeln!(
            out,
            "{tenant}: {what}: {event_rows} events {verb}{}, {quarantined_rows} quarantined rows \
             {verb}deleted, {held_rows} rows kept by a hold",
            act.form.as_str()
        )?;
        held += held_rows;
    }
    match outcome.tenants.is_empty() {
        true => writeln!(out, "nothing is due")?,
        false if dry_run => {}
        false => writeln!(out, "retirement {}", outcome.id)?,
    }
    Ok(held == 0)
}

fn count(ended: &mut Ended, table: Table) -> &mut u64 {
    match table {
        Table::Quarantine => &mut ended.quarantined_rows,
        _ => &mut ended.event_rows,
    }
}

/// A random id of version 4.
pub(super) fn new_id() -> anyhow::Result<Uuid> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).ok().context("this machine gives no random bytes")?;
    Ok(Builder::from_random_bytes(random).into_uuid())
}

pub(super) async fn connected(loaded: &Loaded) -> anyhow::Result<Warehouse> {
    ensure!(
        !loaded.config.clickhouse.replicated,
        "clickhouse.replicated is true: retire, erase and hold do not know replicas yet. They end rows by \
         mutations that look into other tables, and each replica would look for itself: ClickHouse refuses \
         that (docs/OPERATING.md, Lifecycle)"
    );
    let warehouse = Warehouse::connect(&loaded.config.clickhouse)?;
    up_to_date(&warehouse).await?;
    Ok(warehouse)
}

pub(super) fn time(at: Micros) -> String {
    let time = DateTime::from_timestamp_micros(at).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg}: {pos} parts to rewrite");
    // A template that does not parse is a slip of ours, and no reason not to go on.
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
