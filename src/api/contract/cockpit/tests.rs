//! What a scenario over a real store cannot show: every refusal in words, and a clock that stands.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Uri};
use chrono::DateTime;
use serde_json::Value;

use super::question::Asked as Question;
use super::words;
use crate::api::auth::Unknown;
use crate::api::contract::Asked;
use crate::api::refusal::Refusal;
use crate::api::tests::fixture::read;
use crate::event::Micros;

fn micros(text: &str) -> Micros {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn asked(query: &str) -> Question {
    let uri: Uri = format!("/v1/AuditLogs?{query}").parse().unwrap();
    Question::read(&uri).unwrap()
}

/// A refusal as it is said: status and body.
fn said(refusal: &Refusal, asked: &Asked) -> (u16, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let said = runtime.block_on(read(words(refusal, asked)));
    (said.status.as_u16(), said.body)
}

#[test]
fn a_month_back_is_the_same_day_or_the_month_s_last() {
    for (now, from) in [
        ("2026-02-15T12:00:00Z", "2026-01-15T12:00:00Z"),
        ("2026-03-31T12:00:00Z", "2026-02-28T12:00:00Z"),
        ("2024-03-30T00:00:00Z", "2024-02-29T00:00:00Z"),
        ("2026-01-31T23:59:59Z", "2025-12-31T23:59:59Z"),
    ] {
        let window = asked("").window(micros(now));
        assert_eq!(window.from, micros(from), "{now}");
        assert_eq!(window.to, micros(now) + 1, "{now}");
    }
}

#[test]
fn a_date_has_several_forms() {
    for (text, time) in [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00%2B02:00", "2026-01-31T10:00:00Z"),
        ("2026-01-31T12:00:00.25", "2026-01-31T12:00:00.25Z"),
        ("2026-01-31T12:00", "2026-01-31T12:00:00Z"),
        ("2026-01-31", "2026-01-31T00:00:00Z"),
    ] {
        assert_eq!(asked(&format!("startdate={text}")).start, Some(micros(time)), "{text}");
    }
}

#[test]
fn every_refusal_is_in_cloud_cockpit_s_words() {
    let asked = Asked {
        request_id: "r1".into(),
        path: "/v1/AuditLogs".into(),
        headers: HeaderMap::new(),
        at: 0,
    };
    for (refusal, status, kind) in [
        (Refusal::Unauthenticated(Unknown::Missing), 401, "Unauthorized"),
        (Refusal::Forbidden("why".into()), 403, "Forbidden"),
        (Refusal::NotFound("what".into()), 404, "NotFound"),
        (Refusal::Method("GET".into()), 405, "MethodNotAllowed"),
        (Refusal::parameter("PageSize", "so"), 400, "ValidationError"),
        (Refusal::TooLarge, 413, "PayloadTooLarge"),
        (Refusal::TooMany { retry_after: Duration::from_secs(7) }, 429, "TooManyRequests"),
        (Refusal::Unavailable("the store".into()), 503, "ServiceUnavailable"),
        (Refusal::Timeout, 503, "ServiceUnavailable"),
        (Refusal::Internal, 500, "InternalServerError"),
    ] {
        let (answered, body) = said(&refusal, &asked);
        assert_eq!((answered, body["type"].as_str().unwrap()), (status, kind), "{refusal:?}");
        assert_eq!(body["statusCode"], status, "{refusal:?}");
        assert_eq!(body["correlationId"], "r1", "{refusal:?}");
        assert!(body["description"].as_str().is_some_and(|text| !text.is_empty()), "{refusal:?}");
        assert_eq!(body["errors"].is_array(), status == 400, "{refusal:?}");
    }
}

#[test]
fn a_correlation_id_that_is_none_does_not_return() {
    let mut asked = Asked {
        request_id: "r1".into(),
        path: "/v1/AuditLogs".into(),
        headers: HeaderMap::new(),
        at: 0,
    };
    for (given, returned) in [
        ("c0ffee00-0000-4000-8000-00000000000f", "c0ffee00-0000-4000-8000-00000000000f"),
        ("\"},{\"injected\":1", "r1"),
    ] {
        asked.headers.insert("x-correlation-id", HeaderValue::from_static(given));
        let (_, body) = said(&Refusal::Internal, &asked);
        assert_eq!(body["correlationId"], returned);
    }
}
