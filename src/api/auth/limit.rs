//! How often one caller may ask.
//!
//! In: a caller's id, the time. Out: whether this request is one too many, and how long to wait.
//!
//! # Invariants
//! - A caller may ask `burst` times at once, and `requests_per_second` in the long run: the generic
//!   cell rate algorithm, which keeps one time a caller.
//! - What is kept of a caller is dropped once it says nothing any more.
//!
//! Deliberately unknown here: what is asked.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts requests; shared by all of them.
#[derive(Debug)]
pub struct Limiter {
    /// The time that one request stands for; zero for no limit.
    interval: Duration,
    /// How far ahead of the clock a caller may be.
    tolerance: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When a caller would have asked next, had they kept to the interval.
    next: HashMap<String, Instant>,
    swept_at: Instant,
}

impl Limiter {
    /// So many requests a second, and so many at once; 0 a second for no limit.
    pub fn new(requests_per_second: u32, burst: u32) -> Limiter {
        let interval = match requests_per_second {
            0 => Duration::ZERO,
            per_second => Duration::from_secs(1) / per_second,
        };
        let state = State { next: HashMap::new(), swept_at: Instant::now() };
        Limiter { interval, tolerance: interval * burst.max(1), state: Mutex::new(state) }
    }

    /// Count a request; how long to wait where it is one too many.
    pub fn count(&self, id: &str, now: Instant) -> Result<(), Duration> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        if now.saturating_duration_since(state.swept_at) > self.tolerance {
            // A caller whose time has passed is like one who never asked.
            state.next.retain(|_, next| *next > now);
            state.swept_at = now;
        }
        let next = state.next.get(id).copied().unwrap_or(now).max(now) + self.interval;
        let ahead = next.saturating_duration_since(now);
        if ahead > self.tolerance {
            return Err(ahead - self.tolerance);
        }
        state.next.insert(id.to_owned(), next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_may_burst_and_then_keeps_to_the_rate() {
        let (limiter, begin) = (Limiter::new(10, 3), Instant::now());
        let ask = |id, after_ms| limiter.count(id, begin + Duration::from_millis(after_ms)).is_ok();
        assert_eq!([0, 0, 0, 0].map(|at| ask("ann", at)), [true, true, true, false]);
        assert!(ask("bob", 0), "another caller has a burst of their own");
        assert_eq!([99, 100, 150, 200].map(|at| ask("ann", at)), [false, true, false, true]);
        assert_eq!([900, 900, 900, 900].map(|at| ask("ann", at)), [true, true, true, false]);
    }

    #[test]
    fn who_asks_too_often_is_told_when_to_ask_again() {
        let (limiter, begin) = (Limiter::new(1, 1), Instant::now());
        assert_eq!(limiter.count("ann", begin), Ok(()));
        let wait = limiter.count("ann", begin + Duration::from_millis(250)).unwrap_err();
        assert_eq!(wait, Duration::from_millis(750));
        assert_eq!(limiter.count("ann", begin + Duration::from_millis(250) + wait), Ok(()));
    }

    #[test]
    fn callers_who_left_are_forgotten() {
        let (limiter, begin) = (Limiter::new(1000, 1), Instant::now());
        for number in 0..100 {
            limiter.count(&number.to_string(), begin).unwrap();
        }
        limiter.count("late", begin + Duration::from_secs(1)).unwrap();
        assert_eq!(limiter.state.lock().unwrap().next.len(), 1);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let (limiter, now) = (Limiter::new(0, 0), Instant::now());
        assert!((0..1000).all(|_| limiter.count("ann", now).is_ok()));
    }
}
