//! The arguments of `trailhouse key`.
//!
//! In: arguments. Out: [`KeyCommand`].
//!
//! # Invariants
//! - A time is told apart from a length of time by its form alone.
//!
//! Deliberately unknown here: what the subcommands do.

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use trailhouse::access::Role;
use trailhouse::app::key::NewKey;
use trailhouse::event::Micros;

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and show it, once.
    #[command(after_help = "Examples:
  trailhouse key create --name siem --role reader --tenant acme --tenant beta --expires 90d
  trailhouse key create --name shop --role writer --tenant acme --actor shop-service
  trailhouse key create --name auditors --role auditor
  trailhouse key create --name splunk --role reader --tenant acme --hmac

The key goes to standard output; callers send it as `Authorization: Bearer KEY`. With --hmac it has
an id and a key, for clients that sign as BloodHound's do.")]
    Create(CreateArguments),

    /// Which keys there are, the newest first.
    #[command(after_help = "Example:
  trailhouse key list --config trailhouse.toml")]
    List,

    /// End a key, for ever.
    #[command(after_help = "Example:
  trailhouse key revoke 5f0c9ae2b1d34477

A process that has just used the key takes it for `api.auth.key_cache_s` more.")]
    Revoke {
        /// The 16 digits behind `th_`, as `key list` shows them; or the whole key.
        key: String,
    },
}

#[derive(Debug, Args)]
pub struct CreateArguments {
    /// What it is for.
    #[arg(long)]
    name: String,
    /// What it may do: reader, writer, auditor (every tenant, quarantine) or admin.
    #[arg(long, value_parser = role)]
    role: Role,
    /// Whose events; may be repeated.
    #[arg(long)]
    tenant: Vec<String>,
    /// The tenant that is meant where a request names none; without it all of them.
    #[arg(long, value_name = "TENANT")]
    default_tenant: Option<String>,
    /// The identity that acts with it (PACE demands one).
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// The account it belongs to (SoftwareOne).
    #[arg(long, value_name = "ID[=NAME]")]
    account: Option<String>,
    /// Sees this reseller's events and no others (Cockpit); may be repeated.
    #[arg(long)]
    reseller: Vec<String>,
    /// It signs requests, as BloodHound's clients do, and is never sent.
    #[arg(long)]
    hmac: bool,
    /// When it ends: after 12h, 90d, or at a time such as 2027-01-02T03:04:05Z.
    #[arg(long, value_name = "TIME", value_parser = until)]
    expires: Option<Micros>,
}

impl From<CreateArguments> for NewKey {
    fn from(args: CreateArguments) -> NewKey {
        let account = args.account.map(|account| match account.split_once('=') {
            Some((id, name)) => (id.to_owned(), name.to_owned()),
            None => (account, String::new()),
        });
        NewKey {
            name: args.name,
            role: args.role,
            tenants: args.tenant.into_iter().collect(),
            default_tenant: args.default_tenant,
            actor: args.actor,
            account,
            resellers: args.reseller.into_iter().collect(),
            signs: args.hmac,
            expires_at: args.expires,
        }
    }
}

fn role(text: &str) -> Result<Role, String> {
    let names = || Role::ALL.map(Role::as_str).join(", ");
    Role::named(text).ok_or_else(|| format!("`{text}` is none of {}", names()))
}

fn until(text: &str) -> Result<Micros, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_micros());
    }
    let ahead = || {
        let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let count: i64 = count.parse().ok().filter(|count| *count > 0)?;
        let length = match unit {
            "h" => TimeDelta::try_hours(count),
            "d" => TimeDelta::try_days(count),
            _ => None,
        };
        Some(Utc::now().checked_add_signed(length?)?.timestamp_micros())
    };
    ahead().ok_or_else(|| format!("`{text}` is neither 12h, 90d nor 2027-01-02T03:04:05Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_or_a_length_of_time() {
        assert_eq!(until("1970-01-01T00:00:01Z"), Ok(1_000_000));
        let [hour, day] = ["1h", "1d"].map(|text| until(text).unwrap_or_default());
        assert!((day - hour - 23 * 3_600_000_000).abs() < 60_000_000, "{hour} {day}");
        for wrong in ["", "d", "7", "-1h", "0d", "7w", "2026-01-02", "99999999999999d", "1é"] {
            assert!(until(wrong).is_err(), "{wrong}");
        }
    }
}
