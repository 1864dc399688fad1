//! Saying once what happens again and again.
//!
//! In: the clock. Out: whether to say it now, and how often it was kept back.
//!
//! # Invariants
//! - The first time is said at once, a repeat [`EVERY`] so often; what was kept back is counted.
//!
//! Deliberately unknown here: what is said.

use std::time::{Duration, Instant};

/// How often a repeat is said.
pub const EVERY: Duration = Duration::from_secs(30);

/// Something that would be said too often.
#[derive(Debug, Default)]
pub struct Seldom {
    said: Option<Instant>,
    kept_back: u64,
}

impl Seldom {
    /// It happened. Where it is to be said: how often it was kept back since it last was.
    pub fn happened(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now.duration_since(said) < EVERY) {
            self.kept_back += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.kept_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_repeats_are_counted_until_they_are() {
        let (mut seldom, begun) = (Seldom::default(), Instant::now());
        let said =
            [0, 1, 29, 30, 31, 59, 61].map(|s| seldom.happened(begun + Duration::from_secs(s)));
        assert_eq!(said, [Some(0), None, None, Some(2), None, None, Some(2)]);
    }
}
