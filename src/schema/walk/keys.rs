//! The keys of an object so far, to find one that stands twice.
//!
//! In: each key with its hash, or its place among those the trie knows. Out: whether it was there
//! before.
//!
//! # Invariants
//! - Exact: a hash only says that a key is new. A key the trie knows is equal to none it does not.
//! - Linear in the number of keys, also for a hostile object.
//!
//! Deliberately unknown here: values, paths.

use std::collections::HashSet;

use bumpalo::collections::Vec as BumpVec;

/// Keys of one object from which on a set is quicker than going over them.
const MANY: usize = 64;

/// The keys of all objects that are open; an object's begin at its start.
pub type Seen<'a> = BumpVec<'a, &'a str>;

/// The keys of an object so far.
pub struct Keys<'a> {
    /// Where they begin among the keys of all open objects.
    start: usize,
    /// The bit of each key's place, of those the trie knows: one test and no more.
    known: u64,
    /// The bit of each other key's hash: nearly always this alone says that a key is new.
    bits: u64,
    /// All of them, where there are [`MANY`]: it keeps a hostile object linear.
    many: Option<HashSet<&'a str>>,
}

impl<'a> Keys<'a> {
    /// Begin an object inside those that are open.
    #[inline]
    pub fn open(seen: &Seen<'a>) -> Keys<'a> {
        Keys { start: seen.len(), known: 0, bits: 0, many: None }
    }

    /// End it.
    #[inline]
    pub fn close(&self, seen: &mut Seen<'a>) {
        seen.truncate(self.start);
    }

    /// Remember a key that has a place below 64 among its siblings in the trie; whether it was
    /// there before.
    #[inline]
    pub fn repeats_known(&mut self, place: usize) -> bool {
        let bit = 1 << place;
        let repeats = self.known & bit != 0;
        self.known |= bit;
        repeats
    }

    /// Remember another key; whether it was there before.
    #[inline]
    pub fn repeats(&mut self, seen: &mut Seen<'a>, hash: u64, key: &'a str) -> bool {
        let bit = 1 << (hash & 63);
        let is_new = self.bits & bit == 0 && seen.len() - self.start < MANY;
        self.bits |= bit;
        let repeats = !is_new && self.look_for(key, &seen[self.start..]);
        seen.push(key);
        repeats
    }

    fn look_for(&mut self, key: &'a str, before: &[&'a str]) -> bool {
        if before.len() < MANY {
            return before.contains(&key);
        }
        let many = self.many.get_or_insert_with(|| before.iter().copied().collect());
        !many.insert(key)
    }
}
