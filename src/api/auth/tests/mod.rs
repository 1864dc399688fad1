//! Credentials that hold, and every way in which one does not.

pub mod fixture;
mod jwks;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::fixture::{NOW, Pairs, SECRET, Store, but, claims, head, hs256, key, mac, record, text};
use super::*;
use crate::access::{ApiKey, KeyRecord, Proof, Role, Tenants};

/// An authenticator over some keys, and the folder its files are in.
async fn authenticator(
    jwks: &Value,
    store: Store,
    alter: impl Fn(&mut AuthConfig),
) -> (Authenticator, TempDir, Arc<Store>) {
    let dir = tempfile::tempdir().unwrap();
    let [set, sealing] = ["jwks.json", "sealing"].map(|name| dir.path().join(name));
    std::fs::write(&set, jwks.to_string()).unwrap();
    std::fs::write(&sealing, STANDARD.encode([1; 32])).unwrap();
    let mut config = AuthConfig {
        mode: "token".into(),
        jwks_file: Some(set),
        issuer: "https://id.example".into(),
        audience: "trailhouse".into(),
        sealing_key_file: Some(sealing),
        key_cache_s: 0,
        ..AuthConfig::default()
    };
    alter(&mut config);
    let (limits, store) = (LimitsConfig::default(), Arc::new(store));
    let aliases = [("Acme Inc".to_owned(), "acme".to_owned())].into_iter().collect();
    let opened = Authenticator::open(&config, &limits, aliases, store.clone(), || NOW).await;
    (opened.unwrap(), dir, store)
}

async fn bearer(authenticator: &Authenticator, credential: &str) -> Result<Caller, Unknown> {
    let given = format!("Bearer {credential}");
    authenticator.caller(&head(&[("authorization", &given)]), b"").await
}

fn why(found: Result<Caller, Unknown>) -> String {
    match found {
        Err(Unknown::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_token_of_each_algorithm_holds() {
    let pairs = Pairs::new();
    let (authenticator, _dir, _) = authenticator(&pairs.jwks(), Store::default(), |_| {}).await;
    for (algorithm, id) in [("RS256", "rs"), ("ES256", "es"), ("EdDSA", "ed"), ("HS256", "hs")] {
        for header in [json!({"alg": algorithm, "kid": id}), json!({"alg": algorithm})] {
            let token = pairs.token(header, &claims(), algorithm);
            let caller = bearer(&authenticator, &token).await.unwrap();
            assert_eq!((caller.id.as_str(), caller.role), ("ann", Role::Reader), "{algorithm}");
            assert_eq!(caller.tenants, ["acme".to_owned()].into());
        }
    }
    let mut alias = but("tenants", json!(["Acme Inc", "beta"]));
    alias["tenant"] = json!("Acme Inc");
    let token = pairs.token(json!({"alg": "ES256", "kid": "es"}), &alias, "ES256");
    let caller = bearer(&authenticator, &token).await.unwrap();
    assert_eq!(caller.tenants, ["acme", "beta"].map(str::to_owned).into(), "by the stored name");
    assert_eq!(caller.default_tenant.as_deref(), Some("acme"));
    let several = but("aud", json!(["other", "trailhouse"]));
    let token = pairs.token(json!({"alg": "ES256", "kid": "es"}), &several, "ES256");
    assert!(bearer(&authenticator, &token).await.is_ok());
    let now = chrono::Utc::now().timestamp();
    for claims in [but("exp", json!(now - 20)), but("nbf", json!(now + 20))] {
        let token = pairs.token(json!({"alg": "EdDSA", "kid": "ed"}), &claims, "EdDSA");
        assert!(bearer(&authenticator, &token).await.is_ok(), "clocks may be apart: {claims}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_for_us_now_is_refused() {
    let pairs = Pairs::new();
    let (authenticator, _dir, _) = authenticator(&pairs.jwks(), Store::default(), |_| {}).await;
    let now = chrono::Utc::now().timestamp();
    for (claims, said) in [
        (but("exp", json!(now - 60)), "it has expired"),
        (but("exp", Value::Null), "it has no exp"),
        (but("exp", json!("soon")), "exp"),
        (but("nbf", json!(now + 60)), "does not hold yet"),
        (but("iss", json!("https://evil.example")), "another issuer"),
        (but("iss", Value::Null), "it has no iss"),
        (but("aud", json!("billing")), "another audience"),
        (but("aud", json!(["billing", "mail"])), "another audience"),
        (but("aud", Value::Null), "it has no aud"),
        (but("sub", Value::Null), "it has no sub"),
        (but("role", json!("king")), "no role is called"),
    ] {
        let token = pairs.token(json!({"alg": "ES256", "kid": "es"}), &claims, "ES256");
        let told = why(bearer(&authenticator, &token).await);
        assert!(told.contains(said), "{claims}: {told}");
    }
}

#[tokio::test]
async fn a_token_whose_signature_is_not_its_key_s_is_refused() {
    let pairs = Pairs::new();
    let (authenticator, _dir, _) = authenticator(&pairs.jwks(), Store::default(), |_| {}).await;
    let (claims, header) = (claims(), |alg: &str, kid: &str| json!({"alg": alg, "kid": kid}));
    let good = pairs.token(header("ES256", "es"), &claims, "ES256");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other = pairs.token(header("ES256", "es"), &but("sub", json!("bob")), "ES256");
    let modulus = pairs.rsa_jwk("rs")["n"].as_str().unwrap().to_owned();
    let public = aws_lc_rs::signature::KeyPair::public_key(&pairs.rsa).as_ref();
    for (what, token) in [
        ("unsigned", pairs.token(header("none", "es"), &claims, "none")),
        ("unsigned, without a key", pairs.token(json!({"alg": "none"}), &claims, "none")),
        ("None", pairs.token(header("None", "rs"), &claims, "none")),
        ("the signature left out", format!("{signed}.")),
        ("another token's signature", format!("{}.{signature}", other.rsplit_once('.').unwrap().0)),
        ("HMAC with the public key, DER", hs256(&header("HS256", "rs"), &claims, public)),
        ("HMAC with the modulus", hs256(&header("HS256", "rs"), &claims, modulus.as_bytes())),
        ("HMAC with the public key, no id", hs256(&json!({"alg": "HS256"}), &claims, public)),
        ("another secret", hs256(&header("HS256", "hs"), &claims, b"not the secret")),
        ("another key's algorithm", pairs.token(header("RS256", "es"), &claims, "RS256")),
        ("another key's id", pairs.token(header("ES256", "rs"), &claims, "ES256")),
        ("a longer hash", pairs.token(header("RS512", "rs"), &claims, "RS256")),
        ("an unknown id", pairs.token(header("ES256", "xx"), &claims, "ES256")),
        ("a key of its own", {
            let jwk = json!({"kty": "oct", "k": text(b"mine, mine, mine, mine, mine, mine")});
            let header = json!({"alg": "HS256", "kid": "mine", "jwk": jwk});
            hs256(&header, &claims, b"mine, mine, mine, mine, mine, mine")
        }),
        (
            "critical",
            pairs.token(json!({"alg": "ES256", "kid": "es", "crit": ["x"]}), &claims, "ES256"),
        ),
        ("nothing", String::from("e30.e30.e30")),
        ("words", String::from("no token")),
    ] {
        let told = why(bearer(&authenticator, &token).await);
        assert!(!told.contains(&text(SECRET)), "{what}: {told}");
    }
    assert!(bearer(&authenticator, &good).await.is_ok(), "the tokens altered were good ones");
}

#[tokio::test]
async fn an_api_key_holds_until_it_expires_or_is_revoked() {
    let [good, expired, revoked, signing] = [1, 2, 3, 4].map(key);
    let store = Store::of([
        record(&good),
        KeyRecord { expires_at: Some(NOW), ..record(&expired) },
        KeyRecord { revoked_at: Some(1), ..record(&revoked) },
        KeyRecord { proof: Proof::Signing(vec![0; 60]), ..record(&signing) },
    ]);
    let jwks = json!({"keys": [{"kty": "oct", "k": text(SECRET)}]});
    let (authenticator, _dir, store) = authenticator(&jwks, store, |_| {}).await;
    let caller = bearer(&authenticator, &good.reveal()).await.unwrap();
    assert_eq!((caller.id, caller.name), (format!("key:{}", good.prefix()), "siem".to_owned()));
    let wrong_secret = format!("th_{}_{}", good.prefix(), key(9).secret());
    for (credential, said) in [
        (wrong_secret, "the secret is wrong"),
        (expired.reveal(), "expired"),
        (revoked.reveal(), "revoked"),
        (signing.reveal(), "one that signs"),
        (key(5).reveal(), "no such API key"),
        ("th_1".to_owned(), "it is no API key, whole"),
    ] {
        let told = why(bearer(&authenticator, &credential).await);
        assert!(told.contains(said), "{credential}: {told}");
        let secret = ApiKey::parse(&credential).map(|key| key.secret().to_owned());
        assert!(secret.is_none_or(|secret| !told.contains(&secret)), "{told}");
    }
    let revoke = |keys: &mut Option<std::collections::HashMap<String, KeyRecord>>| {
        keys.as_mut().unwrap().get_mut(good.prefix()).unwrap().revoked_at = Some(NOW);
    };
    revoke(&mut store.keys.lock().unwrap());
    assert!(why(bearer(&authenticator, &good.reveal()).await).contains("revoked"));
    *store.keys.lock().unwrap() = None;
    let found = bearer(&authenticator, &good.reveal()).await;
    assert!(matches!(found, Err(Unknown::Unavailable(_))), "{found:?}");
}

#[tokio::test]
async fn a_store_of_keys_is_not_asked_for_each_request() {
    let good = key(1);
    let jwks = json!({"keys": [{"kty": "oct", "k": text(SECRET)}]});
    let keep = |config: &mut AuthConfig| config.key_cache_s = 3600;
    let (authenticator, _dir, store) = authenticator(&jwks, Store::of([record(&good)]), keep).await;
    assert!(bearer(&authenticator, &good.reveal()).await.is_ok());
    *store.keys.lock().unwrap() = None;
    assert!(bearer(&authenticator, &good.reveal()).await.is_ok());
    let wrong_secret = format!("th_{}_{}", good.prefix(), key(9).secret());
    assert!(why(bearer(&authenticator, &wrong_secret).await).contains("the secret is wrong"));
}

#[tokio::test]
async fn guessed_prefixes_cost_the_store_a_look_a_second_and_a_new_key_holds_at_once() {
    let jwks = json!({"keys": [{"kty": "oct", "k": text(SECRET)}]});
    let store = Store::of([record(&key(1))]);
    let (authenticator, _dir, store) = authenticator(&jwks, store, |_| {}).await;
    let (began, mut guesses) = (Instant::now(), tokio::task::JoinSet::new());
    for guess in 2..=200 {
        let authenticator = authenticator.clone();
        guesses.spawn(async move { why(bearer(&authenticator, &key(guess).reveal()).await) });
    }
    for told in guesses.join_all().await {
        assert!(told.contains("no such API key"), "{told}");
    }
    let most = 1 + began.elapsed().as_secs();
    let asked = u64::from(store.asked.load(Ordering::SeqCst));
    assert!((1..=most).contains(&asked), "asked {asked} times, {most} would do");
    let new = (key(201).prefix().to_owned(), record(&key(201)));
    store.keys.lock().unwrap().as_mut().unwrap().extend([new]);
    assert!(bearer(&authenticator, &key(201).reveal()).await.is_ok());
    *store.keys.lock().unwrap() = None;
    let found = bearer(&authenticator, &key(202).reveal()).await;
    assert!(matches!(found, Err(Unknown::Unavailable(_))), "{found:?}");
}

#[tokio::test]
async fn a_signed_request_is_its_key_s() {
    let (signing, shown) = (key(1), key(2));
    let sealing = SealingKey::of(&[1; 32]).unwrap();
    let sealed = sealing.seal(signing.prefix(), signing.secret().as_bytes()).unwrap();
    let store = Store::of([
        KeyRecord { proof: Proof::Signing(sealed), ..record(&signing) },
        record(&shown),
    ]);
    let jwks = json!({"keys": [{"kty": "oct", "k": text(SECRET)}]});
    let (authenticator, _dir, _) = authenticator(&jwks, store, |_| {}).await;
    // As BloodHound's clients do it: over the text of the key.
    let sign = |key: &ApiKey, date: &str| {
        let operation = mac(key.secret().as_bytes(), b"GET/api/v2/audit?after=1&skip=0");
        STANDARD.encode(mac(&mac(&operation, &date.as_bytes()[..13]), b""))
    };
    let ask = async |id: &str, date: &str, signature: &str| {
        let given = format!("bhesignature {id}");
        let headers = [("Authorization", &*given), ("RequestDate", date), ("Signature", signature)];
        let given = headers.iter().filter(|(_, value)| !value.is_empty());
        authenticator.caller(&head(&given.copied().collect::<Vec<_>>()), b"").await
    };
    let date = "2026-01-31T12:10:00.123456+00:00";
    let good = sign(&signing, date);
    assert_eq!(ask(signing.prefix(), date, &good).await.unwrap().name, "siem");
    assert!(why(ask(signing.prefix(), date, &sign(&shown, date)).await).contains("signature"));
    assert!(why(ask(shown.prefix(), date, &sign(&shown, date)).await).contains("to be shown"));
    assert!(why(ask("0000", date, &good).await).contains("no such API key"));
    let long = "0".repeat(100_000);
    assert!(why(ask(&long, date, &good).await).contains("no such API key"));
    let given = format!("bhesignature {}", signing.prefix());
    let mut post =
        head(&[("Authorization", &*given), ("RequestDate", date), ("Signature", &*good)]);
    post.method = Method::POST;
    assert!(why(authenticator.caller(&post, b"").await).contains("where events are read"));
    let late = "2026-01-31T13:00:01Z";
    assert!(why(ask(signing.prefix(), late, &sign(&signing, late)).await).contains("hour"));
    for (date, signature) in [("", &*good), (date, ""), ("noon", &*good), (date, "***")] {
        let found = ask(signing.prefix(), date, signature).await;
        assert!(matches!(found, Err(Unknown::Malformed(_))), "{date} {signature}: {found:?}");
    }
}

#[tokio::test]
async fn what_is_no_credential_is_told_from_one_that_does_not_hold() {
    let jwks = json!({"keys": [{"kty": "oct", "k": text(SECRET)}]});
    let (authenticator, _dir, _) = authenticator(&jwks, Store::of([]), |_| {}).await;
    let ask =
        async |headers: &[(&str, &str)]| authenticator.caller(&head(headers), b"").await.err();
    assert_eq!(ask(&[]).await, Some(Unknown::Missing));
    assert_eq!(ask(&[("cookie", "a=b")]).await, Some(Unknown::Missing));
    assert!(matches!(ask(&[("authorization", "Basic YTpi")]).await, Some(Unknown::Refused(_))));
    for malformed in [
        &[("authorization", "")][..],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
    ] {
        let found = ask(malformed).await;
        assert!(matches!(found, Some(Unknown::Malformed(_))), "{malformed:?}: {found:?}");
    }
}

#[tokio::test]
async fn a_caller_who_asks_too_often_is_told_to_wait_and_others_are_not() {
    let [ann, bob] = [1, 2].map(key);
    let store = Arc::new(Store::of([record(&ann), record(&bob)]));
    let config = AuthConfig { mode: "token".into(), ..AuthConfig::default() };
    let limits =
        LimitsConfig { requests_per_second: 1, burst_requests: 2, ..LimitsConfig::default() };
    let authenticator =
        Authenticator::open(&config, &limits, Tenants::default(), store, || NOW).await.unwrap();
    let mut refused = None;
    for _ in 0..10_000 {
        refused = bearer(&authenticator, &ann.reveal()).await.err();
        if refused.is_some() {
            break;
        }
    }
    let wanted = Unknown::TooOften { id: format!("key:{}", ann.prefix()), retry_after_s: 1 };
    assert_eq!(refused, Some(wanted));
    assert!(bearer(&authenticator, &bob.reveal()).await.is_ok());
    assert!(why(bearer(&authenticator, "a.b.c").await).contains("JWTs are not set up"));
}

proptest! {
    #[test]
    fn nothing_but_a_credential_is_let_in(
        scheme in "Bearer|bhesignature|[A-Za-z]{0,8}",
        text in "th_[0-9a-f]{0,16}_?[A-Za-z0-9_-]{0,43}|(e[A-Za-z0-9_-]{0,20}\\.){0,3}|[ -~]{0,30}",
        date in "2026-01-31T1[12]:[0-5][0-9]:00Z|[ -~]{0,12}",
        signature in "[A-Za-z0-9+/]{0,12}={0,2}",
    ) {
        static OPEN: OnceLock<(Authenticator, TempDir)> = OnceLock::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (authenticator, _) = OPEN.get_or_init(|| {
            let jwks = json!({"keys": [{"kty": "oct", "k": fixture::text(SECRET)}]});
            let store = Store::of([record(&key(1))]);
            let (authenticator, dir, _) = runtime.block_on(authenticator(&jwks, store, |_| {}));
            (authenticator, dir)
        });
        let given = format!("{scheme} {text}");
        let headers = [("authorization", &*given), ("requestdate", &date), ("signature", &signature)];
        let found = runtime.block_on(authenticator.caller(&head(&headers), b""));
        prop_assert!(found.is_err(), "{given}: {found:?}");
    }
}
