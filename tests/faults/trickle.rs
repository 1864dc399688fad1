//! A load that does not stop while something is done to those who bear it.
//!
//! In: a topic, a rate. Out: records, of two months, one in fifty of them no event.
//!
//! # Invariants
//! - What was produced is acknowledged when it has ended.
//!
//! Deliberately unknown here: who consumes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::producer::Producer as _;

use crate::harness::DEADLINE;
use crate::kafka::{Kafka, Record, send};
use crate::scene::event;

/// Records at a rate, until it is ended.
pub struct Trickle {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Trickle {
    /// Begins with a record number 0.
    pub fn begin(kafka: &Kafka, topic: &str, partitions: i32, rate: u64) -> Trickle {
        const BURST_EVERY: Duration = Duration::from_millis(100);
        let ended = Arc::new(AtomicBool::new(false));
        let (own, kafka, topic) = (Arc::clone(&ended), kafka.clone(), topic.to_owned());
        let thread = thread::spawn(move || {
            let producer = kafka.producer(None);
            let mut numbers = 0..;
            while !own.load(Ordering::Relaxed) {
                let burst = numbers.by_ref().take((rate / 10).max(1) as usize);
                let record = |n: u64| {
                    let month = if n.is_multiple_of(7) { "02" } else { "01" };
                    let payload = match n % 50 {
                        13 => format!("no event {n}").into_bytes(),
                        _ => event(n, &format!("2026-{month}-15T00:00:00Z")),
                    };
                    Record {
                        partition: (n % partitions as u64) as i32,
                        payload,
                        ..Record::default()
                    }
                };
                send(&producer, &topic, burst.map(record));
                thread::sleep(BURST_EVERY);
            }
            producer.flush(DEADLINE).unwrap();
        });
        Trickle { ended, thread }
    }

    /// Ends it; all it produced is acknowledged.
    pub fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}
