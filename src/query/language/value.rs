//! A value as it is written: bare, quoted, with `*`.
//!
//! In: the text behind a colon. Out: a [`Value`]; and of a literal text, how it is to be written.
//!
//! # Invariants
//! - Quoted and bare pieces that touch are one text: `"a b"*` begins with `a b`.
//! - In quotes `*` is a star, `\"` a quote and `\\` a backslash; outside a backslash is itself.
//! - What [`written`] writes, [`value`] reads back.
//!
//! Deliberately unknown here: fields, and what a value is compared with.

use winnow::combinator::{alt, opt};
use winnow::prelude::*;
use winnow::stream::Location as _;
use winnow::token::{any, take_while};

use super::grammar::{Input, Parsed, fault};

/// Words that join conditions, and are quoted to be searched for.
pub(super) const JOINING: [&str; 3] = ["AND", "OR", "NOT"];

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// Where it begins, in bytes of the query.
    pub(super) at: usize,
    /// The literal texts between the stars: one where there is no star.
    pub(super) parts: Vec<String>,
    /// Whether it is a bare `*` and nothing else.
    pub(super) is_anything: bool,
}

enum Piece {
    Text(String),
    Star,
}

/// Where a bare text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At a blank, a parenthesis, a quote.
    Blank,
    /// At `]` too.
    Bracket,
}

/// Read a value; there must be one.
pub(super) fn value(end: End, input: &mut Input<'_>) -> Parsed<Value> {
    let at = input.current_token_start();
    let mut value = Value { at, parts: vec![String::new()], is_anything: false };
    let (mut pieces, mut is_bare) = (0, true);
    loop {
        is_bare &= !input.starts_with('"');
        let Some(piece) = piece(end, input)? else { break };
        pieces += 1;
        match (piece, value.parts.last_mut()) {
            (Piece::Text(text), Some(last)) => last.push_str(&text),
            _ => value.parts.push(String::new()),
        }
    }
    if pieces == 0 {
        return Err(fault(
            at,
            "a value is missing here; write \"\" for an absent one",
            &["a value"],
        ));
    }
    value.is_anything = pieces == 1 && value.parts.len() == 2;
    if let [only] = value.parts.as_slice()
        && is_bare
        && JOINING.contains(&only.as_str())
    {
        let message = format!("{only} joins conditions; quote it to search for the word");
        return Err(fault(at, message, &["a value"]));
    }
    Ok(value)
}

fn piece(end: End, input: &mut Input<'_>) -> Parsed<Option<Piece>> {
    let bare = move |c: char| is_bare(c) && (end == End::Blank || c != ']');
    if input.starts_with('"') {
        return quoted(input).map(Piece::Text).map(Some);
    }
    let star = '*'.map(|_| Piece::Star);
    let text = take_while(1.., bare).map(|text: &str| Piece::Text(text.to_owned()));
    opt(alt((star, text))).parse_next(input)
}

/// Read a text in quotes.
pub(super) fn quoted(input: &mut Input<'_>) -> Parsed<String> {
    let opened = input.current_token_start();
    '"'.parse_next(input)?;
    let mut text = String::new();
    loop {
        text.push_str(take_while(0.., |c| c != '"' && c != '\\').parse_next(input)?);
        let at = input.current_token_start();
        match opt(any).parse_next(input)? {
            Some('"') => return Ok(text),
            None => return Err(fault(opened, "this quote is not closed", &["a closing \""])),
            Some(_) => {
                let escaped: Parsed<char> = alt(('"', '\\')).parse_next(input);
                text.push(escaped.map_err(|_| {
                    let message = "in quotes \\ stands before \" or \\ only; \\\\ is itself";
                    fault(at, message, &["\\\"", "\\\\"])
                })?);
            }
        }
    }
}

fn is_bare(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '(' | ')' | '"' | '*')
}

/// A literal text, in quotes where it would mean something else without.
pub(super) fn written(text: &str) -> String {
    let plain = |c: char| is_bare(c) && !c.is_control() && !matches!(c, '[' | ']');
    let starts_plain = !text.starts_with(['-', '<', '>', '=', '~']) && !text.is_empty();
    if starts_plain && text.chars().all(plain) && !JOINING.contains(&text) {
        return text.to_owned();
    }
    in_quotes(text)
}

/// A literal text in quotes.
pub(super) fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
