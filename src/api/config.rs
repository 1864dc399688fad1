//! Where the API listens, who may ask, what a request may cost, where the contracts stand.
//!
//! In: the `[api]` table of the configuration and those below it. Out: [`ApiConfig`].
//!
//! # Invariants
//! - Every field has a default; times are milliseconds or seconds, as their names say.
//! - Without authentication the API listens on loopback alone.
//!
//! Deliberately unknown here: routes, how a credential is checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::audit::AuditConfig;
use super::auth::AuthConfig;
use super::contract::CompatConfig;

/// The `[api]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Address and port to listen on; port 0 takes a free one. Default `127.0.0.1:8080`, which
    /// only this machine reaches.
    pub listen: String,
    /// Names that answers are given by beside loopback's, where callers need not be known: those of a
    /// proxy on this machine, without a port. Default none.
    pub hosts: Vec<String>,
    /// How long a request may take, in milliseconds, before it is answered 503. Default `30000`.
    pub request_timeout_ms: u64,
    /// How long bytes of an answer may wait to be taken, in milliseconds, before the connection is
    /// cut off. Default `30000`.
    pub stall_ms: u64,
    /// A file with the secret that cursors are sealed with, at least 32 bytes; the same for every
    /// process that answers the same callers. Without it a secret is made at start, and a restart
    /// ends every walk.
    pub cursor_secret_file: Option<PathBuf>,
    /// Who may ask.
    pub auth: AuthConfig,
    /// What is written of those who read.
    pub audit: AuditConfig,
    /// What a request may cost.
    pub limits: LimitsConfig,
    /// Which pages may ask from a browser.
    pub cors: CorsConfig,
    /// How answers are encrypted.
    pub tls: TlsConfig,
    /// The vendors' contracts.
    pub compat: CompatConfig,
}

impl Default for ApiConfig {
    fn default() -> ApiConfig {
        ApiConfig {
            listen: "127.0.0.1:8080".into(),
            hosts: Vec::new(),
            request_timeout_ms: 30_000,
            stall_ms: 30_000,
            cursor_secret_file: None,
            auth: AuthConfig::default(),
            audit: AuditConfig::default(),
            limits: LimitsConfig::default(),
            cors: CorsConfig::default(),
            tls: TlsConfig::default(),
            compat: CompatConfig::default(),
        }
    }
}

/// The `[api.limits]` table. A limit of reading holds for one statement of one request; 0 is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Requests a second of one caller, in the long run; more are answered 429. 0 is no limit.
    /// Default `50`. Without authentication nobody is told apart, and nobody is limited.
    pub requests_per_second: u32,
    /// Requests of one caller in a moment. Default `200`.
    pub burst_requests: u32,
    /// Questions of one caller under way at once; more are answered 429. An export is one until its
    /// end, a tail only while it begins, a write is none. 0 is no limit. Default `8`.
    pub questions_at_once: u32,
    /// How long the head of a request may take to come, in milliseconds, before the connection is
    /// closed; one that waits for its next request waits no longer either. Default `60000`.
    pub header_timeout_ms: u64,
    /// Bytes of a body at most; a longer one is answered 413. Default `2097152`.
    pub body_bytes: u64,
    /// How long a body may take to come, in milliseconds, before it is answered 408. Default
    /// `10000`.
    pub body_timeout_ms: u64,
    /// Rows that ClickHouse may read for an answer; more are answered 422. Default `1000000000`.
    pub read_rows: u64,
    /// Bytes that ClickHouse may read for an answer; more are answered 422. Default `0`.
    pub read_bytes: u64,
    /// Bytes of events in one answer, as they are held in memory; more are answered 422. Exports
    /// hold nothing. Default `268435456`.
    pub page_bytes: u64,
}

impl Default for LimitsConfig {
    fn default() -> LimitsConfig {
        LimitsConfig {
            requests_per_second: 50,
            burst_requests: 200,
            questions_at_once: 8,
            header_timeout_ms: 60_000,
            body_bytes: 2_097_152,
            body_timeout_ms: 10_000,
            read_rows: 1_000_000_000,
            read_bytes: 0,
            page_bytes: 268_435_456,
        }
    }
}

/// The `[api.cors]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorsConfig {
    /// Origins whose pages may ask, such as `https://console.example`. Default none.
    pub origins: Vec<String>,
}

/// The `[api.tls]` table: both files, or neither. They are read at start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate and those that it rests on, PEM. Default none.
    pub certificate_file: Option<PathBuf>,
    /// Its private key, PEM. Default none.
    pub key_file: Option<PathBuf>,
}

impl ApiConfig {
    /// What is wrong, as (field, sentence).
    pub fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut say = |field: &str, message: String| wrong.push((field.to_owned(), message));
        match self.listen.parse::<SocketAddr>() {
            Err(_) => say(
                "listen",
                format!("`{}` is no ADDRESS:PORT, such as 127.0.0.1:8080", self.listen),
            ),
            Ok(address) if !address.ip().is_loopback() && !self.auth.is_required() => {
                let fix = "set api.auth.mode = \"token\", or listen on a loopback address";
                say(
                    "listen",
                    format!(
                        "`{}` is reached from outside, and anybody may ask; {fix}",
                        self.listen
                    ),
                );
            }
            Ok(_) => {}
        }
        for (at, host) in self.hosts.iter().enumerate() {
            if !is_host(host) {
                let message = format!("`{host}` is no name of a host, such as audit.example");
                say(&format!("hosts.{at}"), message);
            }
        }
        if self.request_timeout_ms == 0 {
            say("request_timeout_ms", "is 0, which answers nothing; give at least 1".to_owned());
        }
        if self.stall_ms == 0 {
            say("stall_ms", "is 0, which sends nothing; give at least 1".to_owned());
        }
        let limits = &self.limits;
        for (field, value) in [
            ("header_timeout_ms", limits.header_timeout_ms),
            ("body_bytes", limits.body_bytes),
            ("body_timeout_ms", limits.body_timeout_ms),
        ] {
            if value == 0 {
                say(&format!("limits.{field}"), "is 0, which takes nothing".to_owned());
            }
        }
        for (at, origin) in self.cors.origins.iter().enumerate() {
            if !is_origin(origin) {
                let message =
                    format!("`{origin}` is no SCHEME://HOST[:PORT], such as https://a.example");
                say(&format!("cors.origins.{at}"), message);
            }
        }
        match (&self.tls.certificate_file, &self.tls.key_file) {
            (Some(_), None) => say("tls.key_file", "is missing beside certificate_file".to_owned()),
            (None, Some(_)) => say("tls.certificate_file", "is missing beside key_file".to_owned()),
            _ => {}
        }
        if !self.audit.topic.is_empty() && self.audit.tenant.is_empty() {
            say("audit.tenant", "is empty; say whose log the readings are".to_owned());
        }
        wrong.extend(
            self.auth
                .check()
                .into_iter()
                .map(|(field, message)| (format!("auth.{field}"), message)),
        );
        wrong.extend(self.compat.check());
        wrong
    }

    /// How long bytes may wait to be taken.
    pub fn stall(&self) -> Duration {
        Duration::from_millis(self.stall_ms)
    }

    /// How long a request may take.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// Every setting set, for the check of names and types.
    pub fn example() -> ApiConfig {
        let mut example = ApiConfig::default();
        example.auth.jwks_file = Some(PathBuf::new());
        example.auth.jwks_url = Some(String::new());
        example.auth.sealing_key_file = Some(PathBuf::new());
        example.cursor_secret_file = Some(PathBuf::new());
        example.hosts = vec![String::new()];
        example.cors.origins = vec![String::new()];
        example.tls.certificate_file = Some(PathBuf::new());
        example.tls.key_file = Some(PathBuf::new());
        example
    }
}

/// As a browser writes one: no path, not even a slash, and no star.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    rest.is_some_and(|host| !host.is_empty() && host.chars().all(is_host))
}

/// Without a port.
fn is_host(text: &str) -> bool {
    let is_of_host = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    !text.is_empty() && text.chars().all(is_of_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        assert_eq!(ApiConfig::default().check(), []);
        let mut config =
            ApiConfig { listen: "localhost".into(), request_timeout_ms: 0, ..ApiConfig::default() };
        config.hosts = vec!["audit.example".into(), "audit.example:80".into()];
        config.limits.header_timeout_ms = 0;
        config.limits.body_bytes = 0;
        config.limits.body_timeout_ms = 0;
        config.cors.origins =
            vec!["https://a.example:1".into(), "*".into(), "https://a.example/".into()];
        config.tls.key_file = Some("k".into());
        config.audit = AuditConfig { topic: "audit.trailhouse".into(), tenant: String::new() };
        config.auth.mode = "open".into();
        config.compat.pace.prefix = "pace/".into();
        let fields: Vec<String> = config.check().into_iter().map(|(field, _)| field).collect();
        assert_eq!(
            fields,
            [
                "listen",
                "hosts.1",
                "request_timeout_ms",
                "limits.header_timeout_ms",
                "limits.body_bytes",
                "limits.body_timeout_ms",
                "cors.origins.1",
                "cors.origins.2",
                "tls.certificate_file",
                "audit.tenant",
                "auth.mode",
                "compat.pace.prefix"
            ]
        );
    }

    #[test]
    fn without_authentication_only_this_machine_is_answered() {
        for (listen, mode, holds) in [
            ("0.0.0.0:8080", "none", false),
            ("[::]:8080", "none", false),
            ("192.0.2.1:80", "none", false),
            ("127.0.0.1:8080", "none", true),
            ("[::1]:8080", "none", true),
            ("0.0.0.0:8080", "token", true),
        ] {
            let mut config = ApiConfig { listen: listen.into(), ..ApiConfig::default() };
            config.auth.mode = mode.into();
            let told = config.check();
            assert_eq!(told.is_empty(), holds, "{listen} {mode}: {told:?}");
            assert!(holds || told[0].1.contains("loopback"), "{told:?}");
        }
    }
}
