//! The one pass: JSON text to slots and leftover scalars.
//!
//! In: a [`Trie`] and the text of one JSON object. Out: a [`Leaf`] a slot, and every other scalar
//! with its path.
//!
//! serde_json drives; there is no tree of values. It hands over numbers as `u64`, `i64` or `f64`,
//! but a number is kept as it was written: its digits are read where they stand, behind its key.
//! An element of an array has no key, and a number beyond `f64` is an error. So the first of
//! either, where it is wanted, stops the pass, and a second one, [`Mode::Exact`], takes every value
//! as text: about twice the time, for the records that need it.
//!
//! An array of things acted on is walked as it is met where it is known what for
//! ([`super::plan`]). There the text of an element is not known before its end, so whatever is wrong
//! with one is for the exact mode to say, too.
//!
//! What it costs (figures in `benches/normalise.rs`): of an event's time about half is serde_json's,
//! a quarter the rules', and the rest is here: per key its hash, a look for a child and for a
//! repeat; per leftover its path. So: what can be known of a key beforehand stands at its node, a
//! repeat of a known key is a bit, a node has a table, a path's parents are printed once. Count
//! instructions (`valgrind --tool=callgrind`) before and after a change; a clock on a busy machine
//! says too little.
//!
//! # Invariants
//! - Every object of the record is looked at, so a duplicate key is found wherever it is.
//! - Depth is bounded by [`MAX_DEPTH`], below serde_json's own limit of 128, so that the reason
//!   is ours to name; the text under a slot counts from the slot's depth.
//! - Nothing is copied but strings with escapes and the joined paths of leftovers: into the arena.
//!
//! Deliberately unknown here: rules, mappings, events.

mod found;
mod keys;
mod list;
mod trail;
mod visit;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use serde::de::{DeserializeSeed as _, Deserializer as _};

pub use self::found::{Found, Leaf};
use self::keys::Seen;
pub use self::list::List;
use self::trail::{Step, Trail};
use self::visit::{Next, Text};
use super::slots::Slots;
use super::trie::{Node, Slot, Trie};
use crate::event::Reason;

/// How deep objects and arrays may nest.
pub const MAX_DEPTH: usize = 100;

/// Room that most records need for leftovers and open keys; an arena cannot grow in place.
const LIKELY: usize = 32;

/// What the paths of one text's leftovers may take, beyond which a small record could fill the
/// memory: this for every record, and so many bytes for each of the text's own.
const PATH_BYTES: usize = 1024;
const PATH_BYTES_A_BYTE: usize = 8;

/// Why a text cannot be walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The class of the fault.
    pub reason: Reason,
    /// What and where.
    pub sentence: String,
}

/// Walk an object's text; the paths of its leftovers begin with the prefix, which ends in a dot
/// unless it is empty.
pub fn walk<'a>(
    trie: &'a Trie,
    text: &'a str,
    prefix: &'a str,
    keep_rest: bool,
    arena: &'a Bump,
) -> Result<Found<'a>, Fault> {
    let trail = &Trail::start(prefix);
    for mode in [Mode::Fast, Mode::Exact] {
        let mut pass = Pass::new(trie, text, text.len(), arena);
        (pass.mode, pass.keep_rest, pass.is_rooted) = (mode, keep_rest, prefix.is_empty());
        let start = Here { node: trie.root(), trail, step: &Step::Start };
        let result = match text.as_bytes().first() {
            Some(b'{' | b'[') => pass.text(text, start),
            // An element of an array that is gone over may be a scalar.
            _ => pass.raw(text, start),
        };
        match (result, pass.fault.take()) {
            (Ok(()), _) => return Ok(pass.found()),
            (Err(_), Some(fault)) => return Err(fault),
            (Err(error), None) if mode == Mode::Exact => return Err(syntax(&error)),
            // What only its text can tell, or broken JSON: the exact pass knows.
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

struct Pass<'a> {
    trie: &'a Trie,
    arena: &'a Bump,
    mode: Mode,
    keep_rest: bool,
    /// Whether paths begin where the trie does, which then has printed some.
    is_rooted: bool,
    /// The text that serde_json is reading.
    source: &'a str,
    leaves: &'a mut [Leaf<'a>],
    filled: Slots<'a>,
    rest: BumpVec<'a, (&'a str, &'a str)>,
    /// What the paths of leftovers may still take, bytes.
    path_room: usize,
    seen: Seen<'a>,
    depth: usize,
    fault: Option<Fault>,
}

/// Where a value stands: at a node of the trie or outside it, a step below an object or array.
#[derive(Clone, Copy)]
struct Here<'l, 'a> {
    node: Option<&'a Node>,
    trail: &'l Trail<'l, 'a>,
    step: &'l Step<'a>,
}

type Read = Result<(), serde_json::Error>;

impl<'a> Pass<'a> {
    /// A fast pass; it makes room for the leftovers of so many bytes.
    fn new(trie: &'a Trie, source: &'a str, bytes: usize, arena: &'a Bump) -> Pass<'a> {
        let likely = LIKELY.min(bytes / 16);
        Pass {
            trie,
            arena,
            mode: Mode::Fast,
            keep_rest: false,
            is_rooted: false,
            source,
            leaves: arena.alloc_slice_fill_copy(trie.slots(), Leaf::Absent),
            filled: Slots::none(trie.slots(), arena),
            rest: BumpVec::with_capacity_in(likely, arena),
            path_room: PATH_BYTES + PATH_BYTES_A_BYTE * bytes,
            seen: BumpVec::with_capacity_in(likely, arena),
            depth: 0,
            fault: None,
        }
    }

    fn found(self) -> Found<'a> {
        Found { leaves: self.leaves, filled: self.filled, rest: self.rest.into_bump_slice() }
    }

    /// Walk a text of its own: the record, or what stands under a slot.
    fn text(&mut self, text: &'a str, here: Here<'_, 'a>) -> Read {
        let outer = std::mem::replace(&mut self.source, text);
        let mut json = serde_json::Deserializer::from_str(text);
        (&mut json).deserialize_any(Next { pass: self, here })?;
        self.source = outer;
        json.end()
    }

    /// A value as its JSON text.
    fn raw(&mut self, text: &'a str, here: Here<'_, 'a>) -> Read {
        match text.as_bytes().first() {
            Some(b'{' | b'[') => self.raw_container(text, here),
            Some(b'"') => {
                let content = &text[1..text.len() - 1];
                let content = if memchr::memchr(b'\\', content.as_bytes()).is_none() {
                    content
                } else {
                    Text(self.arena).deserialize(&mut serde_json::Deserializer::from_str(text))?
                };
                self.string(content, text, here)
            }
            Some(b'n') => {
                self.set(here.node, Leaf::Null);
                Ok(())
            }
            _ => self.scalar(text, here),
        }
    }

    fn raw_container(&mut self, text: &'a str, here: Here<'_, 'a>) -> Read {
        let Some(slot) = here.node.filter(|node| node.json).and_then(|node| node.slot) else {
            return self.text(text, here);
        };
        // All of it stands in the captured text: walked for its duplicate keys, its depth and what
        // other rules read in it.
        let kept = std::mem::replace(&mut self.keep_rest, false);
        let result = self.text(text, here);
        self.keep_rest = kept;
        let leaf = match self.leaves[slot as usize] {
            Leaf::List(list) => Leaf::List(self.arena.alloc(list.with_text(text))),
            _ => Leaf::Json(text),
        };
        self.fill(slot, leaf);
        result
    }

    fn string(&mut self, content: &'a str, text: &'a str, here: Here<'_, 'a>) -> Read {
        // A string that is not JSON after all is a plain string.
        if here.node.is_some_and(|node| node.unwrap)
            && content.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<serde::de::IgnoredAny>(content).is_ok()
        {
            return self.text(content, here);
        }
        if here.node.is_some_and(|node| node.json) {
            let both = self.arena.alloc((content, text));
            self.set(here.node, Leaf::Quoted(both));
            return Ok(());
        }
        self.scalar(content, here)
    }

    #[inline]
    fn scalar<E: serde::de::Error>(&mut self, text: &'a str, here: Here<'_, 'a>) -> Result<(), E> {
        if let Some(slot) = here.node.and_then(|node| node.slot) {
            self.fill(slot, Leaf::Scalar(text));
            return Ok(());
        }
        if self.keep_rest { self.leftover(text, here) } else { Ok(()) }
    }

    #[inline(never)]
    fn leftover<E: serde::de::Error>(
        &mut self,
        text: &'a str,
        here: Here<'_, 'a>,
    ) -> Result<(), E> {
        let path = here.trail.printed(here.step, self.arena);
        let Some(room) = self.path_room.checked_sub(path.len()) else {
            let sentence = "the paths of its values take many times what they say".into();
            return Err(self.fail(Fault { reason: Reason::TooLarge, sentence }));
        };
        self.path_room = room;
        self.rest.push((path, text));
        Ok(())
    }

    /// The trail to an object or array.
    fn below<'m>(&self, here: Here<'m, 'a>) -> Trail<'m, 'a> {
        let known = here.node.filter(|_| self.is_rooted).map(|node| &*node.prefix);
        here.trail.down(here.step, known)
    }

    /// What stands at a node, where that is wanted.
    fn set(&mut self, node: Option<&Node>, leaf: Leaf<'a>) {
        if let Some(slot) = node.and_then(|node| node.slot) {
            self.fill(slot, leaf);
        }
    }

    #[inline]
    fn fill(&mut self, slot: Slot, leaf: Leaf<'a>) {
        self.leaves[slot as usize] = leaf;
        self.filled.insert(slot);
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        let sentence = format!("nested deeper than {MAX_DEPTH} levels");
        Err(self.fail(Fault { reason: Reason::TooDeep, sentence }))
    }

    #[cold]
    fn fail<E: serde::de::Error>(&mut self, fault: Fault) -> E {
        let error = E::custom(&fault.sentence);
        self.fault = Some(fault);
        error
    }
}
