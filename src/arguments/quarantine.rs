//! The arguments of `trailhouse quarantine`.
//!
//! In: arguments. Out: [`QuarantineCommand`].
//!
//! # Invariants
//! - A time is told apart from a length of time by its form alone.
//!
//! Deliberately unknown here: what the subcommands do.

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use trailhouse::app::quarantine::Format;
use trailhouse::event::Micros;

#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// What is in quarantine, those that came last first.
    #[command(after_help = "Examples:
  trailhouse quarantine list --since 24h
  trailhouse quarantine list --topic audit.shop --reason no_mapping --limit 5
  trailhouse quarantine list --mapping cockpit --output json")]
    List(ListArguments),

    /// Everything that is kept of one position, its bytes included.
    #[command(after_help = "Examples:
  trailhouse quarantine show audit.shop 0 4711
  trailhouse quarantine show audit.shop 0 4711 --index 3 --output json
  trailhouse quarantine show audit.shop 0 4711 --raw > record.json")]
    Show(ShowArguments),

    /// Try quarantined records with today's mappings, and store those that are events now.
    #[command(after_help = "Examples:
  trailhouse quarantine replay --dry-run
  trailhouse quarantine replay --topic audit.shop --reason no_mapping

What still fails stays, counted by reason; nothing leaves the quarantine. Run one at a time; one
that was interrupted is finished by the next.")]
    Replay(ReplayArguments),
}

#[derive(Debug, Args)]
pub struct ListArguments {
    /// Only this topic's.
    #[arg(long)]
    pub topic: Option<String>,
    /// Only for this reason; docs/OPERATING.md lists them.
    #[arg(long)]
    pub reason: Option<String>,
    /// Only what this mapping claimed.
    #[arg(long)]
    pub mapping: Option<String>,
    /// Only what was quarantined since: 30m, 24h, 7d, or a time such as 2026-01-02T03:04:05Z.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Micros>,
    /// So many at most.
    #[arg(long, default_value_t = 50, value_name = "ROWS")]
    pub limit: u64,
    /// For people, or one JSON document a line.
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The topic; `@file/NAME` or `@replay/TOPIC` for lanes.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// One of the record's elements.
    #[arg(long)]
    pub index: Option<u32>,
    /// Only the bytes, as they are.
    #[arg(long, conflicts_with = "output")]
    pub raw: bool,
    /// For people, or one JSON document a line.
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// Only this topic's.
    #[arg(long)]
    pub topic: Option<String>,
    /// Only what was quarantined for this reason. Rows that ClickHouse refused are tried only with
    /// `--reason refused`.
    #[arg(long)]
    pub reason: Option<String>,
    /// Only say what would be stored and what would not.
    #[arg(long)]
    pub dry_run: bool,
}

fn since(text: &str) -> Result<Micros, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_micros());
    }
    let ago = || {
        let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let count: i64 = count.parse().ok().filter(|count| *count >= 0)?;
        let length = match unit {
            "s" => TimeDelta::try_seconds(count),
            "m" => TimeDelta::try_minutes(count),
            "h" => TimeDelta::try_hours(count),
            "d" => TimeDelta::try_days(count),
            _ => None,
        };
        Some(Utc::now().checked_sub_signed(length?)?.timestamp_micros())
    };
    ago().ok_or_else(|| format!("`{text}` is neither 30m, 24h, 7d nor 2026-01-02T03:04:05Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_length_of_time() {
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(1_000_000));
        let [hour, day] = ["1h", "1d"].map(|text| since(text).unwrap_or_default());
        assert!((hour - day - 23 * 3_600_000_000).abs() < 60_000_000, "{hour} {day}");
        for wrong in ["", "d", "7", "-1h", "7w", "2026-01-02", "99999999999999d", "1é"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
