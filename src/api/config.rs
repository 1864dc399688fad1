//! Where the API listens, how long an answer may take, where the contracts stand.
//!
//! In: the `[api]` table of the configuration. Out: [`ApiConfig`].
//!
//! # Invariants
//! - Every field has a default; times are milliseconds.
//!
//! Deliberately unknown here: routes, tokens.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::contract::CompatConfig;

/// The `[api]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Address and port to listen on; port 0 takes a free one. Default `127.0.0.1:8080`, which
    /// only this machine reaches: there are no tokens yet.
    pub listen: String,
    /// How long a request may take, in milliseconds, before it is answered 503. Default `30000`.
    pub request_timeout_ms: u64,
    /// What a request may cost.
    pub limits: LimitsConfig,
    /// The vendors' contracts.
    pub compat: CompatConfig,
}

/// The `[api.limits]` table: what a request may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Bytes of a body at most; a longer one is answered 413. Default `2097152`.
    pub body_bytes: u64,
    /// How long a body may take to come, in milliseconds, before it is answered 408. Default
    /// `10000`.
    pub body_timeout_ms: u64,
}

impl Default for LimitsConfig {
    fn default() -> LimitsConfig {
        LimitsConfig { body_bytes: 2_097_152, body_timeout_ms: 10_000 }
    }
}

impl Default for ApiConfig {
    fn default() -> ApiConfig {
        ApiConfig {
            listen: "127.0.0.1:8080".into(),
            request_timeout_ms: 30_000,
            limits: LimitsConfig::default(),
            compat: CompatConfig::default(),
        }
    }
}

impl ApiConfig {
    /// What is wrong, as (field, sentence).
    pub fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut say = |field: &str, message: String| wrong.push((field.to_owned(), message));
        match self.listen.parse::<std::net::SocketAddr>() {
            Err(_) => say(
                "listen",
                format!("`{}` is no ADDRESS:PORT, such as 127.0.0.1:8080", self.listen),
            ),
            Ok(address) if !address.ip().is_loopback() => say(
                "listen",
                format!(
                    "`{}` is reached from outside, and there are no tokens yet; listen on a \
                         loopback address",
                    self.listen
                ),
            ),
            Ok(_) => {}
        }
        if self.request_timeout_ms == 0 {
            say("request_timeout_ms", "is 0, which answers nothing; give at least 1".to_owned());
        }
        wrong.extend(self.compat.check());
        wrong
    }

    /// How long a request may take.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        assert_eq!(ApiConfig::default().check(), []);
        let mut config = ApiConfig { listen: "localhost".into(), ..ApiConfig::default() };
        config.request_timeout_ms = 0;
        config.compat.pace.prefix = "pace/".into();
        let fields: Vec<String> = config.check().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["listen", "request_timeout_ms", "compat.pace.prefix"]);
        let open = ApiConfig { listen: "0.0.0.0:8080".into(), ..ApiConfig::default() };
        assert!(open.check()[0].1.contains("loopback"));
    }
}
