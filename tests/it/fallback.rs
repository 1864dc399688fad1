//! ClickHouse behind several addresses, and behind an encrypted one.
//!
//! In: two engines whose tables hold different rows, so that an answer says who gave it; a door that
//! encrypts. Out: who answers what while the first is away.
//!
//! # Invariants
//! - The first engine ends for good, as a host that burns does.
//!
//! Deliberately unknown here: replication, which would make the rows the same.

use serde_json::Value;
use tempfile::TempDir;
use trailhouse::app::{Role, Service};
use trailhouse::config::{Config, Loaded};
use trailhouse::demo::{ClickHouseServer, USER};
use trailhouse::warehouse::{ClickHouseConfig, Warehouse, migrate};

use crate::guard::{certificates, encrypting_door};
use crate::harness::{clickhouse_config, clickhouse_server, exe, get, until};

/// An engine that holds one event, named after it.
struct Host {
    server: ClickHouseServer,
    _dir: TempDir,
}

impl Host {
    async fn start(name: &str) -> Host {
        let dir = tempfile::tempdir().unwrap();
        let server = ClickHouseServer::start(dir.path(), exe()).unwrap();
        let host = Host { server, _dir: dir };
        let warehouse = Warehouse::connect(&host.config()).unwrap();
        migrate::up(&warehouse, false).await.unwrap();
        let row = format!(
            "INSERT INTO events (id, tenant, occurred_at, action, actor_id, raw) \
             SELECT generateUUIDv4(), 'acme', now64(6), '{name}', 'u', '{{}}'"
        );
        warehouse.run(&row).await.unwrap();
        host
    }

    fn config(&self) -> ClickHouseConfig {
        ClickHouseConfig {
            url: self.server.url(),
            user: USER.to_owned(),
            ..ClickHouseConfig::default()
        }
    }
}

/// Who answers a question; none where it fails.
async fn who(service: &Service) -> Option<String> {
    let (status, answer) = get(service, "/v1/events?tenant=acme&from=-1h").await;
    let action = answer.pointer("/events/0/action").and_then(Value::as_str);
    action.filter(|_| status == 200).map(str::to_owned)
}

async fn serve(loaded: &Loaded) -> Service {
    Service::start(loaded, Role::Api).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_go_to_a_replica_while_the_first_host_is_away_and_nothing_else_does() {
    let (first, second) = (Host::start("first").await, Host::start("second").await);
    let mut loaded = Config::load(None).unwrap();
    loaded.config.clickhouse = first.config();
    loaded.config.clickhouse.fallback_urls = vec![second.server.url()];
    loaded.config.api.listen = "127.0.0.1:0".to_owned();
    let service = serve(&loaded).await;
    assert_eq!(who(&service).await.as_deref(), Some("first"));
    let (status, feed) = get(&service, "/v1/events/feed?tenant=acme").await;
    assert_eq!(status, 200, "{feed}");
    let writes = Warehouse::connect(&loaded.config.clickhouse).unwrap();

    drop(first);
    until(async || who(&service).await.as_deref() == Some("second")).await;
    assert_eq!(get(&service, "/readyz").await.0, 200);
    // Beside each other: an API that starts now, what must leave nothing out, and what is written.
    let late = serve(&loaded).await;
    assert_eq!(who(&late).await.as_deref(), Some("second"));
    let (status, feed) = get(&service, "/v1/events/feed?tenant=acme").await;
    assert_eq!(status, 503, "{feed}");
    assert!(writes.run("INSERT INTO events (id) VALUES (generateUUIDv4())").await.is_err());
    let there = Warehouse::connect(&second.config()).unwrap();
    let rows = there.read("SELECT toString(count()) FROM events").await.unwrap();
    assert_eq!(rows, ["1"], "nothing was written to the second");
    late.stop().await.unwrap();
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_host_is_trusted_by_its_authority_alone() {
    let dir = tempfile::tempdir().unwrap();
    let made = certificates(dir.path());
    let address = clickhouse_server().url();
    let door = encrypting_door(&made, address.trim_start_matches("http://").to_owned());
    let config = ClickHouseConfig {
        url: format!("https://{door}"),
        ca_file: Some(made.authority.clone()),
        ..clickhouse_config()
    };
    let warehouse = Warehouse::connect(&config).unwrap();
    assert!(warehouse.facts().await.unwrap().version.starts_with("2"));
    migrate::up(&warehouse, false).await.unwrap();

    let stranger = ClickHouseConfig { ca_file: None, ..config.clone() };
    let told = Warehouse::connect(&stranger).unwrap().facts().await.unwrap_err().to_string();
    assert!(told.contains(&config.url) && told.contains("certificate"), "{told}");
    let missing = ClickHouseConfig { ca_file: Some(dir.path().join("none.pem")), ..config };
    let told = Warehouse::connect(&missing).err().unwrap().to_string();
    assert!(told.contains("clickhouse.ca_file") && told.contains("none.pem"), "{told}");
}
