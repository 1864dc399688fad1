//! The search language: what an analyst types, as a [`Filter`], and back.
//!
//! `actor.id:alice action:repo.* -outcome:success target.type:(Order OR Invoice)
//! client_ip:203.0.113.0/24 occurred_at:>=2026-01-01 "free text"`. docs/API.md has the grammar,
//! with examples that a test reads.
//!
//! In: a text, and the moment that `-24h` is counted from. Out: a [`Filter`], or a
//! [`LanguageError`] that points at a column; and from a filter its text, where it has one.
//!
//! # Invariants
//! - A printed filter parses back to itself; no text panics.
//! - A text is at most [`MOST_CHARACTERS`] long, nests at most [`MOST_NESTED`] deep, and looks for
//!   [`MOST_WORDS`] words at most.
//! - Nothing is guessed: a name that is not known, or a word that searches nothing, is an error.
//!
//! Deliberately unknown here: HTTP, SQL, whose logs may be seen.

mod grammar;
mod name;
mod print;
#[cfg(test)]
mod tests;
mod time;
mod value;

use super::Filter;
use crate::event::Micros;

pub use self::name::network;
pub use self::print::print;
pub use self::time::instant;

/// How long a text may be.
pub const MOST_CHARACTERS: usize = 4_096;

/// How many parentheses and negations may stand inside one another.
pub const MOST_NESTED: usize = 32;

/// How many words of free text a query may look for: each is a search of its own in the whole bytes of
/// every event.
pub const MOST_WORDS: usize = 64;

/// What a text asks for; relative times are counted from `now`.
pub fn parse(text: &str, now: Micros) -> Result<Filter, LanguageError> {
    let long = text.char_indices().nth(MOST_CHARACTERS);
    let parsed = match long {
        Some((at, _)) => Err(Fault {
            at,
            message: format!("the query is longer than {MOST_CHARACTERS} characters"),
            expected: vec!["a shorter query".into()],
        }),
        None => grammar::parse(text, now),
    };
    parsed.map_err(|fault| LanguageError {
        column: text[..fault.at].chars().count() + 1,
        message: fault.message,
        expected: fault.expected,
    })
}

/// Every name that may stand before a colon, attributes apart.
pub fn names() -> impl Iterator<Item = &'static str> {
    name::all()
}

/// Why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct LanguageError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong there, and what would mend it.
    pub message: String,
    /// What may stand there.
    pub expected: Vec<String>,
}

/// An error at a byte of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    at: usize,
    message: String,
    expected: Vec<String>,
}
