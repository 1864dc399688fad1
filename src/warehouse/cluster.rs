//! Several ClickHouse servers as one warehouse: which log lives on which of them.
//!
//! In: `cluster` and `shards` of a [`ClickHouseConfig`]. Out: for each log the shard it is written to
//! and read back from, and every server there is, for migrations.
//!
//! A cluster has two databases on every server. `DATABASE` holds the tables, each shard its own logs;
//! `DATABASE_all` has a Distributed table of the same name over each, and nothing else. So a question
//! is the same SQL over one server and over many, and what concerns one log goes to its shard alone.
//!
//! # Invariants
//! - All of a log is on one shard: events, quarantine, batches, gaps, plans and resolutions. Only there
//!   can ClickHouse swallow a repeat, and is read-back complete.
//! - A log's shard follows from its cluster, topic and partition, and from how many shards there are,
//!   in their order; not from the topic's incarnation.
//! - API keys belong to no log: they live on the first shard.
//!
//! Deliberately unknown here: statements, which server of a shard answers.

use std::sync::Arc;

use clickhouse::Client;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::config::not_an_address;
use super::{ClickHouseConfig, ConnectError, Warehouse};
use crate::event::LogId;

/// One `[[clickhouse.shards]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShardConfig {
    /// HTTP interface of each of its servers; several only where the tables are replicated. The first
    /// is written to.
    pub urls: Vec<String>,
}

/// Which shard a server is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shard {
    /// Its place in `clickhouse.shards`, from 1.
    pub(super) number: u32,
    /// How many there are.
    pub(super) shards: u32,
}

/// The servers of a cluster.
pub(super) struct Cluster {
    /// As ClickHouse's `remote_servers` has it.
    pub(super) name: String,
    /// One for each shard, in their order.
    shards: Vec<Warehouse>,
    /// Every server of every shard.
    servers: Vec<Warehouse>,
}

/// The database of the Distributed tables over those of another.
pub(super) fn whole(database: &str) -> String {
    format!("{database}_all")
}

/// A number that a log keeps for ever; modulo the number of shards it is the log's shard. Partitions
/// of one topic are neighbours, so that they are spread evenly, from a shard that the topic decides.
pub(super) fn slot(log: &LogId) -> u64 {
    let digest = Sha256::digest(format!("{}\0{}", log.cluster, log.topic));
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    // Half of its range, so that adding the partition cannot wrap and change the remainder.
    (u64::from_be_bytes(first) >> 1) + u64::from(log.partition.unsigned_abs())
}

/// A client whose questions mean over all shards what they mean over one table.
pub(super) fn over_all_shards(client: Client) -> Client {
    client
        // What a subquery finds counts wherever it is, not on the asking row's shard alone.
        .with_setting("distributed_product_mode", "global")
        // An answer that lacks a shard would pass for the whole.
        .with_setting("skip_unavailable_shards", "0")
}

impl Cluster {
    /// The cluster of a configuration, if it has one. Nothing is sent.
    pub(super) fn connect(config: &ClickHouseConfig) -> Result<Option<Arc<Cluster>>, ConnectError> {
        if config.cluster.is_empty() {
            return Ok(None);
        }
        let name = config.cluster.clone();
        let mut cluster = Cluster { name, shards: Vec::new(), servers: Vec::new() };
        let shards = config.shards.len() as u32;
        for (number, shard) in (1..).zip(&config.shards) {
            for (at, url) in shard.urls.iter().enumerate() {
                let one = ClickHouseConfig {
                    url: url.clone(),
                    fallback_urls: Vec::new(),
                    cluster: String::new(),
                    shards: Vec::new(),
                    ..config.clone()
                };
                let server = Warehouse {
                    shard: Some(Shard { number, shards }),
                    is_replicated: config.replicated,
                    ..Warehouse::connect(&one)?
                };
                if at == 0 {
                    cluster.shards.push(server.clone());
                }
                cluster.servers.push(server);
            }
        }
        Ok(Some(Arc::new(cluster)))
    }

    /// Whom an error may be of: whose address reads go to, or one of the shards.
    pub(super) fn addresses(&self, url: &str) -> String {
        let shards: Vec<&str> = self.shards.iter().map(|shard| &*shard.url).collect();
        format!("{url}, or one of its shards {}", shards.join(", "))
    }
}

impl Warehouse {
    /// Where each part of what is stored is: the shards of a cluster, else this one alone. What is
    /// said to all tables there are, as a deletion is, is said to each.
    pub fn shards(&self) -> &[Warehouse] {
        match &self.cluster {
            Some(cluster) if !cluster.shards.is_empty() => &cluster.shards,
            _ => std::slice::from_ref(self),
        }
    }

    /// Every server that has tables: replicas each for itself.
    pub fn servers(&self) -> &[Warehouse] {
        match &self.cluster {
            Some(cluster) if !cluster.servers.is_empty() => &cluster.servers,
            _ => std::slice::from_ref(self),
        }
    }

    /// Where this server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same, with the shard it is of.
    pub fn place(&self) -> String {
        match self.shard {
            Some(Shard { number, .. }) => format!("shard {number}, {}", self.url),
            None => self.url.to_string(),
        }
    }

    /// The shard a log lives on.
    pub fn shard_of(&self, log: &LogId) -> &Warehouse {
        self.at(slot(log))
    }

    /// Where logs of a slot live.
    pub(super) fn at(&self, slot: u64) -> &Warehouse {
        let shards = self.shards();
        &shards[(slot % shards.len() as u64) as usize]
    }

    /// Where that lives which belongs to no log.
    pub(super) fn first_shard(&self) -> &Warehouse {
        self.at(0)
    }
}

/// What is wrong with the settings of a cluster, as (field, sentence).
pub(super) fn check(config: &ClickHouseConfig) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let mut say = |field: &str, message: String| wrong.push((field.to_owned(), message));
    let ClickHouseConfig { cluster, replicated, shards, .. } = config;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !cluster.chars().all(is_plain) {
        say("cluster", format!("`{cluster}` has more than letters, digits, `_`, `-` and `.`"));
    }
    match (cluster.is_empty(), shards.is_empty()) {
        (false, true) => {
            say("cluster", "has no shards; list them as [[clickhouse.shards]]".to_owned());
        }
        (true, false) => {
            let fix = "name it in clickhouse.cluster, as ClickHouse's remote_servers does";
            say("shards", format!("are shards of no cluster; {fix}"));
        }
        _ => {}
    }
    if *replicated && cluster.is_empty() {
        let fix = "name clickhouse.cluster, and list its one shard";
        say("replicated", format!("is for a cluster; {fix}"));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (at, shard) in shards.iter().enumerate() {
        let field = format!("shards.{at}.urls");
        if shard.urls.is_empty() {
            say(&field, "is empty; list the HTTP interfaces of its servers".to_owned());
        }
        if shard.urls.len() > 1 && !replicated {
            let fix = "set clickhouse.replicated = true";
            say(&field, format!("several servers of one shard must replicate its tables; {fix}"));
        }
        for url in &shard.urls {
            if let Some(message) = not_an_address(url) {
                say(&field, message);
            }
            if seen.contains(&url.as_str()) {
                say(&field, format!("{url} stands here twice; a server is of one shard"));
            }
            seen.push(url);
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn log(topic: &str, partition: i32) -> LogId {
        LogId { cluster: "main".into(), topic: topic.into(), incarnation: "i".into(), partition }
    }

    fn config(shards: &[&[&str]]) -> ClickHouseConfig {
        let shard = |urls: &&[&str]| ShardConfig {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        };
        ClickHouseConfig {
            cluster: "main".into(),
            shards: shards.iter().map(shard).collect(),
            ..ClickHouseConfig::default()
        }
    }

    #[test]
    fn a_logs_shard_never_changes() {
        // Written down: whoever changes this moves every log there is.
        assert_eq!(slot(&log("audit.cockpit", 0)), 8_027_515_814_477_422_305);
        let again = LogId { incarnation: "another".into(), ..log("audit.cockpit", 0) };
        assert_eq!(slot(&again), slot(&log("audit.cockpit", 0)));
    }

    #[test]
    fn partitions_of_a_topic_are_spread_evenly_and_topics_begin_anywhere() {
        let mut first: HashMap<u64, u32> = HashMap::new();
        for topic in 0..300 {
            let topic = format!("topic-{topic}");
            let mut held = [0; 3];
            for partition in 0..12 {
                held[(slot(&log(&topic, partition)) % 3) as usize] += 1;
            }
            assert_eq!(held, [4, 4, 4], "{topic}");
            *first.entry(slot(&log(&topic, 0)) % 3).or_default() += 1;
        }
        assert!(first.values().all(|topics| *topics > 60), "{first:?}");
    }

    #[test]
    fn without_a_cluster_everything_lives_in_one_place() {
        let warehouse = Warehouse::connect(&ClickHouseConfig::default()).unwrap();
        assert_eq!((warehouse.shards().len(), warehouse.servers().len()), (1, 1));
        assert!(warehouse.shard_of(&log("t", 7)).shard.is_none());
    }

    #[test]
    fn every_server_is_migrated_and_one_of_each_shard_written_to() {
        let two = config(&[&["http://a:1", "http://b:1"], &["http://c:1"]]);
        let warehouse = Warehouse::connect(&two).unwrap();
        let urls = |of: &[Warehouse]| of.iter().map(|one| one.url.to_string()).collect::<Vec<_>>();
        assert_eq!(urls(warehouse.servers()), ["http://a:1", "http://b:1", "http://c:1"]);
        assert_eq!(urls(warehouse.shards()), ["http://a:1", "http://c:1"]);
        let home = warehouse.shard_of(&log("t", 0));
        let next = warehouse.shard_of(&log("t", 1));
        assert_ne!(home.url, next.url);
        assert_eq!(warehouse.first_shard().shard, Some(Shard { number: 1, shards: 2 }));
    }

    #[test]
    fn every_problem_of_a_cluster_is_named() {
        assert_eq!(check(&config(&[&["http://a:1"], &["http://b:1"]])), []);
        let lonely = ClickHouseConfig { cluster: "main".into(), ..ClickHouseConfig::default() };
        let nameless = ClickHouseConfig { cluster: String::new(), ..config(&[&["http://a:1"]]) };
        let replicated = ClickHouseConfig { replicated: true, ..ClickHouseConfig::default() };
        let odd = ClickHouseConfig { cluster: "ma'in".into(), ..config(&[&["http://a:1"]]) };
        for (config, field, words) in [
            (lonely, "cluster", "has no shards"),
            (nameless, "shards", "of no cluster"),
            (replicated, "replicated", "is for a cluster"),
            (odd, "cluster", "more than letters"),
            (config(&[&[]]), "shards.0.urls", "is empty"),
            (config(&[&["http://a:1", "http://b:1"]]), "shards.0.urls", "replicated = true"),
            (config(&[&["http://a:1"], &["a:1"]]), "shards.1.urls", "no http address"),
            (config(&[&["http://a:1"], &["http://a:1"]]), "shards.1.urls", "twice"),
        ] {
            let found = check(&config);
            let is_named =
                |(at, message): &(String, String)| at == field && message.contains(words);
            assert!(found.len() == 1 && is_named(&found[0]), "{words}: {found:?}");
        }
    }
}
