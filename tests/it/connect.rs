//! `check --connect`: each set-up that is broken is named, with what mends it; and every way in works.
//!
//! In: Apache Kafka with a listener that asks who comes, a ClickHouse of its own, settings with one
//! fault each. Out: what is found.
//!
//! # Invariants
//! - One fault, one `FAIL`, where nothing else rests on it.
//! - The clock alone is pretended: nobody sets a machine's for a test.
//!
//! Deliberately unknown here: how anything is asked.

mod produce;
mod rights;
mod shards;

use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;
use trailhouse::app::doctor::{Finding, examine};
use trailhouse::config::{Config, Loaded};
use trailhouse::demo::{ClickHouseServer, Guard, KafkaBroker, USER, create_topics};
use trailhouse::event::Micros;
use trailhouse::source::{SecurityConfig, TopicConfig};
use trailhouse::warehouse::{ClickHouseConfig, Warehouse, migrate};

use crate::guard::{OIDC_USER, certificates, token_endpoint};
use crate::harness::{clickhouse_config, exe, unique};

const TOPIC: &str = "audit.connect";

/// Users of the broker: one may do all, the other is known and may do nothing.
const SASL: &str = "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER
listener.name.guarded.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_trailhouse=\"right\" user_stranger=\"right\";
listener.name.guarded.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.guarded.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:trailhouse
";

fn broker() -> &'static KafkaBroker {
    static BROKER: OnceLock<(KafkaBroker, TempDir)> = OnceLock::new();
    let (broker, _) = BROKER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let guard = Guard {
            protocol: "SASL_PLAINTEXT",
            properties: SASL,
            scram: &["SCRAM-SHA-512=[name=trailhouse,password=right]"],
        };
        let broker = KafkaBroker::start_guarded(dir.path(), exe(), Some(guard)).unwrap();
        (broker, dir)
    });
    broker
}

fn sasl(mechanism: &str, username: &str, password: &str) -> SecurityConfig {
    SecurityConfig {
        protocol: "sasl_plaintext".to_owned(),
        mechanism: mechanism.to_owned(),
        username: username.to_owned(),
        password: password.to_owned(),
        ..SecurityConfig::default()
    }
}

/// A set-up that works: tables up to date, a topic, a user who may read it.
async fn whole() -> Loaded {
    let Loaded { mut config, catalog } = Config::load(None).unwrap();
    config.clickhouse = clickhouse_config();
    migrate::up(&Warehouse::connect(&config.clickhouse).unwrap(), false).await.unwrap();
    create_topics(&broker().bootstrap(), &[(TOPIC, 2)]).await.unwrap();
    config.kafka.brokers = broker().guarded_bootstrap();
    config.kafka.group = unique("group");
    config.kafka.security = sasl("PLAIN", "trailhouse", "right");
    let schema = "pace".to_owned();
    config.kafka.topics =
        vec![TopicConfig { name: TOPIC.to_owned(), schema, ..TopicConfig::default() }];
    Loaded { config, catalog }
}

fn now() -> Micros {
    chrono::Utc::now().timestamp_micros()
}

/// What failed, a line each.
async fn failures(loaded: &Loaded, now: fn() -> Micros) -> Vec<String> {
    let findings = examine(loaded, now).await.unwrap();
    let failed = |finding: &Finding| finding.found.is_err().then(|| finding.to_string());
    findings.iter().filter_map(failed).collect()
}

/// That one thing failed alone, and is told with these words.
async fn one(loaded: &Loaded, words: &[&str]) {
    let failed = failures(loaded, now).await;
    assert_eq!(failed.len(), 1, "{failed:#?}");
    for wanted in words {
        assert!(failed[0].contains(wanted), "{wanted} in {}", failed[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_set_up_has_nothing_that_fails() {
    let loaded = whole().await;
    let findings = examine(&loaded, now).await.unwrap();
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.iter().all(|finding| finding.found.is_ok()), "{told:#?}");
    for wanted in [
        "1 broker(s) of cluster",
        "topic audit.connect: 2 partition(s)",
        "group group_",
        "version 2",
        "up to date",
    ] {
        assert!(told.iter().any(|line| line.contains(wanted)), "{wanted} in {told:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_is_named() {
    let mut loaded = whole().await;
    loaded.config.kafka.brokers = "127.0.0.1:1".to_owned();
    one(&loaded, &["kafka 127.0.0.1:1", "no broker answers", "refused", "kafka.brokers"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_sasl_password_is_named_by_either_mechanism() {
    let mut loaded = whole().await;
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        loaded.config.kafka.security = sasl(mechanism, "trailhouse", "wrong");
        one(&loaded, &["do not let us in", "kafka.security.username, password", "`trailhouse`"])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_named_with_the_command() {
    let mut loaded = whole().await;
    loaded.config.kafka.topics[0].name = "audit.missing".to_owned();
    one(&loaded, &["topic audit.missing", "no such topic", "--create --topic audit.missing"]).await;
    let mut loaded = whole().await;
    loaded.config.kafka.dead_letter_topic = "audit.dead".to_owned();
    one(&loaded, &["topic audit.dead", "--create", "kafka.dead_letter_topic"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contracts_topic_that_is_not_there_or_that_nobody_reads_is_named_with_its_setting() {
    let mut loaded = whole().await;
    loaded.config.kafka.topics[0].name = "^audit[.]con.*".to_owned();
    loaded.config.api.compat.pace.topic = "audit.contract.gone".to_owned();
    let words =
        ["audit.contract.gone to write", "no such topic", "--create --topic audit.contract"];
    one(&loaded, &[&words[..], &["mend api.compat.pace.topic"]].concat()).await;
    loaded.config.api.compat.pace.topic = "elsewhere".to_owned();
    one(&loaded, &["writes through pace", "elsewhere, which no [[kafka.topics]] reads"]).await;
    loaded.config.api.compat.pace.enabled = false;
    assert_eq!(failures(&loaded, now).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_rights_is_named_with_those_that_are_missing() {
    let mut loaded = whole().await;
    loaded.config.kafka.security = sasl("PLAIN", "stranger", "right");
    let failed = failures(&loaded, now).await;
    assert_eq!(failed.len(), 2, "{failed:#?}");
    let topic = "--allow-principal User:stranger --operation Read --topic audit.connect";
    assert!(failed[0].contains("not for us") && failed[0].contains(topic), "{failed:#?}");
    assert!(failed[1].contains("User:stranger --operation Read --group group_"), "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clickhouse_that_is_down_is_named() {
    let mut loaded = whole().await;
    loaded.config.clickhouse.url = "http://127.0.0.1:1".to_owned();
    one(&loaded, &["no ClickHouse answers at http://127.0.0.1:1", "set clickhouse.url"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_of_clickhouse_is_named_and_not_shown() {
    let mut loaded = whole().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("users.d")).unwrap();
    let users = "<clickhouse><users><ann><password>right</password><profile>default</profile>\
                 <quota>default</quota><networks><ip>127.0.0.1</ip></networks></ann></users></clickhouse>";
    std::fs::write(dir.path().join("users.d/ann.xml"), users).unwrap();
    let server = ClickHouseServer::start(dir.path(), exe()).unwrap();
    loaded.config.clickhouse = ClickHouseConfig {
        url: server.url(),
        user: "ann".to_owned(),
        password: "right".to_owned(),
        ..ClickHouseConfig::default()
    };
    migrate::up(&Warehouse::connect(&loaded.config.clickhouse).unwrap(), false).await.unwrap();
    assert_eq!(failures(&loaded, now).await, [""; 0]);
    loaded.config.clickhouse.password = "hunter2".to_owned();
    one(&loaded, &["does not let `ann` in", "clickhouse.password, or password_file"]).await;
    assert!(!failures(&loaded, now).await[0].contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_missing_is_named_and_so_are_migrations_that_have_not_run() {
    let loaded = whole().await;
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    warehouse.run("DROP TABLE batches SYNC").await.unwrap();
    one(&loaded, &[".batches: is not there", "deploy/clickhouse/0003_batches.sql"]).await;
    let mut loaded = whole().await;
    loaded.config.clickhouse.database = unique("empty");
    one(&loaded, &["lacks migration 0001_events", "trailhouse migrate up"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_zero_tokens_is_named_with_the_statement() {
    let loaded = whole().await;
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    let forget = "ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 0";
    warehouse.run(forget).await.unwrap();
    one(
        &loaded,
        &["forgets insert tokens", "MODIFY SETTING non_replicated_deduplication_window = 100000"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_apart_are_named_with_the_side() {
    let loaded = whole().await;
    let late = || now() + 3_600_000_000;
    let failed = failures(&loaded, late).await;
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(
        failed[0].contains("clock of clickhouse") && failed[0].contains("behind"),
        "{failed:#?}"
    );
    assert!(failed[0].contains("NTP"), "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mechanism_lets_us_in_and_a_token_comes_from_the_identity_provider() {
    let mut loaded = whole().await;
    let endpoint = token_endpoint("right");
    let oidc = SecurityConfig {
        token_url: endpoint,
        client_id: OIDC_USER.to_owned(),
        client_secret: "right".to_owned(),
        ..sasl("OAUTHBEARER", "", "")
    };
    for security in [sasl("SCRAM-SHA-512", "trailhouse", "right"), oidc.clone()] {
        loaded.config.kafka.security = security;
        assert_eq!(failures(&loaded, now).await, [""; 0]);
    }
    loaded.config.kafka.security = SecurityConfig { client_secret: "wrong".to_owned(), ..oidc };
    one(&loaded, &["do not let us in", "kafka.security.token_url, client_id and client_secret"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_listener_is_trusted_by_its_authority_alone() {
    let dir = tempfile::tempdir().unwrap();
    let made = certificates(dir.path());
    let properties = format!(
        "{SASL}ssl.keystore.type=PEM\nssl.keystore.location={}\n",
        made.chain_and_key.display()
    );
    let guard = Guard { protocol: "SASL_SSL", properties: &properties, scram: &[] };
    let broker = KafkaBroker::start_guarded(&dir.path().join("k"), exe(), Some(guard)).unwrap();
    create_topics(&broker.bootstrap(), &[(TOPIC, 1)]).await.unwrap();
    let mut loaded = whole().await;
    loaded.config.kafka.brokers = broker.guarded_bootstrap();
    let security = SecurityConfig {
        protocol: "sasl_ssl".to_owned(),
        ca_file: Some(made.authority.clone()),
        ..sasl("PLAIN", "trailhouse", "right")
    };
    loaded.config.kafka.security = security.clone();
    assert_eq!(failures(&loaded, now).await, [""; 0]);
    loaded.config.kafka.security = SecurityConfig { ca_file: None, ..security };
    one(&loaded, &["no encrypted connection", "kafka.security.ca_file"]).await;
}

#[test]
fn the_command_says_a_line_for_each_and_ends_with_1_where_one_fails() {
    let mut check = Command::new(exe());
    check.args(["check", "--connect"]).env("TRAILHOUSE__KAFKA__BROKERS", "127.0.0.1:1");
    check.env("TRAILHOUSE__CLICKHOUSE__URL", clickhouse_config().url);
    let output = check.env("TRAILHOUSE__CLICKHOUSE__USER", USER).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.lines().any(|line| line.starts_with("FAIL  kafka 127.0.0.1:1: ")), "{told}");
    assert!(told.lines().any(|line| line.starts_with("ok    clickhouse http://")), "{told}");
}
