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
//! What it costs (figures in `benches/normalise.rs`): of an event's time about a third is
//! serde_json's alone, a quarter the rules', and the rest is here: per key its hash, a look for a
//! repeat and for a child; per leftover its path. So: a bit a key before any comparison, a table a
//! node, a path's parents printed once. Count instructions (`valgrind --tool=callgrind`) before and
//! after a change; a clock on a busy machine says too little.
//!
//! # Invariants
//! - Every object of the record is looked at, so a duplicate key is found wherever it is.
//! - Depth is bounded by [`MAX_DEPTH`], below serde_json's own limit of 128, so that the reason
//!   is ours to name; the text under a slot counts from the slot's depth.
//! - Nothing is copied but strings with escapes and the joined paths of leftovers: into the arena.
//!
//! Deliberately unknown here: rules, mappings, events.

mod list;
mod trail;
mod visit;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use serde::de::{DeserializeSeed as _, Deserializer as _};

pub use self::list::List;
use self::trail::{Step, Trail};
use self::visit::{Here, Text};
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
    /// An array whose elements are gone over one by one.
    List(&'a List<'a>),
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
            Leaf::Absent | Leaf::Container => None,
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

    /// Whether it is an object or array that was taken as text.
    pub fn is_whole(self) -> bool {
        matches!(self, Leaf::Json(_) | Leaf::List(_))
    }
}

/// What a walk found.
pub struct Found<'a> {
    /// One a slot of the trie.
    pub leaves: &'a [Leaf<'a>],
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

/// Walk an object's text; the paths of its leftovers begin with the prefix, which ends in a dot
/// unless it is empty.
pub fn walk<'a>(
    trie: &Trie,
    text: &'a str,
    prefix: &'a str,
    keep_rest: bool,
    arena: &'a Bump,
) -> Result<Found<'a>, Fault> {
    let start = Trail::start(prefix);
    let likely = LIKELY.min(text.len() / 16);
    for mode in [Mode::Fast, Mode::Exact] {
        let mut pass = Pass {
            trie,
            arena,
            mode,
            keep_rest,
            source: text,
            leaves: arena.alloc_slice_fill_copy(trie.slots(), Leaf::Absent),
            rest: BumpVec::with_capacity_in(likely, arena),
            path_room: PATH_BYTES + PATH_BYTES_A_BYTE * text.len(),
            seen: BumpVec::with_capacity_in(likely, arena),
            depth: 0,
            fault: None,
        };
        let root = Some(trie.root());
        let result = match text.as_bytes().first() {
            Some(b'{' | b'[') => pass.text(text, root, &start),
            // An element of an array that is gone over may be a scalar.
            _ => pass.raw(text, root, &start),
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

struct Pass<'t, 'a> {
    trie: &'t Trie,
    arena: &'a Bump,
    mode: Mode,
    keep_rest: bool,
    /// The text that serde_json is reading.
    source: &'a str,
    leaves: &'a mut [Leaf<'a>],
    rest: BumpVec<'a, (&'a str, &'a str)>,
    /// What the paths of leftovers may still take, bytes.
    path_room: usize,
    /// The keys of the objects that are open; an object's begin at its start.
    seen: BumpVec<'a, &'a str>,
    depth: usize,
    fault: Option<Fault>,
}

type At<'t> = Option<&'t Node>;
type Read = Result<(), serde_json::Error>;

impl<'t, 'a> Pass<'t, 'a> {
    /// Walk a text of its own: the record, or what stands under a slot.
    fn text(&mut self, text: &'a str, node: At<'t>, trail: &Trail<'_, 'a>) -> Read {
        let outer = std::mem::replace(&mut self.source, text);
        let mut json = serde_json::Deserializer::from_str(text);
        (&mut json).deserialize_any(Here { pass: self, node, trail })?;
        self.source = outer;
        json.end()
    }

    /// A value as its JSON text.
    fn raw(&mut self, text: &'a str, node: At<'t>, trail: &Trail<'_, 'a>) -> Read {
        match text.as_bytes().first() {
            Some(b'{' | b'[') => self.raw_container(text, node, trail),
            Some(b'"') => {
                let content = &text[1..text.len() - 1];
                let content = if memchr::memchr(b'\\', content.as_bytes()).is_none() {
                    content
                } else {
                    Text(self.arena).deserialize(&mut serde_json::Deserializer::from_str(text))?
                };
                self.string(content, text, node, trail)
            }
            Some(b'n') => {
                self.set(node, Leaf::Null);
                Ok(())
            }
            _ => self.scalar(text, node, trail),
        }
    }

    fn raw_container(&mut self, text: &'a str, node: At<'t>, trail: &Trail<'_, 'a>) -> Read {
        let Some(slot) = node.filter(|node| node.json).and_then(|node| node.slot) else {
            return self.text(text, node, trail);
        };
        // All of it stands in the captured text: walked for its duplicate keys, its depth and what
        // other rules read in it.
        let kept = std::mem::replace(&mut self.keep_rest, false);
        let result = self.text(text, node, trail);
        self.keep_rest = kept;
        self.leaves[slot as usize] = match self.leaves[slot as usize] {
            Leaf::List(list) => Leaf::List(self.arena.alloc(list.with_text(text))),
            _ => Leaf::Json(text),
        };
        result
    }

    fn string(
        &mut self,
        content: &'a str,
        text: &'a str,
        node: At<'t>,
        trail: &Trail<'_, 'a>,
    ) -> Read {
        // A string that is not JSON after all is a plain string.
        if node.is_some_and(|node| node.unwrap)
            && content.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<serde::de::IgnoredAny>(content).is_ok()
        {
            return self.text(content, node, trail);
        }
        if node.is_some_and(|node| node.json) {
            let both = self.arena.alloc((content, text));
            self.set(node, Leaf::Quoted(both));
            return Ok(());
        }
        self.scalar(content, node, trail)
    }

    fn scalar<E: serde::de::Error>(
        &mut self,
        text: &'a str,
        node: At<'t>,
        trail: &Trail<'_, 'a>,
    ) -> Result<(), E> {
        if let Some(slot) = node.and_then(|node| node.slot) {
            self.leaves[slot as usize] = Leaf::Scalar(text);
        } else if self.keep_rest {
            let path = trail.printed(self.arena);
            let Some(room) = self.path_room.checked_sub(path.len()) else {
                let sentence = "the paths of its values take many times what they say".into();
                return Err(self.fail(Fault { reason: Reason::TooLarge, sentence }));
            };
            self.path_room = room;
            self.rest.push((path, text));
        }
        Ok(())
    }

    /// What stands at a node, where that is wanted.
    fn set(&mut self, node: At<'t>, leaf: Leaf<'a>) {
        if let Some(slot) = node.and_then(|node| node.slot) {
            self.leaves[slot as usize] = leaf;
        }
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        let sentence = format!("nested deeper than {MAX_DEPTH} levels");
        Err(self.fail(Fault { reason: Reason::TooDeep, sentence }))
    }

    fn fail<E: serde::de::Error>(&mut self, fault: Fault) -> E {
        let error = E::custom(&fault.sentence);
        self.fault = Some(fault);
        error
    }
}
