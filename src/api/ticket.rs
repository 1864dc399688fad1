//! Tickets for a tail: a browser's EventSource can send no credential but an address.
//!
//! In: a caller, and what they were told by. Out: a random text that stands for them, for a minute, and
//! for a tail alone.
//!
//! # Invariants
//! - A ticket is 32 random bytes, kept as its digest and in this process alone; it is as much as its
//!   caller was when it was given, and never more. It ends with the credential that asked for it.
//! - It may be used again while it holds: an EventSource that loses its connection asks the same
//!   address.
//! - There are never more than [`MOST_TICKETS`], and [`MOST_OF_CALLER`] of one caller.
//!
//! Deliberately unknown here: what is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::auth::Admitted;
use crate::event::id;

/// How long a ticket holds.
pub(super) const HOLDS: Duration = Duration::from_secs(60);
const MOST_TICKETS: usize = 10_000;
const MOST_OF_CALLER: usize = 1_000;

/// The tickets that hold.
#[derive(Clone, Default)]
pub(super) struct Tickets(Arc<Mutex<Held>>);

/// By digest: whom a ticket stands for, and until when.
type Held = HashMap<[u8; 32], (Admitted, Instant)>;

impl Tickets {
    /// A ticket for a caller; `None` where there are too many, or no random numbers.
    pub(super) fn give(&self, admitted: Admitted, now: Instant) -> Option<String> {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).ok()?;
        let ticket = URL_SAFE_NO_PAD.encode(secret);
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.retain(|_, (_, until)| *until > now);
        let is_own = |held: &&(Admitted, Instant)| held.0.caller.id == admitted.caller.id;
        let own = tickets.values().filter(is_own).count();
        if tickets.len() >= MOST_TICKETS || own >= MOST_OF_CALLER {
            return None;
        }
        tickets.insert(id::digest(ticket.as_bytes()), (admitted, now + HOLDS));
        Some(ticket)
    }

    /// Whom a ticket stands for.
    pub(super) fn admitted(&self, ticket: &str, now: Instant) -> Option<Admitted> {
        let tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (admitted, until) = tickets.get(&id::digest(ticket.as_bytes()))?;
        (*until > now).then(|| admitted.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Caller;
    use crate::api::auth::Credential;

    fn anyone() -> Admitted {
        Admitted { caller: Caller::anyone(), credential: Credential::Key("k".into()) }
    }

    #[test]
    fn a_ticket_stands_for_its_caller_until_its_minute_is_over() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let ticket = tickets.give(anyone(), now).unwrap();
        for _ in 0..2 {
            assert_eq!(tickets.admitted(&ticket, now), Some(anyone()));
        }
        assert_eq!(tickets.admitted(&ticket, now + HOLDS), None);
        assert_eq!(tickets.admitted("guessed", now), None);
        assert_ne!(tickets.give(anyone(), now).unwrap(), ticket);
    }

    #[test]
    fn tickets_that_are_never_used_do_not_pile_up() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let of = |id: usize| {
            let caller = Caller { id: id.to_string(), ..Caller::anyone() };
            Admitted { caller, ..anyone() }
        };
        let own = (0..=MOST_OF_CALLER).filter_map(|_| tickets.give(of(0), now)).count();
        assert_eq!(own, MOST_OF_CALLER, "and others have theirs");
        let others = (1..=MOST_TICKETS).filter_map(|id| tickets.give(of(id), now)).count();
        assert_eq!(own + others, MOST_TICKETS);
        assert!(tickets.give(of(0), now + HOLDS).is_some());
    }
}
