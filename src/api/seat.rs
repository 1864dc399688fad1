//! Seats for tails: how many may be open, of all callers and of one.
//!
//! In: who wants one. Out: a [`Seat`], to be held for as long as the tail is open.
//!
//! # Invariants
//! - Never more than [`MOST`] seats are taken, and never more than [`MOST_OF_CALLER`] by one caller: so
//!   one who takes all they get leaves nine tenths to others.
//! - A seat is free once it is dropped, however its tail ended.
//!
//! Deliberately unknown here: what a tail tells.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Seats there are.
pub(super) const MOST: usize = 100;

/// Seats of one caller.
pub(super) const MOST_OF_CALLER: usize = 10;

/// The seats.
#[derive(Clone, Default)]
pub(super) struct Seats(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<String, usize>,
}

/// A seat that is taken.
pub(super) struct Seat {
    seats: Seats,
    caller: Option<String>,
}

/// Why there is no seat.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The caller has as many as one may have.
    OfCaller,
    /// All are taken.
    All,
}

impl Seats {
    /// Take a seat for a caller; `None` where callers are not told apart.
    pub(super) fn take(&self, caller: Option<&str>) -> Result<Seat, Full> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = caller.and_then(|caller| taken.by.get(caller)).copied().unwrap_or(0);
        if own >= MOST_OF_CALLER {
            return Err(Full::OfCaller);
        }
        if taken.all >= MOST {
            return Err(Full::All);
        }
        taken.all += 1;
        let caller = caller.map(str::to_owned);
        if let Some(caller) = &caller {
            taken.by.insert(caller.clone(), own + 1);
        }
        drop(taken);
        Ok(Seat { seats: self.clone(), caller })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        let Some(caller) = &self.caller else { return };
        if let Some(own) = taken.by.get_mut(caller) {
            *own -= 1;
        }
        taken.by.retain(|_, own| *own > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_takes_their_share_and_no_more() {
        let seats = Seats::default();
        let mut anns: Vec<Seat> =
            (0..MOST_OF_CALLER).map(|_| seats.take(Some("ann")).ok().unwrap()).collect();
        assert_eq!(seats.take(Some("ann")).err(), Some(Full::OfCaller));
        assert!(seats.take(Some("bob")).is_ok());
        anns.pop();
        assert!(seats.take(Some("ann")).is_ok());
        drop(anns);
        assert!(seats.0.lock().unwrap().by.is_empty(), "who left is forgotten");
        assert_eq!(seats.0.lock().unwrap().all, 0);
    }

    #[test]
    fn where_callers_are_not_told_apart_only_all_of_them_are_counted() {
        let seats = Seats::default();
        let taken: Vec<Seat> = (0..MOST).map(|_| seats.take(None).ok().unwrap()).collect();
        assert_eq!(seats.take(None).err(), Some(Full::All));
        assert_eq!(seats.take(Some("ann")).err(), Some(Full::All));
        drop(taken);
        assert!(seats.take(Some("ann")).is_ok());
    }
}
