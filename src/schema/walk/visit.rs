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
use bumpalo::collections::String as BumpString;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::trie::{NodeId, hash};
use super::{Mode, Pass, Segment};

/// A value that is about to be read, at a node of the trie or outside it.
pub struct Here<'p, 't, 'a> {
    pub pass: &'p mut Pass<'t, 'a>,
    pub node: Option<NodeId>,
}

impl<'a> DeserializeSeed<'a> for Here<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        let wanted = self.node.map(|node| self.pass.trie.node(node));
        let as_text = wanted.is_some_and(|node| {
            node.unwrap || node.json || node.each || (node.slot.is_some() && !node.has_children())
        });
        if as_text || self.pass.mode == Mode::Exact {
            let raw: &'a RawValue = serde::Deserialize::deserialize(json)?;
            self.pass.raw(raw.get(), self.node).map_err(D::Error::custom)
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

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        let text = if value { "true" } else { "false" };
        self.pass.scalar(text, text, self.node)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        let text = number(self.pass.arena, value);
        self.pass.scalar(text, text, self.node)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        let text = number(self.pass.arena, value);
        self.pass.scalar(text, text, self.node)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        // Where nobody wants the number, its digits do not matter.
        let wanted = self.node.is_some_and(|node| self.pass.trie.node(node).slot.is_some());
        if wanted || self.pass.keep_rest {
            return Err(E::custom("a number to be taken as text"));
        }
        Ok(())
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'a str) -> Result<(), E> {
        self.pass.scalar(value, "", self.node)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        let value = self.pass.arena.alloc_str(value);
        self.pass.scalar(value, "", self.node)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.pass.null(self.node);
        Ok(())
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let Here { pass, node } = self;
        pass.enter().map_err(|fault| pass.fail::<M::Error>(fault))?;
        pass.container(node);
        let start = pass.seen.len();
        let mut many = None;
        while let Some(key) = map.next_key_seed(Text(pass.arena))? {
            let hash = hash(key);
            pass.first_time(start, &mut many, hash, key)
                .map_err(|fault| pass.fail::<M::Error>(fault))?;
            let child = node.and_then(|node| pass.trie.child(node, hash, key));
            pass.path.push(Segment::Key(key));
            map.next_value_seed(Here { pass, node: child })?;
            pass.leave();
        }
        pass.seen.truncate(start);
        pass.depth -= 1;
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<(), S::Error> {
        let Here { pass, node } = self;
        pass.enter().map_err(|fault| pass.fail::<S::Error>(fault))?;
        pass.container(node);
        let node = node.filter(|node| pass.trie.node(*node).has_children());
        for index in 0.. {
            let child = node.and_then(|node| {
                let key = index.to_string();
                pass.trie.child(node, hash(&key), &key)
            });
            pass.path.push(Segment::Index(index));
            let more = seq.next_element_seed(Here { pass, node: child })?.is_some();
            pass.leave();
            if !more {
                break;
            }
        }
        pass.depth -= 1;
        Ok(())
    }
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

fn number(arena: &Bump, value: impl fmt::Display) -> &str {
    let mut text = BumpString::new_in(arena);
    // INVARIANT: writing to an arena's string cannot fail.
    let _ = write!(text, "{value}");
    text.into_bump_str()
}
