//! The broker's side: records onto given partitions, and what an operator does to topics and groups.
//!
//! In: a bootstrap address. Out: what Kafka holds, by its own word.
//!
//! # Invariants
//! - What is produced is acknowledged before a call returns.
//!
//! Deliberately unknown here: Trailhouse.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::harness::DEADLINE;
use crate::ledger::{Lane, Ranges};

const REQUEST: Duration = Duration::from_secs(20);

/// A record for [`Kafka::produce`].
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its key.
    pub key: Option<String>,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Its timestamp in milliseconds; now without one.
    pub timestamp_ms: Option<i64>,
}

/// A record as it stands in a topic.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its payload.
    pub payload: Option<Vec<u8>>,
}

impl Message {
    fn of(message: &BorrowedMessage<'_>) -> Message {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let owned = |header: Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
        };
        Message {
            key: message.key().map(<[u8]>::to_vec),
            headers: headers.map(owned).collect(),
            payload: message.payload().map(<[u8]>::to_vec),
        }
    }

    /// The last header of ours of this name; empty without one.
    pub fn header(&self, name: &str) -> &str {
        let name = format!("trailhouse.{name}");
        let found = self.headers.iter().rfind(|(other, _)| *other == name);
        found.map_or("", |(_, value)| str::from_utf8(value).unwrap())
    }
}

/// A cluster.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// What clients are given.
    pub bootstrap: String,
}

impl Kafka {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set_log_level(RDKafkaLogLevel::Critical);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    /// A producer; with an id, a transactional one.
    pub fn producer(&self, transactional_id: Option<&str>) -> ThreadedProducer<Quiet> {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("message.max.bytes", "10485760")
            .set("message.timeout.ms", "60000");
        if let Some(id) = transactional_id {
            config.set("transactional.id", id);
        }
        config.create_with_context(Quiet).unwrap()
    }

    /// Puts records onto a topic. Blocks.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = Record>) {
        let producer = self.producer(None);
        send(&producer, topic, records);
        producer.flush(DEADLINE).unwrap();
    }

    /// Makes a topic with these settings.
    pub async fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let made = self.admin().create_topics(&[new], &options()).await.unwrap();
        made.into_iter().for_each(|result| _ = result.unwrap());
    }

    /// Deletes a topic, and waits until it can be made again.
    pub async fn delete(&self, topic: &str) {
        let done = self.admin().delete_topics(&[topic], &options()).await.unwrap();
        done.into_iter().for_each(|result| _ = result.unwrap());
        let consumer: BaseConsumer = self.client().create().unwrap();
        let deadline = Instant::now() + DEADLINE;
        while consumer
            .fetch_metadata(None, REQUEST)
            .is_ok_and(|all| all.topics().iter().any(|found| found.name() == topic))
        {
            assert!(Instant::now() < deadline, "{topic} is still there");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Changes a setting of a topic.
    pub async fn set(&self, topic: &str, name: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
        let done = self.admin().alter_configs([&change], &options()).await.unwrap();
        done.into_iter().for_each(|result| _ = result.unwrap());
    }

    /// Gives a topic more partitions.
    pub async fn grow(&self, topic: &str, partitions: usize) {
        let new = NewPartitions::new(topic, partitions);
        let done = self.admin().create_partitions([&new], &options()).await.unwrap();
        done.into_iter().for_each(|result| _ = result.unwrap());
    }

    /// Deletes a partition's records before an offset, as retention does.
    pub async fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
        let done = self.admin().delete_records(&list, &options()).await.unwrap();
        done.elements().iter().for_each(|element| element.error().unwrap());
    }

    /// Forgets a group with its offsets, as a week without it does. It must have no members.
    pub async fn forget(&self, group: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let done = self.admin().delete_groups(&[group], &options()).await.unwrap();
            match done.into_iter().next().unwrap() {
                Ok(_) => return,
                Err((_, code)) => assert!(Instant::now() < deadline, "{group}: {code}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sets a group's offsets, as an operator does who rewinds it. It must have no members.
    pub fn rewind(&self, group: &str, topic: &str, partitions: i32, offset: i64) {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        }
        let deadline = Instant::now() + DEADLINE;
        while let Err(error) = consumer.commit(&list, CommitMode::Sync) {
            assert!(Instant::now() < deadline, "{group}: {error}");
        }
    }

    /// A group's committed offsets, with their metadata.
    pub fn committed(&self, group: &str, lanes: &[(String, i32)]) -> Vec<(i64, String)> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        for (topic, partition) in lanes {
            list.add_partition(topic, *partition);
        }
        let Ok(found) = consumer.committed_offsets(list, REQUEST) else { return Vec::new() };
        let of = |(topic, partition): &(String, i32)| {
            let element = found.find_partition(topic, *partition).unwrap();
            let offset = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => -1,
            };
            (offset, element.metadata().to_owned())
        };
        lanes.iter().map(of).collect()
    }

    /// The offsets that hold a record, as a reader of committed records sees them. Blocks.
    pub fn records(&self, topics: &[&str]) -> BTreeMap<Lane, Ranges> {
        let mut found = BTreeMap::new();
        let lanes = self.read(topics, |lane, message| {
            let ranges: &mut Ranges = found.entry(lane).or_default();
            ranges.push(message.offset());
        });
        for lane in lanes {
            found.entry(lane).or_default();
        }
        found
    }

    /// The records of a topic. Blocks.
    pub fn messages(&self, topic: &str) -> Vec<Message> {
        let mut found = Vec::new();
        self.read(&[topic], |_, message| found.push(Message::of(message)));
        found
    }

    /// Reads topics from their beginning to their end; their partitions.
    fn read(&self, topics: &[&str], mut each: impl FnMut(Lane, &BorrowedMessage<'_>)) -> Vec<Lane> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "ledger")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .create()
            .unwrap();
        let (mut list, mut lanes) = (TopicPartitionList::new(), Vec::new());
        for topic in topics {
            let metadata = consumer.fetch_metadata(Some(topic), REQUEST).unwrap();
            for partition in metadata.topics()[0].partitions() {
                list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
                lanes.push(((*topic).to_owned(), partition.id()));
            }
        }
        consumer.assign(&list).unwrap();
        let (mut deadline, mut open) = (Instant::now() + DEADLINE, lanes.len());
        while open > 0 {
            assert!(Instant::now() < deadline, "{topics:?}: nothing more comes in {DEADLINE:?}");
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => eprintln!("the ledger's reader: {error}"),
                Some(Ok(message)) => {
                    deadline = Instant::now() + DEADLINE;
                    each((message.topic().to_owned(), message.partition()), &message);
                }
            }
        }
        lanes
    }
}

/// A producer whose records must all arrive.
pub struct Quiet;

impl rdkafka::ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
}

impl rdkafka::producer::ProducerContext for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &rdkafka::message::DeliveryResult<'_>, (): ()) {
        // An aborted transaction purges what it had not sent yet.
        if let Err((error, _)) = result {
            eprintln!("a record was not taken: {error}");
        }
    }
}

/// Gives records to a producer; while its queue is full, for the broker is away, waits.
pub fn send(
    producer: &ThreadedProducer<Quiet>,
    topic: &str,
    records: impl IntoIterator<Item = Record>,
) {
    for record in records {
        let tenant = Header { key: "tenant", value: Some("acme") };
        let mut outgoing = BaseRecord::<str, [u8]>::to(topic)
            .partition(record.partition)
            .payload(&record.payload)
            .headers(OwnedHeaders::new().insert(tenant));
        if let Some(key) = &record.key {
            outgoing = outgoing.key(key);
        }
        if let Some(at) = record.timestamp_ms {
            outgoing = outgoing.timestamp(at);
        }
        let deadline = Instant::now() + DEADLINE;
        while let Err((error, back)) = producer.send(outgoing) {
            let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            assert!(is_full && Instant::now() < deadline, "{error}");
            thread::sleep(Duration::from_millis(10));
            outgoing = back;
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(REQUEST)).request_timeout(Some(REQUEST))
}
