//! What is failing right now, and what has not begun yet.
//!
//! In: parts that say that they fail, work, or are waited for. Out: what `/readyz` and `/startupz`
//! name.
//!
//! # Invariants
//! - A part that fails for a moment need not show: with a patience it is told once it has failed for
//!   so long, whether it says so again by then or not.
//! - What has begun is waited for no more, however it fails later.
//!
//! Deliberately unknown here: what the parts are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Seldom;

/// What is failing right now, part by part. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health {
    standing: Arc<Mutex<Standing>>,
    store: Arc<Mutex<Seldom>>,
}

#[derive(Default)]
struct Standing {
    failing: BTreeMap<String, Fault>,
    awaited: BTreeSet<String>,
}

struct Fault {
    reason: String,
    /// From when on it is told.
    told_from: Instant,
}

impl Health {
    /// A part fails, for this reason.
    pub fn fails(&self, part: &str, reason: impl Into<String>) {
        self.note(part, reason.into(), Duration::ZERO);
    }

    /// A part works (again).
    pub fn works(&self, part: &str) {
        let mut standing = self.standing();
        standing.failing.remove(part);
        standing.awaited.remove(part);
    }

    /// The start is not over before this part has worked once.
    pub fn awaits(&self, part: &str) {
        self.standing().awaited.insert(part.to_owned());
    }

    /// The parts that have never worked yet and are waited for.
    pub fn awaited(&self) -> BTreeSet<String> {
        self.standing().awaited.clone()
    }

    /// A part that works again when whoever speaks for it has ended, in whatever way: also a task
    /// that is given up while it waits to try again. It shows once it has failed for `patience`.
    pub fn part(&self, name: String, patience: Duration) -> Part {
        Part { health: self.clone(), name, patience }
    }

    /// Every failing part with its reason.
    pub fn failing(&self) -> BTreeMap<String, String> {
        let now = Instant::now();
        let standing = self.standing();
        let told = standing.failing.iter().filter(|(_, fault)| fault.told_from <= now);
        told.map(|(part, fault)| (part.clone(), fault.reason.clone())).collect()
    }

    /// Whoever asked found that the store fails: whether to say so, and how often it was not.
    pub fn store_fails(&self) -> Option<u64> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).happened(Instant::now())
    }

    fn note(&self, part: &str, reason: String, patience: Duration) {
        let told_from = Instant::now() + patience;
        let mut standing = self.standing();
        match standing.failing.get_mut(part) {
            // It fails for as long as it did.
            Some(fault) => fault.reason = reason,
            None => {
                standing.failing.insert(part.to_owned(), Fault { reason, told_from });
            }
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part that fails for no longer than this is held.
pub struct Part {
    health: Health,
    name: String,
    patience: Duration,
}

impl Part {
    /// It fails, for this reason.
    pub fn fails(&self, reason: impl Into<String>) {
        self.health.note(&self.name, reason.into(), self.patience);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.health.works(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_with_patience_shows_only_once_it_has_failed_for_so_long() {
        let health = Health::default();
        let patient = health.part("inserts of t/0".to_owned(), Duration::from_secs(3_600));
        patient.fails("refused");
        patient.fails("refused again");
        assert_eq!(health.failing(), BTreeMap::new());
        let prompt = health.part("inserts of t/1".to_owned(), Duration::ZERO);
        prompt.fails("refused");
        let told: Vec<String> = health.failing().into_keys().collect();
        assert_eq!(told, ["inserts of t/1"]);
        drop((patient, prompt));
        assert!(health.standing().failing.is_empty());
    }

    #[test]
    fn what_worked_once_is_waited_for_no_more() {
        let health = Health::default();
        health.awaits("clickhouse");
        health.awaits("kafka");
        health.fails("kafka", "no broker");
        health.works("kafka");
        health.fails("kafka", "gone again");
        assert_eq!(health.awaited(), ["clickhouse".to_owned()].into());
        assert!(health.failing().contains_key("kafka"));
    }
}
