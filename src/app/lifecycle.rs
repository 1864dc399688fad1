//! What becomes of what is stored: `trailhouse retire`, `erase` and `hold`.
//!
//! In: a [`Task`]. Out: what was done, as text; a record of it on the audit topic, where there is one.
//!
//! # Invariants
//! - What is done is told to the audit topic after it is done and stands in its table, and neither
//!   waits for Kafka longer than a record may take: a topic that takes none is a warning.
//! - A record names no subject.
//!
//! Deliberately unknown here: SQL, arguments.

use std::io::Write;

use anyhow::{Context as _, bail};
use chrono::{SecondsFormat, Utc};
use serde_json::json;

use super::retire::{self, Asked, Erasure, connected, new_id, time};
use crate::config::Loaded;
use crate::event::Micros;
use crate::gateway::{Outgoing, Sender};
use crate::warehouse::{ALL_TIME, Hold, NewHold};

/// What is asked for.
#[derive(Debug, Clone)]
pub enum Task {
    /// End what is older than its tenant's retention.
    Retire(Asked),
    /// End what is stored of a subject.
    Erase(Erasure, Asked),
    /// Keep rows from being ended.
    Hold(Holding),
    /// Which holds there are.
    Holds,
    /// Let rows of a hold be ended.
    Release {
        /// The hold's id, or how it begins.
        id: String,
        /// Who and why.
        asked: Asked,
    },
}

/// What a hold is to keep.
#[derive(Debug, Clone, Default)]
pub struct Holding {
    /// Whose log.
    pub tenant: String,
    /// Of whom; without it everything of the tenant.
    pub subject: Option<String>,
    /// From this time on.
    pub since: Option<Micros>,
    /// Before this time.
    pub until: Option<Micros>,
    /// Who and why.
    pub asked: Asked,
}

/// Do what is asked; whether all of it could be done.
pub async fn run(loaded: &Loaded, task: Task, out: &mut impl Write) -> anyhow::Result<bool> {
    match task {
        Task::Retire(asked) => {
            let outcome = retire::retire(loaded, &asked).await?;
            // A hold that keeps rows back is what it is for.
            retire::report(&outcome, asked.dry_run, out)?;
            told(loaded, "retire", &asked, &outcome).await;
            Ok(true)
        }
        Task::Erase(erasure, asked) => {
            let erasure = Erasure { tenant: stored_name(loaded, &erasure.tenant), ..erasure };
            let outcome = retire::erase(loaded, &erasure, &asked).await?;
            let whole = retire::report(&outcome, asked.dry_run, out)?;
            told(loaded, "erase", &asked, &outcome).await;
            Ok(whole)
        }
        Task::Hold(holding) => {
            hold(loaded, &holding, out).await?;
            Ok(true)
        }
        Task::Holds => {
            list(loaded, out).await?;
            Ok(true)
        }
        Task::Release { id, asked } => {
            release(loaded, &id, &asked, out).await?;
            Ok(true)
        }
    }
}

/// The name that a tenant is stored by.
fn stored_name(loaded: &Loaded, tenant: &str) -> String {
    let own = loaded.config.aliases().find(|(alias, _)| alias == tenant).map(|(_, id)| id);
    own.unwrap_or_else(|| tenant.to_owned())
}

async fn hold(loaded: &Loaded, holding: &Holding, out: &mut impl Write) -> anyhow::Result<()> {
    let Holding { tenant, subject, since, until, asked } = holding;
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        bail!("--from must be before --to");
    }
    let warehouse = connected(loaded).await?;
    let hold = NewHold {
        id: new_id()?,
        tenant: stored_name(loaded, tenant),
        subject: subject.clone().unwrap_or_default(),
        since: *since,
        until: *until,
        reason: asked.reason.clone(),
        acted_by: asked.by.clone(),
    };
    let partly = "of a cluster, the hold may stand on the other shards; place it again";
    warehouse.place_hold(&hold).await.context(partly)?;
    writeln!(out, "hold {}", hold.id)?;
    // A slip in a name would keep nothing.
    writeln!(out, "keeps {} events of {} now", warehouse.count_held(&hold).await?, hold.tenant)?;
    if warehouse.is_retiring().await? {
        writeln!(out, "rows are being retired at this moment: those already rewritten are gone")?;
    }
    let request = format!("trailhouse hold add --tenant {}: {}", hold.tenant, hold.id);
    tell(loaded, "hold", &request, asked, 0).await;
    Ok(())
}

async fn list(loaded: &Loaded, out: &mut impl Write) -> anyhow::Result<()> {
    let warehouse = connected(loaded).await?;
    let (holds, shards) = (warehouse.holds().await?, warehouse.shards().len());
    for hold in &holds {
        let Hold {
            id,
            tenant,
            subject,
            since,
            until,
            reason,
            placed_by,
            placed_at,
            released_by,
            ..
        } = hold;
        let whom = if subject.is_empty() { "everything" } else { subject };
        let edge = |at: Micros| match (ALL_TIME.0, ALL_TIME.1) {
            (first, last) if at == first || at == last => "…".to_owned(),
            _ => time(at),
        };
        let standing = match released_by.as_str() {
            "" if hold.shards < shards => {
                format!(
                    "stands on {} of {shards} shards: place it again, or release it",
                    hold.shards
                )
            }
            "" => "stands".to_owned(),
            who => format!("released by {who}"),
        };
        writeln!(
            out,
            "{id}  {tenant}  {whom}  {} to {}  by {placed_by} {}  {standing}\n    {reason}",
            edge(*since),
            edge(*until),
            time(*placed_at),
        )?;
    }
    if holds.is_empty() {
        writeln!(out, "there are no holds")?;
    }
    Ok(())
}

async fn release(
    loaded: &Loaded,
    id: &str,
    asked: &Asked,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let warehouse = connected(loaded).await?;
    let mut holds = warehouse.holds().await?;
    holds.retain(|hold| hold.id.to_string().starts_with(id));
    let [hold] = &holds[..] else {
        bail!("{} holds begin with {id}; `trailhouse hold list` shows all", holds.len());
    };
    if hold.released_by.is_empty() {
        warehouse.release_hold(hold, &asked.reason, &asked.by).await?;
    }
    writeln!(out, "released {}", hold.id)?;
    let request = format!("trailhouse hold release --tenant {}: {}", hold.tenant, hold.id);
    tell(loaded, "release", &request, asked, 0).await;
    Ok(())
}

async fn told(loaded: &Loaded, action: &str, asked: &Asked, outcome: &retire::Outcome) {
    if asked.dry_run {
        return;
    }
    for (act, ended) in &outcome.tenants {
        let request = format!("trailhouse {action} --tenant {}: {}", act.tenant, outcome.id);
        let rows = ended.event_rows + ended.quarantined_rows;
        tell(loaded, action, &request, asked, rows).await;
    }
}

/// A record of an act, beside those of who read.
async fn tell(loaded: &Loaded, action: &str, request: &str, asked: &Asked, rows: u64) {
    let audit = &loaded.config.api.audit;
    if audit.topic.is_empty() {
        return;
    }
    let record = json!({
        "at": Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
        "action": action,
        "caller": { "id": asked.by, "name": asked.by, "email": "", "role": "operator", "tenants": [] },
        "request": request, "outcome": "success", "status": 0, "rows": rows,
        "request_id": "", "user_agent": concat!("trailhouse/", env!("CARGO_PKG_VERSION")),
        "reason": asked.reason,
    });
    let headers = vec![("tenant".to_owned(), audit.tenant.clone())];
    let payload = record.to_string().into_bytes();
    let record = Outgoing { key: asked.by.clone(), headers, payload };
    let sent = async {
        let kafka = &loaded.config.kafka;
        let mut sender = Sender::over(&kafka.brokers, &kafka.connection()?)?;
        sender.send(&audit.topic, &record).await?;
        sender.close().await.context("closing")
    };
    if let Err(error) = sent.await {
        tracing::warn!(
            topic = audit.topic,
            "done and on record in ClickHouse, but not on the audit topic: {error:#}"
        );
    }
}
