//! Keys of each kind, tokens signed with them by other means than those that check them, and a
//! store of API keys.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa};
use axum::http::Request;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::access::{ApiKey, KEY_BYTES, KeyError, KeyReader, KeyRecord, Lookup, Proof, Role};
use crate::event::Micros;

/// 2026-01-31T12:00:00Z
pub const NOW: Micros = 1_769_860_800_000_000;

pub const SECRET: &[u8] = b"a secret of thirty-two bytes or more";

/// One key of each kind.
pub struct Pairs {
    pub rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl Pairs {
    pub fn new() -> Pairs {
        Pairs {
            rsa: rsa::KeyPair::generate(KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    /// The JWK set, the secret included.
    pub fn jwks(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({"keys": [
            self.rsa_jwk("rs"),
            {"kty": "EC", "crv": "P-256", "kid": "es", "x": text(&point[1..33]), "y": text(&point[33..])},
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": text(self.ed.public_key().as_ref())},
            {"kty": "oct", "kid": "hs", "k": text(SECRET)},
        ]})
    }

    pub fn rsa_jwk(&self, id: &str) -> Value {
        let public = self.rsa.public_key();
        let (n, e) = (public.modulus(), public.exponent());
        let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": text(n), "e": text(e)})
    }

    /// A token with this header, signed with the key of the algorithm named.
    pub fn token(&self, header: Value, claims: &Value, by: &str) -> String {
        let signed = [&header, claims].map(|part| text(part.to_string().as_bytes())).join(".");
        let (message, random) = (signed.as_bytes(), SystemRandom::new());
        let signature = match by {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            "ES256" => self.ec.sign(&random, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(message).as_ref().to_vec(),
            "none" => Vec::new(),
            _ => mac(SECRET, message),
        };
        format!("{signed}.{}", text(&signature))
    }
}

/// An HS256 token with any secret.
pub fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let signed = [header, claims].map(|part| text(part.to_string().as_bytes())).join(".");
    format!("{signed}.{}", text(&mac(secret, signed.as_bytes())))
}

pub fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

pub fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Claims that hold for an hour.
pub fn claims() -> Value {
    let now = chrono::Utc::now().timestamp();
    json!({
        "iss": "https://id.example", "aud": "trailhouse", "sub": "ann", "exp": now + 3600,
        "tenants": ["acme"], "role": "reader",
    })
}

/// Claims, but one of them is another; `null` for none.
pub fn but(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => claims.as_object_mut().unwrap().remove(name),
        value => claims.as_object_mut().unwrap().insert(name.to_owned(), value),
    };
    claims
}

/// The head of a request with these headers.
pub fn head(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri("/api/v2/audit?after=1&skip=0");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// A store of API keys.
#[derive(Default)]
pub struct Store {
    /// `None` where it does not answer.
    pub keys: Mutex<Option<HashMap<String, KeyRecord>>>,
    /// How often it was asked.
    pub asked: AtomicU32,
}

impl KeyReader for Store {
    fn key<'a>(&'a self, prefix: &'a str) -> Lookup<'a, Option<KeyRecord>> {
        let keys = self.keys.lock().unwrap();
        self.asked.fetch_add(1, Ordering::SeqCst);
        let found = match keys.as_ref() {
            None => Err(KeyError("it is down".into())),
            Some(keys) => Ok(keys.get(prefix).cloned()),
        };
        Box::pin(async { found })
    }

    fn prefixes(&self) -> Lookup<'_, HashSet<String>> {
        let keys = self.keys.lock().unwrap();
        self.asked.fetch_add(1, Ordering::SeqCst);
        let found = keys.as_ref().map(|keys| keys.keys().cloned().collect());
        Box::pin(async { found.ok_or_else(|| KeyError("it is down".into())) })
    }
}

impl Store {
    pub fn of(records: impl IntoIterator<Item = KeyRecord>) -> Store {
        let keys = records.into_iter().map(|record| (record.prefix.clone(), record)).collect();
        Store { keys: Mutex::new(Some(keys)), asked: AtomicU32::new(0) }
    }
}

pub fn key(number: u8) -> ApiKey {
    ApiKey::of(&[number; KEY_BYTES])
}

pub fn record(key: &ApiKey) -> KeyRecord {
    KeyRecord {
        prefix: key.prefix().to_owned(),
        name: "siem".into(),
        proof: Proof::Shown(key.hash()),
        role: Role::Reader,
        tenants: BTreeSet::from(["acme".to_owned()]),
        default_tenant: String::new(),
        actor: String::new(),
        account: Default::default(),
        resellers: BTreeSet::new(),
        created_at: 0,
        expires_at: None,
        revoked_at: None,
    }
}
