//! Whose tokens hold: a JWK set, from a file or from an identity provider.
//!
//! In: the place of the set. Out: the key of a token, by its id.
//!
//! # Invariants
//! - A key has one algorithm, told from the key itself: RS256, ES256, EdDSA or HS256. A token says
//!   which it uses, and must say the same.
//! - Secrets (HS256) come from a file alone: what a provider publishes is no secret.
//! - The set is read again for a key id it does not have, and when it is old; either at most once
//!   in `jwks_refetch_s`. A read that fails leaves the keys that are there.
//!
//! Deliberately unknown here: tokens, claims.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio_rustls::rustls::crypto::aws_lc_rs;

/// How long a provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a set at most; one has a few keys of a kilobyte.
const MOST_BYTES: usize = 1 << 20;

/// Bytes of an HS256 secret at least (RFC 7518, 3.2).
const LEAST_SECRET_BYTES: usize = 32;

/// Bytes of an RSA modulus at least (RFC 7518, 3.3).
const LEAST_RSA_BYTES: usize = 256;

/// A set of keys, and where it is from.
pub struct Jwks {
    source: Source,
    refetch: Duration,
    max_age: Duration,
    keys: RwLock<Arc<KeySet>>,
    /// When it was last tried to read the set; held while it is being read.
    tried_at: Mutex<Option<Instant>>,
}

/// Where a set is.
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// Behind an address.
    Url(Uri, Box<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>>),
}

/// A key that tokens are checked with.
pub struct VerifyingKey {
    /// Its id; `None` where the set gives it none.
    pub id: Option<String>,
    /// The one algorithm it is for.
    pub algorithm: Algorithm,
    /// The key.
    pub key: DecodingKey,
}

#[derive(Default)]
struct KeySet {
    keys: Vec<Arc<VerifyingKey>>,
    read_at: Option<Instant>,
}

impl Source {
    /// A provider's address.
    pub fn url(url: &str) -> Result<Source, String> {
        let uri = url.parse().map_err(|error| format!("{url} is no address: {error}"))?;
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(aws_lc_rs::default_provider())
            .map_err(|error| format!("no certificates of authorities on this machine: {error}"))?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Source::Url(uri, Box::new(client)))
    }

    async fn read(&self) -> Result<Vec<Arc<VerifyingKey>>, String> {
        match self {
            Source::File(path) => {
                let text = std::fs::read(path);
                let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
                parse(&text, true).map_err(|error| format!("{}: {error}", path.display()))
            }
            Source::Url(uri, client) => {
                let asked = async {
                    let answer =
                        client.get(uri.clone()).await.map_err(|error| error.to_string())?;
                    if answer.status() != StatusCode::OK {
                        return Err(format!("it answers {}", answer.status()));
                    }
                    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
                    Ok(body.map_err(|error| error.to_string())?.to_bytes())
                };
                let asked = tokio::time::timeout(PATIENCE, asked).await;
                let body = asked.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
                body.and_then(|text| parse(&text, false)).map_err(|error| format!("{uri}: {error}"))
            }
        }
    }
}

impl Jwks {
    /// The set of a place. A file that is none is an error; a provider that does not answer is
    /// asked again by the first token.
    pub async fn open(
        source: Source,
        refetch: Duration,
        max_age: Duration,
    ) -> Result<Jwks, String> {
        let jwks =
            Jwks { source, refetch, max_age, keys: RwLock::default(), tried_at: Mutex::new(None) };
        match (jwks.refresh().await, &jwks.source) {
            (Err(error), Source::File(_)) => Err(error),
            _ => Ok(jwks),
        }
    }

    /// The key of a token that names this id and algorithm; a sentence where there is none.
    pub async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<VerifyingKey>, NoKey> {
        let keys = self.current();
        match keys.find(id, algorithm) {
            Err(NoKey::Unknown) => {}
            found if !keys.is_old(self.max_age) => return found,
            found => {
                // Others go on with what is there, while one of them reads.
                if self.tried_at.try_lock().is_ok() {
                    let _ = self.refresh().await;
                    return self.current().find(id, algorithm);
                }
                return found;
            }
        }
        match self.refresh().await {
            Err(error) if self.current().read_at.is_none() => Err(NoKey::Unavailable(error)),
            _ => self.current().find(id, algorithm),
        }
    }

    /// Read the set again, unless it was tried a moment ago.
    async fn refresh(&self) -> Result<(), String> {
        let mut tried_at = self.tried_at.lock().await;
        if tried_at.is_some_and(|at| at.elapsed() < self.refetch) {
            return match self.current().read_at {
                Some(_) => Ok(()),
                None => Err("the keys of tokens could not be read a moment ago".to_owned()),
            };
        }
        *tried_at = Some(Instant::now());
        match self.source.read().await {
            Ok(keys) => {
                let set = KeySet { keys, read_at: Some(Instant::now()) };
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "the keys of tokens cannot be read; those there are stay");
                Err(error)
            }
        }
    }

    fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeySet {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<VerifyingKey>, NoKey> {
        let of_id: Vec<_> = match id {
            // A token may leave the id out where there is nothing to choose.
            None => self.keys.iter().filter(|key| key.algorithm == algorithm).collect(),
            Some(_) => self.keys.iter().filter(|key| key.id.as_deref() == id).collect(),
        };
        let mut fitting = of_id.iter().filter(|key| key.algorithm == algorithm);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(Arc::clone(key)),
            (Some(_), Some(_)) => Err(NoKey::Ambiguous),
            (None, _) if id.is_some() && !of_id.is_empty() => Err(NoKey::Pinned),
            (None, _) => Err(NoKey::Unknown),
        }
    }

    fn is_old(&self, max_age: Duration) -> bool {
        self.read_at.is_none_or(|at| at.elapsed() > max_age)
    }
}

/// The keys of a set that tokens may be checked with. Nothing of the text gets into an error: it may
/// hold secrets.
fn parse(text: &[u8], with_secrets: bool) -> Result<Vec<Arc<VerifyingKey>>, String> {
    let set: JwkSet = serde_json::from_slice(text).map_err(|error| {
        format!("it is no JWK set (line {}, column {})", error.line(), error.column())
    })?;
    let usable = |jwk: &Jwk| verifying(jwk, with_secrets).map(Arc::new);
    let keys: Vec<Arc<VerifyingKey>> = set.keys.iter().filter_map(usable).collect();
    if keys.is_empty() {
        let secrets = if with_secrets { " or HS256 with 32 bytes" } else { "" };
        return Err(format!("it has no key for RS256, ES256, EdDSA{secrets}"));
    }
    Ok(keys)
}

fn verifying(jwk: &Jwk, with_secrets: bool) -> Option<VerifyingKey> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        AlgorithmParameters::OctetKey(_) if with_secrets => Algorithm::HS256,
        _ => return None,
    };
    let says = jwk.common.key_algorithm.map(|says| says.to_string());
    let is_for_this = says.is_none_or(|says| says == format!("{algorithm:?}"));
    let is_to_sign =
        jwk.common.public_key_use.as_ref().is_none_or(|r#use| *r#use == PublicKeyUse::Signature);
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let is_strong = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => rsa.n.len() * 3 / 4 >= LEAST_RSA_BYTES,
        AlgorithmParameters::OctetKey(_) => {
            key.try_get_as_bytes().is_ok_and(|secret| secret.len() >= LEAST_SECRET_BYTES)
        }
        _ => true,
    };
    let id = jwk.common.key_id.clone();
    let is_usable = is_for_this && is_to_sign && is_strong;
    is_usable.then_some(VerifyingKey { id, algorithm, key })
}

/// Why a token has no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// The set has none of its id.
    #[error("no key is known that could have signed it")]
    Unknown,
    /// The key of its id is for another algorithm.
    #[error("its key is for another algorithm")]
    Pinned,
    /// Several could be meant.
    #[error("it does not say which key signed it")]
    Ambiguous,
    /// The set was never read.
    #[error("{0}")]
    Unavailable(String),
}
