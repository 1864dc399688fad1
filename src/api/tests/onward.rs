//! Answers that go on: walks by cursor while the store grows, and exports.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::fixture::{api, by, event, get, ids_of, state};
use super::store::{Growing, unasked};
use super::{HOUR, NOW};
use crate::api::{ApiConfig, ApiState, router};
use crate::event::{Micros, StoredEvent};
use crate::query::{
    Answer, Bucket, Chunks, EventReader, ExportFormat, Extents, Facet, Facets, FeedPage, FeedQuery,
    Interval, Page, Query, ReadError, Selection, TenantScope,
};

const MINUTE: Micros = HOUR / 60;

#[test]
fn a_walk_meets_what_was_stored_before_it_once_whatever_is_stored_meanwhile() {
    for order in ["-occurred_at", "occurred_at", "-received_at", "received_at"] {
        let growing = Arc::new(Growing::default());
        let before: BTreeSet<u128> = (0..40).collect();
        for number in &before {
            growing.store(*number, NOW - HOUR - (*number as i64 % 7) * MINUTE);
        }
        let state = ApiState { reader: growing.clone(), ..state(Vec::new()) };
        let api = router(state, &ApiConfig::default());
        let mut path = format!("/v1/events?limit=3&order={order}&q=occurred_at:>-5h");
        let mut seen = Vec::new();
        for round in 0.. {
            let answer = get(&api, &path);
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
            seen.extend(ids_of(&answer.body));
            // Before, among and behind what has been seen.
            for late in 0..4 {
                let number = 1_000 + round * 10 + late;
                growing.store(number, NOW - HOUR - (late as i64 * 3 - 2) * MINUTE);
            }
            let Some(cursor) = answer.body["next_cursor"].as_str().filter(|_| round < 200) else {
                break;
            };
            path = format!("/v1/events?limit=3&order={order}&q=occurred_at:>-5h&cursor={cursor}");
        }
        let mut old: Vec<u128> = seen.into_iter().filter(|id| before.contains(id)).collect();
        old.sort_unstable();
        assert_eq!(old, before.iter().copied().collect::<Vec<_>>(), "{order}");
    }
}

impl Growing {
    fn store(&self, number: u128, occurred_at: Micros) {
        self.0.lock().unwrap().push(event(number, occurred_at));
    }
}

/// A store whose export breaks in the middle.
struct Breaking;

/// A chunk, then an error.
struct Halves(u8);

impl futures_core::Stream for Halves {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0 += 1;
        Poll::Ready(match self.0 {
            1 => Some(Ok(Bytes::from_static(b"half"))),
            2 => Some(Err(ReadError::Failed("it broke".into()))),
            _ => None,
        })
    }
}

impl EventReader for Breaking {
    fn page<'a>(&'a self, _: &'a Query) -> Answer<'a, Page> {
        Box::pin(async { Ok(Page::default()) })
    }

    fn get<'a>(&'a self, _: &'a TenantScope, _: Uuid) -> Answer<'a, Option<StoredEvent>> {
        Box::pin(async { Ok(None) })
    }

    fn count<'a>(&'a self, _: &'a Selection) -> Answer<'a, u64> {
        unasked()
    }

    fn histogram<'a>(&'a self, _: &'a Selection, _: Interval) -> Answer<'a, Vec<Bucket>> {
        unasked()
    }

    fn facets<'a>(&'a self, _: &'a Selection, _: &'a Facet, _: u32) -> Answer<'a, Facets> {
        unasked()
    }

    fn export<'a>(
        &'a self,
        _: &'a Selection,
        _: ExportFormat,
        _: Option<u64>,
    ) -> Answer<'a, Chunks> {
        Box::pin(async {
            let chunks: Chunks = Box::pin(Halves(0));
            Ok(chunks)
        })
    }

    fn extents(&self) -> Answer<'_, Extents> {
        unasked()
    }

    fn feed<'a>(&'a self, _: &'a FeedQuery) -> Answer<'a, FeedPage> {
        unasked()
    }

    fn ready(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

#[test]
fn an_export_is_the_store_s_bytes_with_the_window_in_its_head() {
    let api = api(vec![by("ann", 1, NOW - HOUR), by("bob", 2, NOW - 2 * HOUR)]);
    let all = get(&api, "/v1/events/export");
    let lines: Vec<Value> =
        all.body.as_str().unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["actor"]["id"], "ann");
    assert_eq!(all.headers["content-type"], "application/x-ndjson");
    assert_eq!(
        all.headers["x-trailhouse-window"],
        "2026-01-30T12:00:00.000000Z/2026-01-31T12:00:00.000000Z"
    );
    let one = get(&api, "/v1/events/export?format=csv&limit=1&q=actor.id:*");
    assert_eq!(
        one.headers["content-disposition"],
        "attachment; filename=\"events-2026-01-30.csv\""
    );
    assert_eq!(one.body["actor"]["id"], "ann", "one line is one JSON: {}", one.body);
}

#[test]
fn an_export_that_breaks_is_no_whole_body() {
    let state = ApiState { reader: Arc::new(Breaking), ..state(Vec::new()) };
    let api = router(state, &ApiConfig::default());
    let request = Request::get("/v1/events/export").body(Body::empty()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let read = runtime.block_on(async {
        let answer = api.oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        to_bytes(answer.into_body(), usize::MAX).await
    });
    assert!(read.is_err(), "the body ends in an error, which ends the connection");
}
