//! Where the API listens, and how long an answer may take.
//!
//! In: the `[api]` table of the configuration. Out: [`ApiConfig`].
//!
//! # Invariants
//! - Every field has a default; times are milliseconds.
//!
//! Deliberately unknown here: routes, tokens.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The `[api]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Address and port to listen on; port 0 takes a free one. Default `127.0.0.1:8080`, which
    /// only this machine reaches: there are no tokens yet.
    pub listen: String,
    /// How long a request may take, in milliseconds, before it is answered 503. Default `30000`.
    pub request_timeout_ms: u64,
}

impl Default for ApiConfig {
    fn default() -> ApiConfig {
        ApiConfig { listen: "127.0.0.1:8080".into(), request_timeout_ms: 30_000 }
    }
}

impl ApiConfig {
    /// Everything that is wrong here, a sentence each; empty when nothing is.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let port = self.listen.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            let fix = "write ADDRESS:PORT, such as 127.0.0.1:8080";
            problems.push(format!("api.listen: {:?} has no port; {fix}", self.listen));
        }
        if self.request_timeout_ms == 0 {
            problems.push("api.request_timeout_ms: 0 answers nothing; give at least 1".into());
        }
        problems
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
        assert_eq!(ApiConfig::default().problems(), Vec::<String>::new());
        let config = ApiConfig { listen: "localhost".into(), request_timeout_ms: 0 };
        let problems = config.problems().join("\n");
        assert!(problems.contains("api.listen") && problems.contains("api.request_timeout_ms"));
    }
}
