//! Where a walk stands: the keys and indexes from the record down to a value.
//!
//! In: one step for every level, each on the stack of the visitor that took it. Out: the printed
//! path, where it is wanted.
//!
//! # Invariants
//! - What stands above a value is printed once for all its siblings, and only where it is wanted.
//!
//! Deliberately unknown here: JSON, slots.

use std::cell::Cell;

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;

use super::super::path::{needs_quotes, push_segment};

/// Room for the last key of a path.
const LIKELY_KEY: usize = 24;

/// One step down.
#[derive(Clone, Copy)]
pub enum Step<'a> {
    /// To a member of an object.
    Key(&'a str),
    /// To an element of an array.
    Index(usize),
}

/// A step and those above it.
pub struct Trail<'l, 'a> {
    above: Option<&'l Trail<'l, 'a>>,
    /// The last step.
    pub step: Step<'a>,
    printed: Cell<Option<&'a str>>,
}

impl<'l, 'a> Trail<'l, 'a> {
    /// Where a walk begins: at a path that is printed already.
    pub fn start(prefix: &'a str) -> Trail<'l, 'a> {
        Trail { above: None, step: Step::Index(0), printed: Cell::new(Some(prefix)) }
    }

    /// One step further.
    pub fn down<'m>(&'m self, step: Step<'a>) -> Trail<'m, 'a> {
        Trail { above: Some(self), step, printed: Cell::new(None) }
    }

    /// The path as text.
    pub fn printed(&self, arena: &'a Bump) -> &'a str {
        let Some(above) = self.above else { return self.kept(arena) };
        let above = above.kept(arena);
        match self.step {
            Step::Key(key) if above.is_empty() && !needs_quotes(key) => key,
            _ => {
                let mut path = BumpString::with_capacity_in(above.len() + LIKELY_KEY, arena);
                path.push_str(above);
                self.step.print(&mut path);
                path.into_bump_str()
            }
        }
    }

    /// The same, for all below it that will ask.
    fn kept(&self, arena: &'a Bump) -> &'a str {
        if let Some(printed) = self.printed.get() {
            return printed;
        }
        let mut path = BumpString::new_in(arena);
        self.print(&mut path);
        let printed = path.into_bump_str();
        self.printed.set(Some(printed));
        printed
    }

    fn print(&self, path: &mut BumpString<'a>) {
        match (self.printed.get(), self.above) {
            (Some(printed), _) => path.push_str(printed),
            (None, above) => {
                above.into_iter().for_each(|above| above.print(path));
                self.step.print(path);
            }
        }
    }
}

impl Step<'_> {
    fn print(self, path: &mut BumpString<'_>) {
        if !path.is_empty() {
            path.push('.');
        }
        match self {
            Step::Key(key) if needs_quotes(key) => {
                let mut quoted = String::new();
                push_segment(&mut quoted, key);
                path.push_str(&quoted);
            }
            Step::Key(key) => path.push_str(key),
            Step::Index(index) => path.push_str(&index.to_string()),
        }
    }
}
