//! How far everything is stored, looked up once for all who follow it.
//!
//! In: a reader. Out: a value that changes when more has been stored.
//!
//! # Invariants
//! - It is asked every [`LOOK_EVERY`] while anybody follows, by one task, and not otherwise.
//! - It goes on where the reader fails: who follows sees nothing new until that has passed.
//!
//! Deliberately unknown here: who follows, and what they are told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::query::{EventReader, Extents};

/// How often is looked: what a tail is late at most, beside the age of a batch.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What all see.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// How far each log is complete.
    pub extents: Arc<Extents>,
    /// Whether nothing more will be seen: the process ends.
    pub is_last: bool,
}

/// How far everything is stored.
#[derive(Clone, Default)]
pub(super) struct Horizon(Arc<Inner>);

#[derive(Default)]
struct Inner {
    view: watch::Sender<View>,
    /// Whether the task runs. It is looked at and changed together with who follows.
    is_watched: Mutex<bool>,
}

impl Horizon {
    /// Follow it. What is seen first may be old.
    pub(super) fn follow(&self, reader: &Arc<dyn EventReader>) -> watch::Receiver<View> {
        let mut is_watched = self.0.is_watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut follower = self.0.view.subscribe();
        follower.mark_changed();
        if !*is_watched {
            *is_watched = true;
            tokio::spawn(watch(Arc::clone(&self.0), Arc::clone(reader)));
        }
        follower
    }

    /// Let all who follow end.
    pub(super) fn close(&self) {
        self.0.view.send_modify(|view| view.is_last = true);
    }
}

impl Inner {
    fn is_wanted(&self) -> bool {
        let mut is_watched = self.is_watched.lock().unwrap_or_else(PoisonError::into_inner);
        *is_watched = self.view.receiver_count() > 0 && !self.view.borrow().is_last;
        *is_watched
    }
}

async fn watch(inner: Arc<Inner>, reader: Arc<dyn EventReader>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut fails = false;
    while inner.is_wanted() {
        match reader.extents().await {
            Ok(extents) => {
                fails = false;
                inner.view.send_if_modified(|view| {
                    let is_more = *view.extents != extents;
                    if is_more {
                        view.extents = Arc::new(extents);
                    }
                    is_more
                });
            }
            // Once for each time it fails, not four times a second.
            Err(error) if !fails => {
                fails = true;
                tracing::warn!(%error, "tails wait: how far is stored cannot be looked up");
            }
            Err(_) => {}
        }
        ticks.tick().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::memory::MemoryReader;

    #[tokio::test]
    async fn whoever_follows_sees_what_is_stored_also_when_all_had_left() {
        let events = vec![crate::api::tests::fixture::event(1, 0)];
        let reader: Arc<dyn EventReader> = Arc::new(MemoryReader { events });
        let horizon = Horizon::default();
        for _ in 0..2 {
            let mut follower = horizon.follow(&reader);
            let seen = follower.wait_for(|view| !view.extents.is_empty());
            tokio::time::timeout(Duration::from_secs(10), seen).await.unwrap().unwrap();
            drop(follower);
            let gone = async {
                while *horizon.0.is_watched.lock().unwrap() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
            horizon.0.view.send_modify(|view| view.extents = Arc::default());
        }
        horizon.close();
        assert!(horizon.follow(&reader).borrow().is_last);
    }
}
