//! What a walk finds: a leaf at each slot, and the scalars that have none.
//!
//! In: texts, from a walk. Out: the same, by slot or by path.
//!
//! # Invariants
//! - Nothing is copied: a leaf is a slice of the record, or of the arena where it had escapes.
//!
//! Deliberately unknown here: JSON, rules.

use super::super::slots::Slots;
use super::super::trie::Slot;
use super::List;

/// What was found at a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leaf<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// A scalar's text: a string's content, a number as it was written, `true` or `false`.
    Scalar(&'a str),
    /// A string where the JSON text is wanted: its content and that.
    Quoted(&'a (&'a str, &'a str)),
    /// An object or array, as JSON text.
    Json(&'a str),
    /// An array whose elements are to be gone over one by one.
    List(&'a List<'a>),
    /// An array whose elements were gone over as they were met.
    Walked(&'a [Found<'a>]),
    /// An object or array whose leaves went elsewhere.
    Container,
}

impl<'a> Leaf<'a> {
    /// A scalar's text.
    pub fn scalar(self) -> Option<&'a str> {
        match self {
            Leaf::Scalar(text) | Leaf::Quoted(&(text, _)) => Some(text),
            _ => None,
        }
    }

    /// The JSON text of a value that was taken as such.
    pub fn json(self) -> Option<&'a str> {
        match self {
            Leaf::Absent | Leaf::Container | Leaf::Walked(_) => None,
            Leaf::Null => Some("null"),
            Leaf::Scalar(text) | Leaf::Quoted(&(_, text)) | Leaf::Json(text) => Some(text),
            Leaf::List(list) => Some(list.text),
        }
    }

    /// An array that is gone over.
    pub fn list(self) -> Option<&'a List<'a>> {
        match self {
            Leaf::List(list) => Some(list),
            _ => None,
        }
    }

    /// Whether it is an object or array whose leaves stand in no slots.
    pub fn is_whole(self) -> bool {
        matches!(self, Leaf::Json(_) | Leaf::List(_) | Leaf::Walked(_))
    }
}

/// What a walk found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// One a slot of the trie.
    pub leaves: &'a [Leaf<'a>],
    /// The slots that are not [`Leaf::Absent`].
    pub filled: Slots<'a>,
    /// Every scalar that has no slot, by path, in the order of the text.
    pub rest: &'a [(&'a str, &'a str)],
}

impl<'a> Found<'a> {
    /// What was found at a slot.
    pub fn leaf(&self, slot: Slot) -> Leaf<'a> {
        self.leaves[slot as usize]
    }
}
