//! Keys of requests that may be sent again: what was written under each.
//!
//! In: who writes, the key they gave, a digest of the request. Out: a [`Key`], which holds the receipt
//! once there is one.
//!
//! # Invariants
//! - A key is its caller's own. It is remembered for [`KEPT`], by this process alone.
//! - There are never more than [`MOST`] keys. Where there would be, the caller with the most loses the
//!   oldest: nobody's are lost to one who has more.
//!
//! Deliberately unknown here: what is written, and how.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::event::{Micros, id};
use crate::gateway::Receipt;

/// How long a key is remembered: a day, in microseconds.
pub(super) const KEPT: Micros = 86_400_000_000;

/// Keys that are remembered, of all callers together: some megabytes.
const MOST: usize = 20_000;

/// What was asked under a key, and what came of it.
pub(super) struct Key {
    /// Of the request that it was first given with.
    pub digest: id::Digest,
    /// Where the record is, once it was written.
    pub receipt: OnceCell<Receipt>,
}

/// The keys of all callers.
#[derive(Default)]
pub(super) struct Keys(Mutex<Callers>);

#[derive(Default)]
struct Callers {
    own: HashMap<String, Own>,
    /// Keys of all of them.
    count: usize,
}

/// The keys of one caller.
#[derive(Default)]
struct Own {
    known: HashMap<String, Arc<Key>>,
    /// The oldest first.
    order: VecDeque<(Micros, String)>,
}

impl Keys {
    /// What is known of a caller's key, which is remembered from now on.
    pub(super) fn of(
        &self,
        caller: &str,
        key: String,
        digest: id::Digest,
        now: Micros,
    ) -> Arc<Key> {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        callers.forget_old(caller, now);
        if let Some(known) = callers.own.get(caller).and_then(|own| own.known.get(&key)) {
            return Arc::clone(known);
        }
        if callers.count >= MOST {
            callers.make_room(now);
        }
        let made = Arc::new(Key { digest, receipt: OnceCell::new() });
        let own = callers.own.entry(caller.to_owned()).or_default();
        own.order.push_back((now, key.clone()));
        own.known.insert(key, Arc::clone(&made));
        callers.count += 1;
        made
    }
}

impl Callers {
    fn forget_old(&mut self, caller: &str, now: Micros) {
        if let Some(own) = self.own.get_mut(caller) {
            self.count -= own.forget_old(now);
        }
    }

    fn make_room(&mut self, now: Micros) {
        // Callers who have left are met here alone.
        self.own.retain(|_, own| {
            self.count -= own.forget_old(now);
            !own.order.is_empty()
        });
        let fullest = self.own.values_mut().max_by_key(|own| own.order.len());
        if let Some(own) = fullest.filter(|_| self.count >= MOST) {
            own.forget_oldest();
            self.count -= 1;
        }
    }
}

impl Own {
    /// How many were too old.
    fn forget_old(&mut self, now: Micros) -> usize {
        let before = self.order.len();
        while self.order.front().is_some_and(|(since, _)| now - since >= KEPT) {
            self.forget_oldest();
        }
        before - self.order.len()
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.known.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: &Keys, caller: &str, key: usize, now: Micros) -> Arc<Key> {
        keys.of(caller, key.to_string(), [0; 32], now)
    }

    fn is_known(keys: &Keys, caller: &str, key: usize) -> bool {
        let callers = keys.0.lock().unwrap();
        callers.own.get(caller).is_some_and(|own| own.known.contains_key(&key.to_string()))
    }

    #[test]
    fn a_key_is_its_caller_s_own_for_a_day() {
        let keys = Keys::default();
        let first = of(&keys, "ann", 1, 0);
        assert!(Arc::ptr_eq(&first, &of(&keys, "ann", 1, KEPT - 1)));
        assert!(!Arc::ptr_eq(&first, &of(&keys, "bob", 1, KEPT - 1)));
        assert!(!Arc::ptr_eq(&first, &of(&keys, "ann", 1, KEPT)));
    }

    #[test]
    fn one_caller_s_keys_never_cost_another_theirs() {
        let keys = Keys::default();
        for key in 0..10 {
            of(&keys, "ann", key, 0);
        }
        for key in 0..2 * MOST {
            of(&keys, "bob", key, 1);
        }
        assert!((0..10).all(|key| is_known(&keys, "ann", key)));
        assert!(is_known(&keys, "bob", 2 * MOST - 1) && !is_known(&keys, "bob", MOST));
        assert_eq!(keys.0.lock().unwrap().count, MOST);
    }

    #[test]
    fn what_callers_who_left_had_is_forgotten_where_there_is_no_room() {
        let keys = Keys::default();
        for caller in 0..MOST {
            of(&keys, &caller.to_string(), 0, 0);
        }
        of(&keys, "ann", 0, KEPT);
        let callers = keys.0.lock().unwrap();
        assert_eq!((callers.count, callers.own.len()), (1, 1));
    }
}
