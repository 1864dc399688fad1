//! Which slots of a trie hold something: most of them are empty for any one record, and those of
//! other mappings always are.
//!
//! In: slots, one by one. Out: the same, each once, in ascending order.
//!
//! # Invariants
//! - Going over a set costs by what is in it, not by how many slots the trie has.
//!
//! Deliberately unknown here: what a slot holds.

use std::cell::Cell;

use bumpalo::Bump;

use super::trie::Slot;

/// Slots in one word.
const A_WORD: usize = u64::BITS as usize;

/// A set of slots, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots<'a>(&'a [Cell<u64>]);

impl<'a> Slots<'a> {
    /// None, of so many that there are.
    pub fn none(count: usize, arena: &'a Bump) -> Slots<'a> {
        Slots(arena.alloc_slice_fill_with(count.div_ceil(A_WORD), |_| Cell::new(0)))
    }

    /// Add one.
    #[inline]
    pub fn insert(self, slot: Slot) {
        let word = &self.0[usize::from(slot) / A_WORD];
        word.set(word.get() | 1 << (usize::from(slot) % A_WORD));
    }

    /// The others, in a set of their own.
    pub fn without(self, slots: &[Slot], arena: &'a Bump) -> Slots<'a> {
        let others = &*arena.alloc_slice_clone(self.0);
        for &slot in slots {
            let word = &others[usize::from(slot) / A_WORD];
            word.set(word.get() & !(1 << (usize::from(slot) % A_WORD)));
        }
        Slots(others)
    }

    /// All that are in it.
    pub fn iter(self) -> impl Iterator<Item = Slot> {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut bits = word.get();
            std::iter::from_fn(move || {
                let lowest = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
                bits &= bits - 1;
                Some((at * A_WORD + lowest) as Slot)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_holds_what_was_added_and_not_left_out(
            added in proptest::collection::vec(0_u16..300, 0..40),
            left_out in proptest::collection::vec(0_u16..300, 0..40),
        ) {
            let arena = Bump::new();
            let slots = Slots::none(300, &arena);
            added.iter().for_each(|slot| slots.insert(*slot));
            let all: BTreeSet<Slot> = added.iter().copied().collect();
            prop_assert!(slots.iter().eq(all.iter().copied()));
            let others = all.into_iter().filter(|slot| !left_out.contains(slot));
            prop_assert!(slots.without(&left_out, &arena).iter().eq(others));
        }
    }
}
