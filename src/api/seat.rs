//! Seats: how much may be under way at once, of all callers and of one.
//!
//! In: who wants a seat. Out: a [`Seat`], to be held for as long as it lasts: a tail that is open, or,
//! as a [`Turn`], a question that is being answered.
//!
//! # Invariants
//! - Never more seats are taken than there are, and never more by one caller than one may have: so one
//!   who takes all they get leaves the others theirs.
//! - A seat is free once it is dropped, however that for which it was taken ended.
//!
//! Deliberately unknown here: what is told, what is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

/// The seats.
#[derive(Clone)]
pub(super) struct Seats {
    most: usize,
    most_of_caller: usize,
    taken: Arc<Mutex<Taken>>,
}

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

/// The seat of a request, from when its caller is told until it is answered. An answer that streams
/// keeps it.
#[derive(Clone, Default)]
pub(super) struct Turn(Arc<Mutex<Option<Seat>>>);

impl Seats {
    /// So many for all callers together, and so many for one.
    pub(super) fn new(most: usize, most_of_caller: usize) -> Seats {
        Seats { most, most_of_caller, taken: Arc::default() }
    }

    /// Take a seat for a caller; `None` where callers are not told apart.
    pub(super) fn take(&self, caller: Option<&str>) -> Result<Seat, Full> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = caller.and_then(|caller| taken.by.get(caller)).copied().unwrap_or(0);
        if own >= self.most_of_caller {
            return Err(Full::OfCaller);
        }
        if taken.all >= self.most {
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
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        let Some(caller) = &self.caller else { return };
        if let Some(own) = taken.by.get_mut(caller) {
            *own -= 1;
        }
        taken.by.retain(|_, own| *own > 0);
    }
}

impl Turn {
    /// Hold a seat.
    pub(super) fn hold(&self, seat: Seat) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seat);
    }
}

/// Give each request a turn, which ends when its answer begins, or is given up.
pub(super) async fn in_turn(mut request: Request, next: Next) -> Response {
    let turn = Turn::default();
    request.extensions_mut().insert(turn.clone());
    let response = next.run(request).await;
    drop(turn);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_takes_their_share_and_no_more() {
        let seats = Seats::new(9, 3);
        let mut anns: Vec<Seat> = (0..3).map(|_| seats.take(Some("ann")).ok().unwrap()).collect();
        assert_eq!(seats.take(Some("ann")).err(), Some(Full::OfCaller));
        assert!(seats.take(Some("bob")).is_ok());
        anns.pop();
        assert!(seats.take(Some("ann")).is_ok());
        drop(anns);
        assert!(seats.taken.lock().unwrap().by.is_empty(), "who left is forgotten");
        assert_eq!(seats.taken.lock().unwrap().all, 0);
    }

    #[test]
    fn where_callers_are_not_told_apart_only_all_of_them_are_counted() {
        let seats = Seats::new(9, 3);
        let taken: Vec<Seat> = (0..9).map(|_| seats.take(None).ok().unwrap()).collect();
        assert_eq!(seats.take(None).err(), Some(Full::All));
        assert_eq!(seats.take(Some("ann")).err(), Some(Full::All));
        drop(taken);
        assert!(seats.take(Some("ann")).is_ok());
    }
}
