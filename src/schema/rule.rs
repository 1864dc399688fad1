//! Rules compiled to slots, and what they make of a walked record.
//!
//! In: a [`Rule`] and the trie its paths go into; then the leaves of a record. Out: text, a time,
//! an address.
//!
//! # Invariants
//! - A rule that finds nothing is `None`; it never fails.
//! - A slot is *taken* when its text stands in a field as it was, or hit a lookup's table. What no
//!   field took goes to the attributes, so a value that was only looked at is not lost.
//!
//! Deliberately unknown here: which field a rule fills.

use std::net::{IpAddr, Ipv6Addr};

use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};
use memchr::memmem::Finder;
use rustc_hash::FxHashMap;

use super::mapping::{Piece, Rule, Separator, Take, TimeFormat};
use super::path::Path;
use super::text::{first_address, mapped, parts, words};
use super::time;
use super::trie::{Slot, Trie};
use super::walk::Leaf;
use crate::event::{Headers, Micros};

/// Bytes that most templates fit in.
const LIKELY: usize = 64;

/// A compiled rule.
#[derive(Debug)]
pub enum Op {
    Slot(Slot),
    Wrapper(Slot),
    Header(Box<str>),
    CloudEvent(Box<str>),
    Key,
    Topic,
    FirstOf(Vec<Op>),
    Const(Box<str>),
    Template(Vec<(Box<str>, Option<Op>)>),
    Lookup { of: Box<Op>, table: FxHashMap<Box<str>, Box<str>>, otherwise: Option<Box<str>> },
    Lower(Box<Op>),
    Split { of: Box<Op>, by: Cut, take: Take },
    Time { of: Box<Op>, formats: Vec<TimeFormat> },
    Ip(Box<Op>),
    Json(Slot),
}

/// What a split cuts at, compiled.
#[derive(Debug)]
pub enum Cut {
    /// This text, with what finds it.
    Text(Box<str>, Box<Finder<'static>>),
    /// Where a word ends.
    Word,
}

impl Op {
    /// Compile a rule, giving its paths slots.
    pub fn compile(rule: &Rule, trie: &mut Trie) -> Op {
        match rule {
            Rule::Path(path) => Op::path(path, trie),
            Rule::FirstOf(rules) => {
                Op::FirstOf(rules.iter().map(|rule| Op::compile(rule, trie)).collect())
            }
            Rule::Const(text) => Op::Const(text.as_str().into()),
            Rule::Template(pieces) => Op::Template(
                pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Text(text) => (text.as_str().into(), None),
                        Piece::Path(path) => ("".into(), Some(Op::path(path, trie))),
                    })
                    .collect(),
            ),
            Rule::Lookup { of, table, otherwise } => Op::Lookup {
                of: Op::boxed(of, trie),
                table: table.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect(),
                otherwise: otherwise.as_deref().map(Into::into),
            },
            Rule::Lower(of) => Op::Lower(Op::boxed(of, trie)),
            Rule::Split { of, by, take } => {
                Op::Split { of: Op::boxed(of, trie), by: Cut::compile(by), take: *take }
            }
            Rule::Time { of, formats } => {
                Op::Time { of: Op::boxed(of, trie), formats: formats.clone() }
            }
            Rule::Ip(of) => Op::Ip(Op::boxed(of, trie)),
            Rule::Json(path) => match Op::path(path, trie) {
                Op::Slot(slot) => {
                    if let Path::Body(segments) = path {
                        trie.mark(segments).json = true;
                    }
                    Op::Json(slot)
                }
                other => other,
            },
        }
    }

    /// Compile a path.
    pub fn path(path: &Path, trie: &mut Trie) -> Op {
        match path {
            Path::Body(segments) => Op::Slot(trie.slot(segments)),
            Path::Wrapper(segments) => Op::Wrapper(trie.slot(segments)),
            Path::Header(name) => Op::Header(name.as_str().into()),
            Path::CloudEvent(name) => Op::CloudEvent(name.as_str().into()),
            Path::Key => Op::Key,
            Path::Topic => Op::Topic,
        }
    }

    fn boxed(rule: &Rule, trie: &mut Trie) -> Box<Op> {
        Box::new(Op::compile(rule, trie))
    }

    /// Every slot of the body that the rule may read.
    pub fn slots(&self, found: &mut Vec<Slot>) {
        match self {
            Op::Slot(slot) | Op::Json(slot) => found.push(*slot),
            Op::FirstOf(ops) => ops.iter().for_each(|op| op.slots(found)),
            Op::Template(pieces) => {
                pieces.iter().filter_map(|(_, op)| op.as_ref()).for_each(|op| op.slots(found));
            }
            Op::Lookup { of, .. }
            | Op::Lower(of)
            | Op::Split { of, .. }
            | Op::Time { of, .. }
            | Op::Ip(of) => of.slots(found),
            _ => {}
        }
    }
}

impl Cut {
    fn compile(by: &Separator) -> Cut {
        match by {
            Separator::Text(text) => {
                let finder = Finder::new(text).into_owned();
                Cut::Text(text.as_str().into(), Box::new(finder))
            }
            Separator::Word => Cut::Word,
        }
    }
}

/// What rules read besides the body.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The record's topic.
    pub topic: &'a str,
    /// The record's key, where it is text.
    pub key: Option<&'a str>,
    /// The record's headers.
    pub headers: Headers<'a>,
    /// CloudEvents attributes, without the `ce_`.
    pub cloud_event: &'a [(&'a str, &'a str)],
    /// The leaves of the wrapper.
    pub wrapper: &'a [Leaf<'a>],
}

/// A record being turned into an event.
pub struct Eval<'e, 'a> {
    /// The leaves of the body, or of a target's element.
    pub leaves: &'e [Leaf<'a>],
    /// What else rules read.
    pub around: Around<'a>,
    /// Where made text goes.
    pub arena: &'a Bump,
    /// The slots whose values stand in a field.
    pub taken: BumpVec<'a, Slot>,
}

impl<'a> Eval<'_, 'a> {
    /// A rule's text.
    #[inline]
    pub fn text(&mut self, op: &'a Op) -> Option<&'a str> {
        // Most rules are a path and no more.
        let Op::Slot(slot) = op else { return self.made(op) };
        let text = self.leaves[*slot as usize].scalar()?;
        self.taken.push(*slot);
        Some(text)
    }

    #[inline(never)]
    fn made(&mut self, op: &'a Op) -> Option<&'a str> {
        let before = self.taken.len();
        let text = match op {
            Op::Slot(_) => self.text(op),
            Op::Wrapper(slot) => {
                self.around.wrapper.get(*slot as usize).and_then(|leaf| leaf.scalar())
            }
            Op::Header(name) => self.around.headers.get(name),
            Op::CloudEvent(name) => {
                let named = |(other, _): &&(&str, &str)| *other == &**name;
                self.around.cloud_event.iter().find(named).map(|(_, value)| *value)
            }
            Op::Key => self.around.key,
            Op::Topic => Some(self.around.topic),
            Op::FirstOf(ops) => ops.iter().find_map(|op| {
                let text = self.text(op).filter(|text| !text.is_empty());
                if text.is_none() {
                    self.taken.truncate(before);
                }
                text
            }),
            Op::Const(text) => Some(&**text),
            Op::Template(pieces) => self.template(pieces),
            Op::Lookup { of, table, otherwise } => {
                match self.text(of).and_then(|key| table.get(key)) {
                    Some(value) => return Some(value),
                    None => {
                        self.taken.truncate(before);
                        otherwise.as_deref()
                    }
                }
            }
            Op::Lower(of) => {
                let text = self.text(of);
                self.taken.truncate(before);
                text.map(|text| self.lower(text))
            }
            Op::Split { of, by, take } => {
                let text = self.text(of);
                self.taken.truncate(before);
                text.and_then(|text| self.part(text, by, *take))
            }
            Op::Time { of, .. } | Op::Ip(of) => self.text(of),
            Op::Json(_) => None,
        };
        if text.is_none() {
            self.taken.truncate(before);
        }
        text
    }

    /// A time rule's time.
    pub fn time(&mut self, op: &'a Op) -> Option<Micros> {
        let before = self.taken.len();
        let time = match op {
            Op::FirstOf(ops) => ops.iter().find_map(|op| self.time(op)),
            Op::Time { of, formats } => self.text(of).and_then(|text| time::parse(text, formats)),
            _ => None,
        };
        if time.is_none() {
            self.taken.truncate(before);
        }
        time
    }

    /// An address rule's address. A text that says more than a plain address stays untaken, and so
    /// does `::`, which an event has for no address.
    pub fn ip(&mut self, op: &'a Op) -> Option<Ipv6Addr> {
        let before = self.taken.len();
        match op {
            Op::FirstOf(ops) => ops.iter().find_map(|op| self.ip(op)),
            Op::Ip(of) => {
                let text = self.text(of).unwrap_or_default();
                let plain = text.parse::<IpAddr>().ok().map(mapped);
                if plain.is_none_or(|ip| ip.is_unspecified()) {
                    self.taken.truncate(before);
                }
                let ip = plain.or_else(|| first_address(text).map(mapped));
                ip.filter(|ip| !ip.is_unspecified())
            }
            _ => None,
        }
    }

    /// A JSON rule's text.
    pub fn json(&mut self, op: &'a Op) -> Option<&'a str> {
        let Op::Json(slot) = op else {
            let Op::FirstOf(ops) = op else { return None };
            return ops.iter().find_map(|op| self.json(op));
        };
        let text = self.leaves[*slot as usize].json()?;
        self.taken.push(*slot);
        Some(text)
    }

    fn template(&mut self, pieces: &'a [(Box<str>, Option<Op>)]) -> Option<&'a str> {
        // Most templates of a mapping are there for records that lack what they name.
        let before = self.taken.len();
        for op in pieces.iter().filter_map(|(_, op)| op.as_ref()) {
            self.text(op)?;
        }
        self.taken.truncate(before);
        let mut made = BumpString::with_capacity_in(LIKELY, self.arena);
        for (text, op) in pieces {
            match op {
                None => made.push_str(text),
                Some(op) => made.push_str(self.text(op)?),
            }
        }
        Some(made.into_bump_str())
    }

    fn lower(&self, text: &'a str) -> &'a str {
        if text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return text;
        }
        if text.is_ascii() {
            let lower = self.arena.alloc_str(text);
            lower.make_ascii_lowercase();
            return lower;
        }
        self.arena.alloc_str(&text.to_lowercase())
    }

    fn part(&self, text: &'a str, by: &Cut, take: Take) -> Option<&'a str> {
        match by {
            Cut::Text(separator, finder) => self.take(parts(text, finder), text, separator, take),
            Cut::Word => self.take(words(text), text, "", take),
        }
    }

    fn take(
        &self,
        mut parts: impl Iterator<Item = &'a str>,
        text: &'a str,
        separator: &str,
        take: Take,
    ) -> Option<&'a str> {
        match take {
            Take::First => parts.next(),
            Take::Last => parts.last(),
            Take::At(at) => parts.nth(at),
            Take::Range(from, to) => {
                let mut some = parts.take(to).skip(from);
                let mut joined = BumpString::with_capacity_in(text.len(), self.arena);
                joined.push_str(some.next()?);
                for part in some {
                    joined.push_str(separator);
                    joined.push_str(part);
                }
                Some(joined.into_bump_str())
            }
        }
    }
}
