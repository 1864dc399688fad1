//! How often one caller may ask.
//!
//! In: a caller's id. Out: whether this request is one too many, and how long to wait.
//!
//! # Invariants
//! - A caller may ask `burst` times at once, and `requests_per_second` in the long run.
//! - What is kept of a caller is dropped once it says nothing any more.
//!
//! Deliberately unknown here: what is asked.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// After so many requests those who have not asked for a while are forgotten.
const SWEPT_EVERY: u32 = 1_024;

type Rates<C> =
    RateLimiter<String, HashMapStateStore<String>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Counts requests; shared by all of them.
pub struct Limiter<C: Clock = DefaultClock> {
    /// None where there is no limit.
    rates: Option<Rates<C>>,
    clock: C,
    counted: AtomicU32,
}

impl<C: Clock + Clone> Limiter<C> {
    /// So many requests a second, and so many at once; 0 a second for no limit.
    pub fn new(requests_per_second: u32, burst: u32, clock: C) -> Limiter<C> {
        let rates = NonZeroU32::new(requests_per_second).map(|per_second| {
            let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::per_second(per_second).allow_burst(burst);
            RateLimiter::new(quota, HashMapStateStore::default(), clock.clone())
        });
        Limiter { rates, clock, counted: AtomicU32::new(0) }
    }

    /// Count a request; how long to wait where it is one too many.
    pub fn count(&self, id: &String) -> Result<(), Duration> {
        let Some(rates) = &self.rates else { return Ok(()) };
        if self.counted.fetch_add(1, Ordering::Relaxed) % SWEPT_EVERY == SWEPT_EVERY - 1 {
            rates.retain_recent();
        }
        rates.check_key(id).map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn a_caller_may_burst_and_then_keeps_to_the_rate() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::new(10, 3, clock.clone());
        let ask = |id: &str| limiter.count(&id.to_owned()).is_ok();
        let after = |ms| clock.advance(Duration::from_millis(ms));
        assert_eq!([(); 4].map(|()| ask("ann")), [true, true, true, false]);
        assert!(ask("bob"), "another caller has a burst of their own");
        let steps = [99, 1, 50, 50].map(|ms| {
            after(ms);
            ask("ann")
        });
        assert_eq!(steps, [false, true, false, true]);
        after(700);
        assert_eq!([(); 4].map(|()| ask("ann")), [true, true, true, false]);
    }

    #[test]
    fn who_asks_too_often_is_told_when_to_ask_again() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::new(1, 1, clock.clone());
        let ann = "ann".to_owned();
        assert_eq!(limiter.count(&ann), Ok(()));
        clock.advance(Duration::from_millis(250));
        assert_eq!(limiter.count(&ann), Err(Duration::from_millis(750)));
        clock.advance(Duration::from_millis(750));
        assert_eq!(limiter.count(&ann), Ok(()));
    }

    #[test]
    fn callers_who_left_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::new(1_000, 1, clock.clone());
        for number in 0..100 {
            limiter.count(&number.to_string()).unwrap();
        }
        clock.advance(Duration::from_secs(1));
        for _ in 0..SWEPT_EVERY {
            let _ = limiter.count(&"late".to_owned());
        }
        assert_eq!(limiter.rates.unwrap().len(), 1);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let limiter = Limiter::new(0, 0, DefaultClock::default());
        assert!((0..1000).all(|_| limiter.count(&"ann".to_owned()).is_ok()));
    }
}
