//! Apache Kafka for a laptop and for the tests: one node, KRaft, in a child process.
//!
//! In: a folder for its data. Out: a bootstrap address.
//!
//! # Invariants
//! - It listens on 127.0.0.1 alone, on ports chosen anew at every start.
//! - Topics, records and committed offsets are there after a start over the same folder, however
//!   the last one ended, and are never deleted for their age: an audit trail's records are old.
//! - A topic exists because someone created it: a consumer's typo makes none.
//!
//! Deliberately unknown here: which topics, and who consumes them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;
use sha2::{Digest as _, Sha256};

use super::fetch::{self, Cache};
use super::process::{self, Engine};
use crate::gateway::Quiet;

/// A start takes two to three seconds alone on two cores, and its storage may need recovery.
const STARTS_WITHIN: Duration = Duration::from_secs(90);
const FORMATS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(20);
/// 143 is how a JVM ends that has run its shutdown hooks after SIGTERM.
const CLEAN_EXITS: [i32; 2] = [0, 143];
const ADMIN_WITHIN: Duration = Duration::from_secs(20);

/// For a quick start and a small footprint: no second compiler tier, no collector threads.
const JVM: [&str; 7] = [
    "-Xmx512m",
    "-Xms128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
];

/// A running Apache Kafka. Dropping it kills it.
#[derive(Debug)]
pub struct KafkaBroker {
    engine: Engine,
    port: u16,
    guarded_port: u16,
}

/// A second listener, which asks who comes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Guard<'g> {
    /// `SASL_PLAINTEXT`, `SASL_SSL` or `SSL`.
    pub protocol: &'g str,
    /// Further lines of the broker's properties; the listener is called `GUARDED`.
    pub properties: &'g str,
    /// SCRAM credentials, such as `SCRAM-SHA-512=[name=ann,password=secret]`.
    pub scram: &'g [&'g str],
}

impl KafkaBroker {
    /// Starts Kafka over `dir` (made where it is not there) and waits until it answers.
    /// `launcher_exe` is the `trailhouse` binary: this one's path, or the one under test.
    /// Blocks, the first time for as long as fetching takes.
    pub fn start(dir: &Path, launcher_exe: &Path) -> anyhow::Result<Self> {
        Self::start_guarded(dir, launcher_exe, None)
    }

    /// The same, with a second listener that asks who comes.
    pub fn start_guarded(
        dir: &Path,
        launcher_exe: &Path,
        guard: Option<Guard<'_>>,
    ) -> anyhow::Result<Self> {
        let java = fetch::java()?;
        let jars = fetch::kafka_jars(&Cache::of_user()?)?;
        let run = |class: &str, args: &[&str]| {
            let mut line: Vec<OsString> = vec!["exec".into(), java.clone().into()];
            line.extend(JVM.map(OsString::from));
            line.extend(["-cp".into(), jars.join("*").into(), class.into()]);
            line.extend(args.iter().map(OsString::from));
            line
        };
        fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the data folder {}", dir.display()))?;
        let dir = std::path::absolute(dir)?;
        let (port, guarded_port) = (process::free_port()?, process::free_port()?);
        let mut text = properties(port, process::free_port()?);
        if let Some(guard) = guard {
            text = guarded(&text, guarded_port, guard);
        }
        fs::write(dir.join("server.properties"), text)?;

        if !dir.join("data/meta.properties").exists() {
            let id = format!("--cluster-id={}", cluster_id(&dir)?);
            // A format that was cut short is done again, under the same id.
            let mut args =
                vec!["format", &id, "--config", "server.properties", "--ignore-formatted"];
            for credential in guard.iter().flat_map(|guard| guard.scram) {
                args.extend(["--add-scram", *credential]);
            }
            let args = run("kafka.tools.StorageTool", &args);
            Engine::start("kafka-format", &dir, launcher_exe, args)?.finish(FORMATS_WITHIN)?;
        }
        let args = run("kafka.Kafka", &["server.properties"]);
        let mut engine = Engine::start("kafka", &dir, launcher_exe, args)?;
        engine.wait_until(STARTS_WITHIN, || answers(port).then_some(()))?;
        Ok(Self { engine, port, guarded_port })
    }

    /// What clients are given as `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        bootstrap(self.port)
    }

    /// The address of the listener that asks who comes.
    pub fn guarded_bootstrap(&self) -> String {
        bootstrap(self.guarded_port)
    }

    /// The broker's process.
    pub fn pid(&self) -> u32 {
        self.engine.pid()
    }

    /// Ends it cleanly. Blocks for about half a second.
    pub fn stop(self) -> anyhow::Result<()> {
        self.engine.stop(STOPS_WITHIN, &CLEAN_EXITS)
    }
}

/// Creates topics, `(name, partitions)`, with the broker's default replication. Those that exist
/// are left as they are.
pub async fn create_topics(bootstrap: &str, topics: &[(&str, i32)]) -> anyhow::Result<()> {
    create_topics_over(bootstrap, &BTreeMap::new(), topics).await
}

/// The same, with the connection's further properties.
pub async fn create_topics_over(
    bootstrap: &str,
    properties: &BTreeMap<String, String>,
    topics: &[(&str, i32)],
) -> anyhow::Result<()> {
    let mut client = ClientConfig::new();
    client.extend(properties.clone());
    client.set("bootstrap.servers", bootstrap);
    let admin: AdminClient<Quiet> = client.create_with_context(Quiet::default())?;
    let new: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|&(name, partitions)| NewTopic::new(name, partitions, TopicReplication::Fixed(-1)))
        .collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(ADMIN_WITHIN))
        .request_timeout(Some(ADMIN_WITHIN));
    let results = admin
        .create_topics(&new, &options)
        .await
        .with_context(|| format!("cannot create topics at {bootstrap}"))?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => bail!("cannot create the topic {topic} at {bootstrap}: {code}"),
        }
    }
    Ok(())
}

fn bootstrap(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Whether a broker tells its metadata there. A bare connection is tried first: a client that
/// finds nobody logs it.
fn answers(port: u16) -> bool {
    if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        return false;
    }
    let client: Result<BaseConsumer, _> =
        ClientConfig::new().set("bootstrap.servers", bootstrap(port)).create();
    let Ok(client) = client else { return false };
    let metadata = client.fetch_metadata(None, Duration::from_secs(2));
    metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
}

/// The id of the cluster in `dir`, drawn at the first call and kept beside the data.
fn cluster_id(dir: &Path) -> anyhow::Result<String> {
    let file = dir.join("cluster_id");
    if let Ok(id) = fs::read_to_string(&file) {
        return Ok(id.trim().to_owned());
    }
    let seed =
        format!("{:?} {} {}", std::time::SystemTime::now(), std::process::id(), dir.display());
    let mut bytes = Sha256::digest(seed);
    // Base64 that begins with a letter: a dash would read as an option.
    bytes[0] &= 0x7f;
    let id = URL_SAFE_NO_PAD.encode(&bytes[..16]);
    fs::write(&file, &id)?;
    Ok(id)
}

/// The data folder is relative, to the working directory: a properties file is Latin-1 with
/// escapes and commas, and a user's home may be neither. The session timeout is what a start waits
/// after a kill, until the controller takes the broker of before for dead; nine seconds otherwise.
fn properties(port: u16, controller_port: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=data
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=16777216
offsets.retention.minutes=525600
auto.create.topics.enable=false
message.max.bytes=10485760
replica.fetch.max.bytes=10485760
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
"
    )
}

/// The same with one more listener.
fn guarded(properties: &str, port: u16, guard: Guard<'_>) -> String {
    let mut text = String::new();
    for line in properties.lines() {
        text.push_str(line);
        if line.starts_with("listeners=") || line.starts_with("advertised.listeners=") {
            text.push_str(&format!(",GUARDED://127.0.0.1:{port}"));
        } else if line.starts_with("listener.security.protocol.map=") {
            text.push_str(&format!(",GUARDED:{}", guard.protocol));
        }
        text.push('\n');
    }
    text + guard.properties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_id_is_drawn_once_for_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let id = cluster_id(dir.path()).unwrap();
        assert_eq!(cluster_id(dir.path()).unwrap(), id);
        assert_eq!(URL_SAFE_NO_PAD.decode(&id).unwrap().len(), 16);
        assert!(id.starts_with(|first: char| first.is_ascii_alphabetic()), "{id}");
        let other = tempfile::tempdir().unwrap();
        assert_ne!(cluster_id(other.path()).unwrap(), id);
    }

    #[test]
    fn the_advertised_listener_is_the_one_that_listens() {
        let text = properties(1111, 2222);
        let value = |key: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("{key}=")));
            line.unwrap().split_once('=').unwrap().1.to_owned()
        };
        assert!(value("listeners").starts_with(&value("advertised.listeners")));
        assert_eq!(value("controller.quorum.voters"), "1@127.0.0.1:2222");
        assert!(value("listeners").ends_with("CONTROLLER://127.0.0.1:2222"));
    }
}
