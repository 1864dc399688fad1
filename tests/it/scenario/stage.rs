//! Where scenarios are played: one service over a real ClickHouse and a broker, one that may be asked
//! once a second, and one whose store is down.
//!
//! In: records, requests. Out: answers.
//!
//! # Invariants
//! - Records go onto the topic of their schema, and through the real normaliser into the store.
//! - A record is stored before the request that follows it.
//!
//! Deliberately unknown here: what an answer should be.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use trailhouse::app::{Role, Service};
use trailhouse::config::{Loaded, TenantConfig};
use trailhouse::gateway::Outgoing;

use super::credential::{self, SigningKey};
use super::file::{EventSaid, Words};
use crate::harness::{loaded, produce, serve, unique, until, until_stored};

/// Schemas whose records scenarios send.
const SCHEMAS: [&str; 6] =
    ["pace", "frontier", "softwareone", "cockpit", "bloodhound", "okta_system"];

/// The services.
pub struct Stage {
    loaded: Loaded,
    service: Service,
    /// Over the same store; each caller may ask it once a second.
    strict: Service,
    /// Topic by schema.
    topics: BTreeMap<&'static str, String>,
    down: SocketAddr,
    waiting: JoinHandle<()>,
    _keys: TempDir,
}

/// An answer, read to its end.
pub struct Answered {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub text: String,
}

impl Answered {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

impl Stage {
    /// Start the services.
    pub async fn start() -> Stage {
        Stage::behind("").await
    }

    /// The same, with BloodHound behind a prefix.
    pub async fn behind(prefix: &str) -> Stage {
        let topics: BTreeMap<_, _> = SCHEMAS
            .into_iter()
            .map(|schema| (schema, unique(&format!("audit.{schema}"))))
            .collect();
        let pairs: Vec<(&str, &str)> =
            topics.iter().map(|(schema, topic)| (topic.as_str(), *schema)).collect();
        let mut loaded = loaded(&pairs).await;
        let keys = tempfile::tempdir().unwrap();
        credential::required(&mut loaded.config, keys.path());
        let aliases = ["aliased-slug", "11111111-0000-4000-8000-000000000001"];
        let aliases = aliases.map(str::to_owned).into();
        loaded.config.tenant.push(TenantConfig { id: "aliased.example".into(), aliases });
        let compat = &mut loaded.config.api.compat;
        for (name, contract) in [
            ("pace", &mut compat.pace),
            ("frontier", &mut compat.frontier),
            ("softwareone", &mut compat.softwareone),
        ] {
            contract.topic = topics[name].clone();
        }
        loaded.config.api.compat.bloodhound.prefix = prefix.to_owned();
        let service = serve(&loaded).await;
        let strict = start_strict(&loaded).await;
        let (down, waiting) = start_without_store(&loaded).await;
        Stage { loaded, service, strict, topics, down, waiting, _keys: keys }
    }

    /// End them.
    pub async fn stop(self) {
        self.waiting.abort();
        self.strict.stop().await.unwrap();
        self.service.stop().await.unwrap();
    }

    /// A key that signs for a tenant.
    pub async fn signing_key(&self, tenant: &str) -> SigningKey {
        SigningKey::make(&self.loaded, tenant).await
    }

    /// Ask the service.
    pub async fn ask(
        &self,
        request: &str,
        headers: Vec<(String, String)>,
        body: String,
    ) -> Answered {
        ask(self.service.address, request, headers, body).await
    }

    /// Ask the one that may be asked once a second.
    pub async fn ask_once_a_second(
        &self,
        request: &str,
        headers: Vec<(String, String)>,
        body: String,
    ) -> Answered {
        ask(self.strict.address, request, headers, body).await
    }

    /// Ask the one whose store is down.
    pub async fn ask_without_store(
        &self,
        request: &str,
        headers: Vec<(String, String)>,
        body: String,
    ) -> Answered {
        ask(self.down, request, headers, body).await
    }

    /// Store some records.
    pub async fn store(&self, events: impl Iterator<Item = (&EventSaid, &Words)>) {
        let mut by_topic: BTreeMap<&str, Vec<Outgoing>> = BTreeMap::new();
        for (event, words) in events {
            let topic = self.topics.get(&*event.schema);
            let topic = topic.unwrap_or_else(|| panic!("no topic for {}", event.schema));
            by_topic.entry(topic).or_default().extend(records(event, words));
        }
        if by_topic.is_empty() {
            return;
        }
        for (topic, records) in by_topic {
            produce(topic, records).await;
        }
        self.stored().await;
    }

    /// Store payloads of one schema.
    pub async fn send(&self, schema: &str, tenant: &str, payloads: impl Iterator<Item = String>) {
        produce(&self.topics[schema], payloads.map(|payload| record(tenant, payload))).await;
        self.stored().await;
    }

    async fn stored(&self) {
        let tally = until_stored(&self.loaded).await;
        assert_eq!(tally.quarantined, 0, "a record of a scenario is quarantined");
    }
}

fn records(event: &EventSaid, words: &Words) -> Vec<Outgoing> {
    let mut made = Vec::new();
    for n in 1..=event.count {
        let mut words = words.clone();
        words.named.insert("n".into(), n.to_string());
        let record = record(&words.fill(&event.tenant), words.fill(event.body.trim()));
        made.extend(std::iter::repeat_n(record, event.times as usize));
    }
    made
}

fn record(tenant: &str, payload: String) -> Outgoing {
    let headers = vec![("tenant".to_owned(), tenant.to_owned())];
    Outgoing { key: String::new(), headers, payload: payload.into_bytes() }
}

/// A service with the smallest quota.
async fn start_strict(loaded: &Loaded) -> Service {
    let mut loaded = loaded.clone();
    loaded.config.api.limits.requests_per_second = 1;
    loaded.config.api.limits.burst_requests = 1;
    Service::start(&loaded, Role::Api).await.unwrap()
}

/// A service that waits for its ClickHouse, and answers meanwhile.
async fn start_without_store(loaded: &Loaded) -> (SocketAddr, JoinHandle<()>) {
    let mut loaded = loaded.clone();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    loaded.config.api.listen = address.to_string();
    // Port 1 refuses.
    loaded.config.clickhouse.url = "http://127.0.0.1:1".to_owned();
    let waiting = tokio::spawn(async move {
        let started = Service::start(&loaded, Role::Api).await;
        panic!("it started: {:?}", started.err());
    });
    until(async || TcpStream::connect(address).is_ok()).await;
    (address, waiting)
}

async fn ask(
    address: SocketAddr,
    request: &str,
    headers: Vec<(String, String)>,
    body: String,
) -> Answered {
    let (method, path) = request.split_once(' ').unwrap();
    let mut builder =
        ureq::http::Request::builder().method(method).uri(format!("http://{address}{path}"));
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    let request = builder.body(body).unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder();
        let agent: ureq::Agent =
            config.http_status_as_error(false).allow_non_standard_methods(true).build().into();
        let mut answer = agent.run(request).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let value = |value: &ureq::http::HeaderValue| value.to_str().unwrap().to_owned();
        let headers = answer.headers().iter().map(|(name, v)| (name.to_string(), value(v)));
        Answered { status: answer.status().as_u16(), headers: headers.collect(), text }
    });
    answer.await.unwrap()
}
