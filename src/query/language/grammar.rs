//! The grammar: how conditions are written and joined.
//!
//! In: a text. Out: the [`Filter`] it says, or the [`Fault`] at which it says nothing.
//!
//! ```text
//! query     = all *( "OR" all )
//! all       = operand *( [ "AND" ] operand )
//! operand   = ( "NOT" / "-" ) operand / "(" query ")" / condition
//! condition = name ":" test / value
//! test      = value / comparison value / "~" value / "[" end "TO" end "]" / "(" query of tests ")"
//! ```
//!
//! # Invariants
//! - What is read decides at once which rule applies: an error is where the reading stopped.
//! - The tree is as it was written: groups of one are their only part, and nothing is flattened.
//!
//! Deliberately unknown here: which names there are, and what a test means for each.

use winnow::combinator::{alt, not, opt, peek};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location as _, Stateful};
use winnow::token::{any, literal, take_while};

use super::name::{self, Name, Test};
use super::value::{End, Value, quoted, value};
use super::{Fault, MOST_NESTED, MOST_WORDS};
use crate::event::Micros;
use crate::query::{Comparison, Filter, words};

pub(super) type Input<'i> = Stateful<LocatingSlice<&'i str>, State>;
pub(super) type Parsed<T> = Result<T, ErrMode<Fault>>;

/// What is known while reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    now: Micros,
    nested: usize,
    /// Of free text, so far.
    words: usize,
}

/// Read a whole query.
pub(super) fn parse(text: &str, now: Micros) -> Result<Filter, Fault> {
    let state = State { now, nested: 0, words: 0 };
    let mut input = Input { input: LocatingSlice::new(text), state };
    let parsed = query(None, &mut input).and_then(|filter| {
        // Only a parenthesis ends a query before its text.
        let at = input.current_token_start();
        let closed = || fault(at, "this ) closes nothing", &["a condition", "the end"]);
        if input.is_empty() { Ok(filter) } else { Err(closed()) }
    });
    parsed.map_err(|error| match error {
        ErrMode::Cut(fault) | ErrMode::Backtrack(fault) => fault,
        ErrMode::Incomplete(_) => Fault::from_input(&input),
    })
}

/// Conditions, or, of a field that is named, tests.
fn query(of: Option<&Name>, input: &mut Input<'_>) -> Parsed<Filter> {
    let mut parts = vec![all(of, input)?];
    while opt(joining("OR")).parse_next(input)?.is_some() {
        parts.push(all(of, input)?);
    }
    Ok(one_or(parts, Filter::Any))
}

fn all(of: Option<&Name>, input: &mut Input<'_>) -> Parsed<Filter> {
    let mut parts = vec![operand(of, input)?];
    loop {
        blanks(input)?;
        let joined = opt(joining("AND")).parse_next(input)?.is_some();
        let ends = input.is_empty() || input.starts_with(')') || is_next("OR", input)?;
        if ends && !joined {
            return Ok(one_or(parts, Filter::All));
        }
        parts.push(operand(of, input)?);
    }
}

fn operand(of: Option<&Name>, input: &mut Input<'_>) -> Parsed<Filter> {
    blanks(input)?;
    let at = input.current_token_start();
    let wanted = if of.is_some() { "a value" } else { "a condition" };
    let expected = [wanted, "NOT or -", "("];
    if input.is_empty() || input.starts_with(')') {
        return Err(fault(at, format!("{wanted} is missing here"), &expected));
    }
    for word in ["AND", "OR"] {
        if is_next(word, input)? {
            let message = format!("{word} stands between two conditions; quote it as a word");
            return Err(fault(at, message, &expected));
        }
    }
    if opt(alt((literal("-").void(), joining("NOT").void()))).parse_next(input)?.is_some() {
        return nested(at, input, |input| operand(of, input).map(Box::new).map(Filter::Not));
    }
    if input.starts_with('(') {
        return group(of, input);
    }
    match of {
        Some(name) => test(name, input),
        None => condition_of(input),
    }
}

fn group(of: Option<&Name>, input: &mut Input<'_>) -> Parsed<Filter> {
    let at = input.current_token_start();
    literal("(").parse_next(input)?;
    let filter = nested(at, input, |input| query(of, input))?;
    blanks(input)?;
    let unclosed = |_: ErrMode<Fault>| fault(at, "this ( is not closed", &[")"]);
    literal(")").parse_next(input).map_err(unclosed)?;
    Ok(filter)
}

/// A test of a field, or free text.
fn condition_of(input: &mut Input<'_>) -> Parsed<Filter> {
    let at = input.current_token_start();
    let is_of_name = |c: char| !c.is_whitespace() && !matches!(c, '(' | ')' | '"' | ':');
    let text: &str = peek(take_while(0.., is_of_name)).parse_next(input)?;
    let behind = input[text.len()..].chars().next();
    let name = if text == name::ATTRIBUTES && behind == Some('"') {
        literal(name::ATTRIBUTES).parse_next(input)?;
        Name::attribute(quoted(input)?)
    } else if behind == Some(':') {
        let name = name::parse(text).map_err(|wrong| wrong.at(at))?;
        literal(text).parse_next(input)?;
        name
    } else {
        return free_text(input);
    };
    let colon = input.current_token_start();
    let no_colon = |_: ErrMode<Fault>| fault(colon, "a colon is missing behind the name", &[":"]);
    literal(":").parse_next(input).map_err(no_colon)?;
    if input.starts_with('(') { group(Some(&name), input) } else { test(&name, input) }
}

fn free_text(input: &mut Input<'_>) -> Parsed<Filter> {
    let Value { at, parts, is_anything } = value(End::Blank, input)?;
    match parts.as_slice() {
        _ if is_anything => Ok(Filter::everything()),
        [text] => {
            let found = words(text).count();
            input.state.words += found;
            if found == 0 {
                let message = "there is no word in this to search for";
                return Err(fault(at, message, &["letters or digits"]));
            }
            if input.state.words > MOST_WORDS {
                let message =
                    format!("from here on there are more than {MOST_WORDS} words of free text");
                return Err(fault(at, message, &["fewer words"]));
            }
            Ok(Filter::Anywhere(text.clone()))
        }
        _ => {
            let message = "free text finds whole words, without *; name a field: action:repo.*";
            Err(fault(at, message, &["whole words", "a field and a colon"]))
        }
    }
}

/// What stands behind a colon.
fn test(name: &Name, input: &mut Input<'_>) -> Parsed<Filter> {
    let at = input.current_token_start();
    let comparison = alt((
        ">=".value(Comparison::AtLeast),
        "<=".value(Comparison::AtMost),
        '>'.value(Comparison::Greater),
        '<'.value(Comparison::Less),
    ));
    let (at, test) = if let Some(comparison) = opt(comparison).parse_next(input)? {
        let (at, text) = one_text(value(End::Blank, input)?)?;
        (at, Test::Compares(comparison, text))
    } else if opt('~').parse_next(input)?.is_some() {
        let (at, text) = one_text(value(End::Blank, input)?)?;
        (at, Test::Contains(text))
    } else if opt('[').parse_next(input)?.is_some() {
        (at, range(at, input)?)
    } else {
        let value = value(End::Blank, input)?;
        match value.is_anything {
            true => (at, Test::Exists),
            false => (at, Test::Is(value.parts)),
        }
    };
    name.filter(test, input.state.now).map_err(|wrong| wrong.at(at))
}

fn range(opened: usize, input: &mut Input<'_>) -> Parsed<Test> {
    let from = end_of_range(input)?;
    blanks(input)?;
    let at = input.current_token_start();
    let no_to = |_: ErrMode<Fault>| fault(at, "TO is missing here: a range is [A TO B]", &["TO"]);
    joining("TO").parse_next(input).map_err(no_to)?;
    let to = end_of_range(input)?;
    blanks(input)?;
    let unclosed = |_: ErrMode<Fault>| fault(opened, "this [ is not closed", &["]"]);
    ']'.parse_next(input).map_err(unclosed)?;
    Ok(Test::Range(from, to))
}

/// An end of a range; `None` is open.
fn end_of_range(input: &mut Input<'_>) -> Parsed<Option<String>> {
    blanks(input)?;
    let value = value(End::Bracket, input)?;
    if value.is_anything { Ok(None) } else { one_text(value).map(|(_, text)| Some(text)) }
}

/// The text of a value that may have no star.
fn one_text(value: Value) -> Parsed<(usize, String)> {
    match <[String; 1]>::try_from(value.parts) {
        Ok([text]) => Ok((value.at, text)),
        Err(_) => {
            let message = "a * has no place in this value; quote it to mean the character";
            Err(fault(value.at, message, &["a value without *"]))
        }
    }
}

fn nested(
    at: usize,
    input: &mut Input<'_>,
    inner: impl FnOnce(&mut Input<'_>) -> Parsed<Filter>,
) -> Parsed<Filter> {
    if input.state.nested == MOST_NESTED {
        let message = format!("this nests deeper than {MOST_NESTED}");
        return Err(fault(at, message, &["fewer parentheses and negations"]));
    }
    input.state.nested += 1;
    let filter = inner(input)?;
    input.state.nested -= 1;
    Ok(filter)
}

/// A word of ours, blanks before it, and an end behind it.
fn joining<'i>(word: &'static str) -> impl Parser<Input<'i>, (), ErrMode<Fault>> {
    let goes_on = |c: char| !c.is_whitespace() && !matches!(c, '(' | ')' | '"');
    (blanks, literal(word), not(any.verify(move |c| goes_on(*c)))).void()
}

fn is_next(word: &'static str, input: &mut Input<'_>) -> Parsed<bool> {
    opt(peek(joining(word))).map(|found| found.is_some()).parse_next(input)
}

fn blanks(input: &mut Input<'_>) -> Parsed<()> {
    take_while(0.., char::is_whitespace).void().parse_next(input)
}

fn one_or(mut parts: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            join(parts)
        }
    }
}

/// An error that no other way of reading mends.
pub(super) fn fault(at: usize, message: impl Into<String>, expected: &[&str]) -> ErrMode<Fault> {
    let expected = expected.iter().map(|text| (*text).to_owned()).collect();
    ErrMode::Cut(Fault { at, message: message.into(), expected })
}

impl ParserError<Input<'_>> for Fault {
    type Inner = Fault;

    fn from_input(input: &Input<'_>) -> Fault {
        let message = "this cannot be read here".to_owned();
        Fault { at: input.current_token_start(), message, expected: Vec::new() }
    }

    fn into_inner(self) -> Result<Fault, Fault> {
        Ok(self)
    }
}
