//! A JWK set that changes, is away, or is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Json;
use axum::routing::get;
use serde_json::json;

use super::fixture::{Pairs, SECRET, text};
use crate::api::auth::jwks::{Jwks, NoKey, Source};

#[tokio::test]
async fn a_provider_is_asked_again_for_an_unknown_key_and_not_too_often() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    // The first answer has no key that is asked for, the third is none, the others have it.
    let pairs = Arc::new(Pairs::new());
    let shared = Arc::clone(&pairs);
    let answer = move || async move {
        match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => Json(json!({"keys": [shared.rsa_jwk("old")]})),
            2 => Json(json!({"keys": "broken"})),
            _ => Json(
                json!({"keys": [shared.rsa_jwk("new"), {"kty": "oct", "kid": "hs", "k": text(SECRET)}]}),
            ),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(
        axum::serve(listener, axum::Router::new().route("/keys", get(answer))).into_future(),
    );

    let rs = jsonwebtoken::Algorithm::RS256;
    let (always, seldom) = (Duration::ZERO, Duration::from_secs(3600));
    let jwks = Jwks::open(Source::url(&url).unwrap(), always, seldom).await.unwrap();
    assert!(jwks.find(Some("old"), rs).await.is_ok());
    assert_eq!(ASKED.load(Ordering::SeqCst), 1, "a key that is there is asked for once");
    assert!(jwks.find(Some("new"), rs).await.is_ok());
    assert_eq!(ASKED.load(Ordering::SeqCst), 2);
    assert_eq!(jwks.find(Some("none"), rs).await.err(), Some(NoKey::Unknown));
    assert_eq!(ASKED.load(Ordering::SeqCst), 3);
    assert!(jwks.find(Some("new"), rs).await.is_ok(), "an answer that is none leaves the keys");
    let hs = jwks.find(Some("hs"), jsonwebtoken::Algorithm::HS256).await;
    assert_eq!(hs.err(), Some(NoKey::Unknown), "a secret that was published is none");

    let jwks = Jwks::open(Source::url(&url).unwrap(), seldom, seldom).await.unwrap();
    let before = ASKED.load(Ordering::SeqCst);
    for _ in 0..10 {
        assert_eq!(jwks.find(Some("none"), rs).await.err(), Some(NoKey::Unknown));
    }
    assert_eq!(ASKED.load(Ordering::SeqCst), before, "asked a moment ago");
}

#[tokio::test]
async fn a_key_that_is_taken_out_of_the_set_holds_no_longer_than_the_set_may_grow_old() {
    let (pairs, dir) = (Pairs::new(), tempfile::tempdir().unwrap());
    let file = dir.path().join("jwks.json");
    let write = |id: &str| {
        std::fs::write(&file, json!({"keys": [pairs.rsa_jwk(id)]}).to_string()).unwrap();
    };
    let rs = jsonwebtoken::Algorithm::RS256;
    let seldom = Duration::from_secs(3600);
    for (max_age, outcome) in [(Duration::ZERO, Some(NoKey::Unknown)), (seldom, None)] {
        write("old");
        let source = Source::File(file.clone());
        let jwks = Jwks::open(source, Duration::ZERO, max_age).await.unwrap();
        assert!(jwks.find(Some("old"), rs).await.is_ok());
        write("new");
        assert_eq!(jwks.find(Some("old"), rs).await.err(), outcome, "{max_age:?}");
    }
}

#[tokio::test]
async fn a_provider_that_never_answered_is_no_refusal() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = Source::url(&format!("http://{nowhere}/keys")).unwrap();
    let (always, seldom) = (Duration::ZERO, Duration::from_secs(3600));
    let jwks = Jwks::open(source, always, seldom).await.unwrap();
    let found = jwks.find(Some("a"), jsonwebtoken::Algorithm::RS256).await.err();
    assert!(matches!(found, Some(NoKey::Unavailable(_))), "{found:?}");
}

#[tokio::test]
async fn a_file_without_keys_is_named_and_not_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jwks.json");
    let weak = json!({"keys": [{"kty": "oct", "k": text(b"hunter2")}]});
    let broken = json!({"keys": [{"kty": "oct", "k": ["hunter2hunter2hunter2"]}]});
    for text in [weak.to_string(), broken.to_string(), "hunter2".to_owned(), String::new()] {
        std::fs::write(&file, &text).unwrap();
        let opened = Jwks::open(Source::File(file.clone()), Duration::ZERO, Duration::ZERO).await;
        let error = opened.err().unwrap();
        assert!(error.contains("jwks.json") && !error.contains("hunter2"), "{error}");
    }
}
