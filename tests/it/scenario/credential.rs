//! Credentials for scenarios: tokens signed with a secret that the service under test knows.
//!
//! In: who asks. Out: the headers of a request.
//!
//! # Invariants
//! - HMAC is computed here, not by the code under test.
//!
//! Deliberately unknown here: what a caller may.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use trailhouse::access::Role;
use trailhouse::app::key::{NewKey, create};
use trailhouse::config::{Config, Loaded};

use super::file::{CallerSaid, Words};

const SECRET: &[u8] = b"a secret of the scenarios, 32 bytes or more of it";
const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "trailhouse";
/// SHA-256 works on blocks of so many bytes.
const BLOCK: usize = 64;

/// Let a service know whom it is to believe; the key stands in a file of `folder`.
pub fn required(config: &mut Config, folder: &Path) {
    let file = folder.join("jwks.json");
    let key = json!({ "keys": [{
        "kty": "oct", "kid": "scenarios", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET),
    }] });
    std::fs::write(&file, key.to_string()).unwrap();
    let auth = &mut config.api.auth;
    auth.mode = "token".to_owned();
    auth.jwks_file = Some(file);
    auth.issuer = ISSUER.to_owned();
    auth.audience = AUDIENCE.to_owned();
    let sealing = folder.join("sealing");
    std::fs::write(&sealing, STANDARD.encode([7; 32])).unwrap();
    auth.sealing_key_file = Some(sealing);
}

/// The `Authorization` of a caller with a token; `None` for any other.
pub fn authorization(caller: &CallerSaid, words: &Words) -> Option<String> {
    if caller.nobody || caller.signs {
        return None;
    }
    let filled = |text: &String| words.fill(text);
    let tenants: Vec<String> = caller.tenants.iter().map(filled).collect();
    let resellers = caller.resellers.as_ref();
    let claims = json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": words.fill("scenario of {{tenant}}"),
        "exp": words.now.timestamp() + 3_600,
        "role": caller.role,
        "tenants": tenants,
        "tenant": caller.default_tenant.as_ref().map(filled),
        "actor": caller.actor.as_ref().map(filled),
        "resellers": resellers.map(|names| names.iter().map(filled).collect::<Vec<_>>()),
    });
    let head = json!({ "alg": "HS256", "typ": "JWT", "kid": "scenarios" });
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(head), part(claims));
    let secret = if caller.forged { b"another secret" } else { SECRET };
    let signature = URL_SAFE_NO_PAD.encode(hmac_sha256(secret, signed.as_bytes()));
    Some(format!("Bearer {signed}.{signature}"))
}

/// A key that signs, made as an operator makes one.
#[derive(Debug, Clone)]
pub struct SigningKey {
    id: String,
    secret: String,
}

impl SigningKey {
    /// Make one for a tenant's reader.
    pub async fn make(loaded: &Loaded, tenant: &str) -> SigningKey {
        let new = NewKey {
            name: "scenario".to_owned(),
            role: Role::Reader,
            tenants: [tenant.to_owned()].into(),
            default_tenant: None,
            actor: None,
            account: None,
            resellers: [].into(),
            signs: true,
            expires_at: None,
        };
        let mut out = Vec::new();
        create(loaded, new, &mut out).await.unwrap();
        let out = String::from_utf8(out).unwrap();
        let said: Vec<&str> = out.split_whitespace().collect();
        let ["token", "id", id, "token", "key", secret] = said[..] else { panic!("{out}") };
        SigningKey { id: id.to_owned(), secret: secret.to_owned() }
    }

    /// Sign a request, as BloodHound's clients do. What `headers` has already stays, and an empty
    /// one is left out.
    pub fn sign(
        &self,
        request: &str,
        body: &str,
        headers: &mut Vec<(String, String)>,
        words: &Words,
    ) {
        let (method, uri) = request.split_once(' ').unwrap();
        let given: BTreeMap<String, String> = headers.iter().cloned().collect();
        let date = given.get("RequestDate").cloned().unwrap_or_else(|| words.fill("{{now}}"));
        let key = hmac_sha256(self.secret.as_bytes(), format!("{method}{uri}").as_bytes());
        let key = hmac_sha256(&key, date.get(..13).unwrap_or(&date).as_bytes());
        let signature = STANDARD.encode(hmac_sha256(&key, body.as_bytes()));
        let authorization = format!("bhesignature {}", self.id);
        for (name, value) in
            [("Authorization", authorization), ("RequestDate", date), ("Signature", signature)]
        {
            if !given.contains_key(name) {
                headers.push((name.to_owned(), value));
            }
        }
        headers.retain(|(_, value)| !value.is_empty());
    }
}

/// HMAC by RFC 2104.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    match key.len() <= BLOCK {
        true => block[..key.len()].copy_from_slice(key),
        false => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let keyed = |pad: u8, parts: &[&[u8]]| {
        let mut hash = Sha256::new_with_prefix(block.map(|byte| byte ^ pad));
        parts.iter().for_each(|part| hash.update(part));
        <[u8; 32]>::from(hash.finalize())
    };
    keyed(0x5c, &[&keyed(0x36, &[message])])
}

#[test]
fn hmac_is_that_of_rfc_4231() {
    let hex: String = hmac_sha256(b"Jefe", b"what do ya want for nothing?")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}
