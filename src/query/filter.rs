//! What must hold of an event: tests of fields, joined by and, or and not.
//!
//! In: the search language, native parameters, a contract's own grammar. Out: a [`Filter`], which
//! every reader answers alike.
//!
//! # Invariants
//! - [`Filter::holds`] is the meaning; a store that answers otherwise is wrong.
//! - Texts compare by their bytes, case-sensitive, unless a test says otherwise.
//! - A field that is absent is an empty text: it passes no test but `= ""`, and is not there.
//! - Times are microseconds since the Unix epoch.
//!
//! Deliberately unknown here: spelling, SQL, whose logs may be seen.

use std::cmp::Ordering;

use ipnet::Ipv6Net;
use uuid::Uuid;

use super::Field;
use crate::event::{Micros, Origin, Outcome, StoredEvent, StoredTarget, Verb};

/// What must hold of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Every one holds; none at all is everything.
    All(Vec<Filter>),
    /// At least one holds; none at all is nothing.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A text field passes a test. Of `target.*`, the main target's or that of any of `targets`.
    Text(Field, TextTest),
    /// One of `targets`, or the main target, is of a type, and its field passes a test.
    TargetOf {
        /// The type, as the source wrote it.
        kind: String,
        /// `target.id` or `target.name`.
        field: TargetField,
        /// What of it.
        test: TextTest,
    },
    /// The kind of deed.
    Verb(Verb),
    /// How it ended.
    Outcome(Outcome),
    /// Through what door it came.
    Origin(Origin),
    /// The derived id.
    Id(Uuid),
    /// The source's id, read as an integer; one that is none passes no comparison.
    SourceNumber(Comparison, i64),
    /// The client's address is in a network; IPv4 is mapped into IPv6. An absent one is in none.
    ClientIp(Ipv6Net),
    /// The client's address is known.
    HasClientIp,
    /// A time, compared.
    Time(TimeField, Comparison, Micros),
    /// Every word of the text stands somewhere in the original bytes as a whole word: letters of
    /// ASCII in either case, digits; a text without a word is everywhere.
    Anywhere(String),
    /// Not a pending version of an event that the same source has since ended: no `success` or
    /// `failure` of the same tenant, schema and source id is stored, whenever it happened.
    Settled,
}

/// A test of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextTest {
    /// It is this.
    Is(String),
    /// It contains this, ASCII letters in either case.
    Contains(String),
    /// It looks like this: `*` stands for any run of characters.
    Like(Pattern),
    /// The same, ASCII letters in either case. A pattern of one part is the text itself.
    Alike(Pattern),
    /// It is there, and not empty.
    Exists,
    /// It stands before or after this, by bytes; absent, it stands nowhere.
    Compares(Comparison, String),
}

/// Literal texts with anything between them: `a*b` is `["a", "b"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub Vec<String>);

/// A text field of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetField {
    /// `id`
    Id,
    /// `name`
    Name,
}

/// A time of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeField {
    /// When it happened.
    OccurredAt,
    /// When Kafka had it.
    ReceivedAt,
}

/// An order's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Filter {
    /// Everything.
    pub fn everything() -> Filter {
        Filter::All(Vec::new())
    }

    /// Whether it looks for words anywhere in the original bytes.
    pub fn looks_for_words(&self) -> bool {
        match self {
            Filter::Anywhere(_) => true,
            Filter::All(parts) | Filter::Any(parts) => parts.iter().any(Filter::looks_for_words),
            Filter::Not(part) => part.looks_for_words(),
            _ => false,
        }
    }

    /// The span of `occurred_at` outside which it holds of nothing, as far as its outermost
    /// conditions say: where a question bounds its own time.
    pub fn bounds(&self) -> (Option<Micros>, Option<Micros>) {
        match self {
            Filter::Time(TimeField::OccurredAt, comparison, at) => match comparison {
                Comparison::AtLeast => (Some(*at), None),
                Comparison::Greater => (Some(at.saturating_add(1)), None),
                Comparison::Less => (None, Some(*at)),
                Comparison::AtMost => (None, Some(at.saturating_add(1))),
            },
            Filter::All(parts) => {
                let (from, to): (Vec<_>, Vec<_>) = parts.iter().map(Filter::bounds).unzip();
                (from.into_iter().flatten().max(), to.into_iter().flatten().min())
            }
            _ => (None, None),
        }
    }

    /// Whether it holds of an event that stands among others; `raw` must be there for
    /// [`Filter::Anywhere`].
    pub fn holds(&self, event: &StoredEvent, all: &[StoredEvent]) -> bool {
        match self {
            Filter::All(parts) => parts.iter().all(|part| part.holds(event, all)),
            Filter::Any(parts) => parts.iter().any(|part| part.holds(event, all)),
            Filter::Not(part) => !part.holds(event, all),
            Filter::Text(field, test) => field.texts(event).iter().any(|text| test.passes(text)),
            Filter::TargetOf { kind, field, test } => {
                targets(event).any(|target| target.kind == *kind && test.passes(field.of(target)))
            }
            Filter::Verb(verb) => event.verb == *verb,
            Filter::Outcome(outcome) => event.outcome == *outcome,
            Filter::Origin(origin) => event.origin == *origin,
            Filter::Id(id) => event.id == *id,
            Filter::SourceNumber(comparison, number) => {
                let own = event.source_id.parse::<i64>();
                own.is_ok_and(|own| comparison.admits(own.cmp(number)))
            }
            Filter::ClientIp(network) => event.client_ip.is_some_and(|ip| network.contains(&ip)),
            Filter::HasClientIp => event.client_ip.is_some(),
            Filter::Time(field, comparison, at) => comparison.admits(field.of(event).cmp(at)),
            Filter::Anywhere(text) => {
                let raw = event.raw.as_deref().unwrap_or_default();
                let there: Vec<String> = words(raw).collect();
                words(text).all(|word| there.contains(&word))
            }
            Filter::Settled => event.outcome != Outcome::Pending || !is_ended(event, all),
        }
    }
}

/// The words of a text: runs of ASCII letters and digits, and of anything beyond ASCII, in lower
/// case as far as ASCII goes.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let apart = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric();
    text.split(apart).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase)
}

fn is_ended(event: &StoredEvent, all: &[StoredEvent]) -> bool {
    let same = |e: &&StoredEvent| {
        (&e.tenant, &e.schema, &e.source_id) == (&event.tenant, &event.schema, &event.source_id)
    };
    let ended = |e: &StoredEvent| matches!(e.outcome, Outcome::Success | Outcome::Failure);
    !event.source_id.is_empty() && all.iter().filter(same).any(ended)
}

/// The main target and all others.
pub(super) fn targets(event: &StoredEvent) -> impl Iterator<Item = &StoredTarget> {
    event.targets.iter().chain([&event.target])
}

impl TextTest {
    /// Whether a text passes.
    pub fn passes(&self, text: &str) -> bool {
        match self {
            TextTest::Is(wanted) => text == wanted,
            TextTest::Contains(part) => {
                text.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
            }
            TextTest::Like(pattern) => pattern.matches(text),
            TextTest::Alike(pattern) => pattern.lower_case().matches(&text.to_ascii_lowercase()),
            TextTest::Exists => !text.is_empty(),
            TextTest::Compares(comparison, other) => {
                !text.is_empty() && comparison.admits(text.as_bytes().cmp(other.as_bytes()))
            }
        }
    }
}

impl Pattern {
    /// The pattern with its ASCII letters in lower case.
    pub fn lower_case(&self) -> Pattern {
        Pattern(self.0.iter().map(|part| part.to_ascii_lowercase()).collect())
    }

    /// Whether a text is made of the parts, in order, with anything between.
    pub fn matches(&self, text: &str) -> bool {
        if let [whole] = self.0.as_slice() {
            return whole == text;
        }
        let [first, middle @ .., last] = self.0.as_slice() else { return false };
        let Some(rest) = text.strip_prefix(first.as_str()) else { return false };
        let Some(mut rest) = rest.strip_suffix(last.as_str()) else { return false };
        for part in middle {
            let Some(at) = rest.find(part.as_str()) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

impl TargetField {
    /// The text of a target.
    fn of(self, target: &StoredTarget) -> &str {
        match self {
            TargetField::Id => &target.id,
            TargetField::Name => &target.name,
        }
    }
}

impl TimeField {
    /// The time of an event.
    pub fn of(self, event: &StoredEvent) -> Micros {
        match self {
            TimeField::OccurredAt => event.occurred_at,
            TimeField::ReceivedAt => event.received_at,
        }
    }
}

impl Comparison {
    /// All of them.
    pub const ALL: [Comparison; 4] =
        [Comparison::Less, Comparison::AtMost, Comparison::Greater, Comparison::AtLeast];

    /// Whether something that stands thus to the other is admitted.
    pub fn admits(self, standing: Ordering) -> bool {
        match self {
            Comparison::Less => standing.is_lt(),
            Comparison::AtMost => standing.is_le(),
            Comparison::Greater => standing.is_gt(),
            Comparison::AtLeast => standing.is_ge(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_its_parts_in_order_with_anything_between() {
        let pattern = |text: &str| Pattern(text.split('*').map(str::to_owned).collect());
        for (text, like, expected) in [
            ("repo.create", "repo.*", true),
            ("repo.", "repo.*", true),
            ("xrepo.create", "repo.*", false),
            ("repo.create", "*create", true),
            ("abcabc", "a*c*c", true),
            ("abc", "a*c*c", false),
            ("aba", "ab*ba", false),
            ("", "*", true),
            ("ä*", "*", true),
            ("ab", "*b*b", false),
        ] {
            assert_eq!(pattern(like).matches(text), expected, "{text} like {like}");
        }
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let words: Vec<String> = words("Foo-bar_9 \"Größe\"").collect();
        assert_eq!(words, ["foo", "bar", "9", "größe"]);
    }
}
