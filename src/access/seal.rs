//! Secrets that must be known again, and so are encrypted instead of hashed.
//!
//! In: a key file, a secret. Out: the secret sealed with AES-256-GCM, and opened.
//!
//! # Invariants
//! - A sealed secret opens under the name it was sealed for, and under no other.
//! - A nonce is random and used once; it stands before the ciphertext.
//!
//! Deliberately unknown here: what the secrets are for, where they are kept.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const KEY_BYTES: usize = 32;

/// Seals and opens.
pub struct SealingKey(RandomizedNonceKey);

impl SealingKey {
    /// The key in a file: 32 bytes as base64, and nothing else.
    pub fn read(path: &Path) -> Result<SealingKey, SealError> {
        let bad = |cause: String| SealError::File { path: path.to_owned(), cause };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let bytes = STANDARD.decode(text.trim()).ok().filter(|bytes| bytes.len() == KEY_BYTES);
        let bytes = bytes.ok_or_else(|| bad(format!("it is not {KEY_BYTES} bytes as base64")))?;
        SealingKey::of(&bytes)
    }

    /// A key of 32 bytes.
    pub fn of(bytes: &[u8]) -> Result<SealingKey, SealError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes);
        key.map(SealingKey).map_err(|_| SealError::Refused)
    }

    /// Seal a secret for a name.
    pub fn seal(&self, name: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut text = secret.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(name), &mut text);
        let mut sealed = nonce.map_err(|_| SealError::Refused)?.as_ref().to_vec();
        sealed.extend(text);
        Ok(sealed)
    }

    /// Open what was sealed for a name.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::Refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Refused)?;
        let mut text = text.to_vec();
        let secret = self.0.open_in_place(nonce, Aad::from(name), &mut text);
        Ok(secret.map_err(|_| SealError::Refused)?.to_vec())
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(***)")
    }
}

/// Why nothing was sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key file is not one.
    #[error("{}: {cause}; make one with: head -c 32 /dev/urandom | base64", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// It was sealed with another key, for another name, or was altered.
    #[error("it was sealed with another key, or altered")]
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_with_its_key_and_name_alone() {
        let key = SealingKey::of(&[1; 32]).unwrap();
        let sealed = key.seal("ann", b"secret").unwrap();
        assert_eq!(key.open("ann", &sealed).unwrap(), b"secret");
        assert!(key.open("bob", &sealed).is_err());
        assert!(SealingKey::of(&[2; 32]).unwrap().open("ann", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(key.open("ann", &altered).is_err(), "byte {at}");
        }
        assert!(key.open("ann", &sealed[..5]).is_err());
        assert_ne!(key.seal("ann", b"secret").unwrap(), sealed, "the nonce was used twice");
    }

    #[test]
    fn a_key_file_that_is_none_is_named_with_the_way_to_make_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), STANDARD.encode([1; 32]) + "\n").unwrap();
        assert!(SealingKey::read(file.path()).is_ok());
        std::fs::write(file.path(), STANDARD.encode([1; 16])).unwrap();
        let error = SealingKey::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("urandom") && error.contains("32 bytes"), "{error}");
    }
}
