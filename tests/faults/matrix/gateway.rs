//! Kafka goes away while somebody writes through a contract.
//!
//! In: a real broker, a service in this process, HTTP. Out: what was answered, and what is stored.
//!
//! # Invariants
//! - What was acknowledged is stored once; of one request all logs are visible or none.
//!
//! Deliberately unknown here: how the gateway waits.

use std::time::Duration;

use serde_json::{Value, json};
use trailhouse::app::{Role, Service};
use trailhouse::demo::{KafkaBroker, create_topics};
use trailhouse::source::TopicConfig;

use crate::forward::Forward;
use crate::harness::{self, get, unique, until};
use crate::scene::port;

/// What a caller of a write endpoint is promised.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

const LOGS: &str = "/v1beta1/organizations/acme/auditlogs";

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_a_write_is_refused_in_time_and_with_it_again_it_works_without_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let start = || KafkaBroker::start(data.path(), harness::exe()).unwrap();
    let (mut broker, forward) = (start(), Forward::default());
    let mut loaded = harness::loaded(&[]).await;
    let topic = unique("audit.frontier");
    create_topics(&broker.bootstrap(), &[(&topic, 2)]).await.unwrap();
    loaded.config.kafka.brokers = broker.bootstrap();
    loaded.config.kafka.topic_ids = true;
    loaded.config.kafka.topics = vec![TopicConfig {
        name: topic.clone(),
        schema: "frontier".into(),
        ..TopicConfig::default()
    }];
    loaded.config.api.compat.frontier.topic = topic;
    let service = Service::start(&loaded, Role::All).await.unwrap();

    assert_eq!(write(&service, "before").await, (200, json!({})));
    for round in 0..2 {
        let old = port(&broker.bootstrap());
        drop(broker);
        let refused = tokio::time::timeout(ANSWERED_WITHIN, write(&service, "meanwhile")).await;
        let (status, body) = refused.unwrap();
        assert_eq!((status, &body["code"]), (503, &json!(14)), "{round}: {body}");
        broker = start();
        forward.moved(old, port(&broker.bootstrap()));
        until(async || write(&service, "after").await.0 == 200).await;
    }
    // Each that was acknowledged comes whole: two logs of one request.
    until(async || {
        let logs = listed(&service).await;
        let of = |name: &str| logs.iter().filter(|log| log["action"] == name).count();
        of("before.done") == 2 && of("after.done") >= 4 && logs.len() % 2 == 0
    })
    .await;
    service.stop().await.unwrap();
}

async fn listed(service: &Service) -> Vec<Value> {
    let (status, body) = get(service, LOGS).await;
    assert_eq!(status, 200, "{body}");
    body["logs"].as_array().unwrap().clone()
}

/// Write two logs in one request.
async fn write(service: &Service, name: &str) -> (u16, Value) {
    let log = |id: u32| json!({ "source": "test", "action": format!("{name}.done"), "context": { "n": id.to_string() } });
    let body = json!({ "logs": [log(1), log(2)] }).to_string();
    let url = format!("http://{}{LOGS}", service.address);
    let answer = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.post(&url).send(body).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(text.into()))
    });
    answer.await.unwrap()
}
