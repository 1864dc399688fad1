//! What bounds a question, over a store that is never done.

use std::sync::Arc;

use axum::Router;

use super::fixture::{get, state};
use super::store::Endless;
use crate::api::{ApiConfig, ApiState, Authenticator, router};
use crate::query::{CursorKey, Positions};

fn endless(authenticator: Authenticator) -> Router {
    let reader = Arc::new(Endless::default());
    router(ApiState { reader, authenticator, ..state(Vec::new()) }, &ApiConfig::default())
}

#[test]
fn a_feed_whose_filter_matches_little_is_answered_with_its_cursor_moved() {
    let answer = get(&endless(Authenticator::None), "/v1/events/feed?action=rare");
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    assert_eq!(answer.body["events"], serde_json::json!([]));
    assert_eq!(answer.body["more"], true);
    let cursor = answer.body["next_cursor"].as_str().unwrap();
    let passed = Positions::decode(cursor, &CursorKey::new([7; 32]).unwrap()).unwrap();
    assert_eq!(passed.next_of(&Endless::log(), 0).offset, Endless::PASSED + 1);
}
