//! An array taken apart: the text of each element, none of them walked yet.
//!
//! In: the text of an array, or serde at its opening bracket. Out: a [`List`], whose elements can be
//! walked.
//!
//! # Invariants
//! - An element's text is a slice of the source, byte for byte; so is the whole array's.
//! - Of a hostile array no more elements are kept than may be used; all of them are counted.
//!
//! Deliberately unknown here: what the elements hold.

use std::fmt;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::text::joined;
use super::super::trie::Trie;
use super::{Fault, Found, syntax, walk};
use crate::event::Reason;

/// Elements of one array at most: a record of bare braces could otherwise fill the memory.
pub const MAX_ELEMENTS: usize = 10_000;

/// Elements that most arrays have room in.
pub const LIKELY: usize = 4;

/// An array's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List<'a> {
    /// The whole array's text.
    pub text: &'a str,
    elements: &'a [&'a str],
    count: usize,
}

impl<'a> List<'a> {
    /// Take apart a text that is an array.
    pub fn read(text: &'a str, arena: &'a Bump) -> Result<List<'a>, Fault> {
        let mut json = serde_json::Deserializer::from_str(text);
        let list = json.deserialize_seq(Elements { source: text, arena });
        let list = list.and_then(|list| json.end().map(|()| list));
        list.map_err(|error| syntax(&error))
    }

    /// Take apart an array of the source.
    pub fn take<S: SeqAccess<'a>>(
        mut seq: S,
        source: &'a str,
        arena: &'a Bump,
    ) -> Result<List<'a>, S::Error> {
        let mut elements = BumpVec::with_capacity_in(LIKELY, arena);
        let (mut count, mut last) = (0, "");
        while let Some(element) = seq.next_element::<&'a RawValue>()? {
            last = element.get();
            count += 1;
            if count <= MAX_ELEMENTS {
                elements.push(last);
            }
        }
        let elements = elements.into_bump_slice();
        let text = elements.first().map_or("[]", |first| around(source, first, last));
        Ok(List { text, elements, count })
    }

    /// The same of an array whose text is known.
    pub fn with_text(self, text: &'a str) -> List<'a> {
        List { text, ..self }
    }

    /// Each element's text, in order.
    pub fn elements(&self) -> Result<&'a [&'a str], Fault> {
        if self.count > MAX_ELEMENTS {
            let sentence = format!("an array of {} elements; {MAX_ELEMENTS} at most", self.count);
            return Err(Fault { reason: Reason::TooLarge, sentence });
        }
        Ok(self.elements)
    }

    /// What walks of its elements find; the array stands at the path.
    pub fn walked(
        &self,
        trie: &'a Trie,
        path: &str,
        keep_rest: bool,
        arena: &'a Bump,
    ) -> Result<&'a [Found<'a>], Fault> {
        let elements = self.elements()?;
        let mut all = BumpVec::with_capacity_in(elements.len(), arena);
        for (at, &element) in elements.iter().enumerate() {
            let prefix = joined([path, ".", &at.to_string(), "."], arena);
            all.push(walk(trie, element, prefix, keep_rest, arena)?);
        }
        Ok(all.into_bump_slice())
    }
}

struct Elements<'a> {
    source: &'a str,
    arena: &'a Bump,
}

impl<'a> Visitor<'a> for Elements<'a> {
    type Value = List<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<S: SeqAccess<'a>>(self, seq: S) -> Result<List<'a>, S::Error> {
        List::take(seq, self.source, self.arena)
    }
}

/// The array that a first and a last element stand in: nothing but white space is between them
/// and its brackets.
fn around<'a>(source: &'a str, first: &str, last: &str) -> &'a str {
    let found = offset(source, first).zip(offset(source, last)).and_then(|(from, last_from)| {
        let to = last_from + last.len();
        let from = source.get(..from)?.trim_ascii_end().len().checked_sub(1)?;
        let to = source.len() - source.get(to..)?.trim_ascii_start().len() + 1;
        source.get(from..to)
    });
    // INVARIANT: RawValue borrows its text from the source.
    found.unwrap_or(source)
}

/// Where a part of the source begins in it; `None` for a text that stands elsewhere in memory.
pub fn offset(source: &str, part: &str) -> Option<usize> {
    let at = (part.as_ptr() as usize).checked_sub(source.as_ptr() as usize)?;
    (at + part.len() <= source.len()).then_some(at)
}
