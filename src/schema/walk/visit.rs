//! How serde hands the walk its values.
//!
//! In: serde_json's calls, one a value. Out: calls of [`Pass`], each with the node of the trie.
//!
//! # Invariants
//! - A value is taken as text where the trie wants it so, and everywhere in the exact mode.
//! - Keys are borrowed from the text, or copied to the arena where they have escapes.
//!
//! Deliberately unknown here: what becomes of a value.

use std::fmt::{self, Write as _};

use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::key::Key;
use super::super::trie::{Node, Trie};
use super::keys::Keys;
use super::list::{LIKELY, MAX_ELEMENTS, offset};
use super::{Fault, Found, Here, Leaf, List, Mode, PATH_BYTES, Pass, Step, Trail};
use crate::event::Reason;

/// Bytes of an element that most are not much above, to make room for what is found in it.
const LIKELY_BYTES: usize = 64;

/// A value that is about to be read.
pub struct Next<'p, 'a> {
    pub pass: &'p mut Pass<'a>,
    pub here: Here<'p, 'a>,
}

impl<'a> DeserializeSeed<'a> for Next<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        let as_text = self.here.node.is_some_and(|node| node.json || node.unwrap);
        if as_text || self.pass.mode == Mode::Exact {
            let raw: &'a RawValue = serde::Deserialize::deserialize(json)?;
            self.pass.raw(raw.get(), self.here).map_err(D::Error::custom)
        } else {
            json.deserialize_any(self)
        }
    }
}

impl<'a> Visitor<'a> for Next<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.pass.scalar(if value { "true" } else { "false" }, self.here)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(|arena| Some(printed(arena, value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(|arena| Some(printed(arena, value)))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        // It has lost its digits.
        self.number(|_| None)
    }

    fn visit_borrowed_str<E: Error>(self, value: &'a str) -> Result<(), E> {
        self.pass.scalar(value, self.here)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let value = self.pass.arena.alloc_str(value);
        self.pass.scalar(value, self.here)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.pass.set(self.here.node, Leaf::Null);
        Ok(())
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let Next { pass, here } = self;
        pass.enter()?;
        pass.set(here.node, Leaf::Container);
        let trail = &pass.below(here);
        let mut keys = Keys::open(&pass.seen);
        while let Some(key) = map.next_key_seed(Text(pass.arena))? {
            let step = &Step::Key(key);
            let key = Key::new(key);
            let hash = key.hash();
            let node = here.node.and_then(|node| pass.trie.child(node, hash, &key));
            let repeats = match node {
                Some(Node { place: place @ 0..64, .. }) => keys.repeats_known(*place),
                _ => keys.repeats(&mut pass.seen, hash, key.text),
            };
            if repeats {
                return Err(twice(pass, trail, step));
            }
            map.next_value_seed(Next { pass, here: Here { node, trail, step } })?;
        }
        keys.close(&mut pass.seen);
        pass.depth -= 1;
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<(), S::Error> {
        let Next { pass, here } = self;
        let trail = &pass.below(here);
        if let Some(node) = here.node.filter(|node| node.each) {
            let leaf = match &node.elements {
                Some(trie) if pass.mode == Mode::Fast => {
                    Leaf::Walked(elements(pass, trie, trail, seq)?)
                }
                _ => Leaf::List(pass.arena.alloc(List::take(seq, pass.source, pass.arena)?)),
            };
            pass.set(here.node, leaf);
            return Ok(());
        }
        pass.enter()?;
        pass.set(here.node, Leaf::Container);
        let node = here.node.filter(|node| node.has_children());
        for index in 0.. {
            let node = node.and_then(|node| pass.trie.element(node, index));
            let here = Here { node, trail, step: &Step::Index(index) };
            if seq.next_element_seed(Next { pass, here })?.is_none() {
                break;
            }
        }
        pass.depth -= 1;
        Ok(())
    }
}

/// Walk each element as it is met. Whatever is wrong with one is left to the exact mode, which
/// knows its text.
fn elements<'a, S: SeqAccess<'a>>(
    pass: &Pass<'a>,
    trie: &'a Trie,
    trail: &Trail<'_, 'a>,
    mut seq: S,
) -> Result<&'a [Found<'a>], S::Error> {
    let mut all = BumpVec::with_capacity_in(LIKELY, pass.arena);
    for index in 0..=MAX_ELEMENTS {
        let mut inner = Pass::new(trie, pass.source, LIKELY_BYTES, pass.arena);
        // How long it is shows only later.
        (inner.keep_rest, inner.path_room) = (pass.keep_rest, PATH_BYTES);
        let here = Here { node: trie.root(), trail, step: &Step::Index(index) };
        match seq.next_element_seed(Next { pass: &mut inner, here })? {
            Some(()) => all.push(inner.found()),
            None => return Ok(all.into_bump_slice()),
        }
    }
    Err(S::Error::custom("more elements than may be walked"))
}

impl<'a> Next<'_, 'a> {
    /// A number as it was written, where it is wanted at all.
    fn number<E: Error>(self, printed: impl Fn(&'a Bump) -> Option<&'a str>) -> Result<(), E> {
        let wanted = self.here.node.is_some_and(|node| node.slot.is_some()) || self.pass.keep_rest;
        if !wanted {
            return Ok(());
        }
        let digits = match self.here.step {
            Step::Key(key) => digits_behind(self.pass.source, key),
            Step::Start | Step::Index(_) => None,
        };
        match digits.or_else(|| printed(self.pass.arena)) {
            Some(digits) => self.pass.scalar(digits, self.here),
            None => Err(E::custom("a number to be taken as text")),
        }
    }
}

/// The number that stands behind a key; `None` for a key that was copied for its escapes.
fn digits_behind<'a>(source: &'a str, key: &str) -> Option<&'a str> {
    let is_part =
        |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    let behind = offset(source, key)? + key.len();
    let bytes = source.as_bytes();
    // A quote, a colon and white space stand between, and none of them in a number.
    let from = behind + bytes.get(behind..)?.iter().position(is_part)?;
    let length = bytes[from..].iter().take_while(|byte| is_part(byte)).count();
    source.get(from..from + length)
}

fn twice<'a, E: Error>(pass: &mut Pass<'a>, trail: &Trail<'_, 'a>, step: &Step<'a>) -> E {
    let path: String = trail.printed(step, pass.arena).chars().take(200).collect();
    let sentence = format!("the key `{path}` stands twice in one object");
    pass.fail(Fault { reason: Reason::DuplicateKey, sentence })
}

/// A key or a string, borrowed where it has no escapes.
pub struct Text<'a>(pub &'a Bump);

impl<'a> DeserializeSeed<'a> for Text<'a> {
    type Value = &'a str;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<&'a str, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Text<'a> {
    type Value = &'a str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<&'a str, E> {
        Ok(text)
    }

    fn visit_str<E>(self, text: &str) -> Result<&'a str, E> {
        Ok(self.0.alloc_str(text))
    }
}

fn printed(arena: &Bump, value: impl fmt::Display) -> &str {
    let mut text = BumpString::new_in(arena);
    // INVARIANT: writing to an arena's string cannot fail.
    let _ = write!(text, "{value}");
    text.into_bump_str()
}
