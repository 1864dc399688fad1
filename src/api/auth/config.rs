//! Who may ask: where keys of tokens are, and what claims are called.
//!
//! In: the `[api.auth]` table of the configuration. Out: [`AuthConfig`].
//!
//! # Invariants
//! - Secrets are in files of their own; a setting names the file.
//! - Every field has a default; times are seconds.
//!
//! Deliberately unknown here: how a credential is checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::access::Role;

/// The `[api.auth]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// `none`: anybody may do everything, on a loopback address only. `token`: callers show a JWT
    /// or an API key, or sign with one. Default `none`.
    pub mode: String,
    /// A JWK set in a file: whose JWTs hold. Only here may it have secrets (HS256).
    pub jwks_file: Option<PathBuf>,
    /// A JWK set behind https, instead of the file.
    pub jwks_url: Option<String>,
    /// How soon the set is read again for a key id it does not have, in seconds. Default `30`.
    pub jwks_refetch_s: u64,
    /// How old the set may grow before it is read again, in seconds: so long at most does a key
    /// hold that was taken out of it. Default `600`.
    pub jwks_max_age_s: u64,
    /// The issuer (`iss`) of JWTs.
    pub issuer: String,
    /// Their audience (`aud`).
    pub audience: String,
    /// How far clocks may be apart, in seconds. Default `30`.
    pub leeway_s: u64,
    /// How long an API key is held for good once it was looked up, in seconds: so long at most it
    /// works after it is revoked. Default `5`.
    pub key_cache_s: u64,
    /// File with 32 bytes as base64, which encrypts the secrets of keys that sign.
    pub sealing_key_file: Option<PathBuf>,
    /// Names of the claims.
    pub claims: ClaimsConfig,
    /// The role that a value of the role claim means.
    pub roles: BTreeMap<String, String>,
}

impl Default for AuthConfig {
    fn default() -> AuthConfig {
        let roles = Role::ALL.map(|role| (role.as_str(), role));
        let roles = roles.into_iter().chain([("csp", Role::Reader), ("reseller", Role::Reader)]);
        AuthConfig {
            mode: "none".into(),
            jwks_file: None,
            jwks_url: None,
            jwks_refetch_s: 30,
            jwks_max_age_s: 600,
            issuer: String::new(),
            audience: String::new(),
            leeway_s: 30,
            key_cache_s: 5,
            sealing_key_file: None,
            claims: ClaimsConfig::default(),
            roles: roles.map(|(name, role)| (name.to_owned(), role.to_string())).collect(),
        }
    }
}

/// The `[api.auth.claims]` table. A name with dots goes into objects, unless a claim has it whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimsConfig {
    /// A text or a list: whose events the caller may see. Default `tenants`.
    pub tenants: String,
    /// The tenant that is meant where a request names none; alone it is the only one. Default
    /// `tenant`.
    pub default_tenant: String,
    /// A text or a list, by the table `roles`; of several the greatest. Without it a reader.
    /// Default `role`.
    pub role: String,
    /// The caller's name. Default `name`.
    pub name: String,
    /// Their mail address. Default `email`.
    pub email: String,
    /// The identity that acts. Default `actor`.
    pub actor: String,
    /// The account's id. Default `account.id`.
    pub account_id: String,
    /// The account's name. Default `account.name`.
    pub account_name: String,
    /// A text or a list: the only resellers whose events are seen. Default `resellers`.
    pub resellers: String,
}

impl Default for ClaimsConfig {
    fn default() -> ClaimsConfig {
        ClaimsConfig {
            tenants: "tenants".into(),
            default_tenant: "tenant".into(),
            role: "role".into(),
            name: "name".into(),
            email: "email".into(),
            actor: "actor".into(),
            account_id: "account.id".into(),
            account_name: "account.name".into(),
            resellers: "resellers".into(),
        }
    }
}

impl AuthConfig {
    /// Whether callers must be known.
    pub fn is_required(&self) -> bool {
        self.mode != "none"
    }

    /// What is wrong, as (field, sentence).
    pub fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut say = |field: &str, message: String| wrong.push((field.to_owned(), message));
        if !["none", "token"].contains(&self.mode.as_str()) {
            say("mode", format!("`{}` is neither none nor token", self.mode));
        }
        if self.jwks_file.is_some() && self.jwks_url.is_some() {
            say("jwks_url", "jwks_file is set too; keep one of them".to_owned());
        }
        if let Some(url) = self.jwks_url.as_ref().filter(|url| !is_safe(url)) {
            let fix = "write https://HOST/PATH: whoever can alter the answer is let in";
            say("jwks_url", format!("`{url}` is no https address; {fix}"));
        }
        if self.jwks_file.is_some() || self.jwks_url.is_some() {
            for (field, value) in [("issuer", &self.issuer), ("audience", &self.audience)] {
                if value.is_empty() {
                    let message = "is empty; a JWT made for somebody else would be let in";
                    say(field, message.to_owned());
                }
            }
        }
        if self.leeway_s > 300 {
            say("leeway_s", format!("is {}; clocks may be 300 s apart at most", self.leeway_s));
        }
        for (field, value) in
            [("jwks_refetch_s", self.jwks_refetch_s), ("jwks_max_age_s", self.jwks_max_age_s)]
        {
            if value == 0 {
                say(field, "is 0, which asks without end; give at least 1".to_owned());
            }
        }
        for (value, role) in &self.roles {
            if Role::named(role).is_none() {
                let roles = Role::ALL.map(Role::as_str).join(", ");
                say(&format!("roles.{value}"), format!("`{role}` is no role: {roles}"));
            }
        }
        wrong
    }
}

/// Whether nobody on the way can alter the answer.
fn is_safe(url: &str) -> bool {
    let host = url.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next());
    url.starts_with("https://") || matches!(host, Some(Some("127.0.0.1" | "localhost")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        assert_eq!(AuthConfig::default().check(), []);
        let config = AuthConfig {
            mode: "tokens".into(),
            jwks_file: Some("a".into()),
            jwks_url: Some("http://id.example/jwks".into()),
            jwks_refetch_s: 0,
            jwks_max_age_s: 0,
            leeway_s: 301,
            roles: [("boss".to_owned(), "king".to_owned())].into(),
            ..AuthConfig::default()
        };
        let fields: Vec<String> = config.check().into_iter().map(|(field, _)| field).collect();
        assert_eq!(
            fields,
            [
                "mode",
                "jwks_url",
                "jwks_url",
                "issuer",
                "audience",
                "leeway_s",
                "jwks_refetch_s",
                "jwks_max_age_s",
                "roles.boss"
            ]
        );
    }

    #[test]
    fn keys_come_by_https_or_from_this_machine() {
        for (url, safe) in [
            ("https://id.example/k", true),
            ("http://127.0.0.1:9/k", true),
            ("http://localhost/k", true),
            ("http://localhost.evil.example/k", false),
            ("http://id.example/k", false),
            ("ftp://127.0.0.1/k", false),
            ("", false),
        ] {
            assert_eq!(is_safe(url), safe, "{url}");
        }
    }
}
