//! How serde hands the walk its values.
//!
//! In: serde_json's calls, one a value. Out: calls of [`Pass`], each with the node of the trie.
//!
//! # Invariants
//! - A value is taken as text where the trie wants it so, and everywhere in the exact mode.
//! - Keys are borrowed from the text, or copied to the arena where they have escapes.
//!
//! Deliberately unknown here: what becomes of a value.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::key::Key;
use super::list::offset;
use super::{At, Fault, Leaf, List, Mode, Pass, Step, Trail};
use crate::event::Reason;

/// A value that is about to be read, at a node of the trie or outside it.
pub struct Here<'p, 't, 'a> {
    pub pass: &'p mut Pass<'t, 'a>,
    pub node: At<'t>,
    pub trail: &'p Trail<'p, 'a>,
}

impl<'a> DeserializeSeed<'a> for Here<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        let as_text = self.node.is_some_and(|node| node.json || node.unwrap);
        if as_text || self.pass.mode == Mode::Exact {
            let raw: &'a RawValue = serde::Deserialize::deserialize(json)?;
            self.pass.raw(raw.get(), self.node, self.trail).map_err(D::Error::custom)
        } else {
            json.deserialize_any(self)
        }
    }
}

impl<'a> Visitor<'a> for Here<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.pass.scalar(if value { "true" } else { "false" }, self.node, self.trail)
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
        self.pass.scalar(value, self.node, self.trail)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let value = self.pass.arena.alloc_str(value);
        self.pass.scalar(value, self.node, self.trail)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.pass.set(self.node, Leaf::Null);
        Ok(())
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let Here { pass, node, trail } = self;
        pass.enter()?;
        pass.set(node, Leaf::Container);
        let mut keys = Keys { start: pass.seen.len(), bits: 0, many: None };
        while let Some(key) = map.next_key_seed(Text(pass.arena))? {
            let trail = trail.down(Step::Key(key));
            let key = Key::new(key);
            let hash = key.hash();
            if keys.repeats(pass, hash, key.text) {
                return Err(twice(pass, &trail));
            }
            let node = node.and_then(|node| pass.trie.child(node, hash, &key));
            map.next_value_seed(Here { pass, node, trail: &trail })?;
        }
        pass.seen.truncate(keys.start);
        pass.depth -= 1;
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<(), S::Error> {
        let Here { pass, node, trail } = self;
        if node.is_some_and(|node| node.each) {
            let list = List::take(seq, pass.source, pass.arena)?;
            pass.set(node, Leaf::List(pass.arena.alloc(list)));
            return Ok(());
        }
        pass.enter()?;
        pass.set(node, Leaf::Container);
        let node = node.filter(|node| node.has_children());
        for index in 0.. {
            let node = node.and_then(|node| pass.trie.element(node, index));
            let trail = trail.down(Step::Index(index));
            if seq.next_element_seed(Here { pass, node, trail: &trail })?.is_none() {
                break;
            }
        }
        pass.depth -= 1;
        Ok(())
    }
}

impl<'a> Here<'_, '_, 'a> {
    /// A number as it was written, where it is wanted at all.
    fn number<E: Error>(self, printed: impl Fn(&'a Bump) -> Option<&'a str>) -> Result<(), E> {
        let wanted = self.node.is_some_and(|node| node.slot.is_some()) || self.pass.keep_rest;
        if !wanted {
            return Ok(());
        }
        let digits = match self.trail.step {
            Step::Key(key) => digits_behind(self.pass.source, key),
            Step::Index(_) => None,
        };
        match digits.or_else(|| printed(self.pass.arena)) {
            Some(digits) => self.pass.scalar(digits, self.node, self.trail),
            None => Err(E::custom("a number to be taken as text")),
        }
    }
}

/// The number that stands behind a key; `None` for a key that was copied for its escapes.
fn digits_behind<'a>(source: &'a str, key: &str) -> Option<&'a str> {
    let behind = source.get(offset(source, key)? + key.len()..)?.strip_prefix('"')?;
    let number = behind.trim_ascii_start().strip_prefix(':')?.trim_ascii_start();
    let is_part =
        |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    number.get(..number.bytes().take_while(is_part).count())
}

/// Keys of one object from which on a set is quicker than going over them.
const MANY: usize = 64;

/// The keys of an object so far.
struct Keys<'a> {
    /// Where they begin among the keys of all open objects.
    start: usize,
    /// The bit of each key's hash: nearly always this alone says that a key is new.
    bits: u64,
    /// All of them, where there are [`MANY`]: it keeps a hostile object linear.
    many: Option<HashSet<&'a str>>,
}

impl<'a> Keys<'a> {
    /// Remember a key; whether it was there before.
    fn repeats(&mut self, pass: &mut Pass<'_, 'a>, hash: u64, key: &'a str) -> bool {
        let bit = 1 << (hash & 63);
        let is_new = self.bits & bit == 0 && pass.seen.len() - self.start < MANY;
        self.bits |= bit;
        let repeats = !is_new && self.look_for(key, &pass.seen[self.start..]);
        pass.seen.push(key);
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

fn twice<'a, E: Error>(pass: &mut Pass<'_, 'a>, trail: &Trail<'_, 'a>) -> E {
    let path: String = trail.printed(pass.arena).chars().take(200).collect();
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
