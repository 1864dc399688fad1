//! RQL, as far as the marketplace's clients use it: the query string itself is the language.
//!
//! In: a query string, still percent-encoded. Out: an [`Asked`]: conditions, order, page, choice of
//! fields.
//!
//! # Invariants
//! - Parts beside each other (`&`) all hold; `key=value` is `eq(key,value)`.
//! - What is encoded is a value's own: `%2C` separates nothing. `+` is a plus.
//! - What cannot be read is a fault that says where, never a wider question.
//!
//! Deliberately unknown here: which fields there are.

use percent_encoding::percent_decode_str;
use winnow::Parser as _;
use winnow::combinator::{alt, delimited, opt, separated};
use winnow::error::ContextError;
use winnow::token::{take_till, take_while};

use super::super::walk::LONGEST;
use crate::api::Refusal;

/// Conditions that stand in one another, at most.
const DEEPEST: usize = 32;

/// The limit where none is given.
const LIMIT: u32 = 100;

/// What a query string asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Every one holds.
    pub conditions: Vec<Condition>,
    /// Fields and whether they descend.
    pub order: Vec<(String, bool)>,
    /// 0 asks for the total alone.
    pub limit: u32,
    /// So many are passed over.
    pub offset: u64,
    /// Fields by `select`, each with whether it is wanted.
    pub select: Vec<(String, bool)>,
    /// Whether placeholders are filled in.
    pub render: bool,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// Every one holds.
    All(Vec<Condition>),
    /// One holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// A field stands so to a value.
    Field(String, Test, Operand),
    /// A field is one of these.
    In(String, Vec<Operand>),
}

/// How a field stands to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    Eq,
    Gt,
    Ge,
    Lt,
    Le,
    Like,
    ILike,
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operand {
    /// A value, decoded.
    Text(String),
    /// `null()` or `empty()`.
    Nothing,
}

impl Asked {
    /// Read a query string.
    pub(super) fn read(query: &str) -> Result<Asked, Refusal> {
        let mut asked = Asked {
            conditions: Vec::new(),
            order: Vec::new(),
            limit: LIMIT,
            offset: 0,
            select: Vec::new(),
            render: false,
        };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            asked.add(part)?;
        }
        Ok(asked)
    }

    fn add(&mut self, part: &str) -> Result<(), Refusal> {
        let Some((name, value)) = part.split_once('=').filter(|(name, _)| !name.contains('('))
        else {
            self.conditions.push(parsed(part)?);
            return Ok(());
        };
        let (name, text) = (decoded(name)?, decoded(value)?);
        match name.as_str() {
            "limit" => self.limit = number(&name, &text, LONGEST.into())?,
            "offset" => self.offset = number(&name, &text, u64::MAX)?,
            "order" => self.order = signed(&text),
            "select" => self.select = signed(&text),
            "render" => {
                let wrong = || Refusal::parameter("render", "render must be true or false");
                self.render = text.parse().map_err(|_| wrong())?;
            }
            _ => {
                let mut rest = value;
                let operand = operand(&mut rest).ok().filter(|_| rest.is_empty());
                let operand = operand.unwrap_or(Operand::Text(text));
                self.conditions.push(Condition::Field(name, Test::Eq, operand));
            }
        }
        Ok(())
    }
}

/// `+a,-b,c` as names with their sign; without one it is plus.
fn signed(text: &str) -> Vec<(String, bool)> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let sign = |name: &str| match name.strip_prefix('-') {
        Some(name) => (name.to_owned(), false),
        None => (name.strip_prefix('+').unwrap_or(name).to_owned(), true),
    };
    names.map(sign).collect()
}

fn number<N: TryFrom<u64>>(name: &str, text: &str, most: u64) -> Result<N, Refusal> {
    let number = text.parse::<u64>().ok().filter(|number| *number <= most);
    let wrong =
        || Refusal::parameter(name, format!("{name} must be a whole number from 0 to {most}"));
    number.and_then(|number| N::try_from(number).ok()).ok_or_else(wrong)
}

fn decoded(text: &str) -> Result<String, Refusal> {
    let decoded = percent_decode_str(text).decode_utf8();
    let wrong = |_| Refusal::parameter("query", format!("{text:?} is not UTF-8"));
    decoded.map(|text| text.into_owned()).map_err(wrong)
}

type Parsed<O> = Result<O, ContextError>;

fn parsed(part: &str) -> Result<Condition, Refusal> {
    let mut rest = part;
    let found = condition(&mut rest, 0);
    match found {
        Ok(condition) if rest.is_empty() => Ok(condition),
        _ => {
            let column = part.len() - rest.len() + 1;
            let detail = format!("the query cannot be read at column {column} of {part:?}");
            Err(Refusal::parameter("query", detail))
        }
    }
}

fn condition(input: &mut &str, depth: usize) -> Parsed<Condition> {
    if depth > DEEPEST {
        return Err(ContextError::new());
    }
    let start = *input;
    let name = take_while(1.., is_of_name).parse_next(input)?;
    let Some(_) = opt('(').parse_next(input)? else {
        // `field=value` among the arguments of and, or and not.
        let (_, operand) = ('=', operand).parse_next(input)?;
        return Ok(Condition::Field(name.to_owned(), Test::Eq, operand));
    };
    let found = match name {
        "and" => Condition::All(conditions(input, depth)?),
        "or" => Condition::Any(conditions(input, depth)?),
        "not" => Condition::Not(Box::new(condition(input, depth + 1)?)),
        "in" | "out" => {
            let found = Condition::In(field(input)?, values(input)?);
            if name == "in" { found } else { Condition::Not(Box::new(found)) }
        }
        "ne" => Condition::Not(Box::new(test(input, Test::Eq)?)),
        "eq" => test(input, Test::Eq)?,
        "gt" => test(input, Test::Gt)?,
        "ge" | "gte" => test(input, Test::Ge)?,
        "lt" => test(input, Test::Lt)?,
        "le" | "lte" => test(input, Test::Le)?,
        "like" => test(input, Test::Like)?,
        "ilike" => test(input, Test::ILike)?,
        _ => {
            *input = start;
            return Err(ContextError::new());
        }
    };
    ')'.parse_next(input)?;
    Ok(found)
}

fn conditions(input: &mut &str, depth: usize) -> Parsed<Vec<Condition>> {
    let one = |input: &mut &str| condition(input, depth + 1);
    separated(1.., one, ',').parse_next(input)
}

fn test(input: &mut &str, test: Test) -> Parsed<Condition> {
    Ok(Condition::Field(field(input)?, test, operand(input)?))
}

/// A field's name and the comma behind it.
fn field(input: &mut &str) -> Parsed<String> {
    let (name, _) = (take_while(1.., is_of_name), ',').parse_next(input)?;
    Ok(name.to_owned())
}

fn values(input: &mut &str) -> Parsed<Vec<Operand>> {
    delimited('(', separated(1.., operand, ','), ')').parse_next(input)
}

fn operand(input: &mut &str) -> Parsed<Operand> {
    let nothing = alt(("null()", "empty()")).map(|_| Operand::Nothing);
    let quoted = alt((
        delimited('\'', take_till(0.., '\''), '\''),
        delimited('"', take_till(0.., '"'), '"'),
        delimited("%22", take_till(0.., '%'), "%22"),
    ));
    let bare = take_while(0.., |c: char| !",()&".contains(c));
    let text = alt((quoted, bare)).verify_map(|text: &str| {
        let text = percent_decode_str(text).decode_utf8().ok()?;
        Some(Operand::Text(text.into_owned()))
    });
    alt((nothing, text)).parse_next(input)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-$".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eq(field: &str, value: &str) -> Condition {
        Condition::Field(field.into(), Test::Eq, Operand::Text(value.into()))
    }

    fn not(condition: Condition) -> Condition {
        Condition::Not(Box::new(condition))
    }

    #[test]
    fn a_query_string_is_conditions_that_all_hold() {
        let test = |field: &str, test, value: &str| {
            Condition::Field(field.into(), test, Operand::Text(value.into()))
        };
        for (query, expected) in [
            ("eq(object.id,PRD-1)", eq("object.id", "PRD-1")),
            ("object.id=PRD-1", eq("object.id", "PRD-1")),
            ("object.id=a%2Cb(c)", eq("object.id", "a,b(c)")),
            ("eq(event,a%2Cb%29)", eq("event", "a,b)")),
            ("eq(event,'a,b')", eq("event", "a,b")),
            ("eq(event,\"a)b\")", eq("event", "a)b")),
            ("ne(event,x)", not(eq("event", "x"))),
            (
                "ge(timestamp,2026-01-01T00:00:00+01:00)",
                test("timestamp", Test::Ge, "2026-01-01T00:00:00+01:00"),
            ),
            ("ilike(summary,*Order%20x*)", test("summary", Test::ILike, "*Order x*")),
            ("eq(summary,null())", Condition::Field("summary".into(), Test::Eq, Operand::Nothing)),
            ("summary=empty()", Condition::Field("summary".into(), Test::Eq, Operand::Nothing)),
            (
                "in(id,(a,b))",
                Condition::In(
                    "id".into(),
                    vec![Operand::Text("a".into()), Operand::Text("b".into())],
                ),
            ),
            ("out(id,(a))", not(Condition::In("id".into(), vec![Operand::Text("a".into())]))),
            (
                "and(or(eq(a,1),b=2),not(eq(c,3)))",
                Condition::All(vec![
                    Condition::Any(vec![eq("a", "1"), eq("b", "2")]),
                    not(eq("c", "3")),
                ]),
            ),
        ] {
            assert_eq!(
                Asked::read(query).map(|asked| asked.conditions),
                Ok(vec![expected]),
                "{query}"
            );
        }
        let asked = Asked::read("eq(a,1)&b=2").unwrap();
        assert_eq!(asked.conditions, [eq("a", "1"), eq("b", "2")]);
    }

    #[test]
    fn a_page_an_order_and_a_choice_are_no_conditions() {
        let asked = Asked::read(
            "order=-timestamp,event&limit=7&offset=14&select=+object,-documents&render=true",
        );
        let pair = |name: &str, sign| (name.to_owned(), sign);
        let expected = Asked {
            conditions: Vec::new(),
            order: vec![pair("timestamp", false), pair("event", true)],
            limit: 7,
            offset: 14,
            select: vec![pair("object", true), pair("documents", false)],
            render: true,
        };
        assert_eq!(asked, Ok(expected));
        let nothing = Asked::read("").unwrap();
        assert_eq!((nothing.limit, nothing.offset, nothing.render), (100, 0, false));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        for (query, part) in [
            ("eq(a", "column"),
            ("eq(a,b", "column 7"),
            ("eq(a,b)x", "column 8"),
            ("eq(,b)", "column"),
            ("near(a,b)", "column 1"),
            ("in(a,b)", "column"),
            ("in(a,())x", "column"),
            ("nothing", "column"),
            ("limit=-1", "limit"),
            ("limit=100001", "100000"),
            ("offset=x", "offset"),
            ("render=perhaps", "render"),
            ("eq(a,%FF)", "column"),
        ] {
            let refused = Asked::read(query).unwrap_err();
            assert!(refused.detail().contains(part), "{query}: {}", refused.detail());
        }
        let deep = format!("{}eq(a,b){}", "not(".repeat(40), ")".repeat(40));
        assert!(Asked::read(&deep).is_err());
        let deep = "not(".repeat(20_000);
        assert!(Asked::read(&deep).is_err());
    }
}
