//! Where the API listens, how long an answer may take, where the contracts stand.
//!
//! In: the `[api]` table of the configuration. Out: [`ApiConfig`].
//!
//! # Invariants
//! - Every field has a default; times are milliseconds.
//!
//! Deliberately unknown here: routes, tokens.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The `[api]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Address and port to listen on; port 0 takes a free one. Default `127.0.0.1:8080`, which
    /// only this machine reaches: there are no tokens yet.
    pub listen: String,
    /// How long a request may take, in milliseconds, before it is answered 503. Default `30000`.
    pub request_timeout_ms: u64,
    /// The vendors' contracts.
    pub compat: CompatConfig,
}

/// The `[api.compat]` table: one entry for each contract.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompatConfig {
    /// PACE Cloud.
    pub pace: ContractConfig,
    /// raystack/frontier.
    pub frontier: ContractConfig,
    /// SoftwareOne Marketplace.
    pub softwareone: ContractConfig,
    /// Cloud Cockpit.
    pub cockpit: ContractConfig,
    /// BloodHound CE.
    pub bloodhound: ContractConfig,
}

/// One contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContractConfig {
    /// Whether it is served. Default `true`.
    pub enabled: bool,
    /// What stands before its original paths, such as `/frontier`. Default `""`.
    pub prefix: String,
    /// The topic that what is written through it goes to. Default `""`, which is `audit.NAME`.
    pub topic: String,
}

impl Default for ContractConfig {
    fn default() -> ContractConfig {
        ContractConfig { enabled: true, prefix: String::new(), topic: String::new() }
    }
}

impl ContractConfig {
    /// The topic that what is written goes to, for the contract of this name.
    pub fn topic_of(&self, name: &str) -> String {
        if self.topic.is_empty() { format!("audit.{name}") } else { self.topic.clone() }
    }
}

impl CompatConfig {
    /// Each contract with its name, and whether it writes.
    fn each(&self) -> [(&'static str, &ContractConfig, bool); 5] {
        [
            ("pace", &self.pace, true),
            ("frontier", &self.frontier, true),
            ("softwareone", &self.softwareone, true),
            ("cockpit", &self.cockpit, false),
            ("bloodhound", &self.bloodhound, false),
        ]
    }

    fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for (name, contract, writes) in self.each() {
            let mut say = |field: &str, message: String| {
                wrong.push((format!("compat.{name}.{field}"), message));
            };
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
            let prefix = contract.prefix.as_str();
            let is_path = prefix.starts_with('/') && !prefix.ends_with('/');
            let is_fine = prefix.is_empty() || is_path && prefix.chars().all(plain);
            if !is_fine {
                say("prefix", format!("`{prefix}` is no path such as /{name}"));
            }
            if !writes && !contract.topic.is_empty() {
                say("topic", "has no meaning: this contract only reads".to_owned());
            }
        }
        wrong
    }
}

impl Default for ApiConfig {
    fn default() -> ApiConfig {
        ApiConfig {
            listen: "127.0.0.1:8080".into(),
            request_timeout_ms: 30_000,
            compat: CompatConfig::default(),
        }
    }
}

impl ApiConfig {
    /// What is wrong, as (field, sentence).
    pub fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut say = |field: &str, message: String| wrong.push((field.to_owned(), message));
        match self.listen.parse::<std::net::SocketAddr>() {
            Err(_) => say(
                "listen",
                format!("`{}` is no ADDRESS:PORT, such as 127.0.0.1:8080", self.listen),
            ),
            Ok(address) if !address.ip().is_loopback() => say(
                "listen",
                format!(
                    "`{}` is reached from outside, and there are no tokens yet; listen on a \
                         loopback address",
                    self.listen
                ),
            ),
            Ok(_) => {}
        }
        if self.request_timeout_ms == 0 {
            say("request_timeout_ms", "is 0, which answers nothing; give at least 1".to_owned());
        }
        wrong.extend(self.compat.check());
        wrong
    }

    /// How long a request may take.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        assert_eq!(ApiConfig::default().check(), []);
        let mut config = ApiConfig { listen: "localhost".into(), ..ApiConfig::default() };
        config.request_timeout_ms = 0;
        config.compat.pace.prefix = "pace/".into();
        config.compat.cockpit.topic = "audit.cockpit".into();
        let fields: Vec<String> = config.check().into_iter().map(|(field, _)| field).collect();
        let compat = ["compat.pace.prefix", "compat.cockpit.topic"];
        assert_eq!(fields, [&["listen", "request_timeout_ms"], &compat[..]].concat());
        let open = ApiConfig { listen: "0.0.0.0:8080".into(), ..ApiConfig::default() };
        assert!(open.check()[0].1.contains("loopback"));
    }
}
