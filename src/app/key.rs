//! `trailhouse key create`, `list` and `revoke`: keys for callers without a token of their own.
//!
//! In: what a key is to be for. Out: the key, once; a line for each that there is.
//!
//! # Invariants
//! - The secret is shown when it is made and never again: only its hash, or its sealed form, is kept.
//! - A key that would see nothing is refused.
//!
//! Deliberately unknown here: how a key is checked.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, SecondsFormat, Utc};

use super::up_to_date;
use crate::access::{ApiKey, KEY_BYTES, KeyReader as _, KeyRecord, Proof, Role, SealingKey};
use crate::config::Loaded;
use crate::event::Micros;
use crate::warehouse::Warehouse;

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Its tenants.
    pub tenants: BTreeSet<String>,
    /// The tenant that is meant where a request names none.
    pub default_tenant: Option<String>,
    /// The identity that acts.
    pub actor: Option<String>,
    /// Id and name of its account.
    pub account: Option<(String, String)>,
    /// The only resellers whose events it sees; empty for no such limit.
    pub resellers: BTreeSet<String>,
    /// Whether it signs requests instead of being shown.
    pub signs: bool,
    /// When it expires.
    pub expires_at: Option<Micros>,
}

/// Make a key, store what is kept of it, and show it.
pub async fn create(loaded: &Loaded, new: NewKey, out: &mut impl Write) -> anyhow::Result<()> {
    check(&new)?;
    let mut random = [0; KEY_BYTES];
    aws_lc_rs::rand::fill(&mut random).ok().context("this machine gives no random bytes")?;
    let key = ApiKey::of(&random);
    let proof = match new.signs {
        false => Proof::Shown(key.hash()),
        true => {
            let file = loaded.config.api.auth.sealing_key_file.as_deref();
            let file = file.context(
                "a key that signs is stored encrypted: set api.auth.sealing_key_file to a file \
                 with 32 bytes as base64",
            )?;
            let sealing = SealingKey::read(file)?;
            Proof::Signing(sealing.seal(key.prefix(), key.secret().as_bytes())?)
        }
    };
    let record = KeyRecord {
        prefix: key.prefix().to_owned(),
        name: new.name,
        proof,
        role: new.role,
        tenants: new.tenants,
        default_tenant: new.default_tenant.unwrap_or_default(),
        actor: new.actor.unwrap_or_default(),
        account: new.account.unwrap_or_default(),
        resellers: new.resellers,
        created_at: now(),
        expires_at: new.expires_at,
        revoked_at: None,
    };
    connected(loaded).await?.write_key(&record).await?;
    if new.signs {
        writeln!(out, "token id   {}\ntoken key  {}", key.prefix(), key.secret())?;
    } else {
        writeln!(out, "{}", key.reveal())?;
    }
    Ok(())
}

/// Show which keys there are, the newest first.
pub async fn list(loaded: &Loaded, out: &mut impl Write) -> anyhow::Result<()> {
    let keys = connected(loaded).await?.keys().await?;
    for key in &keys {
        let tenants: Vec<&str> = key.tenants.iter().map(String::as_str).collect();
        let tenants = match key.role {
            Role::Auditor | Role::Admin => "every tenant".to_owned(),
            Role::Reader | Role::Writer => tenants.join(","),
        };
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {}", time(at)),
            (None, Some(at)) if at <= now() => format!("expired {}", time(at)),
            (None, Some(at)) => format!("until {}", time(at)),
            (None, None) => "for ever".to_owned(),
        };
        let form = if matches!(key.proof, Proof::Signing(_)) { "  signs" } else { "" };
        writeln!(
            out,
            "{}  {}  {}  {tenants}  made {}  {state}{form}",
            key.prefix,
            key.name,
            key.role,
            time(key.created_at),
        )?;
    }
    if keys.is_empty() {
        writeln!(out, "there are no keys; `trailhouse key create` makes one")?;
    }
    Ok(())
}

/// Revoke a key, named by its prefix or as a whole.
pub async fn revoke(loaded: &Loaded, which: &str, out: &mut impl Write) -> anyhow::Result<()> {
    let whole = ApiKey::parse(which);
    let prefix = whole.as_ref().map_or(which, ApiKey::prefix);
    let warehouse = connected(loaded).await?;
    let Some(key) = warehouse.key(prefix).await? else {
        bail!("there is no key {prefix}; `trailhouse key list` shows those there are");
    };
    if key.revoked_at.is_none() {
        let revoked = KeyRecord { revoked_at: Some(now()), ..key.clone() };
        warehouse.write_key(&revoked).await?;
    }
    let seconds = loaded.config.api.auth.key_cache_s;
    writeln!(
        out,
        "revoked {prefix} ({}); what runs takes it {seconds} s longer at most",
        key.name
    )?;
    Ok(())
}

fn check(new: &NewKey) -> anyhow::Result<()> {
    let sees_all = new.role >= Role::Auditor;
    ensure!(!new.name.trim().is_empty(), "--name says what the key is for; give one");
    let texts = [&new.name].into_iter().chain(&new.tenants).chain(&new.resellers);
    for text in texts {
        ensure!(!text.contains(char::is_control), "{text:?} has control characters");
    }
    ensure!(
        sees_all || !new.tenants.is_empty(),
        "a {} needs a --tenant: without one it sees nothing",
        new.role
    );
    if let Some(tenant) = &new.default_tenant {
        ensure!(
            sees_all || new.tenants.contains(tenant),
            "--default-tenant {tenant} is none of its tenants; give --tenant {tenant} too"
        );
    }
    let past = new.expires_at.filter(|at| *at <= now());
    ensure!(past.is_none(), "--expires is in the past");
    Ok(())
}

async fn connected(loaded: &Loaded) -> anyhow::Result<Warehouse> {
    let warehouse = Warehouse::connect(&loaded.config.clickhouse)?;
    up_to_date(&warehouse).await?;
    Ok(warehouse)
}

fn now() -> Micros {
    Utc::now().timestamp_micros()
}

fn time(micros: Micros) -> String {
    let time = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_makes_no_sense_is_refused_with_the_fix() {
        let good = NewKey {
            name: "siem".into(),
            role: Role::Reader,
            tenants: ["acme".to_owned()].into(),
            default_tenant: None,
            actor: None,
            account: None,
            resellers: BTreeSet::new(),
            signs: false,
            expires_at: None,
        };
        assert!(check(&good).is_ok());
        assert!(check(&NewKey { role: Role::Auditor, tenants: [].into(), ..good.clone() }).is_ok());
        for (new, fix) in [
            (NewKey { name: " ".into(), ..good.clone() }, "--name"),
            (NewKey { name: "a\u{1b}[2J".into(), ..good.clone() }, "control"),
            (NewKey { tenants: [].into(), ..good.clone() }, "--tenant"),
            (NewKey { default_tenant: Some("b".into()), ..good.clone() }, "--tenant b"),
            (NewKey { expires_at: Some(1), ..good.clone() }, "past"),
        ] {
            let error = check(&new).unwrap_err().to_string();
            assert!(error.contains(fix), "{error}");
        }
    }
}
