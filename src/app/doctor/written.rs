//! Which topics are written to, and whether what is written there is read.
//!
//! In: a configuration. Out: [`Written`] topics, and findings of contracts that can take no write.
//!
//! # Invariants
//! - A write through a contract is taken only where `[[kafka.topics]]` reads its topic. That a
//!   contract takes none is no fault, unless somebody has named a topic for it.
//!
//! Deliberately unknown here: Kafka.

use super::Finding;
use crate::config::Config;

/// A topic that is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// Its name.
    pub(super) topic: String,
    /// The setting that names it.
    pub(super) setting: String,
}

/// Every topic that is written to, and what is found without asking anybody.
pub(super) fn topics(config: &Config) -> (Vec<Written>, Vec<Finding>) {
    let mut written = Vec::new();
    for (topic, setting) in [
        (&config.kafka.dead_letter_topic, "kafka.dead_letter_topic"),
        (&config.api.audit.topic, "api.audit.topic"),
    ] {
        if !topic.is_empty() {
            written.push(Written { topic: topic.clone(), setting: setting.to_owned() });
        }
    }
    let mut findings = Vec::new();
    for (name, contract) in config.api.compat.writing() {
        let topic = contract.topic_of(name);
        let setting = format!("api.compat.{name}.topic");
        if config.kafka.topic(&topic).is_some() {
            written.push(Written { topic, setting });
            continue;
        }
        let found = match contract.topic.is_empty() {
            true => Ok(format!("refused with 503: no [[kafka.topics]] reads {topic}")),
            false => Err(format!(
                "{setting} is {topic}, which no [[kafka.topics]] reads, so each would be refused with \
                 503; list it there, or mend {setting}"
            )),
        };
        findings.push(Finding::new(format!("writes through {name}"), found));
    }
    (written, findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::TopicConfig;

    fn config(topics: &[&str]) -> Config {
        let topic =
            |name: &&str| TopicConfig { name: (*name).to_owned(), ..TopicConfig::default() };
        let mut config = Config::default();
        config.kafka.topics = topics.iter().map(topic).collect();
        config
    }

    fn failed(findings: &[Finding]) -> Vec<&str> {
        let failed = findings.iter().filter(|finding| finding.found.is_err());
        failed.map(|finding| finding.thing.as_str()).collect()
    }

    #[test]
    fn a_contract_whose_topic_is_read_writes_there_and_one_that_is_off_does_not() {
        let mut config = config(&["audit.pace", "^team[.].*"]);
        config.api.compat.frontier.topic = "team.frontier".to_owned();
        config.api.compat.softwareone.enabled = false;
        config.api.audit.topic = "audit.reads".to_owned();
        let (written, findings) = topics(&config);
        let written: Vec<(&str, &str)> =
            written.iter().map(|one| (one.topic.as_str(), one.setting.as_str())).collect();
        assert_eq!(
            written,
            [
                ("audit.reads", "api.audit.topic"),
                ("audit.pace", "api.compat.pace.topic"),
                ("team.frontier", "api.compat.frontier.topic"),
            ]
        );
        assert_eq!(findings, []);
    }

    #[test]
    fn a_topic_that_nobody_reads_is_a_fault_only_where_somebody_has_named_it() {
        let mut config = config(&["audit.pace"]);
        let (written, findings) = topics(&config);
        assert_eq!((written.len(), findings.len()), (1, 2));
        assert_eq!(failed(&findings), [""; 0]);
        config.api.compat.softwareone.topic = "audit.mpt".to_owned();
        let (_, findings) = topics(&config);
        assert_eq!(failed(&findings), ["writes through softwareone"]);
    }
}
