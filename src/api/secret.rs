//! The secret that cursors are sealed with.
//!
//! In: `api.cursor_secret_file`. Out: a [`CursorKey`], or why there is none.
//!
//! # Invariants
//! - The file is read once, at start; a secret is never printed.
//! - Without a file the secret is random, and ends with the process.
//!
//! Deliberately unknown here: what a cursor is.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::ApiConfig;
use crate::query::{CursorKey, CursorKeyError};

/// The fewest bytes of a secret that cannot be guessed.
const LEAST_SECRET_BYTES: usize = 32;

impl ApiConfig {
    /// What cursors are sealed with.
    pub fn cursor_key(&self) -> Result<CursorKey, CursorSecretError> {
        let mut secret = [0; 32];
        match &self.cursor_secret_file {
            None => aws_lc_rs::rand::fill(&mut secret).map_err(|_| CursorSecretError::Random)?,
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
        Ok(CursorKey::new(secret)?)
    }
}

/// There is no secret to seal cursors with.
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
    #[error("no random numbers to seal cursors with; set api.cursor_secret_file")]
    Random,
    /// The secret makes no key.
    #[error("api.cursor_secret_file: {0}")]
    Key(#[from] CursorKeyError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Cursor, Place, Window};

    #[test]
    fn a_cursor_secret_is_that_of_its_file_or_made_anew() {
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
}
