//! Answers with events in them, made where that holds up nobody.
//!
//! In: how an answer is made of what was found. Out: a response of JSON.
//!
//! # Invariants
//! - An answer is made and written as text on a thread of its own: a page may hold
//!   `api.limits.page_bytes`, which takes seconds, and the threads that serve requests are few.
//!
//! Deliberately unknown here: what an answer says.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::refusal::Refusal;

/// The answer that is made.
pub(super) async fn rendered<T: Serialize>(
    make: impl FnOnce() -> Result<T, serde_json::Error> + Send + 'static,
) -> Response {
    let made = tokio::task::spawn_blocking(move || serde_json::to_vec(&make()?)).await;
    match made {
        Ok(Ok(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Ok(Err(error)) => {
            tracing::error!(%error, "an answer cannot be written");
            Refusal::Internal.into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer was not made");
            Refusal::Internal.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::api::tests::fixture::read;

    #[tokio::test]
    async fn while_an_answer_is_made_its_thread_serves_others() {
        let (other, served) = mpsc::channel();
        let answer = rendered(move || Ok(served.recv_timeout(Duration::from_secs(30)).is_ok()));
        let (answer, ()) = tokio::join!(answer, async move { other.send(()).unwrap() });
        assert_eq!(read(answer).await.body, true);
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_made_is_a_defect_of_ours() {
        let broken = rendered(|| serde_json::from_str::<u8>("x")).await;
        assert_eq!(broken.status().as_u16(), 500);
        let panicked = rendered(|| -> Result<u8, serde_json::Error> { panic!("a test") }).await;
        assert_eq!(panicked.status().as_u16(), 500);
    }
}
