//! Kafka goes away while somebody writes, by each way of writing there is.
//!
//! In: a real broker, a service in this process, HTTP. Out: what was answered, and what is stored.
//!
//! # Invariants
//! - What was acknowledged is stored; of one request all events are, or none.
//!
//! Deliberately unknown here: how the gateway waits.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use trailhouse::app::{Role, Service};
use trailhouse::demo::{KafkaBroker, create_topics};
use trailhouse::source::TopicConfig;

use super::reading::{Answered, ask};
use crate::forward::Forward;
use crate::harness::{self, get, unique, until};
use crate::scene::port;

/// What a caller of a write endpoint is promised.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// A way of writing.
#[derive(Debug, Clone, Copy)]
struct Way {
    name: &'static str,
    schema: &'static str,
    path: &'static str,
    /// The body, where `ACTION` stands for what is done.
    body: &'static str,
    /// Events of one request.
    events: u64,
    accepted: u16,
    /// A place of the error body, and what is there while Kafka is away.
    refused: (&'static str, &'static str),
}

const WAYS: [Way; 4] = [
    Way {
        name: "frontier",
        schema: "frontier",
        path: "/v1beta1/organizations/acme/auditlogs",
        body: r#"{"logs":[{"source":"test","action":"ACTION","context":{"n":"1"}},
                          {"source":"test","action":"ACTION","context":{"n":"2"}}]}"#,
        events: 2,
        accepted: 200,
        refused: ("/code", "14"),
    },
    Way {
        name: "pace",
        schema: "pace",
        path: "/user/2024-2/auditlogs/record",
        body: r#"{"service":"pay","actionName":"ACTION"}"#,
        events: 1,
        accepted: 204,
        refused: ("/errors/0/status", "\"503\""),
    },
    Way {
        name: "softwareone",
        schema: "softwareone",
        path: "/public/v1/audit/records",
        body: r#"{"event":"ACTION","object":{"id":"ORD-1"}}"#,
        events: 1,
        accepted: 201,
        refused: ("/status", "503"),
    },
    Way {
        name: "native",
        schema: "pace",
        path: "/v1/events?schema=pace&tenant=acme",
        body: r#"[{"service":"pay","actionName":"ACTION"},{"service":"bill","actionName":"ACTION"}]"#,
        events: 2,
        accepted: 202,
        refused: ("/status", "503"),
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_a_write_is_refused_in_time_and_with_it_again_it_works_without_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let start = || KafkaBroker::start(data.path(), harness::exe()).unwrap();
    let (mut broker, forward) = (start(), Forward::default());
    let service = service(&broker).await;

    let mut receipt = Value::Null;
    for way in WAYS {
        let answer = write(service.address, way, "before").await;
        assert_eq!(answer.status, way.accepted, "{way:?}: {}", answer.text);
        receipt = answer.json().pointer("/receipts/0").cloned().unwrap_or_default();
    }
    let receipt = format!(
        "/v1/receipts/{}/{}/{}",
        receipt["topic"].as_str().unwrap(),
        receipt["partition"],
        receipt["offset"]
    );
    until(async || get(&service, &receipt).await.1["state"] == "stored").await;
    for _ in 0..2 {
        let old = port(&broker.bootstrap());
        drop(broker);
        let mut writes = JoinSet::new();
        for way in WAYS {
            let write = write(service.address, way, "meanwhile");
            writes.spawn(async move { (way, tokio::time::timeout(ANSWERED_WITHIN, write).await) });
        }
        for (way, answer) in writes.join_all().await {
            is_refused(way, &answer.unwrap_or_else(|_| panic!("{way:?}: too late")));
        }
        let unknown = ask(service.address, "GET", &receipt, "").await;
        assert_eq!(unknown.status, 503, "where the log ends is Kafka's to say: {}", unknown.text);
        assert!(unknown.retry_after.is_some());
        broker = start();
        forward.moved(old, port(&broker.bootstrap()));
        for way in WAYS {
            let works = async || write(service.address, way, "after").await.status == way.accepted;
            until(works).await;
        }
    }
    for way in WAYS {
        until(async || {
            let before = stored(&service, way, "before").await;
            let after = stored(&service, way, "after").await;
            before == way.events && after >= 2 * way.events
        })
        .await;
        for name in ["meanwhile", "after"] {
            let stored = stored(&service, way, name).await;
            assert_eq!(stored % way.events, 0, "{way:?}: a request of {name} is there in part");
        }
    }
    service.stop().await.unwrap();
}

async fn service(broker: &KafkaBroker) -> Service {
    let mut loaded = harness::loaded(&[]).await;
    let topics = ["frontier", "pace", "softwareone"].map(|schema| TopicConfig {
        name: unique(&format!("audit.{schema}")),
        schema: schema.into(),
        tenant: "acme".into(),
        ..TopicConfig::default()
    });
    let wanted = topics.each_ref().map(|topic| (topic.name.as_str(), 2));
    create_topics(&broker.bootstrap(), &wanted).await.unwrap();
    loaded.config.kafka.brokers = broker.bootstrap();
    loaded.config.kafka.topic_ids = true;
    let compat = &mut loaded.config.api.compat;
    for (contract, topic) in
        [&mut compat.frontier, &mut compat.pace, &mut compat.softwareone].into_iter().zip(&topics)
    {
        contract.topic.clone_from(&topic.name);
    }
    loaded.config.kafka.topics = topics.into();
    Service::start(&loaded, Role::All).await.unwrap()
}

fn is_refused(way: Way, answer: &Answered) {
    assert_eq!(answer.status, 503, "{way:?}: {}", answer.text);
    let (place, value) = way.refused;
    let found = answer.json().pointer(place).map(Value::to_string);
    assert_eq!(found.as_deref(), Some(value), "{way:?}: {}", answer.text);
    assert!(answer.retry_after.is_some(), "{way:?}");
}

async fn write(address: SocketAddr, way: Way, name: &str) -> Answered {
    let body = way.body.replace("ACTION", &action(way, name));
    ask(address, "POST", way.path, &body).await
}

fn action(way: Way, name: &str) -> String {
    format!("{}.{name}", way.name)
}

/// How many events are stored of what was done.
async fn stored(service: &Service, way: Way, name: &str) -> u64 {
    let path = format!("/v1/events/count?schema={}&action={}", way.schema, action(way, name));
    let (status, body) = get(service, &path).await;
    assert_eq!(status, 200, "{body}");
    body["count"].as_u64().unwrap()
}
