//! A bell for the thread that drives a source.
//!
//! In: rings from librdkafka's threads, from settled batches, from a shutdown. Out: the driving
//! thread wakes at once instead of at the end of its wait.
//!
//! # Invariants
//! - A ring before the wait is not lost; any number of rings wake once.
//!
//! Deliberately unknown here: why it was rung.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A bell.
#[derive(Debug, Default)]
pub struct Waker {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Waker {
    /// Wake the waiting thread, or the next one that would wait.
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }

    /// Wait for a ring, at most this long.
    pub fn wait(&self, timeout: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.wait_timeout_while(rung, timeout, |rung| !*rung);
        let (mut rung, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }
}
