//! Which broker it shall be: Apache Kafka, the in-process one, or one that runs already.
//!
//! In: `--kafka`. Out: a broker and its bootstrap address.
//!
//! # Invariants
//! - Who falls back says so, on stderr, and why.
//!
//! Deliberately unknown here: how either broker works.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::ensure;

use super::fetch::{self, Cache};
use super::in_process::{InProcessBroker, KEPT_BYTES};
use super::kafka::{self, KafkaBroker};
use super::process;
use crate::app::output::tell;

/// Which broker is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BrokerMode {
    /// Apache Kafka where it can be had, else the in-process broker.
    #[default]
    Auto,
    /// Apache Kafka, or an error.
    Apache,
    /// librdkafka's mock cluster.
    InProcess,
    /// One that runs already: `HOST:PORT`, several separated by commas.
    External(String),
}

impl FromStr for BrokerMode {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            "auto" => Self::Auto,
            "apache" => Self::Apache,
            "in-process" => Self::InProcess,
            _ => {
                ensure!(
                    text.split(',').all(is_address),
                    "`{text}` is no broker: give auto, apache, in-process or HOST:PORT"
                );
                Self::External(text.to_owned())
            }
        })
    }
}

impl fmt::Display for BrokerMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Apache => "apache",
            Self::InProcess => "in-process",
            Self::External(address) => address,
        })
    }
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    // A colon in a host is an IPv6 address, and that is written in brackets.
    let bare = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    let spaced = host.contains(char::is_whitespace);
    !host.is_empty() && bare && !spaced && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// A broker to produce to and consume from. Dropping it ends what was started.
#[derive(Debug)]
pub enum Broker {
    /// Apache Kafka, in a child process.
    Apache(KafkaBroker),
    /// librdkafka's mock cluster, in this process.
    InProcess(InProcessBroker),
    /// One that was running: its address.
    External(String),
}

impl Broker {
    /// Starts the broker that is asked for; Apache Kafka keeps its data in `dir`. Blocks.
    pub fn choose(mode: &BrokerMode, dir: &Path, launcher_exe: &Path) -> anyhow::Result<Self> {
        Ok(match mode {
            BrokerMode::Auto => match apache_can_be_had() {
                Ok(()) => Self::Apache(KafkaBroker::start(dir, launcher_exe)?),
                Err(reason) => {
                    process::still_wanted()?;
                    tell(format_args!(
                        "no Apache Kafka here ({reason:#}); using an in-process broker"
                    ));
                    in_process()?
                }
            },
            BrokerMode::Apache => Self::Apache(KafkaBroker::start(dir, launcher_exe)?),
            BrokerMode::InProcess => in_process()?,
            BrokerMode::External(address) => Self::External(address.clone()),
        })
    }

    /// What clients are given as `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        match self {
            Self::Apache(broker) => broker.bootstrap(),
            Self::InProcess(broker) => broker.bootstrap(),
            Self::External(address) => address.clone(),
        }
    }

    /// The process that was started, if one was.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Apache(broker) => Some(broker.pid()),
            Self::InProcess(_) | Self::External(_) => None,
        }
    }

    /// Creates topics, `(name, partitions)`. Those that exist are left as they are.
    pub async fn create_topics(&self, topics: &[(&str, i32)]) -> anyhow::Result<()> {
        match self {
            Self::InProcess(broker) => broker.create_topics(topics),
            Self::Apache(_) | Self::External(_) => {
                kafka::create_topics(&self.bootstrap(), topics).await
            }
        }
    }

    /// Ends what was started, cleanly. Blocks.
    pub fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Apache(broker) => broker.stop(),
            Self::InProcess(_) | Self::External(_) => Ok(()),
        }
    }
}

/// Java, Maven and the jars; that Kafka then does not start is an error, not a reason to fall back.
fn apache_can_be_had() -> anyhow::Result<()> {
    fetch::java()?;
    fetch::kafka_jars(&Cache::of_user()?)?;
    Ok(())
}

fn in_process() -> anyhow::Result<Broker> {
    let kept = KEPT_BYTES >> 20;
    tell(format_args!("the in-process broker is in memory, and keeps only {kept} MiB a partition"));
    Ok(Broker::InProcess(InProcessBroker::start()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_as_it_is_written() {
        for text in [
            "auto",
            "apache",
            "in-process",
            "localhost:9092",
            "[::1]:9092",
            "a:9092,b.example:9093",
        ] {
            assert_eq!(text.parse::<BrokerMode>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_neither_a_word_nor_an_address_is_refused_with_the_choices() {
        for text in
            ["", "kafka", "host", "host:", ":9092", "host:99999", "host:0", "::1:9092", "a:1,"]
        {
            let error = text.parse::<BrokerMode>().unwrap_err().to_string();
            assert!(error.contains("in-process or HOST:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn an_external_broker_is_taken_as_it_is_given_and_nothing_is_started() {
        let mode = BrokerMode::External("broker.example:9092".into());
        let broker = Broker::choose(&mode, Path::new("/nowhere"), Path::new("/nothing")).unwrap();
        assert_eq!((broker.bootstrap().as_str(), broker.pid()), ("broker.example:9092", None));
        broker.stop().unwrap();
    }
}
