//! Who may ask, of the whole program: keys made by its commands, what an answer may cost.
//!
//! In: the program, a settings file, a real ClickHouse. Out: statuses.
//!
//! # Invariants
//! - Nothing here needs Kafka, but the log of those who read.
//!
//! Deliberately unknown here: every way in which a credential does not hold; the crate's own tests
//! go through those, and through every route.

mod connection;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Output};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use tempfile::TempDir;
use trailhouse::api::AuditConfig;
use trailhouse::app::{Role, Service};
use trailhouse::config::Config;
use trailhouse::warehouse::{ClickHouseConfig, Warehouse, migrate};

use crate::harness::{self, clickhouse_config, exe, unique, until};

/// A settings file over a fresh database.
struct Settings {
    dir: TempDir,
    clickhouse: ClickHouseConfig,
}

impl Settings {
    async fn with(api: &str) -> Settings {
        let clickhouse = clickhouse_config();
        let ClickHouseConfig { url, database, user, .. } = &clickhouse;
        let dir = tempfile::tempdir().unwrap();
        let sealing = dir.path().join("sealing");
        std::fs::write(&sealing, STANDARD.encode([3; 32])).unwrap();
        let text = format!(
            "[clickhouse]\nurl = {url:?}\ndatabase = {database:?}\nuser = {user:?}\n\
             [api]\nlisten = \"127.0.0.1:0\"\n[api.auth]\nkey_cache_s = 0\n\
             sealing_key_file = {sealing:?}\n{api}"
        );
        std::fs::write(dir.path().join("t.toml"), text).unwrap();
        migrate::up(&Warehouse::connect(&clickhouse).unwrap(), false).await.unwrap();
        Settings { dir, clickhouse }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("t.toml")
    }

    fn run(&self, command: &[&str]) -> Output {
        let mut program = Command::new(exe());
        program.args(command).arg("--config").arg(self.file()).output().unwrap()
    }

    async fn serve(&self) -> Service {
        let loaded = Config::load(Some(&self.file())).unwrap();
        Service::start(&loaded, Role::Api).await.unwrap()
    }

    /// Store some events of two tenants, of the last hour.
    async fn store(&self) {
        let warehouse = Warehouse::connect(&self.clickhouse).unwrap();
        let events = "INSERT INTO events (id, tenant, occurred_at, received_at) SELECT \
             generateUUIDv4(), if(number % 2 = 0, 'acme', 'beta'), now64(6) - 60, now64(6) \
             FROM numbers(20)";
        warehouse.run(events).await.unwrap();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// GET a path with some headers; the status and the body.
async fn get(service: &Service, path: &str, headers: &[(&str, String)]) -> (u16, String) {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.get(format!("http://{}{path}", service.address));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = request.call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    });
    answer.await.unwrap()
}

fn bearer(key: &str) -> [(&'static str, String); 1] {
    [("authorization", format!("Bearer {key}"))]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_by_the_command_asks_for_its_tenant_until_it_is_revoked() {
    let settings = Settings::with("mode = \"token\"\n").await;
    settings.store().await;
    let create = ["key", "create", "--name", "siem", "--role", "reader", "--tenant", "acme"];
    let made = settings.run(&create);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let key = text(&made.stdout).trim().to_owned();
    let (prefix, secret) = (&key[3..19], &key[20..]);

    let listed = settings.run(&["key", "list"]);
    let listed = text(&[listed.stdout, listed.stderr].concat());
    assert!(listed.contains(prefix) && listed.contains("siem"), "{listed}");
    assert!(!listed.contains(secret), "{listed}");

    let service = settings.serve().await;
    assert_eq!(get(&service, "/readyz", &[]).await.0, 200);
    assert_eq!(get(&service, "/v1/events", &[]).await.0, 401);
    assert_eq!(get(&service, "/v1/events", &bearer(&format!("{key}A"))).await.0, 401);
    let (status, body) = get(&service, "/v1/events", &bearer(&key)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body.matches("\"tenant\":\"acme\"").count(), 10, "{body}");
    assert!(!body.contains("beta"), "{body}");
    let (status, body) = get(&service, "/v1/events?tenant=beta", &bearer(&key)).await;
    assert_eq!((status, body.contains("\"events\":[]")), (200, true), "{body}");

    let stored = Warehouse::connect(&settings.clickhouse).unwrap();
    let stored = stored.read("SELECT toString(tuple(*)) FROM api_keys").await.unwrap();
    assert!(stored.len() == 1 && !stored[0].contains(secret), "{stored:?}");

    let later = text(&settings.run(&create).stdout).trim().to_owned();
    let (status, body) = get(&service, "/v1/events", &bearer(&later)).await;
    assert_eq!(status, 200, "a new key holds at once: {body}");

    let revoked = settings.run(&["key", "revoke", prefix]);
    assert!(revoked.status.success(), "{}", text(&revoked.stderr));
    until(async || get(&service, "/v1/events", &bearer(&key)).await.0 == 401).await;
    let listed = text(&settings.run(&["key", "list"]).stdout);
    assert!(listed.contains("revoked"), "{listed}");
    assert_eq!(settings.run(&["key", "revoke", "0000000000000000"]).status.code(), Some(1));
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_signs_is_kept_sealed_and_signs_for_its_bearer() {
    let settings = Settings::with("mode = \"token\"\n").await;
    settings.store().await;
    let create = ["key", "create", "--name", "splunk", "--role", "auditor", "--hmac"];
    let made = text(&settings.run(&create).stdout);
    let word = |line: usize| made.lines().nth(line).unwrap().split(' ').next_back().unwrap();
    let (id, key) = (word(0), word(1));

    let service = settings.serve().await;
    let path = "/v1/events?limit=100";
    let date = chrono::Utc::now().to_rfc3339();
    let sign = |key: &[u8], text: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
    };
    let operation = sign(key.as_bytes(), format!("GET{path}").as_bytes());
    let signature = STANDARD.encode(sign(&sign(&operation, &date.as_bytes()[..13]), b""));
    let headers = |signature: &str| {
        let scheme = ("authorization", format!("bhesignature {id}"));
        [scheme, ("requestdate", date.clone()), ("signature", signature.to_owned())]
    };
    let (status, body) = get(&service, path, &headers(&signature)).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("acme") && body.contains("beta"), "an auditor has every tenant: {body}");
    assert_eq!(get(&service, "/v1/events", &headers(&signature)).await.0, 401, "another address");
    assert_eq!(get(&service, path, &headers("AAAA")).await.0, 401);
    let stored = Warehouse::connect(&settings.clickhouse).unwrap();
    let stored = stored.read("SELECT toString(tuple(*)) FROM api_keys").await.unwrap();
    assert!(stored.len() == 1 && !stored[0].contains(key), "{stored:?}");
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_at_its_loudest_holds_no_credential_and_no_value_of_a_question() {
    const SECRET: &[u8] = b"a secret of thirty-two bytes or more";
    let settings = Settings::with(
        "mode = \"token\"\nissuer = \"i\"\naudience = \"a\"\njwks_file = \"JWKS\"\n\
         [log]\nlevel = \"trace\"\n",
    )
    .await;
    settings.store().await;
    let jwks = settings.dir.path().join("jwks.json");
    let set = json!({"keys": [{"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET)}]});
    std::fs::write(&jwks, set.to_string()).unwrap();
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = std::fs::read_to_string(settings.file()).unwrap();
    let text = text.replace("127.0.0.1:0", &listen.to_string());
    std::fs::write(settings.file(), text.replace("JWKS", jwks.to_str().unwrap())).unwrap();

    let create = ["key", "create", "--name", "a", "--role", "reader", "--tenant", "acme"];
    let keys = [(); 2].map(|()| self::text(&settings.run(&create).stdout).trim().to_owned());
    assert!(settings.run(&["key", "revoke", &keys[1]]).status.success());
    let wrong = format!("{}{}", &keys[0][..20], &keys[1][20..]);
    let now = chrono::Utc::now().timestamp();
    let [good, expired] = [now + 60, now - 600].map(|exp| {
        let claims = json!({"iss": "i", "aud": "a", "sub": "ann", "tenant": "acme", "exp": exp});
        let parts = [json!({"alg": "HS256"}), claims];
        let signed = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    });
    let log = settings.dir.path().join("log");
    let mut program = Command::new(exe());
    let file = std::fs::File::create(&log).unwrap();
    program.args(["serve", "--role", "api", "--config"]).arg(settings.file());
    let mut serving = program.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    until(async || status(listen, "/readyz", "").await == 200).await;
    let mut statuses = Vec::new();
    for credential in [&good, &expired, &keys[0], &keys[1], &wrong] {
        let path = "/v1/events?actor.id=only-ann-knows-this";
        statuses.push(status(listen, path, credential).await);
    }
    serving.kill().unwrap();
    serving.wait().unwrap();
    assert_eq!(statuses, [200, 401, 200, 401, 401]);
    let log = std::fs::read_to_string(&log).unwrap();
    for told in ["request refused", "it has expired", "revoked", "the secret is wrong"] {
        assert!(log.contains(told), "{told} is not in the log:\n{log}");
    }
    let signature = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    let secrets = [
        URL_SAFE_NO_PAD.encode(SECRET),
        signature(&good),
        signature(&expired),
        keys[0][20..].to_owned(),
        keys[1][20..].to_owned(),
        "only-ann-knows-this".to_owned(),
    ];
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
}

/// The status of a GET with a credential; 0 where nobody answers.
async fn status(address: SocketAddr, path: &str, credential: &str) -> u16 {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.get(format!("http://{address}{path}"));
    let request = request.header("authorization", format!("Bearer {credential}"));
    let answer = tokio::task::spawn_blocking(move || request.call());
    answer.await.unwrap().map_or(0, |answer| answer.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_would_read_too_much_is_refused_and_another_is_not() {
    let settings = Settings::with("[api.limits]\nread_rows = 5\n").await;
    settings.store().await;
    let service = settings.serve().await;
    let (status, body) = get(&service, "/v1/events", &[]).await;
    assert_eq!(status, 422, "{body}");
    assert!(body.contains("5 rows") && body.contains("problem:cost"), "{body}");
    let (status, body) = get(&service, "/v1/events?from=-5d&to=-4d", &[]).await;
    assert_eq!(status, 200, "a narrower window reads less: {body}");
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_the_log_is_an_event_of_the_log() {
    let topic = unique("audit.trailhouse.test");
    let mut loaded = harness::loaded(&[(&topic, "trailhouse")]).await;
    loaded.config.api.audit = AuditConfig { topic: topic.clone(), tenant: "ourselves".into() };
    let service = harness::serve(&loaded).await;
    let ask = "/v1/events?actor.id=ann&tenant=acme";
    assert_eq!(get(&service, ask, &[("user-agent", "a test".into())]).await.0, 200);
    let read = "/v1/events?tenant=ourselves&action=GET%20%2Fv1%2Fevents&limit=1000";
    let events = async || {
        let body: serde_json::Value =
            serde_json::from_str(&get(&service, read, &[]).await.1).unwrap();
        body["events"].as_array().unwrap().clone()
    };
    // Each look is an event too: it is the first that is waited for.
    let is_first = |event: &serde_json::Value| event["target"]["id"] == ask;
    until(async || events().await.iter().any(is_first)).await;
    let events = events().await;
    let event = events.iter().find(|event| is_first(event)).unwrap();
    assert_eq!(event["actor"]["id"], "anonymous", "{event}");
    assert_eq!(event["user_agent"], "a test", "{event}");
    assert_eq!(event["verb"], "read", "{event}");
    assert_eq!(event["outcome"], "success", "{event}");
    assert_eq!(event["attributes"]["rows"], "0", "{event}");
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_would_let_anybody_in_are_refused_with_78() {
    let settings = Settings::with("jwks_url = \"http://id.example/jwks\"\n").await;
    let text = std::fs::read_to_string(settings.file()).unwrap();
    let open = text.replace("127.0.0.1:0", "0.0.0.0:0");
    std::fs::write(settings.file(), open).unwrap();
    for command in [&["check"][..], &["serve", "--role", "api"]] {
        let output = settings.run(command);
        assert_eq!(output.status.code(), Some(78), "{}", self::text(&output.stderr));
        let said = self::text(&output.stderr);
        for wanted in ["api.listen: ", "loopback", "api.auth.jwks_url: ", "api.auth.issuer: "] {
            assert!(said.contains(wanted), "{wanted} in {said}");
        }
    }
}
