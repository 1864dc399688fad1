//! What no field took of a record, as attributes.
//!
//! In: what a walk [`Found`], and the slots that rules took. Out: the other scalars, each under its
//! printed path.
//!
//! # Invariants
//! - A value is told once: where it has a slot under that slot, else where the walk met it, and not
//!   at all below an object or array that was taken whole.
//! - A name stands once, and the mapping's own come first.
//!
//! Deliberately unknown here: fields, rules.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::text::joined;
use super::trie::{NOTHING, Slot, Trie};
use super::walk::{self, Fault, Found, Leaf, List};

/// Name and value of each.
pub type Attributes<'a> = BumpVec<'a, (&'a str, &'a str)>;

/// Add those whose name is not there yet: a name stands once, and the mapping's come first.
pub fn add_others<'a>(
    attributes: &mut Attributes<'a>,
    others: impl Iterator<Item = (&'a str, &'a str)>,
) {
    // Most names are told from all that are there by their length.
    let bit = |name: &str| 1_u64 << (name.len() & 63);
    let given = attributes.len();
    let lengths = attributes.iter().fold(0, |bits, (name, _)| bits | bit(name));
    others.for_each(|(name, value)| {
        let is_there = |(other, _): &(&str, &str)| *other == name;
        if lengths & bit(name) == 0 || !attributes[..given].iter().any(is_there) {
            attributes.push((name, value));
        }
    });
}

/// The slots whose values no field took, flattened to their scalars.
pub fn untaken<'a>(
    trie: &'a Trie,
    found: &Found<'a>,
    taken: &[Slot],
    attributes: &mut Attributes<'a>,
    arena: &'a Bump,
) -> Result<(), Fault> {
    let wholes = taken.iter().filter(|slot| found.leaf(**slot).is_whole());
    let wholes = BumpVec::from_iter_in(wholes.map(|slot| trie.path(*slot)), arena);
    let told_above = |path| wholes.iter().any(|above| is_below(path, above));
    for slot in found.filled.without(taken, arena).iter() {
        match found.leaf(slot) {
            Leaf::Absent | Leaf::Null | Leaf::Container | Leaf::Walked(_) => {}
            _ if told_above(trie.path(slot)) => {}
            Leaf::Scalar(text) | Leaf::Quoted(&(text, _)) => {
                attributes.push((trie.path(slot), text));
            }
            Leaf::Json(text) | Leaf::List(&List { text, .. }) => {
                flatten(trie, found, slot, text, attributes, arena)?;
            }
        }
    }
    Ok(())
}

/// Every scalar of a captured text, but those that have a slot of their own: they are told there.
fn flatten<'a>(
    trie: &'a Trie,
    found: &Found<'a>,
    slot: Slot,
    text: &'a str,
    attributes: &mut Attributes<'a>,
    arena: &'a Bump,
) -> Result<(), Fault> {
    let path = trie.path(slot);
    let prefix = joined([path, "."], arena);
    let all = walk::walk(&NOTHING, text, prefix, true, arena)?.rest;
    let slots = found.filled.iter().map(|slot| (slot, found.leaf(slot)));
    let own: Vec<&str> = slots
        .filter(|(_, leaf)| leaf.scalar().is_some() || leaf.is_whole())
        .map(|(slot, _)| trie.path(slot))
        .filter(|other| is_below(other, path))
        .collect();
    let told = |name| own.iter().any(|other| *other == name || is_below(name, other));
    attributes.extend(all.iter().copied().filter(|(name, _)| !told(name)));
    Ok(())
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'))
}
