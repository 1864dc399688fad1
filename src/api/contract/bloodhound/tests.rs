//! What a scenario over a real store cannot show: a store that is slow, and words for every refusal.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use serde_json::Value;
use uuid::Uuid;

use super::question::Asked as Question;
use super::{CONTRACT, words};
use crate::api::auth::Unknown;
use crate::api::contract::Asked;
use crate::api::refusal::Refusal;
use crate::api::tests::fixture::{read, send, state};
use crate::api::{ApiConfig, ApiState, router};
use crate::event::StoredEvent;
use crate::query::{
    Answer, Bucket, Chunks, Direction, EventReader, ExportFormat, Extents, Facet, Facets, FeedPage,
    FeedQuery, Interval, Order, Page, Query, Selection, SortField, TenantScope, TimeField,
};

/// A store that never answers.
struct Asleep;

impl EventReader for Asleep {
    fn page<'a>(&'a self, _: &'a Query) -> Answer<'a, Page> {
        Box::pin(std::future::pending())
    }

    fn count<'a>(&'a self, _: &'a Selection) -> Answer<'a, u64> {
        Box::pin(std::future::pending())
    }

    fn histogram<'a>(&'a self, _: &'a Selection, _: Interval) -> Answer<'a, Vec<Bucket>> {
        Box::pin(std::future::pending())
    }

    fn facets<'a>(&'a self, _: &'a Selection, _: &'a Facet, _: u32) -> Answer<'a, Facets> {
        Box::pin(std::future::pending())
    }

    fn export<'a>(
        &'a self,
        _: &'a Selection,
        _: ExportFormat,
        _: Option<u64>,
    ) -> Answer<'a, Chunks> {
        Box::pin(std::future::pending())
    }

    fn extents(&self) -> Answer<'_, Extents> {
        Box::pin(std::future::pending())
    }

    fn feed<'a>(&'a self, _: &'a FeedQuery) -> Answer<'a, FeedPage> {
        Box::pin(std::future::pending())
    }

    fn get<'a>(&'a self, _: &'a TenantScope, _: Uuid) -> Answer<'a, Option<StoredEvent>> {
        Box::pin(std::future::pending())
    }

    fn ready(&self) -> Answer<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// A refusal as it is said: status and body.
fn said(refusal: &Refusal, asked: &Asked) -> (u16, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let said = runtime.block_on(read(words(refusal, asked)));
    (said.status.as_u16(), said.body)
}

#[test]
fn an_answer_that_takes_longer_than_preferred_is_a_500() {
    let state = ApiState { reader: Arc::new(Asleep), ..state(Vec::new()) };
    let api = router(state, &ApiConfig::default());
    let request = Request::builder().uri("/api/v2/audit").header("prefer", "wait=1");
    let answer = send(&api, request.body(Body::empty()).unwrap());
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.body["errors"][0]["message"], "request timed out");
    assert_eq!(answer.body["http_status"], 500);
}

#[test]
fn every_refusal_is_in_bloodhound_s_words() {
    let asked = Asked {
        request_id: "r1".into(),
        path: "/api/v2/audit".into(),
        headers: HeaderMap::new(),
        at: 0,
    };
    let unknown = |unknown| Refusal::Unauthenticated(unknown);
    for (refusal, status, message) in [
        (unknown(Unknown::Missing), 401, "authentication is invalid"),
        (unknown(Unknown::Refused("why".into())), 401, "authentication is invalid"),
        (Refusal::Forbidden("why".into()), 403, "Forbidden"),
        (Refusal::NotFound("what".into()), 404, "resource not found"),
        (Refusal::Method("GET".into()), 405, "this path answers GET only"),
        (Refusal::parameter("skip", "so"), 400, "so"),
        (Refusal::TooLarge, 413, "the body is too long; send less at once"),
        (
            Refusal::TooMany { retry_after: Duration::from_secs(7) },
            429,
            "too many requests; try again in 7 s",
        ),
        (Refusal::Unavailable("the store".into()), 503, "the store"),
        (Refusal::Timeout, 500, "request timed out"),
        (
            Refusal::Internal,
            500,
            "an internal error has occurred that is preventing the service from servicing this \
             request",
        ),
    ] {
        let (answered, body) = said(&refusal, &asked);
        assert_eq!(answered, status, "{refusal:?}");
        assert_eq!(body["http_status"], status, "{refusal:?}");
        assert_eq!(body["errors"][0]["message"], message, "{refusal:?}");
        assert_eq!(body["request_id"], "r1", "{refusal:?}");
        assert_eq!(body["timestamp"], "1970-01-01T00:00:00.000000Z", "{refusal:?}");
    }
    assert_eq!(CONTRACT.roots, ["/api/v2"]);
}

#[test]
fn an_order_by_time_alone_can_be_walked() {
    let order = |query: &str| {
        let uri: Uri = format!("/api/v2/audit?{query}").parse().unwrap();
        Question::read(&uri).unwrap().order
    };
    let by = |direction| Order::Time(TimeField::OccurredAt, direction);
    assert_eq!(order(""), by(Direction::Descending));
    assert_eq!(order("sort_by=-created_at"), by(Direction::Descending));
    assert_eq!(order("sort_by=created_at"), by(Direction::Ascending));
    let id = (SortField::SourceNumber, Direction::Descending);
    assert_eq!(order("sort_by=-id"), Order::Fields(vec![id]));
}
