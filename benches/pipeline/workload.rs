//! A topic full of events.
//!
//! In: a schema, a number of partitions and of records. Out: the topic, and how many rows it makes.
//!
//! # Invariants
//! - The same numbers make the same topic, but for the records' timestamps.
//!
//! Deliberately unknown here: who reads it.

use trailhouse::app::produce::outgoing;
use trailhouse::demo::create_topics;
use trailhouse::demo::generate::generate;
use trailhouse::gateway::Sender;

/// The schemas of [`MIXED`], in turn.
const FIVE: [&str; 5] = ["pace", "frontier", "softwareone", "cockpit", "bloodhound"];
/// All five in one topic.
pub const MIXED: &str = "mixed";
/// What the Kafka engine's view knows.
pub const IN_SQL: [&str; 6] = [MIXED, "pace", "frontier", "softwareone", "cockpit", "bloodhound"];
const AT: i64 = 1_750_000_000_123_456;

/// A topic.
pub struct Workload {
    pub schema: String,
    pub topic: String,
    pub partitions: i32,
    pub records: u64,
}

impl Workload {
    pub fn new(schema: &str, partitions: i32, records: u64) -> Workload {
        let topic = format!("bench.{schema}.{partitions}");
        Workload { schema: schema.to_owned(), topic, partitions, records }
    }

    /// The mapping the topic is named for; empty where records say it by their shape.
    pub fn named_schema(&self) -> &str {
        if self.schema == MIXED { "" } else { &self.schema }
    }

    fn schema_of(&self, number: u64) -> &str {
        match self.schema.as_str() {
            MIXED => FIVE[(number % FIVE.len() as u64) as usize],
            schema => schema,
        }
    }

    /// Rows that the records make: the generator says of each eighth of Frontier's that it carries
    /// two events.
    pub fn rows(&self) -> u64 {
        self.rows_of(self.records)
    }

    /// Rows that the first records make.
    pub fn rows_of(&self, records: u64) -> u64 {
        let carries_two = |n: &u64| self.schema_of(*n) == "frontier" && n % 8 == 7;
        records + (0..records).filter(carries_two).count() as u64
    }

    /// Put the records into the topic, a millisecond apart.
    pub async fn fill(&self, bootstrap: &str) {
        eprintln!("filling {} with {} records", self.topic, self.records);
        create_topics(bootstrap, &[(&self.topic, self.partitions)]).await.unwrap();
        let mut sender = Sender::new(bootstrap).unwrap();
        self.send(&mut sender, &mut 0, self.records).await;
        assert_eq!(sender.close().await.unwrap(), self.records);
    }

    /// Send further records until so many were sent.
    pub async fn send(&self, sender: &mut Sender, sent: &mut u64, until: u64) {
        while *sent < until {
            let made = generate(self.schema_of(*sent), *sent, AT + *sent as i64 * 1_000);
            sender.send(&self.topic, &outgoing(made.unwrap())).await.unwrap();
            *sent += 1;
        }
    }
}
