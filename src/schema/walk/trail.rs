//! Where a walk stands: the keys and indexes from the record down to a value.
//!
//! In: one step for every object and array, each on the stack of the walk. Out: the printed path of
//! a value, where it is wanted.
//!
//! # Invariants
//! - What stands above a value is printed once for all its siblings, and only where it is wanted.
//!
//! Deliberately unknown here: JSON, slots.

use std::cell::Cell;
use std::fmt::Write as _;

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;

use super::super::path::{needs_quotes, push_segment};
use super::super::text::joined;

/// Bytes that most prefixes fit in.
const LIKELY: usize = 64;

/// One step down.
#[derive(Clone, Copy)]
pub enum Step<'a> {
    /// None yet: the value with which a walk begins.
    Start,
    /// To a member of an object.
    Key(&'a str),
    /// To an element of an array.
    Index(usize),
}

/// The steps to an object or array.
pub struct Trail<'l, 'a> {
    above: Option<&'l Trail<'l, 'a>>,
    /// The last step.
    step: &'l Step<'a>,
    /// What the path of everything below begins with: the path to here and a dot.
    prefix: Cell<Option<&'a str>>,
}

impl<'l, 'a> Trail<'l, 'a> {
    /// Where a walk begins: what paths begin with is printed already.
    pub fn start(prefix: &'a str) -> Trail<'l, 'a> {
        Trail { above: None, step: &Step::Start, prefix: Cell::new(Some(prefix)) }
    }

    /// One step further, to where the prefix may be known.
    pub fn down(&'l self, step: &'l Step<'a>, known: Option<&'a str>) -> Trail<'l, 'a> {
        let prefix = match step {
            Step::Start => self.prefix.get(),
            _ => known,
        };
        Trail { above: Some(self), step, prefix: Cell::new(prefix) }
    }

    /// The path of a value one step below, as text.
    pub fn printed(&self, step: &Step<'a>, arena: &'a Bump) -> &'a str {
        let prefix = self.prefix(arena);
        match *step {
            // A scalar where the walk began.
            Step::Start => prefix.strip_suffix('.').unwrap_or(prefix),
            Step::Key(key) if prefix.is_empty() && !needs_quotes(key) => key,
            Step::Key(key) if !needs_quotes(key) => joined([prefix, key], arena),
            step => {
                let mut path = BumpString::with_capacity_in(prefix.len() + step.len(), arena);
                path.push_str(prefix);
                step.print(&mut path);
                path.into_bump_str()
            }
        }
    }

    fn prefix(&self, arena: &'a Bump) -> &'a str {
        if let Some(prefix) = self.prefix.get() {
            return prefix;
        }
        let mut path = BumpString::with_capacity_in(LIKELY, arena);
        self.print(&mut path);
        let prefix = path.into_bump_str();
        self.prefix.set(Some(prefix));
        prefix
    }

    fn print(&self, path: &mut BumpString<'a>) {
        if let Some(prefix) = self.prefix.get() {
            return path.push_str(prefix);
        }
        self.above.into_iter().for_each(|above| above.print(path));
        self.step.print(path);
        path.push('.');
    }
}

impl Step<'_> {
    /// Its bytes in a path, where it needs no quotes and is no far element.
    fn len(self) -> usize {
        match self {
            Step::Start => 0,
            Step::Key(key) => key.len(),
            Step::Index(_) => 4,
        }
    }

    fn print(self, path: &mut BumpString<'_>) {
        match self {
            Step::Start => {}
            Step::Key(key) if needs_quotes(key) => {
                let mut quoted = String::new();
                push_segment(&mut quoted, key);
                path.push_str(&quoted);
            }
            Step::Key(key) => path.push_str(key),
            Step::Index(digit @ 0..10) => path.push(char::from(b'0' + digit as u8)),
            // INVARIANT: writing to an arena's string cannot fail.
            Step::Index(index) => drop(write!(path, "{index}")),
        }
    }
}
