//! ClickHouse goes away while somebody reads, through each API there is.
//!
//! In: a ClickHouse of one's own, a service in this process, HTTP. Out: what was answered.
//!
//! # Invariants
//! - The service is not started again.
//!
//! Deliberately unknown here: what is stored.

use std::net::SocketAddr;

use serde_json::Value;
use trailhouse::app::{Role, Service};
use trailhouse::config::{Config, Loaded};
use trailhouse::demo::ClickHouseServer;

use crate::harness::{self, until};
use crate::scene::{Engines, Scene};

/// Questions, and a member that only this API's errors have.
const QUESTIONS: [(&str, &str); 12] = [
    ("/v1/events", "/type"),
    ("/v1/events/00000000-0000-0000-0000-000000000007", "/type"),
    ("/v1/events/count", "/type"),
    ("/v1/events/histogram", "/type"),
    ("/v1/events/facets?field=action", "/type"),
    ("/v1/events/export", "/type"),
    ("/v1/events/feed", "/type"),
    ("/v1/quarantine", "/type"),
    ("/v1beta1/organizations/acme/auditlogs", "/code"),
    ("/public/v1/audit/records", "/traceId"),
    ("/v1/AuditLogs", "/statusCode"),
    ("/api/v2/audit", "/http_status"),
];

/// An answer, read to its end.
pub struct Answered {
    pub status: u16,
    /// `Retry-After`, where it is there.
    pub retry_after: Option<String>,
    pub text: String,
}

impl Answered {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// Ask; Cockpit's callers name the tenant they mean.
pub async fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Answered {
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header("content-type", "application/json")
        .header("x-tenant", "acme")
        .body(body.to_owned())
        .unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = config.allow_non_standard_methods(true).build().into();
        let mut answer = agent.run(request).unwrap();
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
        let text = answer.body_mut().read_to_string().unwrap();
        Answered { status: answer.status().as_u16(), retry_after, text }
    });
    answer.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_clickhouse_every_question_is_a_503_and_with_it_again_an_answer() {
    let data = tempfile::tempdir().unwrap();
    let start = || ClickHouseServer::start(data.path(), harness::exe()).unwrap();
    let mut server = start();
    let engines = Engines { clickhouse: server.url(), ..Engines::shared() };
    let mut scene = Scene::without_topic("reading", engines).await;
    // Of an organisation without any event an auditor is told that it is not there.
    let event = "INSERT INTO events (id, tenant, action, occurred_at, received_at) \
                 SELECT generateUUIDv4(), 'acme', 'seen', now64(6) - 60, now64(6)";
    scene.sql(event).await;
    let catalog = Config::load(None).unwrap().catalog;
    let loaded = Loaded { config: scene.config.clone(), catalog };
    let service = Service::start(&loaded, Role::Api).await.unwrap();
    let ask = async |path: &str| ask(service.address, "GET", path, "").await;
    for _ in 0..2 {
        assert_eq!(ask("/readyz").await.status, 200);
        for (path, _) in QUESTIONS {
            let answer = ask(path).await;
            let is_there = !path.contains("00000007");
            let expected = if is_there { 200 } else { 404 };
            assert_eq!(answer.status, expected, "{path}: {}", answer.text);
        }
        drop(server);
        for (path, member) in QUESTIONS {
            let answer = ask(path).await;
            assert_eq!(answer.status, 503, "{path}: {}", answer.text);
            assert!(answer.retry_after.is_some(), "{path}");
            assert!(answer.json().pointer(member).is_some(), "{path}: {}", answer.text);
        }
        assert_eq!(ask("/livez").await.status, 200);
        let ready = ask("/readyz").await;
        assert_eq!(ready.status, 503);
        let failing = ready.json()["failing"].take();
        let parts: Vec<&Value> =
            failing.as_array().unwrap().iter().map(|part| &part["part"]).collect();
        assert_eq!(parts, ["store"], "{}", ready.text);
        server = start();
        scene.clickhouse_is_at(&server.url());
        until(async || ask("/readyz").await.status == 200).await;
    }
    service.stop().await.unwrap();
}
