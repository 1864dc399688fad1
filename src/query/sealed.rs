//! Texts that a client hands back unread: sealed, so that nobody else reads one or makes one.
//!
//! In: a secret; a content, and what it is for. Out: an opaque, versioned text, and its content again.
//!
//! # Invariants
//! - A text opens with its own secret, version and purpose alone; one that differs in a single bit
//!   is refused.
//! - It shows of its content how long that is, and nothing else: a tenant's cursor holds topics and
//!   offsets that are not the tenant's to know.
//! - The cipher is AES-256-GCM-SIV, which stands a random nonce that comes twice: a tail seals a text
//!   for each event, and never changes the key. The key is derived from the secret (HKDF-SHA-256).
//!
//! Deliberately unknown here: what a content means.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::CursorError;

/// First byte of every text; raised when the way of sealing changes.
const VERSION: u8 = 1;
/// What the key is derived for.
const USE: &[u8] = b"trailhouse cursors";

/// What cursors are sealed with.
#[derive(Clone)]
pub struct CursorKey(Arc<RandomizedNonceKey>);

impl CursorKey {
    /// The key that a secret makes; the same everywhere.
    pub fn new(secret: [u8; 32]) -> Result<CursorKey, CursorKeyError> {
        let key = || -> Result<RandomizedNonceKey, Unspecified> {
            let mut key = [0; 32];
            let secret = Salt::new(HKDF_SHA256, &[]).extract(&secret);
            secret.expand(&[USE], HKDF_SHA256)?.fill(&mut key)?;
            RandomizedNonceKey::new(&AES_256_GCM_SIV, &key)
        };
        key().map(|key| CursorKey(Arc::new(key))).map_err(|_| CursorKeyError)
    }

    /// Seal a content for one purpose: what is sealed for another is worth nothing here.
    pub(super) fn seal(&self, purpose: &str, mut content: Vec<u8>) -> String {
        let nonce = self.0.seal_in_place_append_tag(about(purpose), &mut content);
        // INVARIANT: sealing fails for gigabytes, and for want of random numbers, without which the
        // process has not started. An empty text opens as nothing.
        let Ok(nonce) = nonce else { return String::new() };
        URL_SAFE_NO_PAD.encode([&[VERSION], &nonce.as_ref()[..], &content].concat())
    }

    /// The content that was sealed for a purpose.
    pub(super) fn open(&self, purpose: &str, text: &str) -> Result<Vec<u8>, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
        let sealed = bytes.strip_prefix(&[VERSION]).ok_or(CursorError::Malformed)?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(CursorError::Malformed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| CursorError::Malformed)?;
        let mut content = sealed.to_vec();
        let opened = self.0.open_in_place(nonce, about(purpose), &mut content);
        let length = opened.map_err(|_| CursorError::Malformed)?.len();
        content.truncate(length);
        Ok(content)
    }
}

/// What a text is bound to, beside its content.
fn about(purpose: &str) -> Aad<Vec<u8>> {
    Aad::from([&[VERSION], purpose.as_bytes()].concat())
}

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey(***)")
    }
}

/// The cipher takes no key.
#[derive(Debug, thiserror::Error)]
#[error("no key could be derived to seal cursors with")]
pub struct CursorKeyError;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: u8) -> CursorKey {
        CursorKey::new([secret; 32]).unwrap()
    }

    #[test]
    fn a_text_opens_for_its_secret_and_purpose_alone_and_shows_nothing() {
        let content = b"audit.payments of another tenant".to_vec();
        let text = key(1).seal("positions", content.clone());
        assert_eq!(key(1).open("positions", &text), Ok(content.clone()));
        assert!(key(2).open("positions", &text).is_err());
        assert!(key(1).open("cursor", &text).is_err());
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        assert!(!bytes.windows(5).any(|part| part == b"audit"), "{bytes:?}");
        assert_ne!(key(1).seal("positions", content), text, "who stood still cannot be told");
    }

    #[test]
    fn a_text_with_one_bit_changed_or_cut_short_is_refused() {
        let sealed = URL_SAFE_NO_PAD.decode(key(1).seal("p", b"content".to_vec())).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = key(1).open("p", &URL_SAFE_NO_PAD.encode(forged));
            assert_eq!(forged, Err(CursorError::Malformed), "bit {bit}");
        }
        for length in 0..sealed.len() {
            let cut = key(1).open("p", &URL_SAFE_NO_PAD.encode(&sealed[..length]));
            assert_eq!(cut, Err(CursorError::Malformed), "{length} bytes");
        }
    }
}
