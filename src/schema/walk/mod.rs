//! The one pass: JSON text to slots and leftover scalars.
//!
//! In: a [`Trie`] and the text of one JSON object. Out: a [`Leaf`] a slot, and every other scalar
//! with its path.
//!
//! serde_json drives; there is no tree of values. Where the trie wants a scalar, its exact text is
//! taken as a `RawValue`, so a number stays as it was written. Elsewhere serde hands over numbers
//! as `u64`, `i64` or `f64`; integers print back exactly, but an `f64` has lost its digits, and a
//! number beyond `f64` is an error. So the first of either outside the trie stops the pass and a
//! second one, [`Mode::Exact`], takes every value as text: about twice the time, for the records
//! that need it. Naming such a value in the mapping avoids it.
//!
//! # Invariants
//! - Every object of the record is looked at, so a duplicate key is found wherever it is.
//! - Depth is bounded by [`MAX_DEPTH`], below serde_json's own limit of 128, so that the reason
//!   is ours to name; the text under a slot counts from the slot's depth.
//! - Nothing is copied but strings with escapes and the joined paths of leftovers: into the arena.
//!
//! Deliberately unknown here: rules, mappings, events.

mod visit;

use std::collections::HashSet;
use std::fmt::Write as _;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use serde::de::{DeserializeSeed as _, Deserializer as _};

use self::visit::{Here, Text};
use super::path::{needs_quotes, push_segment};
use super::trie::{NodeId, ROOT, Slot, Trie};
use crate::event::Reason;

/// How deep objects and arrays may nest.
pub const MAX_DEPTH: usize = 100;

/// Room that most records need for leftovers, levels and open keys; an arena cannot grow in place.
const LIKELY: usize = 32;

/// What the paths of one text's leftovers may take, beyond which a small record could fill the
/// memory: this for every record, and so many bytes for each of the text's own.
const PATH_BYTES: usize = 4096;
const PATH_BYTES_A_BYTE: usize = 16;

/// What was found at a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leaf<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// A scalar's text: a string's content, a number as it was written, `true` or `false`.
    /// The second text is the value's JSON, for rules that want it.
    Scalar(&'a str, &'a str),
    /// An object or array, as JSON text.
    Json(&'a str),
    /// An object or array whose leaves went elsewhere.
    Container,
}

/// What a walk found.
pub struct Found<'a> {
    /// One a slot of the trie.
    pub leaves: BumpVec<'a, Leaf<'a>>,
    /// Every scalar that has no slot, by path, in the order of the text.
    pub rest: BumpVec<'a, (&'a str, &'a str)>,
}

impl<'a> Found<'a> {
    /// What was found at a slot.
    pub fn leaf(&self, slot: Slot) -> Leaf<'a> {
        self.leaves[slot as usize]
    }
}

/// Why a text cannot be walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The class of the fault.
    pub reason: Reason,
    /// What and where.
    pub sentence: String,
}

/// Walk an object's text.
pub fn walk<'a>(
    trie: &Trie,
    text: &'a str,
    prefix: &'a str,
    keep_rest: bool,
    arena: &'a Bump,
) -> Result<Found<'a>, Fault> {
    for mode in [Mode::Fast, Mode::Exact] {
        let mut pass = Pass {
            trie,
            arena,
            mode,
            keep_rest,
            leaves: bumpalo::vec![in arena; Leaf::Absent; trie.slots()],
            rest: BumpVec::with_capacity_in(LIKELY, arena),
            path: BumpVec::with_capacity_in(LIKELY, arena),
            printed: String::with_capacity(4 * LIKELY),
            ends: BumpVec::with_capacity_in(LIKELY, arena),
            path_room: PATH_BYTES + PATH_BYTES_A_BYTE * text.len(),
            seen: BumpVec::with_capacity_in(LIKELY, arena),
            depth: 0,
            fault: None,
        };
        if !prefix.is_empty() {
            pass.path.push(Segment::Printed(prefix));
        }
        let result = match text.as_bytes().first() {
            Some(b'{' | b'[') => pass.text(text, Some(ROOT)),
            // An element of an array that is gone over may be a scalar.
            _ => pass.raw(text, Some(ROOT)),
        };
        match (result, pass.fault) {
            (Ok(()), _) => return Ok(Found { leaves: pass.leaves, rest: pass.rest }),
            (Err(_), Some(fault)) => return Err(fault),
            (Err(error), None) if mode == Mode::Exact => return Err(syntax(&error)),
            // A number that only its text can hold, or broken JSON: the exact pass knows.
            (Err(_), None) => {}
        }
    }
    // INVARIANT: the exact pass returns.
    Err(Fault { reason: Reason::NotJson, sentence: "the JSON could not be read".into() })
}

/// A parser's error as a fault.
pub fn syntax(error: &serde_json::Error) -> Fault {
    let reason = if error.is_eof() { Reason::Truncated } else { Reason::NotJson };
    Fault { reason, sentence: format!("the JSON is broken: {error}") }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Fast,
    Exact,
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Printed(&'a str),
    Key(&'a str),
    Index(usize),
}

struct Pass<'t, 'a> {
    trie: &'t Trie,
    arena: &'a Bump,
    mode: Mode,
    keep_rest: bool,
    leaves: BumpVec<'a, Leaf<'a>>,
    rest: BumpVec<'a, (&'a str, &'a str)>,
    path: BumpVec<'a, Segment<'a>>,
    /// The path as far as it has been printed; siblings share their parents' part.
    printed: String,
    /// Where each segment ends in it, for as many as are printed.
    ends: BumpVec<'a, usize>,
    /// What the paths of leftovers may still take, bytes.
    path_room: usize,
    /// The keys of the objects that are open, each with its hash; an object's begin at its start.
    seen: BumpVec<'a, (u64, &'a str)>,
    depth: usize,
    fault: Option<Fault>,
}

impl<'a> Pass<'_, 'a> {
    /// Walk a text of its own: the record, or what stands under a slot.
    fn text(&mut self, text: &'a str, node: Option<NodeId>) -> Result<(), serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        (&mut json).deserialize_any(Here { pass: self, node })?;
        json.end()
    }

    /// A value as its JSON text.
    fn raw(&mut self, text: &'a str, node: Option<NodeId>) -> Result<(), serde_json::Error> {
        match text.as_bytes().first() {
            Some(b'{' | b'[') => self.raw_container(text, node),
            Some(b'"') => {
                let content = &text[1..text.len() - 1];
                let content = if memchr::memchr(b'\\', content.as_bytes()).is_none() {
                    content
                } else {
                    Text(self.arena).deserialize(&mut serde_json::Deserializer::from_str(text))?
                };
                self.string(content, text, node)
            }
            Some(b'n') => {
                self.null(node);
                Ok(())
            }
            _ => self.scalar(text, text, node),
        }
    }

    fn raw_container(
        &mut self,
        text: &'a str,
        node: Option<NodeId>,
    ) -> Result<(), serde_json::Error> {
        let wanted = node.map(|node| self.trie.node(node));
        let slot = wanted.and_then(|wanted| wanted.slot);
        if let (Some(wanted), Some(slot)) = (wanted, slot) {
            if wanted.each && text.starts_with('[') {
                self.leaves[slot as usize] = Leaf::Json(text);
                return Ok(());
            }
            if wanted.json {
                // All of it stands in the captured text: walked for its duplicate keys, its depth
                // and what other rules read in it.
                let kept = std::mem::replace(&mut self.keep_rest, false);
                let result = self.text(text, node);
                self.keep_rest = kept;
                self.leaves[slot as usize] = Leaf::Json(text);
                return result;
            }
        }
        self.text(text, node)
    }

    fn string(
        &mut self,
        content: &'a str,
        text: &'a str,
        node: Option<NodeId>,
    ) -> Result<(), serde_json::Error> {
        let unwrap = node.is_some_and(|node| self.trie.node(node).unwrap);
        // A string that is not JSON after all is a plain string.
        if unwrap
            && content.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<serde::de::IgnoredAny>(content).is_ok()
        {
            return self.text(content, node);
        }
        self.scalar(content, text, node)
    }

    fn scalar<E: serde::de::Error>(
        &mut self,
        content: &'a str,
        text: &'a str,
        node: Option<NodeId>,
    ) -> Result<(), E> {
        match node.and_then(|node| self.trie.node(node).slot) {
            Some(slot) => self.leaves[slot as usize] = Leaf::Scalar(content, text),
            None if self.keep_rest => {
                let name = self.printed_path();
                let Some(room) = self.path_room.checked_sub(name.len()) else {
                    let sentence = "the paths of its values take many times what they say".into();
                    return Err(self.fail(Fault { reason: Reason::TooLarge, sentence }));
                };
                self.path_room = room;
                self.rest.push((name, content));
            }
            None => {}
        }
        Ok(())
    }

    fn null(&mut self, node: Option<NodeId>) {
        if let Some(slot) = node.and_then(|node| self.trie.node(node).slot) {
            self.leaves[slot as usize] = Leaf::Null;
        }
    }

    fn container(&mut self, node: Option<NodeId>) {
        if let Some(slot) = node.and_then(|node| self.trie.node(node).slot) {
            self.leaves[slot as usize] = Leaf::Container;
        }
    }

    fn enter(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        let sentence = format!("nested deeper than {MAX_DEPTH} levels");
        Err(Fault { reason: Reason::TooDeep, sentence })
    }

    /// Remember a key of the object whose keys begin at `start`.
    fn first_time(
        &mut self,
        start: usize,
        many: &mut Option<HashSet<&'a str>>,
        hash: u64,
        key: &'a str,
    ) -> Result<(), Fault> {
        // A scan of hashes is quickest for real objects; a set keeps a hostile one linear.
        const MANY: usize = 64;
        let keys = &self.seen[start..];
        let repeated = match many {
            Some(many) => !many.insert(key),
            None => keys.iter().any(|(other, name)| *other == hash && *name == key),
        };
        if repeated {
            self.path.push(Segment::Key(key));
            let path: String = self.printed_path().chars().take(200).collect();
            let sentence = format!("the key `{path}` stands twice in one object");
            return Err(Fault { reason: Reason::DuplicateKey, sentence });
        }
        self.seen.push((hash, key));
        if many.is_none() && self.seen.len() - start > MANY {
            *many = Some(self.seen[start..].iter().map(|(_, name)| *name).collect());
        }
        Ok(())
    }

    fn printed_path(&mut self) -> &'a str {
        if let [Segment::Key(key)] = self.path[..]
            && !needs_quotes(key)
        {
            return key;
        }
        self.printed.truncate(self.ends.last().copied().unwrap_or_default());
        for segment in &self.path[self.ends.len()..] {
            match segment {
                Segment::Printed(text) => self.printed.push_str(text),
                Segment::Key(key) => push_segment(&mut self.printed, key),
                Segment::Index(index) => {
                    let dot = if self.printed.is_empty() { "" } else { "." };
                    // INVARIANT: writing to a String cannot fail.
                    let _ = write!(self.printed, "{dot}{index}");
                }
            }
            self.ends.push(self.printed.len());
        }
        self.arena.alloc_str(&self.printed)
    }

    /// Go back up from a key or an index.
    fn leave(&mut self) {
        self.path.pop();
        self.ends.truncate(self.path.len());
    }

    fn fail<E: serde::de::Error>(&mut self, fault: Fault) -> E {
        let error = E::custom(&fault.sentence);
        self.fault = Some(fault);
        error
    }
}
