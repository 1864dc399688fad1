//! The search language: what texts mean, where errors point, and that printing and parsing agree.

use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use super::*;
use crate::event::{Micros, Origin, Outcome, Verb};
use crate::query::{Comparison, Field, Pattern, TextTest, TimeField};

/// 2026-01-31T12:00:00Z
const NOW: Micros = 1_769_860_800_000_000;
const HOUR: Micros = 3_600_000_000;
/// 2026-01-01T00:00:00Z
const NEW_YEAR: Micros = 1_767_225_600_000_000;
const DAY: Micros = 24 * HOUR;

const DOCUMENT: &str = include_str!("../../../docs/API.md");

fn text(field: Field, test: TextTest) -> Filter {
    Filter::Text(field, test)
}

fn is(field: Field, value: &str) -> Filter {
    text(field, TextTest::Is(value.into()))
}

fn like(field: Field, parts: &[&str]) -> Filter {
    text(field, TextTest::Like(Pattern(parts.iter().map(|part| (*part).to_owned()).collect())))
}

fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

fn occurred(comparison: Comparison, at: Micros) -> Filter {
    Filter::Time(TimeField::OccurredAt, comparison, at)
}

#[test]
fn a_query_means_what_it_says() {
    use Comparison::{AtLeast, AtMost, Greater, Less};
    use Field::{Action, ActorId, Message, TargetType};
    let anywhere = |text: &str| Filter::Anywhere(text.into());
    let attribute = |name: &str| Field::Attribute(name.into());
    let between = |from, to| Filter::All(vec![occurred(AtLeast, from), occurred(Less, to)]);
    for (query, expected) in [
        ("actor.id:alice", is(ActorId, "alice")),
        ("actor.id:ACME\\alice", is(ActorId, "ACME\\alice")),
        ("action:\"a \\\"b\\\" \\\\ *\"", is(Action, "a \"b\" \\ *")),
        ("action:urn:x:-1", is(Action, "urn:x:-1")),
        ("action:-1", is(Action, "-1")),
        ("action:\"\"", is(Action, "")),
        ("action:repo.*", like(Action, &["repo.", ""])),
        ("action:*.a*b", like(Action, &["", ".a", "b"])),
        ("action:\"a *\"*", like(Action, &["a *", ""])),
        ("action:*", text(Action, TextTest::Exists)),
        ("message:~denied", text(Message, TextTest::Contains("denied".into()))),
        ("action:>=b", text(Action, TextTest::Compares(AtLeast, "b".into()))),
        ("action:[* TO c]", text(Action, TextTest::Compares(AtMost, "c".into()))),
        ("action:[* TO *]", text(Action, TextTest::Exists)),
        ("attributes.a.b:x", is(attribute("a.b"), "x")),
        ("attributes.\"a b\":x", is(attribute("a b"), "x")),
        ("*", Filter::everything()),
        ("free", anywhere("free")),
        ("\"free text\"", anywhere("free text")),
        ("\"OR\"", anywhere("OR")),
        ("ORDER", anywhere("ORDER")),
        ("-outcome:success", not(Filter::Outcome(Outcome::Success))),
        ("NOT verb:read", not(Filter::Verb(Verb::Read))),
        ("NOT -origin:api", not(not(Filter::Origin(Origin::Api)))),
        ("id:00000000-0000-0000-0000-000000000001", Filter::Id(Uuid::from_u128(1))),
        ("client_ip:203.0.113.7", Filter::ClientIp("::ffff:203.0.113.7/128".parse().unwrap())),
        ("client_ip:203.0.113.0/24", Filter::ClientIp("::ffff:203.0.113.0/120".parse().unwrap())),
        ("client_ip:2001:db8::/32", Filter::ClientIp("2001:db8::/32".parse().unwrap())),
        ("client_ip:*", Filter::HasClientIp),
        ("occurred_at:>=2026-01-01", occurred(AtLeast, NEW_YEAR)),
        ("occurred_at:>2026-01-01", occurred(AtLeast, NEW_YEAR + DAY)),
        ("occurred_at:<2026-01-01", occurred(Less, NEW_YEAR)),
        ("occurred_at:<=2026-01-01", occurred(Less, NEW_YEAR + DAY)),
        ("occurred_at:2026-01-01", between(NEW_YEAR, NEW_YEAR + DAY)),
        ("occurred_at:[2026-01-01 TO 2026-01-02]", between(NEW_YEAR, NEW_YEAR + 2 * DAY)),
        ("occurred_at:>-2h", occurred(Greater, NOW - 2 * HOUR)),
        ("occurred_at:<=2026-01-01T01:00:00+01:00", occurred(AtMost, NEW_YEAR)),
        ("received_at:[* TO now]", Filter::Time(TimeField::ReceivedAt, AtMost, NOW)),
        ("verb:*", Filter::everything()),
        (
            "target.type:(Order OR Invoice)",
            Filter::Any(vec![is(TargetType, "Order"), is(TargetType, "Invoice")]),
        ),
        (
            "action:(a* -(ab OR ac))",
            Filter::All(vec![
                like(Action, &["a", ""]),
                not(Filter::Any(vec![is(Action, "ab"), is(Action, "ac")])),
            ]),
        ),
        (
            "a b OR c AND d",
            Filter::Any(vec![
                Filter::All(vec![anywhere("a"), anywhere("b")]),
                Filter::All(vec![anywhere("c"), anywhere("d")]),
            ]),
        ),
        (
            " a (b\n(c)) ",
            Filter::All(vec![anywhere("a"), Filter::All(vec![anywhere("b"), anywhere("c")])]),
        ),
    ] {
        assert_eq!(parse(query, NOW), Ok(expected), "{query}");
    }
}

#[test]
fn an_error_points_at_its_column_and_says_what_is_expected() {
    let deep = "(".repeat(MOST_NESTED + 1) + "a";
    let long = "ä".repeat(MOST_CHARACTERS + 1);
    let wordy = format!("\"{}\" OR -(a b)", "a ".repeat(MOST_WORDS - 1));
    for (query, column, message, expected) in [
        ("", 1, "a condition is missing", "a condition"),
        ("actor.id:a actorid:b", 12, "the nearest is actor.id", "actor.id"),
        ("ä hst:x", 3, "no field \"hst\"", "attributes.NAME"),
        ("http://x", 1, "text with a colon in it is quoted", "attributes.NAME"),
        (":x", 1, "name is missing", "action"),
        ("action:", 8, "a value is missing", "a value"),
        ("action: a", 8, "a value is missing", "a value"),
        ("action:OR", 8, "quote it", "a value"),
        ("a OR", 5, "a condition is missing", "NOT or -"),
        ("OR a", 1, "stands between two", "a condition"),
        ("a AND OR b", 7, "stands between two", "a condition"),
        ("a NOT", 6, "a condition is missing", "a condition"),
        ("(a", 1, "this ( is not closed", ")"),
        ("a)", 2, "closes nothing", "the end"),
        ("()", 2, "a condition is missing", "a condition"),
        ("action:(a OR )", 14, "a value is missing", "a value"),
        ("x \"a", 3, "not closed", "a closing \""),
        ("\"a\\n\"", 3, "in quotes", "\\\""),
        ("fo*", 1, "whole words", "a field and a colon"),
        ("a ...", 3, "no word", "letters or digits"),
        ("action:>a*", 9, "no place", "a value without *"),
        ("action:[a b]", 11, "TO is missing", "TO"),
        ("action:[a TO b", 8, "not closed", "]"),
        ("outcome:ok", 9, "one word of success", "failure"),
        ("verb:>read", 7, "one word of", "create"),
        ("client_ip:10.0.0.0/33", 11, "an address or a network", "203.0.113.0/24"),
        ("client_ip:[a TO b]", 11, "an address or a network", "*"),
        ("id:7", 4, "UUID", "a UUID"),
        ("occurred_at:>=yesterday", 15, "no time", "-24h"),
        ("occurred_at:2026*", 13, "no part", "[A TO B]"),
        ("attributes.\"a\" b", 15, "a colon is missing", ":"),
        (&deep, MOST_NESTED + 1, "nests deeper", "fewer parentheses and negations"),
        (&wordy, 2 * MOST_WORDS + 9, "more than 64 words", "fewer words"),
        (&long, MOST_CHARACTERS + 1, "longer than", "a shorter query"),
    ] {
        let error = parse(query, NOW).expect_err(query);
        assert_eq!(error.column, column, "{query}: {error}");
        assert!(error.message.contains(message), "{query}: {error}");
        assert!(error.expected.iter().any(|text| text == expected), "{query}: {error:?}");
    }
}

#[test]
fn every_name_may_be_tested_for_being_there() {
    for name in names() {
        assert!(parse(&format!("{name}:*"), NOW).is_ok(), "{name}");
    }
}

#[test]
fn every_example_of_the_document_is_read_and_comes_back() {
    let (_, section) = DOCUMENT.split_once("### Examples\n").unwrap();
    let (section, _) = section.split_once("\n#").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let examples: Vec<&str> =
        rows.filter_map(|row| row.split_once("` |")).map(|(q, _)| q).collect();
    assert!(examples.len() >= 10, "{examples:?}");
    for example in examples {
        let filter = parse(example, NOW).unwrap_or_else(|error| panic!("{example}: {error}"));
        let printed = print(&filter).unwrap();
        assert_eq!(parse(&printed, NOW), Ok(filter), "{example}: {printed}");
    }
}

#[test]
fn what_the_language_has_no_words_for_is_not_printed() {
    for filter in [
        Filter::Settled,
        Filter::SourceNumber(Comparison::Less, 1),
        not(Filter::Any(vec![Filter::Settled, Filter::HasClientIp])),
        Filter::Anywhere("...".into()),
        occurred(Comparison::Less, Micros::MAX),
        text(Field::Action, TextTest::Like(Pattern(vec!["one".into()]))),
    ] {
        assert_eq!(print(&filter), None, "{filter:?}");
    }
}

/// Texts that would be something else if they were not quoted where they must be.
fn value() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "", "a", "a b", "OR", "NOT", "AND", "-a", "\"", "\\", "a*", "*", "(", "[x]", ">=a", "=",
        "~", "a:b", "ä\n\t\0", "TO", "x]", "actor.id",
    ]);
    prop_oneof![odd.prop_map(str::to_owned), "\\PC{0,6}"]
}

fn comparison() -> impl Strategy<Value = Comparison> {
    select(Comparison::ALL.to_vec())
}

fn text_test() -> impl Strategy<Value = TextTest> {
    prop_oneof![
        value().prop_map(TextTest::Is),
        value().prop_map(TextTest::Contains),
        Just(TextTest::Exists),
        prop::collection::vec(value(), 2..4).prop_map(|parts| TextTest::Like(Pattern(parts))),
        (comparison(), value()).prop_map(|(c, text)| TextTest::Compares(c, text)),
    ]
}

fn leaf() -> impl Strategy<Value = Filter> {
    let named = select(Field::NAMED.map(|(_, field)| field).to_vec());
    let field = prop_oneof![4 => named, 1 => value().prop_map(Field::Attribute)];
    let time = select(vec![TimeField::OccurredAt, TimeField::ReceivedAt]);
    let in_years = -62_135_596_800_000_000_i64..253_402_300_800_000_000;
    let network =
        (any::<u128>(), 0..=128_u8, any::<bool>()).prop_map(|(bits, prefix, is_mapped)| {
            let bits = if is_mapped { (0xffff << 32) | (bits & 0xffff_ffff) } else { bits };
            ipnet::Ipv6Net::new(bits.into(), prefix).unwrap()
        });
    prop_oneof![
        6 => (field, text_test()).prop_map(|(field, test)| Filter::Text(field, test)),
        1 => select(Verb::ALL.to_vec()).prop_map(Filter::Verb),
        1 => select(Outcome::ALL.to_vec()).prop_map(Filter::Outcome),
        1 => select(Origin::ALL.to_vec()).prop_map(Filter::Origin),
        1 => any::<u128>().prop_map(|id| Filter::Id(Uuid::from_u128(id))),
        1 => network.prop_map(Filter::ClientIp),
        1 => Just(Filter::HasClientIp),
        1 => Just(Filter::everything()),
        2 => (time, comparison(), in_years).prop_map(|(time, c, at)| Filter::Time(time, c, at)),
        2 => value().prop_filter("a word", |text| crate::query::words(text).next().is_some())
            .prop_map(Filter::Anywhere),
    ]
}

/// Filters whose groups have several parts.
fn filter() -> impl Strategy<Value = Filter> {
    leaf().prop_recursive(4, 16, 4, |inner| {
        let some = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![some().prop_map(Filter::All), some().prop_map(Filter::Any), inner.prop_map(not)]
    })
}

proptest! {
    #[test]
    fn a_printed_query_parses_back_to_itself(filter in filter()) {
        let printed = print(&filter).unwrap();
        prop_assume!(printed.chars().count() <= MOST_CHARACTERS);
        prop_assert_eq!(parse(&printed, NOW), Ok(filter), "{}", printed);
    }

    #[test]
    fn no_text_panics_and_what_is_read_comes_back(
        pieces in prop::collection::vec(
            prop_oneof![
                select(vec![
                    "actor.id", "action", "occurred_at", "client_ip", "verb", "read", ":", ":", "(",
                    ")", "[", "]", " TO ", " OR ", " AND ", " NOT ", "-", "*", "\"", "\\", "~", ">=",
                    "<", " ", "a", "ä", "2026-01-01", "10.0.0.0/8", "-1h", "attributes.", "x",
                ]).prop_map(str::to_owned),
                "\\PC{0,3}",
            ],
            0..20,
        ),
    ) {
        let query = pieces.concat();
        if let Ok(filter) = parse(&query, NOW) {
            let printed = print(&filter);
            prop_assert!(printed.is_some(), "{query}");
            prop_assert_eq!(parse(&printed.unwrap(), NOW), Ok(filter), "{}", query);
        }
    }
}
