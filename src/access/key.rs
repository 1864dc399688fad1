//! API keys: `th_PREFIX_SECRET`, and what is kept of one.
//!
//! In: random bytes, or a key as somebody shows it. Out: an [`ApiKey`], the [`KeyRecord`] that is
//! stored, and the [`Caller`] it stands for.
//!
//! # Invariants
//! - The secret is 256 random bits. What is stored of it is its SHA-256, or, for a key that signs
//!   and so must be known, the secret sealed ([`super::SealingKey`]); never the secret.
//! - Secrets are compared in constant time, and appear in no `Debug`.
//! - A key is worth nothing from the microsecond it expires in, or once it is revoked.
//!
//! Deliberately unknown here: where records are kept, how a key travels.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Caller, Role};

/// What every key begins with, so that one in a wrong place is recognised.
const BEGINNING: &str = "th_";

/// Random bytes that make a key: the first name it, the rest are the secret.
pub const KEY_BYTES: usize = PREFIX_BYTES + SECRET_BYTES;
const PREFIX_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// A key as it is shown, once, and as its owner sends it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    prefix: String,
    secret: String,
}

impl ApiKey {
    /// A key of random bytes.
    pub fn of(random: &[u8; KEY_BYTES]) -> ApiKey {
        let (prefix, secret) = random.split_at(PREFIX_BYTES);
        let prefix = prefix.iter().map(|byte| format!("{byte:02x}")).collect();
        ApiKey { prefix, secret: URL_SAFE_NO_PAD.encode(secret) }
    }

    /// Whether a text is meant as a key.
    pub fn looks_like(text: &str) -> bool {
        text.starts_with(BEGINNING)
    }

    /// Whether a text can name a key.
    pub fn is_prefix(text: &str) -> bool {
        let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        text.len() == 2 * PREFIX_BYTES && text.bytes().all(is_hex)
    }

    /// A key as its owner sends it.
    pub fn parse(text: &str) -> Option<ApiKey> {
        let (prefix, secret) = text.strip_prefix(BEGINNING)?.split_once('_')?;
        let secret_bytes = URL_SAFE_NO_PAD.decode(secret).ok()?;
        let is_key = ApiKey::is_prefix(prefix) && secret_bytes.len() == SECRET_BYTES;
        is_key.then(|| ApiKey { prefix: prefix.to_owned(), secret: secret.to_owned() })
    }

    /// The public part: names the key in lists and logs.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The secret part, as text. For signing, the bytes of this text are the key.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The whole key, for its owner's eyes.
    pub fn reveal(&self) -> String {
        format!("{BEGINNING}{}_{}", self.prefix, self.secret)
    }

    /// SHA-256 of the secret. It is random, so nothing slower is needed.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.secret).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEGINNING}{}_***", self.prefix)
    }
}

/// What is kept of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its public part.
    pub prefix: String,
    /// What it is for, in its owner's words.
    pub name: String,
    /// How it proves itself.
    pub proof: Proof,
    /// What it may do.
    pub role: Role,
    /// Its tenants.
    pub tenants: BTreeSet<String>,
    /// The tenant that is meant where a request names none; empty for none.
    pub default_tenant: String,
    /// The identity that acts; empty for none.
    pub actor: String,
    /// Id and name of its account; both empty for none.
    pub account: (String, String),
    /// The only resellers whose events it sees; empty for no such limit.
    pub resellers: BTreeSet<String>,
    /// When it was made, in microseconds since the Unix epoch.
    pub created_at: i64,
    /// When it expires; `None` never.
    pub expires_at: Option<i64>,
    /// When it was revoked; `None` where it was not.
    pub revoked_at: Option<i64>,
}

/// How a key proves itself.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// By showing its secret: this is the secret's SHA-256.
    Shown([u8; 32]),
    /// By signing requests: this is the secret, sealed.
    Signing(Vec<u8>),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Proof::Shown(_)) { "Shown" } else { "Signing" })
    }
}

impl KeyRecord {
    /// Whether a key that is shown is this one. A key that signs is never to be shown.
    pub fn proves(&self, shown: &ApiKey) -> bool {
        match &self.proof {
            Proof::Shown(hash) => bool::from(hash.ct_eq(&shown.hash())),
            Proof::Signing(_) => false,
        }
    }

    /// Why it is worth nothing at a time, in microseconds; `None` where it is worth something.
    pub fn ended(&self, now: i64) -> Option<&'static str> {
        if self.revoked_at.is_some() {
            return Some("revoked");
        }
        self.expires_at.is_some_and(|at| at <= now).then_some("expired")
    }

    /// Whom it stands for.
    pub fn caller(&self) -> Caller {
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        Caller {
            id: format!("key:{}", self.prefix),
            name: self.name.clone(),
            email: String::new(),
            role: self.role,
            tenants: self.tenants.clone(),
            default_tenant: some(&self.default_tenant),
            actor: some(&self.actor),
            account: some(&self.account.0).map(|id| (id, self.account.1.clone())),
            resellers: (!self.resellers.is_empty()).then(|| self.resellers.clone()),
        }
    }
}

/// A boxed future, so that any store can stand behind `Arc<dyn KeyReader>`.
pub type Lookup<'a, T> = Pin<Box<dyn Future<Output = Result<T, KeyError>> + Send + 'a>>;

/// A store of keys.
pub trait KeyReader: Send + Sync {
    /// The key of a prefix, whether it still holds or not.
    fn key<'a>(&'a self, prefix: &'a str) -> Lookup<'a, Option<KeyRecord>>;

    /// The prefix of every key there is, those that hold no more too.
    fn prefixes(&self) -> Lookup<'_, HashSet<String>>;
}

/// The store of keys does not answer.
#[derive(Debug, thiserror::Error)]
#[error("keys cannot be looked up: {0}")]
pub struct KeyError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ApiKey {
        ApiKey::of(&std::array::from_fn(|at| at as u8))
    }

    fn record() -> KeyRecord {
        KeyRecord {
            prefix: key().prefix().to_owned(),
            name: "a".into(),
            proof: Proof::Shown(key().hash()),
            role: Role::Reader,
            tenants: BTreeSet::new(),
            default_tenant: String::new(),
            actor: String::new(),
            account: Default::default(),
            resellers: BTreeSet::new(),
            created_at: 0,
            expires_at: Some(10),
            revoked_at: None,
        }
    }

    #[test]
    fn a_key_reads_back_and_nothing_else_reads_as_one() {
        let text = key().reveal();
        assert_eq!(text, "th_0001020304050607_CAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJic");
        assert_eq!(ApiKey::parse(&text), Some(key()));
        for broken in [
            "",
            "th_",
            "th_0001020304050607",
            "th_0001020304050607_",
            "th_0001020304050607_CAkK",
            "th_000102030405060_CAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJic",
            "th_000102030405060G_CAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJic",
            "xx_0001020304050607_CAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJic",
            "th_0001020304050607_CAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJi!",
        ] {
            assert_eq!(ApiKey::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn only_the_secret_proves_a_key_and_a_signing_key_is_never_shown() {
        let other = ApiKey { secret: URL_SAFE_NO_PAD.encode([7; 32]), ..key() };
        assert!(record().proves(&key()));
        assert!(!record().proves(&other));
        let signing = KeyRecord { proof: Proof::Signing(key().hash().to_vec()), ..record() };
        assert!(!signing.proves(&key()));
    }

    #[test]
    fn a_key_ends_when_it_expires_or_is_revoked() {
        assert_eq!(record().ended(9), None);
        assert_eq!(record().ended(10), Some("expired"));
        assert_eq!(KeyRecord { expires_at: None, ..record() }.ended(i64::MAX), None);
        assert_eq!(KeyRecord { revoked_at: Some(1), ..record() }.ended(0), Some("revoked"));
    }

    #[test]
    fn no_debug_text_holds_a_secret() {
        let told = format!("{:?} {:?}", key(), record());
        assert!(!told.contains(key().secret()), "{told}");
        assert!(told.contains(key().prefix()), "{told}");
    }
}
