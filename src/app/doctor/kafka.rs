//! What of Kafka stands in the way: brokers, credentials, topics, rights, clocks.
//!
//! In: the `[kafka]` settings, topics that are written to, our clock. Out: findings.
//!
//! # Invariants
//! - Reading is tried by reading, a record of each topic; the group by asking for its offsets; writing
//!   is not tried: the brokers are asked whether it is allowed.
//!
//! Deliberately unknown here: librdkafka.

use super::Finding;
use super::written::Written;
use crate::event::Micros;
use crate::source::kafka::{Probe, Readable, Trouble, Writable, topics};
use crate::source::{KafkaConfig, TopicConfig};

/// Topics that a pattern may find before we stop reading each.
const MOST_OF_A_PATTERN: usize = 100;

/// Try it all. Blocks.
pub(super) fn examine(config: &KafkaConfig, written: &[Written], now: Micros) -> Vec<Finding> {
    let brokers = format!("kafka {}", config.brokers);
    let probe = match Probe::new(config) {
        Ok(probe) => probe,
        Err(error) => return vec![Finding::new(brokers, Err(error.to_string()))],
    };
    let mut findings = Vec::new();
    match probe.cluster() {
        Err(trouble) => {
            let fix = mend_connection(config, &trouble);
            return vec![Finding::new(brokers, Err(format!("{trouble}; {fix}")))];
        }
        Ok(cluster) => {
            let who = match config.security.mechanism.as_str() {
                "" => config.security.protocol.clone(),
                mechanism => format!("{}, {mechanism}", config.security.protocol),
            };
            let found = format!("{} broker(s) of cluster {} ({who})", cluster.brokers, cluster.id);
            findings.push(Finding::new(brokers, Ok(found)));
        }
    }
    if config.topics.is_empty() {
        let none = "none is listed: only `serve --role api` can run".to_owned();
        findings.push(Finding::new("kafka.topics", Ok(none)));
    }
    let names = match names(config) {
        Ok(names) => names,
        Err(error) => {
            findings.push(Finding::new("kafka.topics", Err(error)));
            return findings;
        }
    };
    let mut ahead: Option<(Micros, &str)> = None;
    let mut unreadable: Vec<&str> = Vec::new();
    for name in &names {
        let read = probe.read(name);
        if read.is_err() {
            unreadable.push(name);
        }
        if let Ok(Readable { newest_ms: Some(newest), .. }) = read {
            ahead = ahead.max(Some((newest * 1_000, name)));
        }
        findings.push(of_topic(config, name, read));
    }
    if let Some(topic) = names.first() {
        findings.push(of_group(config, probe.group(topic)));
    }
    for one in written.iter().filter(|one| !unreadable.contains(&one.topic.as_str())) {
        findings.push(of_written(config, one, probe.write(&one.topic)));
    }
    if let Some((newest, topic)) = ahead {
        findings.push(of_clock(newest, now, topic));
    }
    findings
}

/// The topics to read: those that are named, and those that patterns find.
fn names(config: &KafkaConfig) -> Result<Vec<String>, String> {
    if config.topics.iter().all(|topic| !topic.is_pattern()) {
        return Ok(config.topics.iter().map(|topic| topic.name.clone()).collect());
    }
    let mut names = topics(config).map_err(|error| error.to_string())?;
    for pattern in config.topics.iter().filter(|topic| topic.is_pattern()) {
        let is_its = |name: &&String| config.topic(name).is_some_and(|one| one == pattern);
        if !names.iter().any(|name| is_its(&name)) {
            return Err(format!(
                "`{}` finds no topic that is there and for us to see; create one, or give `{}` \
                 DESCRIBE and READ",
                pattern.name,
                user(config)
            ));
        }
    }
    let is_named = |name: &str| config.topics.iter().any(|topic: &TopicConfig| topic.name == name);
    names.sort_by_key(|name| !is_named(name));
    let named = names.iter().filter(|name| is_named(name)).count();
    names.truncate(named + MOST_OF_A_PATTERN);
    Ok(names)
}

fn mend_connection(config: &KafkaConfig, trouble: &Trouble) -> String {
    match trouble {
        Trouble::Denied(_) if config.security.mechanism == "OAUTHBEARER" => {
            "set kafka.security.token_url, client_id and client_secret to what the identity \
             provider has, and have the brokers believe it"
                .to_owned()
        }
        Trouble::Denied(_) => format!(
            "set kafka.security.username, password (or password_file) and mechanism to what the \
             brokers have of `{}`",
            config.security.username
        ),
        Trouble::Tls(_) => "set kafka.security.ca_file to the authority of the brokers' \
                            certificates, and kafka.brokers to the names these are for"
            .to_owned(),
        _ => {
            "start it, open the way to it, or name another in kafka.brokers; where the port wants \
              TLS or SASL, set kafka.security.protocol"
                .to_owned()
        }
    }
}

fn of_topic(config: &KafkaConfig, name: &str, read: Result<Readable, Trouble>) -> Finding {
    let brokers = &config.brokers;
    let found = match read {
        Ok(Readable { partitions, records, .. }) => {
            Ok(format!("{partitions} partition(s), {records} offsets, readable"))
        }
        Err(Trouble::Missing) => Err(format!(
            "there is no such topic; create it, such as with `kafka-topics.sh --bootstrap-server \
             {brokers} --create --topic {name}`, or mend its name in [[kafka.topics]]"
        )),
        Err(trouble @ Trouble::Forbidden(_)) => Err(format!(
            "{trouble}; give it, such as with `kafka-acls.sh --bootstrap-server {brokers} --add \
             --allow-principal User:{} --operation Read --topic {name}`",
            user(config)
        )),
        Err(trouble) => Err(format!("{trouble}; look at the broker that leads its partitions")),
    };
    Finding::new(format!("topic {name}"), found)
}

fn of_group(config: &KafkaConfig, asked: Result<(), Trouble>) -> Finding {
    let (brokers, group) = (&config.brokers, &config.group);
    let found = match asked {
        Ok(()) => Ok("its offsets are ours to see".to_owned()),
        // librdkafka asks again and again for the coordinator of a group that is not for us.
        Err(trouble @ (Trouble::Forbidden(_) | Trouble::Unreachable(_))) => Err(format!(
            "its coordinator gives us no answer ({trouble}); where it is up, the group is not for \
             us: give it, such as with `kafka-acls.sh --bootstrap-server {brokers} --add \
             --allow-principal User:{} --operation Read --group {group}`",
            user(config)
        )),
        Err(trouble) => Err(format!("{trouble}; look at the group's coordinator")),
    };
    Finding::new(format!("group {group}"), found)
}

fn of_written(config: &KafkaConfig, one: &Written, asked: Result<Writable, Trouble>) -> Finding {
    let (brokers, Written { topic, setting }) = (&config.brokers, one);
    let give = |rights: &str| {
        format!(
            "give it, such as with `kafka-acls.sh --bootstrap-server {brokers} --add \
             --allow-principal User:{} {rights} --topic {topic}` ({setting})",
            user(config)
        )
    };
    let found = match asked {
        Ok(Writable { partitions, is_ours: Ok(true) }) => {
            Ok(format!("{partitions} partition(s), ours to write ({setting})"))
        }
        Ok(Writable { is_ours: Ok(false), .. }) => {
            Err(format!("it is ours to see, and not to write; {}", give("--operation Write")))
        }
        Ok(Writable { partitions, is_ours: Err(why) }) => Ok(format!(
            "{partitions} partition(s) ({setting}); whether it is ours to write is not known: {why}"
        )),
        Err(Trouble::Missing) => Err(format!(
            "there is no such topic; create it, such as with `kafka-topics.sh --bootstrap-server \
             {brokers} --create --topic {topic}`, or mend {setting}"
        )),
        Err(trouble @ Trouble::Forbidden(_)) => {
            Err(format!("{trouble}; {}", give("--operation Describe --operation Write")))
        }
        Err(trouble) => Err(format!("{trouble} ({setting}); look at the broker that leads it")),
    };
    Finding::new(format!("topic {topic} to write"), found)
}

/// Producers, or the brokers, give records their time: one of the future is a wrong clock.
fn of_clock(newest: Micros, now: Micros, topic: &str) -> Finding {
    let found = match super::clocks(newest, now) {
        Err(told) if newest > now => Err(format!("the newest record of {topic} is {told}")),
        _ => Ok("no record is of the future".to_owned()),
    };
    Finding::new("clock of Kafka's records", found)
}

fn user(config: &KafkaConfig) -> &str {
    match (config.security.username.as_str(), config.security.client_id.as_str()) {
        ("", "") => "ANONYMOUS",
        ("", client) => client,
        (user, _) => user,
    }
}
