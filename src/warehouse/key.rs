//! API keys, as they are stored.
//!
//! In: a [`KeyRecord`], a prefix. Out: rows of `api_keys`, and records read from them.
//!
//! # Invariants
//! - A key that is revoked stays revoked: the row with the greater `revoked_at` is the one that counts.
//! - No secret is stored: its hash is, or it is sealed.
//!
//! Deliberately unknown here: how a key proves itself.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clickhouse::Row;
use clickhouse::error::Error;
use serde::Deserialize;

use super::ledger::soon;
use super::{ServerError, Warehouse};
use crate::access::{KeyError, KeyReader, KeyRecord, Lookup, Proof, Role};
use crate::event::Micros;

const SELECT: &str = "SELECT prefix, name, role, tenants, default_tenant, actor, account_id, \
    account_name, resellers, secret_sha256, sealed_secret, toUnixTimestamp64Micro(created_at) AS \
    created, toUnixTimestamp64Micro(expires_at) AS expires, toUnixTimestamp64Micro(revoked_at) AS \
    revoked FROM api_keys FINAL";

const INSERT: &str = "INSERT INTO api_keys (prefix, name, role, tenants, default_tenant, actor, \
    account_id, account_name, resellers, secret_sha256, sealed_secret, created_at, expires_at, \
    revoked_at) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, fromUnixTimestamp64Micro(?, 'UTC'), \
    fromUnixTimestamp64Micro(?, 'UTC'), fromUnixTimestamp64Micro(?, 'UTC')";

/// One row of `api_keys`; times are 0 where there is none.
#[derive(Debug, Row, Deserialize)]
struct KeyRow {
    prefix: String,
    name: String,
    role: String,
    tenants: Vec<String>,
    default_tenant: String,
    actor: String,
    account_id: String,
    account_name: String,
    resellers: Vec<String>,
    secret_sha256: String,
    sealed_secret: String,
    created: Micros,
    expires: Micros,
    revoked: Micros,
}

impl KeyReader for Warehouse {
    fn key<'a>(&'a self, prefix: &'a str) -> Lookup<'a, Option<KeyRecord>> {
        Box::pin(async move {
            let sql = format!("{SELECT} WHERE prefix = ?");
            let asked = async {
                let query = self.first_shard().reader().await?.query(&sql).bind(prefix);
                soon(query.fetch_optional::<KeyRow>()).await
            };
            let row = asked.await.map_err(|error| KeyError(self.explain(error).to_string()))?;
            row.map(record).transpose()
        })
    }

    fn prefixes(&self) -> Lookup<'_, HashSet<String>> {
        Box::pin(async move {
            let sql = "SELECT DISTINCT prefix FROM api_keys";
            let asked = async {
                soon(self.first_shard().reader().await?.query(sql).fetch_all::<String>()).await
            };
            let prefixes =
                asked.await.map_err(|error| KeyError(self.explain(error).to_string()))?;
            Ok(prefixes.into_iter().collect())
        })
    }
}

impl Warehouse {
    /// Every key, the newest first.
    pub async fn keys(&self) -> Result<Vec<KeyRecord>, KeyError> {
        let sql = format!("{SELECT} ORDER BY created_at DESC, prefix");
        let asked = async {
            soon(self.first_shard().reader().await?.query(&sql).fetch_all::<KeyRow>()).await
        };
        let rows = asked.await.map_err(|error| KeyError(self.explain(error).to_string()))?;
        rows.into_iter().map(record).collect()
    }

    /// Write a key: a new one, or one that is revoked now.
    pub async fn write_key(&self, key: &KeyRecord) -> Result<(), ServerError> {
        let list = |names: &std::collections::BTreeSet<String>| -> Vec<String> {
            names.iter().cloned().collect()
        };
        let (hash, sealed) = match &key.proof {
            Proof::Shown(hash) => {
                (hash.iter().map(|byte| format!("{byte:02x}")).collect(), String::new())
            }
            Proof::Signing(sealed) => (String::new(), STANDARD.encode(sealed)),
        };
        let query = self
            .first_shard()
            .client()
            .query(INSERT)
            .bind(&key.prefix)
            .bind(&key.name)
            .bind(key.role.as_str())
            .bind(list(&key.tenants))
            .bind(&key.default_tenant)
            .bind(&key.actor)
            .bind(&key.account.0)
            .bind(&key.account.1)
            .bind(list(&key.resellers))
            .bind(hash)
            .bind(sealed)
            .bind(key.created_at)
            .bind(key.expires_at.unwrap_or(0))
            .bind(key.revoked_at.unwrap_or(0))
            .with_setting("async_insert", "0");
        soon::<()>(async { query.execute().await })
            .await
            .map_err(|error: Error| self.explain(error))
    }
}

fn record(row: KeyRow) -> Result<KeyRecord, KeyError> {
    let broken = |what: &str| KeyError(format!("key {}: its {what} is none we know", row.prefix));
    let some = |at: Micros| (at != 0).then_some(at);
    let proof = match row.sealed_secret.as_str() {
        "" => Proof::Shown(digest(&row.secret_sha256).ok_or_else(|| broken("hash"))?),
        sealed => Proof::Signing(STANDARD.decode(sealed).map_err(|_| broken("sealed secret"))?),
    };
    let role = Role::named(&row.role).ok_or_else(|| broken("role"))?;
    Ok(KeyRecord {
        prefix: row.prefix,
        name: row.name,
        proof,
        role,
        tenants: row.tenants.into_iter().collect(),
        default_tenant: row.default_tenant,
        actor: row.actor,
        account: (row.account_id, row.account_name),
        resellers: row.resellers.into_iter().collect(),
        created_at: row.created,
        expires_at: some(row.expires),
        revoked_at: some(row.revoked),
    })
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let is_whole = hex.len() == 2 * digest.len() && hex.is_ascii();
    for (at, byte) in digest.iter_mut().enumerate().filter(|_| is_whole) {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
    }
    is_whole.then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_hex_digits() {
        assert_eq!(digest(&"0a".repeat(32)), Some([10; 32]));
        for broken in ["", "0a", &"0a".repeat(33), &"xx".repeat(32), &"ä".repeat(32)] {
            assert_eq!(digest(broken), None, "{broken}");
        }
    }
}
