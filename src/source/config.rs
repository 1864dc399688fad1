//! The `[kafka]` section of the configuration.
//!
//! In: TOML, environment. Out: [`KafkaConfig`], whose defaults are the documented ones.
//!
//! # Invariants
//! - Times are milliseconds and sizes bytes, and their names say so.
//!
//! Deliberately unknown here: files, environment variables.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::PartitionId;

/// Where records come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// Bootstrap servers, `host:port`, separated by commas.
    pub brokers: String,
    /// Consumer group. Renaming it starts at the beginning of every partition.
    pub group: String,
    /// Name of the cluster in stored positions; empty takes the cluster's own id.
    pub cluster: String,
    /// Whether positions carry the topics' ids, which tell a recreated topic from its forerunner;
    /// `false` only for a broker that has none (before Kafka 2.8, or librdkafka's in-process one).
    pub topic_ids: bool,
    /// Prefetched by librdkafka, bytes for each partition.
    pub prefetch_bytes: u64,
    /// A consumer silent for this long loses its partitions, milliseconds.
    pub session_timeout_ms: u64,
    /// Further librdkafka properties (`security.protocol`, …); those that delivery rests on are
    /// refused.
    pub properties: BTreeMap<String, String>,
    /// What to consume.
    pub topics: Vec<TopicConfig>,
    /// Partitions whose lost records an operator has accepted: a word for one start
    /// (`--accept-gap`), not a setting to stay.
    #[serde(skip)]
    pub accept_gap: BTreeSet<PartitionId>,
}

/// One topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicConfig {
    /// The topic's name.
    pub name: String,
    /// The mapping of all its records; empty leaves the choice to headers and shapes.
    pub schema: String,
    /// The tenant of all its records that have no `tenant` header; empty for none.
    pub tenant: String,
    /// Whether the body may say whose log it belongs to.
    pub tenant_from_body: bool,
}

/// librdkafka properties that delivery rests on, and where to say it instead.
pub const RESERVED: [(&str, &str); 10] = [
    ("bootstrap.servers", "kafka.brokers"),
    ("metadata.broker.list", "kafka.brokers"),
    ("group.id", "kafka.group"),
    ("session.timeout.ms", "kafka.session_timeout_ms"),
    ("queued.max.messages.kbytes", "kafka.prefetch_bytes"),
    ("enable.auto.commit", "nothing: Trailhouse commits after the insert"),
    ("enable.auto.offset.store", "nothing: Trailhouse commits after the insert"),
    ("auto.offset.reset", "nothing: a lost offset must stop the lane, not skip records"),
    ("enable.partition.eof", "nothing: an end of a partition is no record"),
    ("isolation.level", "nothing: aborted transactions are never read"),
];

impl Default for KafkaConfig {
    fn default() -> Self {
        KafkaConfig {
            brokers: "127.0.0.1:9092".to_owned(),
            group: "trailhouse".to_owned(),
            cluster: String::new(),
            topic_ids: true,
            prefetch_bytes: 4 << 20,
            session_timeout_ms: 45_000,
            properties: BTreeMap::new(),
            topics: Vec::new(),
            accept_gap: BTreeSet::new(),
        }
    }
}

impl KafkaConfig {
    /// What is wrong, as (field, sentence).
    pub fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut say =
            |field: &str, message: &str| wrong.push((field.to_owned(), message.to_owned()));
        if self.brokers.split(',').any(|broker| !broker.trim().contains(':')) {
            say("brokers", "must be host:port, several separated by commas");
        }
        if self.group.is_empty() {
            say("group", "must not be empty");
        }
        if self.prefetch_bytes < 64 << 10 {
            say("prefetch_bytes", "must be at least 65536: a fetch brings less than a batch");
        }
        if !(1_000..=1_800_000).contains(&self.session_timeout_ms) {
            say("session_timeout_ms", "must be between 1000 and 1800000");
        }
        for (property, instead) in RESERVED {
            if self.properties.contains_key(property) {
                let message = format!("is reserved; set {instead}");
                say(&format!("properties.{property}"), &message);
            }
        }
        for (at, topic) in self.topics.iter().enumerate() {
            if topic.name.is_empty() {
                say(&format!("topics.{at}.name"), "must name a topic");
            }
            if self.topics[..at].iter().any(|other| other.name == topic.name) {
                let message = format!("`{}` is listed twice", topic.name);
                say(&format!("topics.{at}.name"), &message);
            }
        }
        wrong
    }
}
