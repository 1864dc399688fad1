//! The `[kafka]` section of the configuration.
//!
//! In: TOML, environment. Out: [`KafkaConfig`], whose defaults are the documented ones.
//!
//! # Invariants
//! - Times are milliseconds and sizes bytes, and their names say so.
//!
//! - Whether librdkafka knows a property and takes its value is asked of librdkafka itself, the
//!   one that will be used; nothing is sent for it.
//!
//! Deliberately unknown here: files, environment variables.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use serde::{Deserialize, Serialize};

use super::security::{SAID_HERE, SecurityConfig};
use super::topic::{self, TopicConfig};
use super::{MOST_RECORD_BYTES, SourceError};
use crate::event::PartitionId;
use crate::problem::did_you_mean;

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
    /// How connections are encrypted, and who we are.
    pub security: SecurityConfig,
    /// Further librdkafka properties; those that delivery rests on are refused, and those that
    /// have a setting of their own.
    pub properties: BTreeMap<String, String>,
    /// A topic that gets a copy of every quarantined record; empty for none.
    pub dead_letter_topic: String,
    /// What to consume.
    pub topics: Vec<TopicConfig>,
    /// Partitions whose lost records an operator has accepted: a word for one start
    /// (`--accept-gap`), not a setting to stay.
    #[serde(skip)]
    pub accept_gap: BTreeSet<PartitionId>,
}

/// librdkafka properties that delivery rests on, and where to say it instead.
pub const RESERVED: [(&str, &str); 13] = [
    ("bootstrap.servers", "kafka.brokers"),
    ("metadata.broker.list", "kafka.brokers"),
    ("group.id", "kafka.group"),
    ("session.timeout.ms", "kafka.session_timeout_ms"),
    ("queued.max.messages.kbytes", "kafka.prefetch_bytes"),
    ("enable.auto.commit", "nothing: Trailhouse commits after the insert"),
    ("enable.auto.offset.store", "nothing: Trailhouse commits after the insert"),
    ("auto.offset.reset", "nothing: a lost offset must stop the lane, not skip records"),
    ("fetch.queue.backoff.ms", "nothing: a longer one starves a fast lane"),
    ("client.id", "nothing: it is `trailhouse`; `group.instance.id` names one worker"),
    ("log_level", "log.level"),
    ("enable.partition.eof", "nothing: an end of a partition is no record"),
    ("isolation.level", "nothing: aborted transactions are never read"),
];

/// Properties that are commonly set, for a suggestion where one is mistyped.
const COMMON: [&str; 22] = [
    "broker.address.family",
    "client.rack",
    "connections.max.idle.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "metadata.max.age.ms",
    "reconnect.backoff.max.ms",
    "sasl.mechanism",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
];

/// Classic membership's settings: with `group.protocol = consumer` the broker's count.
const CLASSIC: [&str; 2] = ["heartbeat.interval.ms", "group.protocol.type"];

impl Default for KafkaConfig {
    fn default() -> Self {
        KafkaConfig {
            brokers: "127.0.0.1:9092".to_owned(),
            group: "trailhouse".to_owned(),
            cluster: String::new(),
            topic_ids: true,
            prefetch_bytes: 4 << 20,
            session_timeout_ms: 45_000,
            security: SecurityConfig::default(),
            properties: BTreeMap::new(),
            dead_letter_topic: String::new(),
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
        for (field, message) in self.check_properties() {
            say(&field, &message);
        }
        for (field, message) in self.security.check() {
            say(&format!("security.{field}"), &message);
        }
        for (field, message) in topic::check(&self.topics, self.broker_assigns()) {
            say(&field, &message);
        }
        if let Some(message) = self.check_dead_letter_topic() {
            say("dead_letter_topic", &message);
        }
        wrong
    }

    /// The properties of every connection to these brokers: `properties`, and what `security` says,
    /// with its secrets.
    pub fn connection(&self) -> Result<BTreeMap<String, String>, SourceError> {
        let said = self.security.properties().map_err(SourceError::Fatal)?;
        Ok(self.properties.clone().into_iter().chain(said).collect())
    }

    /// What is set of a topic: by its name, else by the first pattern that finds it.
    pub fn topic(&self, name: &str) -> Option<&TopicConfig> {
        topic::set_of(&self.topics, name)
    }

    /// Whether the broker assigns partitions, and evaluates patterns, itself.
    fn broker_assigns(&self) -> bool {
        self.properties.get("group.protocol").is_some_and(|name| name == "consumer")
    }

    fn check_dead_letter_topic(&self) -> Option<String> {
        let name = &self.dead_letter_topic;
        if name.is_empty() {
            return None;
        }
        if !topic::is_name(name) {
            return Some(topic::not_a_name(name));
        }
        let consumed = &self.topic(name)?.name;
        Some(format!(
            "`{name}` is consumed, too (`{consumed}` of kafka.topics): each copy would be quarantined \
             and copied again; name one that is not"
        ))
    }

    fn check_properties(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let modern = self.broker_assigns();
        for (name, value) in &self.properties {
            let mut reserved = RESERVED.iter().chain(&SAID_HERE);
            let reserved = reserved.find(|(reserved, _)| reserved == name);
            let refused = || ClientConfig::new().set(name, value).create_native_config().err();
            let message = match reserved {
                Some((_, instead)) => format!("is reserved; set {instead}"),
                None if modern && CLASSIC.contains(&name.as_str()) => {
                    "has no effect with `group.protocol = consumer`, where the broker says it; \
                     leave it out"
                        .to_owned()
                }
                None => match refused() {
                    Some(error) => refusal(name, &error),
                    None if is_beyond_a_column(name, value) => format!(
                        "is {value}, and must be at most {MOST_RECORD_BYTES}: a record is kept whole \
                         in one column, and its batch beside it"
                    ),
                    None => continue,
                },
            };
            wrong.push((format!("properties.{name}"), message));
        }
        let silent_for = KafkaConfig::default().session_timeout_ms;
        if modern && self.session_timeout_ms != silent_for {
            let message = "has no effect with `group.protocol = consumer`, where the broker's \
                           group.consumer.session.timeout.ms counts; leave it out";
            wrong.push(("session_timeout_ms".to_owned(), message.to_owned()));
        }
        if wrong.is_empty()
            && let Some(message) = self.contradiction(modern)
        {
            wrong.push(("properties".to_owned(), message));
        }
        wrong
    }

    /// What librdkafka has against the properties together. Without brokers the client that is
    /// made for it speaks to nobody.
    fn contradiction(&self, modern: bool) -> Option<String> {
        // Making a client takes a tenth of a second: not for every command over the defaults.
        if self.properties.is_empty()
            && self.session_timeout_ms == KafkaConfig::default().session_timeout_ms
        {
            return None;
        }
        let mut client = ClientConfig::new();
        client.extend(self.properties.clone());
        client.set("group.id", &self.group).set_log_level(RDKafkaLogLevel::Emerg);
        if !modern {
            client.set("session.timeout.ms", self.session_timeout_ms.to_string());
        }
        match client.create::<BaseConsumer>() {
            Err(KafkaError::ClientCreation(why)) => Some(why),
            Err(error) => Some(error.to_string()),
            Ok(_) => None,
        }
    }
}

fn is_beyond_a_column(name: &str, value: &str) -> bool {
    name == "receive.message.max.bytes"
        && value.parse::<u64>().is_ok_and(|bytes| bytes > MOST_RECORD_BYTES)
}

/// librdkafka's own words for a property that it refuses.
fn refusal(name: &str, error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, why, ..) if why.starts_with("No such") => {
            format!("is no property of librdkafka{}", did_you_mean(name, COMMON))
        }
        KafkaError::ClientConfig(_, why, ..) => why.clone(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(properties: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let properties = properties.iter().map(own).collect();
        KafkaConfig { properties, ..KafkaConfig::default() }.check()
    }

    #[test]
    fn a_property_that_librdkafka_would_refuse_or_we_override_is_named_with_the_fix() {
        for (name, value, wanted) in [
            ("secruity.protocol", "plaintext", "did you mean `security.protocol`?"),
            ("colour", "red", "is no property of librdkafka"),
            ("fetch.min.bytes", "many", "Invalid value"),
            ("group.protocol", "modern", "Invalid value"),
            ("client.id", "x", "is reserved"),
            ("fetch.queue.backoff.ms", "1000", "is reserved"),
            ("enable.partition.eof", "true", "is reserved"),
            ("sasl.password", "x", "is reserved; set kafka.security.password"),
            ("session.timeout.ms", "1000", "kafka.session_timeout_ms"),
            ("max.poll.interval.ms", "2000", "max.poll.interval.ms"),
            ("receive.message.max.bytes", "2000000000", "must be at most 1073741824"),
        ] {
            let found = problems(&[(name, value)]);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].1.contains(wanted), "{name}: {found:?}");
            assert!(found[0].0.starts_with("properties"), "{found:?}");
        }
    }

    #[test]
    fn membership_is_the_users_choice_and_what_it_makes_void_is_said() {
        assert_eq!(problems(&[("group.instance.id", "worker-1"), ("client.rack", "a")]), []);
        let modern = ("group.protocol", "consumer");
        assert_eq!(problems(&[modern, ("group.instance.id", "worker-1")]), []);
        let beats = problems(&[modern, ("heartbeat.interval.ms", "500")]);
        assert_eq!(beats.len(), 1, "{beats:?}");
        assert_eq!(problems(&[("heartbeat.interval.ms", "500")]), []);
        let properties = [("group.protocol".to_owned(), "consumer".to_owned())].into();
        let config =
            KafkaConfig { properties, session_timeout_ms: 10_000, ..KafkaConfig::default() };
        let found = config.check();
        assert_eq!(found[0].0, "session_timeout_ms");
        assert!(found[0].1.contains("has no effect"), "{found:?}");
    }
    #[test]
    fn a_dead_letter_topic_is_a_topic_that_nobody_consumes_here() {
        let problem = |dead_letter_topic: &str| {
            let topics = ["audit.okta", "^team[.].*"];
            let topic =
                |name: &str| TopicConfig { name: name.to_owned(), ..TopicConfig::default() };
            let topics = topics.map(topic).to_vec();
            let dead_letter_topic = dead_letter_topic.to_owned();
            let config = KafkaConfig { dead_letter_topic, topics, ..KafkaConfig::default() };
            config.check().pop().map(|(field, message)| {
                assert_eq!(field, "dead_letter_topic");
                message
            })
        };
        assert_eq!(problem(""), None);
        assert_eq!(problem("audit.dead"), None);
        for (name, wanted) in [
            ("audit.okta", "is consumed, too (`audit.okta`"),
            ("team.dead", "is consumed, too (`^team[.].*`"),
            ("^dead", "no topic's name"),
            ("dead letters", "no topic's name"),
        ] {
            let found = problem(name).unwrap_or_default();
            assert!(found.contains(wanted), "{name}: {found}");
        }
    }
}
