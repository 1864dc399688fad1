//! What we may write, by the brokers' word.
//!
//! In: a user who may read a topic, and then write it. Out: what is found.
//!
//! # Invariants
//! - Rights are given as an operator gives them: by ACLs, to a broker that runs.
//!
//! Deliberately unknown here: whether a record would be taken.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use trailhouse::demo::create_topics;

use super::{broker, failures, now, one, sasl, whole};
use crate::harness::until;

const TOPIC: &str = "audit.rights";

/// Numbers of Kafka's protocol.
const OF_TOPIC: u8 = 2;
const OF_GROUP: u8 = 3;
const READ: u8 = 3;
const WRITE: u8 = 4;
const LITERAL: u8 = 3;
const ALLOW: u8 = 3;

/// Allow `stranger` something: CreateAcls, version 1, which no safe client speaks
/// (<https://kafka.apache.org/protocol#The_Messages_CreateAcls>).
fn allow(resource: u8, name: &str, operation: u8) {
    let text = |text: &str| [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat();
    let request = [
        &[0, 30, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 1, resource][..],
        &text(name),
        &[LITERAL],
        &text("User:stranger"),
        &text("*"),
        &[operation, ALLOW],
    ]
    .concat();
    let mut broker = TcpStream::connect(broker().bootstrap()).unwrap();
    broker.write_all(&(request.len() as u32).to_be_bytes()).unwrap();
    broker.write_all(&request).unwrap();
    // Length, correlation, throttling, how many results; the error of the first.
    let mut answer = [0; 18];
    broker.read_exact(&mut answer).unwrap();
    assert_eq!(answer[16..], [0, 0], "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_ours_to_read_and_not_to_write_is_named_with_the_right_that_is_missing() {
    let mut loaded = whole().await;
    create_topics(&broker().bootstrap(), &[(TOPIC, 1)]).await.unwrap();
    let kafka = &mut loaded.config.kafka;
    kafka.security = sasl("PLAIN", "stranger", "right");
    kafka.topics[0].name = TOPIC.to_owned();
    loaded.config.api.compat.pace.topic = TOPIC.to_owned();
    allow(OF_TOPIC, TOPIC, READ);
    allow(OF_GROUP, &loaded.config.kafka.group, READ);
    // A broker learns of its rights a moment later.
    until(async || failures(&loaded, now).await.len() == 1).await;
    let give = "--allow-principal User:stranger --operation Write --topic audit.rights";
    one(&loaded, &["audit.rights to write", "not to write", give, "api.compat.pace.topic"]).await;
    allow(OF_TOPIC, TOPIC, WRITE);
    until(async || failures(&loaded, now).await.is_empty()).await;
}
