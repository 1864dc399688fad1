//! Where the API listens, and how long an answer may take.
//!
//! In: the `[api]` table of the configuration. Out: [`ApiConfig`].
//!
//! # Invariants
//! - Every field has a default; times are milliseconds.
//!
//! Deliberately unknown here: routes, tokens.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::query::CursorKey;

/// The fewest bytes of a secret that cannot be guessed.
const LEAST_SECRET_BYTES: usize = 32;

/// The `[api]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Address and port to listen on; port 0 takes a free one. Default `127.0.0.1:8080`, which
    /// only this machine reaches: there are no tokens yet.
    pub listen: String,
    /// How long a request may take, in milliseconds, before it is answered 503. Default `30000`.
    pub request_timeout_ms: u64,
    /// How long bytes of an answer may wait to be taken, in milliseconds, before the connection is
    /// cut off. Default `30000`.
    pub stall_ms: u64,
    /// A file with the secret that cursors are signed with, at least 32 bytes; the same for every
    /// process that answers the same callers. Without it a secret is made at start, and a restart
    /// ends every walk.
    pub cursor_secret_file: Option<PathBuf>,
}

impl Default for ApiConfig {
    fn default() -> ApiConfig {
        ApiConfig {
            listen: "127.0.0.1:8080".into(),
            request_timeout_ms: 30_000,
            stall_ms: 30_000,
            cursor_secret_file: None,
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
        if self.stall_ms == 0 {
            say("stall_ms", "is 0, which sends nothing; give at least 1".to_owned());
        }
        wrong
    }

    /// How long bytes may wait to be taken.
    pub fn stall(&self) -> Duration {
        Duration::from_millis(self.stall_ms)
    }

    /// What cursors are signed with.
    pub fn cursor_key(&self) -> Result<CursorKey, CursorSecretError> {
        let mut secret = [0; 32];
        match &self.cursor_secret_file {
            None => getrandom::fill(&mut secret).map_err(CursorSecretError::Random)?,
            Some(path) => {
                let cannot = |cause| CursorSecretError::File { path: path.clone(), cause };
                let text = std::fs::read(path).map_err(cannot)?;
                let text = text.trim_ascii_end();
                if text.len() < LEAST_SECRET_BYTES {
                    return Err(CursorSecretError::Short { path: path.clone(), bytes: text.len() });
                }
                secret = Sha256::digest(text).into();
            }
        }
        Ok(CursorKey::new(secret))
    }

    /// How long a request may take.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

/// There is no secret to sign cursors with.
#[derive(Debug, thiserror::Error)]
pub enum CursorSecretError {
    /// The file cannot be read.
    #[error("api.cursor_secret_file {}: {cause}; name a file that this user may read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The file is too short.
    #[error(
        "api.cursor_secret_file {}: has {bytes} bytes; give it {LEAST_SECRET_BYTES} random ones or \
         more", path.display()
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// How long it is.
        bytes: usize,
    },
    /// The system has no random numbers.
    #[error("no random numbers to sign cursors with: {0}; set api.cursor_secret_file")]
    Random(getrandom::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_secret_is_that_of_its_file_or_made_anew() {
        use crate::query::{Cursor, Place, Window};
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = Some(file.path().to_owned());
        let filed = ApiConfig { cursor_secret_file: path, ..ApiConfig::default() };
        std::fs::write(file.path(), "short\n").unwrap();
        let error = filed.cursor_key().unwrap_err().to_string();
        assert!(error.contains("has 5 bytes"), "{error}");
        std::fs::write(file.path(), "x".repeat(32) + "\n").unwrap();

        let after = Place { at: 1, id: uuid::Uuid::nil() };
        let cursor = Cursor { after, window: Window { from: 0, to: 2 }, asked_at: 2 };
        let reads = |one: &ApiConfig, other: &ApiConfig| {
            let text = cursor.encode(0, &one.cursor_key().unwrap());
            Cursor::decode(&text, &other.cursor_key().unwrap()).is_ok()
        };
        assert!(reads(&filed, &filed));
        assert!(!reads(&ApiConfig::default(), &ApiConfig::default()));
        assert!(!reads(&filed, &ApiConfig::default()));
    }

    #[test]
    fn every_problem_is_named_at_once() {
        assert_eq!(ApiConfig::default().check(), []);
        let config =
            ApiConfig { listen: "localhost".into(), request_timeout_ms: 0, ..ApiConfig::default() };
        let fields: Vec<String> = config.check().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["listen", "request_timeout_ms"]);
        let open = ApiConfig { listen: "0.0.0.0:8080".into(), ..ApiConfig::default() };
        assert!(open.check()[0].1.contains("loopback"));
    }
}
