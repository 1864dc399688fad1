//! Where the contracts stand, and where what is written through them goes.
//!
//! In: the `[api.compat]` table of the configuration. Out: [`CompatConfig`].
//!
//! # Invariants
//! - Every field has a default: each contract stands at its original paths.
//!
//! Deliberately unknown here: what a contract answers.

use serde::{Deserialize, Serialize};

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

    /// Each contract that is served and writes, with its name.
    pub fn writing(&self) -> impl Iterator<Item = (&'static str, &ContractConfig)> {
        let writing = self.each().into_iter().filter(|(_, one, writes)| one.enabled && *writes);
        writing.map(|(name, contract, _)| (name, contract))
    }

    /// What is wrong, as (field, sentence).
    pub(in crate::api) fn check(&self) -> Vec<(String, String)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_path_and_a_topic_is_for_contracts_that_write() {
        let wrong = |config: &CompatConfig| -> Vec<String> {
            config.check().into_iter().map(|(field, _)| field).collect()
        };
        let mut config = CompatConfig::default();
        config.frontier.prefix = "/vendor/frontier-1".into();
        assert_eq!(wrong(&config), [""; 0]);
        config.cockpit.topic = "audit.cockpit".into();
        config.bloodhound.prefix = "/".into();
        config.pace.prefix = "/{id}".into();
        let fields = ["compat.pace.prefix", "compat.cockpit.topic", "compat.bloodhound.prefix"];
        assert_eq!(wrong(&config), fields);
    }
}
