//! Where ClickHouse is, and who we are there.
//!
//! In: the `[clickhouse]` table of the configuration. Out: [`ClickHouseConfig`].
//!
//! # Invariants
//! - Every field has a default that suits a ClickHouse on this machine.
//! - A password given as a file is read when connecting, without its last line ending; it never
//!   appears in `Debug`.
//!
//! Deliberately unknown here: tables, statements.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cluster::{self, ShardConfig};

/// The `[clickhouse]` table.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClickHouseConfig {
    /// Address of the HTTP interface, `https://` encrypts; of a cluster, any server's: reads go there.
    /// Default `http://127.0.0.1:8123`.
    pub url: String,
    /// Replicas of the same tables, which questions go to while `url` takes no connection; never
    /// what is written. Default none.
    pub fallback_urls: Vec<String>,
    /// Authorities that certificates rest on, PEM. Default those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Database that holds the tables; `migrate up` creates it. Default `trailhouse`.
    pub database: String,
    /// User name. Default `default`.
    pub user: String,
    /// Password; only one of `password` and `password_file`. Default empty.
    pub password: String,
    /// File that holds the password and nothing else. Default none.
    pub password_file: Option<PathBuf>,
    /// Whether bodies travel as LZ4: pays on a network, not on loopback. Default `false`.
    pub compression: bool,
    /// Name of the cluster in ClickHouse's `remote_servers`. Default empty: one server.
    pub cluster: String,
    /// Whether each shard's tables are replicated. Default `false`.
    pub replicated: bool,
    /// Shards of the cluster: their number and order are for ever. Default none.
    pub shards: Vec<ShardConfig>,
}

impl Default for ClickHouseConfig {
    fn default() -> ClickHouseConfig {
        ClickHouseConfig {
            url: "http://127.0.0.1:8123".into(),
            fallback_urls: Vec::new(),
            ca_file: None,
            database: "trailhouse".into(),
            user: "default".into(),
            password: String::new(),
            password_file: None,
            compression: false,
            cluster: String::new(),
            replicated: false,
            shards: Vec::new(),
        }
    }
}

impl ClickHouseConfig {
    /// What is wrong, as (field, sentence).
    pub fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut say = |field: &str, message: String| wrong.push((field.to_owned(), message));
        if let Some(message) = not_an_address(&self.url) {
            say("url", message);
        }
        for (at, url) in self.fallback_urls.iter().enumerate() {
            if let Some(message) = not_an_address(url) {
                say(&format!("fallback_urls.{at}"), message);
            }
        }
        if self.ca_file.is_some() && !self.urls().any(|url| url.starts_with("https://")) {
            say("ca_file", "has no effect without https://; write that in url".to_owned());
        }
        for (field, value) in [("database", &self.database), ("user", &self.user)] {
            if value.is_empty() {
                say(field, "is empty; name one, or leave the line out".to_owned());
            }
        }
        if !self.password.is_empty() && self.password_file.is_some() {
            say("password", "password_file is set too; keep one of them".to_owned());
        }
        wrong.extend(cluster::check(self));
        wrong
    }

    /// Every setting set, for the check of names and types.
    pub fn example() -> ClickHouseConfig {
        ClickHouseConfig {
            fallback_urls: vec![String::new()],
            ca_file: Some(PathBuf::new()),
            password_file: Some(PathBuf::new()),
            shards: vec![ShardConfig { urls: vec![String::new()] }],
            ..ClickHouseConfig::default()
        }
    }

    /// Every address, in the order they are tried.
    pub(super) fn urls(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.url).chain(&self.fallback_urls).map(String::as_str)
    }

    /// The password, wherever it is kept.
    pub(super) fn secret(&self) -> std::io::Result<String> {
        let Some(path) = &self.password_file else { return Ok(self.password.clone()) };
        let text = std::fs::read_to_string(path)?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

pub(super) fn not_an_address(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split(['/', '?']).next());
    match host.filter(|host| !host.is_empty()) {
        None => Some(format!("`{url}` is no http address; write http://HOST:PORT, or https://")),
        // It would be shown in every error. What stands before it is not repeated here either.
        Some(host) if host.contains('@') => {
            Some("names a user; write http://HOST:PORT, and set user and password".to_owned())
        }
        Some(_) => None,
    }
}

impl fmt::Debug for ClickHouseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClickHouseConfig")
            .field("url", &self.url)
            .field("fallback_urls", &self.fallback_urls)
            .field("ca_file", &self.ca_file)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("password", &if self.password.is_empty() { "" } else { "***" })
            .field("password_file", &self.password_file)
            .field("compression", &self.compression)
            .field("cluster", &self.cluster)
            .field("replicated", &self.replicated)
            .field("shards", &self.shards)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_comes_from_its_file_without_the_line_ending() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "se cret\r\n").unwrap();
        let config = ClickHouseConfig {
            password_file: Some(file.path().to_owned()),
            ..ClickHouseConfig::default()
        };
        assert_eq!(config.secret().unwrap(), "se cret");
    }

    #[test]
    fn every_problem_is_named_at_once_and_the_password_is_not() {
        let config = ClickHouseConfig {
            url: "localhost:8123".into(),
            database: String::new(),
            password: "hunter2".into(),
            password_file: Some("/nowhere".into()),
            ..ClickHouseConfig::default()
        };
        let problems = config.check();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(!format!("{config:?} {problems:?}").contains("hunter2"));
        assert_eq!(ClickHouseConfig::default().check(), []);
    }

    #[test]
    fn an_address_is_http_or_https_without_a_user_and_authorities_are_for_https() {
        let problems = |url: &str, other: &str, ca_file: Option<&str>| {
            let config = ClickHouseConfig {
                url: url.into(),
                fallback_urls: vec![other.into()],
                ca_file: ca_file.map(PathBuf::from),
                ..ClickHouseConfig::default()
            };
            config.check().into_iter().map(|(field, _)| field).collect::<Vec<_>>()
        };
        assert_eq!(problems("https://a:8443", "http://b:8123", Some("ca.pem")), [""; 0]);
        assert_eq!(problems("http://a:8123", "https://b:8443", Some("ca.pem")), [""; 0]);
        assert_eq!(
            problems("http://a:8123", "b:8123", Some("ca.pem")),
            ["fallback_urls.0", "ca_file"]
        );
        assert_eq!(problems("http://u:p@a:8123", "https://", None), ["url", "fallback_urls.0"]);
    }
}
