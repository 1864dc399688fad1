//! Reading while events are being stored: a walk by cursor, and a tail that loses its connection.
//!
//! In: a store that grows. Out: nothing missed, nothing twice; at full size with `--ignored`.
//!
//! # Invariants
//! - What was stored before a walk began comes once; what comes later, once or not at all.
//! - A tail's client keeps the last id it read whole, and nothing else, as a browser does.
//!
//! Deliberately unknown here: how fast it should be.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use trailhouse::demo::generate::generate;
use trailhouse::gateway::{Outgoing, Sender};
use trailhouse::query::{EventReader, Query, Selection, Start, TenantScope, Window};
use trailhouse::warehouse::Warehouse;

use crate::harness::{self, in_kafka, loaded, produce, serve, unique};

/// 2026-01-01, in microseconds.
const AT: i64 = 1_767_225_600_000_000;
const QUARTER: i64 = 90 * 86_400_000_000;

/// Events from a number on, each at its own moment of a quarter, in no order.
async fn add(warehouse: &Warehouse, first: u64, count: u64) {
    let insert = format!(
        "INSERT INTO events (id, tenant, occurred_at, source_id)
         SELECT reinterpretAsUUID(sipHash128(number)), 'acme',
                fromUnixTimestamp64Micro({AT} + toInt64(sipHash64(number) % {QUARTER}), 'UTC'),
                toString(number) FROM numbers({first}, {count})"
    );
    warehouse.run(&insert).await.unwrap();
}

async fn walks(stored: u64, limit: u32) {
    let warehouse = tokio::task::spawn_blocking(harness::clickhouse).await.unwrap();
    add(&warehouse, 0, stored).await;
    let is_over = AtomicBool::new(false);
    let write = async {
        let (mut next, mut ticks) = (stored, tokio::time::interval(Duration::from_millis(100)));
        while !is_over.load(Ordering::Relaxed) {
            ticks.tick().await;
            add(&warehouse, next, 200).await;
            next += 200;
        }
        next
    };
    let walk = async {
        let tenants = TenantScope::Only(vec!["acme".into()]);
        let window = Window { from: AT, to: AT + QUARTER };
        let mut query = Query::new(Selection::new(tenants, window), limit);
        let mut told: HashMap<u64, u64> = HashMap::new();
        loop {
            let page = warehouse.page(&query).await.unwrap();
            for event in &page.events {
                *told.entry(event.source_id.parse().unwrap()).or_default() += event.repeats;
            }
            let Some(place) = page.next else { break };
            query.start = Start::After(place);
        }
        is_over.store(true, Ordering::Relaxed);
        told
    };
    let (told, next) = tokio::join!(walk, write);
    let missed = (0..stored).filter(|number| !told.contains_key(number)).count();
    let twice = told.values().filter(|times| **times > 1).count();
    println!("{stored} before, {} while walking, {} told", next - stored, told.len());
    assert!(next > stored, "nothing was stored meanwhile");
    assert_eq!((missed, twice), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_tells_once_what_was_stored_before_it_began() {
    walks(5_000, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: a million events"]
async fn a_walk_over_a_million_events_tells_each_once() {
    walks(1_000_000, 1_000).await;
}

/// Follow a tail until so many events have come, over so many connections; where each stands.
fn follow(
    address: SocketAddr,
    wanted: usize,
    connections: usize,
    began: &mpsc::Sender<()>,
    deadline: Instant,
) -> Vec<(i64, i64, i64)> {
    let agent = ureq::Agent::new_with_defaults();
    let (mut told, mut last_id) = (Vec::new(), String::new());
    for connection in 1..=connections {
        let enough = wanted * connection / connections;
        let request = agent.get(format!("http://{address}/v1/events/tail"));
        let answer = request.header("Last-Event-ID", &last_id).call().unwrap();
        let (mut id, mut data) = (String::new(), String::new());
        for line in BufReader::new(answer.into_body().into_reader()).lines() {
            let line = line.unwrap();
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.to_owned();
            } else if let Some(text) = line.strip_prefix("data: ") {
                data.push_str(text);
            } else {
                assert_eq!(line, "");
                last_id.clone_from(&id);
                let _ = began.send(());
                if !data.is_empty() {
                    let event: Value = serde_json::from_str(&std::mem::take(&mut data)).unwrap();
                    let kafka = |name: &str| event["kafka"][name].as_i64().unwrap();
                    told.push((kafka("partition"), kafka("offset"), kafka("index")));
                }
                // Whatever is still on its way is lost with the connection.
                assert!(Instant::now() < deadline, "{} of {wanted} were told", told.len());
                if told.len() >= enough {
                    break;
                }
            }
        }
    }
    told
}

async fn tails(chunks: u64, chunk: u64, every: Duration, reconnects: usize) {
    let topic = unique("tailed");
    let loaded = loaded(&[(&topic, "cockpit")]).await;
    let records = |from: u64| -> Vec<Outgoing> {
        // Each at its own moment, as events are that come one after the other.
        let at = |n: u64| AT + n as i64 * 200;
        let made = (from..from + chunk).map(|n| generate("cockpit", n, at(n)).unwrap());
        made.map(trailhouse::app::produce::outgoing).collect()
    };
    // What was there before a tail began is none of its business.
    produce(&topic, records(0)).await;
    let service = serve(&loaded).await;
    harness::until_stored(&loaded).await;
    let (address, wanted) = (service.address, (chunks * chunk) as usize);
    let (began, begun) = mpsc::channel();
    let deadline = Instant::now() + every * chunks as u32 + harness::DEADLINE;
    let client = tokio::task::spawn_blocking(move || {
        follow(address, wanted, reconnects + 1, &began, deadline)
    });
    tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
    let mut ticks = tokio::time::interval(every);
    // One for all: to connect anew for each chunk would take longer than there is.
    let mut sender = Sender::new(&loaded.config.kafka.brokers).unwrap();
    for number in 1..=chunks {
        ticks.tick().await;
        for record in records(number * chunk) {
            sender.send(&topic, &record).await.unwrap();
        }
    }
    assert_eq!(sender.close().await.unwrap(), chunks * chunk);
    assert_eq!(in_kafka(&loaded).await, (chunks + 1) * chunk);
    let mut told = client.await.unwrap();
    let all = told.len();
    told.sort_unstable();
    told.dedup();
    assert_eq!((all, told.len()), (wanted, wanted), "told, and told once");
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_loses_its_connection_misses_nothing_and_repeats_nothing() {
    tails(20, 100, Duration::from_millis(50), 10).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: 5,000 events a second"]
async fn a_tail_at_five_thousand_events_a_second_misses_nothing_over_twenty_connections() {
    tails(300, 1_000, Duration::from_millis(200), 20).await;
}
