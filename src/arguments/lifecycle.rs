//! The arguments of `trailhouse retire`, `erase` and `hold`.
//!
//! In: arguments. Out: [`LifecycleCommand`].
//!
//! # Invariants
//! - Who acts and why is always said.
//!
//! Deliberately unknown here: what the subcommands do.

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate};
use clap::{Args, Subcommand};
use trailhouse::app::lifecycle::{Holding, Task};
use trailhouse::app::retire::{Asked, Erasure};
use trailhouse::event::Micros;

#[derive(Debug, Subcommand)]
pub enum LifecycleCommand {
    /// Delete what is older than its tenant's `[retention]`, but for what a legal hold keeps.
    #[command(after_help = "Examples:
  trailhouse retire --config trailhouse.toml --by cron --dry-run
  trailhouse retire --config trailhouse.toml --by cron

For a timer: once a week, or a month. Each run rewrites the parts that it deletes from. The tables
retirements and retired keep what was deleted, by position and digest; verify counts it as retired.")]
    Retire {
        /// Settings file.
        #[arg(long, short)]
        config: Option<PathBuf>,
        /// Who asks.
        #[arg(long, env = "USER", value_parser = said)]
        by: String,
        /// Why; what the settings say, if left out.
        #[arg(long, default_value = "retention settings", value_parser = said)]
        reason: String,
        /// Only say what would be deleted.
        #[arg(long)]
        dry_run: bool,
    },

    /// Take a person's data out of a tenant's log: redacted, or deleted, and on record.
    #[command(after_help = "Examples:
  trailhouse erase --tenant acme --subject ann@acme.example --reason DSR-2031 --dry-run
  trailhouse erase --config trailhouse.toml --tenant acme --subject u-4711 --reason DSR-2031
  trailhouse erase --tenant acme --subject u-4711 --reason DSR-2031 --delete

Exit code 1 where a legal hold keeps rows. Kafka's own copies, the dead-letter topic and backups are
not reached: docs/OPERATING.md, Lifecycle.")]
    Erase(EraseArguments),

    /// Keep rows from being deleted or redacted, whatever the settings say.
    #[command(after_help = "Examples:
  trailhouse hold add --tenant acme --reason 'case 17/2026' --config trailhouse.toml
  trailhouse hold add --tenant acme --subject u-4711 --from 2025-01-01 --to 2026-01-01 --reason 'case 18'
  trailhouse hold list
  trailhouse hold release 5f0c9ae2 --reason 'case 17/2026 closed'")]
    Hold {
        /// Settings file.
        #[arg(long, short, global = true)]
        config: Option<PathBuf>,
        #[command(subcommand)]
        command: HoldCommand,
    },
}

#[derive(Debug, Args)]
pub struct EraseArguments {
    /// Settings file.
    #[arg(long, short)]
    config: Option<PathBuf>,
    /// Whose log.
    #[arg(long, value_parser = said)]
    tenant: String,
    /// The person, as sources name them: an id or a mail address, exactly.
    #[arg(long, value_parser = said, visible_alias = "actor-id")]
    subject: String,
    /// Events, too, in whose bytes the name stands anywhere: reads every byte of the tenant's.
    #[arg(long)]
    anywhere: bool,
    /// Delete the events instead of redacting them.
    #[arg(long)]
    delete: bool,
    /// Why: the number of the request.
    #[arg(long, value_parser = said)]
    reason: String,
    /// Who asks.
    #[arg(long, env = "USER", value_parser = said)]
    by: String,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Place a hold; its id goes to standard output.
    Add {
        /// Whose log.
        #[arg(long, value_parser = said)]
        tenant: String,
        /// Only what names this person, as actor or target; without it everything of the tenant.
        #[arg(long, value_parser = said, visible_alias = "actor")]
        subject: Option<String>,
        /// From this time on, by when it happened.
        #[arg(long, value_name = "TIME", value_parser = moment)]
        from: Option<Micros>,
        /// Before this time.
        #[arg(long, value_name = "TIME", value_parser = moment)]
        to: Option<Micros>,
        /// Why.
        #[arg(long, value_parser = said)]
        reason: String,
        /// Who asks.
        #[arg(long, env = "USER", value_parser = said)]
        by: String,
    },
    /// Every hold, those released included.
    List,
    /// End a hold.
    Release {
        /// Its id, or how that begins.
        #[arg(value_parser = said)]
        id: String,
        /// Why.
        #[arg(long, value_parser = said)]
        reason: String,
        /// Who asks.
        #[arg(long, env = "USER", value_parser = said)]
        by: String,
    },
}

impl LifecycleCommand {
    /// The settings file.
    pub fn config(&self) -> Option<&Path> {
        let config = match self {
            LifecycleCommand::Retire { config, .. } | LifecycleCommand::Hold { config, .. } => {
                config
            }
            LifecycleCommand::Erase(args) => &args.config,
        };
        config.as_deref()
    }
}

impl From<LifecycleCommand> for Task {
    fn from(command: LifecycleCommand) -> Task {
        match command {
            LifecycleCommand::Retire { by, reason, dry_run, .. } => {
                Task::Retire(Asked { by, reason, dry_run })
            }
            LifecycleCommand::Erase(args) => {
                let EraseArguments { tenant, subject, anywhere, delete, .. } = args;
                let asked = Asked { by: args.by, reason: args.reason, dry_run: args.dry_run };
                Task::Erase(Erasure { tenant, subject, anywhere, delete }, asked)
            }
            LifecycleCommand::Hold { command, .. } => match command {
                HoldCommand::Add { tenant, subject, from, to, reason, by } => {
                    let asked = Asked { by, reason, dry_run: false };
                    Task::Hold(Holding { tenant, subject, since: from, until: to, asked })
                }
                HoldCommand::List => Task::Holds,
                HoldCommand::Release { id, reason, by } => {
                    Task::Release { id, asked: Asked { by, reason, dry_run: false } }
                }
            },
        }
    }
}

/// A text that says something, and obeys no terminal.
fn said(text: &str) -> Result<String, String> {
    match text {
        _ if text.trim().is_empty() => Err("says nothing".to_owned()),
        _ if text.contains(char::is_control) => Err("has control characters".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn moment(text: &str) -> Result<Micros, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros());
    }
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|time| time.timestamp_micros())
        .map_err(|_| format!("`{text}` is neither 2026-01-02 nor 2026-01-02T03:04:05Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_or_a_time_and_nothing_may_be_left_unsaid() {
        assert_eq!(moment("1970-01-02"), Ok(86_400_000_000));
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(1_000_000));
        for wrong in ["", "7d", "1970-01", "2026-02-30"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "  ", "a\u{1b}[2J"] {
            assert!(said(wrong).is_err(), "{wrong}");
        }
    }
}
