//! What must be stored, and what is: the one assertion of all fault tests.
//!
//! In: Kafka's topics as a reader of committed records sees them; ClickHouse's tables. Out: what is
//! lost, what is there twice.
//!
//! # Invariants
//! - Every record is stored, quarantined or skipped, and no position has two rows, in one table or
//!   over both.
//! - Kafka and ClickHouse are asked directly, never the program under test or through the proxy.
//!
//! Deliberately unknown here: which fault it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use trailhouse::audit::{self, Scope};
use trailhouse::source::KafkaConfig;
use trailhouse::source::kafka::log_ends;
use trailhouse::warehouse::Warehouse;

use crate::kafka::Kafka;
use crate::scene::CLUSTER;

/// A topic and a partition.
pub type Lane = (String, i32);

/// Ascending ranges of offsets, both ends included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(pub Vec<(i64, i64)>);

impl Ranges {
    /// Appends an offset above all others.
    pub fn push(&mut self, offset: i64) {
        match self.0.last_mut() {
            Some((_, last)) if *last + 1 == offset => *last = offset,
            _ => self.0.push((offset, offset)),
        }
    }

    /// How many offsets there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(first, last)| (last - first + 1) as u64).sum()
    }

    /// The highest offset.
    pub fn last(&self) -> Option<i64> {
        self.0.last().map(|(_, last)| *last)
    }

    /// What is in this and not in the other.
    pub fn without(&self, other: &Ranges) -> Ranges {
        let mut left = Vec::new();
        let mut others = other.0.iter().peekable();
        for &(mut first, last) in &self.0 {
            while let Some(&&(other_first, other_last)) = others.peek() {
                if other_last < first {
                    others.next();
                } else if other_first > last {
                    break;
                } else {
                    if other_first > first {
                        left.push((first, other_first - 1));
                    }
                    first = other_last + 1;
                    if first > last {
                        break;
                    }
                    others.next();
                }
            }
            if first <= last {
                left.push((first, last));
            }
        }
        Ranges(left)
    }
}

/// Who compares.
pub struct Ledger {
    /// Where records are.
    pub kafka: Kafka,
    /// Where rows are.
    pub warehouse: Warehouse,
    /// The consumers' group.
    pub group: String,
    /// How long to wait for the rows.
    pub patience: Duration,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Records in Kafka.
    pub records: u64,
    /// Those of them with a row in `events`.
    pub stored: u64,
    /// Those with a row in `quarantine`.
    pub quarantined: u64,
    /// Those with neither, which are not skipped: lost, or not stored yet.
    pub missing: BTreeMap<Lane, Ranges>,
    /// Positions with more rows than one.
    pub duplicated: BTreeMap<Lane, Ranges>,
}

/// Islands of consecutive offsets, one text a row.
fn islands(offsets: &str) -> String {
    format!(
        "SELECT concatWithSeparator(' ', t, toString(p), toString(min(o)), toString(max(o))) FROM (
             SELECT t, p, o, o - row_number() OVER (PARTITION BY t, p ORDER BY o) AS island
             FROM (SELECT DISTINCT kafka_topic AS t, kafka_partition AS p, kafka_offset AS o FROM ({offsets}))
         ) GROUP BY t, p, island ORDER BY t, p, min(o)"
    )
}

const EVENTS: &str = "SELECT kafka_topic, kafka_partition, kafka_offset FROM events";
const QUARANTINE: &str = "SELECT kafka_topic, kafka_partition, kafka_offset FROM quarantine";
const SKIPPED: &str =
    "SELECT kafka_topic, kafka_partition, s.2 AS kafka_offset FROM batches ARRAY JOIN skipped AS s";
const TWICE: &str = "SELECT kafka_topic, kafka_partition, kafka_offset FROM (
    SELECT kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index FROM events
    UNION ALL
    SELECT kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index FROM quarantine
) GROUP BY kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, kafka_index
HAVING count() > 1";

impl Ledger {
    /// Waits until all these topics hold now is stored and committed; then nothing may be twice.
    pub async fn settle(&self, topics: &[&str]) -> Account {
        let kafka = self.kafka.clone();
        let names: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let records = tokio::task::spawn_blocking(move || {
            kafka.records(&names.iter().map(String::as_str).collect::<Vec<_>>())
        });
        self.settle_records(&records.await.unwrap()).await
    }

    /// As [`Ledger::settle`], for records that are known.
    pub async fn settle_records(&self, records: &BTreeMap<Lane, Ranges>) -> Account {
        let deadline = Instant::now() + self.patience;
        loop {
            let account = self.account(records).await;
            let lag = self.lag(records);
            assert!(account.duplicated.is_empty(), "{account}");
            if account.missing.is_empty() && lag.is_empty() {
                let topics = records.keys().map(|(topic, _)| topic.clone()).collect();
                self.verify(topics).await;
                return account;
            }
            assert!(Instant::now() < deadline, "{account}\nnot committed: {lag:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// `trailhouse verify` must find nothing wrong, by what `batches` says; also while workers go on.
    pub async fn verify(&self, topics: BTreeSet<String>) {
        let config = KafkaConfig {
            brokers: self.kafka.bootstrap.clone(),
            cluster: CLUSTER.to_owned(),
            ..KafkaConfig::default()
        };
        let ends = tokio::task::spawn_blocking(move || {
            log_ends(&config, &topics.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
        });
        let scope = Scope { digests: true, ..Scope::default() };
        let (ends, progress) = (ends.await.unwrap(), &mut |_, _| {});
        let report = audit::verify(&self.warehouse, ends, scope, progress).await.unwrap();
        assert!(report.good, "{report}");
    }

    /// What there is of these records when nothing is missing, or when patience ends. For those
    /// who expect duplicates.
    pub async fn await_account(&self, records: &BTreeMap<Lane, Ranges>) -> Account {
        let deadline = Instant::now() + self.patience;
        loop {
            let account = self.account(records).await;
            let done = account.missing.is_empty() && self.lag(records).is_empty();
            if done || Instant::now() > deadline {
                return account;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What there is of these records now.
    pub async fn account(&self, records: &BTreeMap<Lane, Ranges>) -> Account {
        let all =
            self.ranges(&format!("{EVENTS} UNION ALL {QUARANTINE} UNION ALL {SKIPPED}")).await;
        let nothing = Ranges::default();
        let of = |found: &BTreeMap<Lane, Ranges>| {
            found.iter().filter(|(lane, _)| records.contains_key(*lane)).map(|(_, r)| r.len()).sum()
        };
        let missing = records.iter().map(|(lane, wanted)| {
            (lane.clone(), wanted.without(all.get(lane).unwrap_or(&nothing)))
        });
        Account {
            records: records.values().map(Ranges::len).sum(),
            stored: of(&self.ranges(EVENTS).await),
            quarantined: of(&self.ranges(QUARANTINE).await),
            missing: missing.filter(|(_, ranges)| ranges.len() > 0).collect(),
            duplicated: self.ranges(TWICE).await,
        }
    }

    /// Lanes whose committed offset is not behind their last record.
    fn lag(&self, records: &BTreeMap<Lane, Ranges>) -> Vec<(Lane, i64)> {
        let wanted: Vec<(&Lane, i64)> =
            records.iter().filter_map(|(lane, ranges)| Some((lane, ranges.last()?))).collect();
        let lanes: Vec<Lane> = wanted.iter().map(|(lane, _)| (*lane).clone()).collect();
        let committed = self.kafka.committed(&self.group, &lanes);
        if committed.is_empty() && !wanted.is_empty() {
            return wanted.into_iter().map(|(lane, _)| (lane.clone(), -1)).collect();
        }
        let behind = wanted.into_iter().zip(committed);
        let behind = behind.filter(|((_, last), (next, _))| next <= last);
        behind.map(|((lane, _), (next, _))| (lane.clone(), next)).collect()
    }

    async fn ranges(&self, offsets: &str) -> BTreeMap<Lane, Ranges> {
        let mut found: BTreeMap<Lane, Ranges> = BTreeMap::new();
        for row in self.warehouse.read(&islands(offsets)).await.unwrap() {
            let words: Vec<&str> = row.split(' ').collect();
            let [topic, partition, first, last] = words[..] else { panic!("{row}") };
            let lane = (topic.to_owned(), partition.parse().unwrap());
            let range = (first.parse().unwrap(), last.parse().unwrap());
            found.entry(lane).or_default().0.push(range);
        }
        found
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |lanes: &BTreeMap<Lane, Ranges>| {
            let mut text = String::new();
            for ((topic, partition), ranges) in lanes {
                let _ = write!(text, "\n    {topic}/{partition}: {:?}", ranges.0);
            }
            text
        };
        let Account { records, stored, quarantined, missing, duplicated } = self;
        let sum = |lanes: &BTreeMap<Lane, Ranges>| lanes.values().map(Ranges::len).sum::<u64>();
        write!(f, "{records} records: {stored} stored, {quarantined} quarantined")?;
        write!(f, "\n  {} missing:{}", sum(missing), show(missing))?;
        write!(f, "\n  {} duplicated:{}", sum(duplicated), show(duplicated))
    }
}

#[test]
fn ranges_differ_by_what_the_other_lacks() {
    let ranges = |pairs: &[(i64, i64)]| Ranges(pairs.to_vec());
    let all = ranges(&[(0, 9), (20, 29)]);
    for (other, left) in [
        (vec![], vec![(0, 9), (20, 29)]),
        (vec![(0, 29)], vec![]),
        (vec![(0, 3), (5, 9), (20, 29)], vec![(4, 4)]),
        (vec![(3, 5), (9, 21)], vec![(0, 2), (6, 8), (22, 29)]),
        (vec![(10, 19), (30, 40)], vec![(0, 9), (20, 29)]),
    ] {
        assert_eq!(all.without(&ranges(&other)), ranges(&left), "{other:?}");
    }
}
