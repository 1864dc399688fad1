//! Which mapping claims a record: by topic, else by header, else by shape.
//!
//! In: the conditions of every candidate, and a record. Out: the one that claims it, or why there
//! is not exactly one.
//!
//! # Invariants
//! - A step that finds several leaves the choice among them to the next; nothing is decided by
//!   the order of files.
//!
//! Deliberately unknown here: what the mapping does with the record.

use super::mapping::When;
use super::rule::{Around, Op};
use super::trie::{Slot, Trie};
use super::walk::Leaf;

/// The conditions of a topic's candidates.
#[derive(Debug)]
pub struct Claims {
    /// Whether the configuration or their `when.topics` name them for the topic; else they are all
    /// there are.
    named: bool,
    /// One a candidate.
    claims: Vec<Claim>,
    /// Those that ask for headers: mostly none.
    with_headers: Vec<usize>,
}

/// The compiled conditions of one mapping.
#[derive(Debug)]
pub struct Claim {
    headers: Vec<(Box<str>, Vec<Box<str>>)>,
    shape: Option<Vec<Condition>>,
}

#[derive(Debug)]
enum Condition {
    Exists(Slot),
    Absent(Slot),
    Equals(Slot, Vec<Box<str>>),
    /// A condition on something outside the body.
    Outside(Op, Option<Vec<Box<str>>>, bool),
}

/// Who claims a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The one at this place.
    One(usize),
    /// Nobody.
    Nobody,
    /// All of these.
    Several(Vec<usize>),
}

impl Claim {
    /// Compile a mapping's conditions.
    pub fn compile(when: &When, trie: &mut Trie) -> Claim {
        let boxed = |values: &[String]| values.iter().map(|value| value.as_str().into()).collect();
        let mut shape = Vec::new();
        let mut wanted = |path, values: Option<Vec<Box<str>>>, there: bool| {
            shape.push(match (Op::path(path, trie), values, there) {
                (Op::Slot(slot), None, true) => Condition::Exists(slot),
                (Op::Slot(slot), None, false) => Condition::Absent(slot),
                (Op::Slot(slot), Some(values), _) => Condition::Equals(slot, values),
                (outside, values, there) => Condition::Outside(outside, values, there),
            });
        };
        when.exists.iter().for_each(|path| wanted(path, None, true));
        when.absent.iter().for_each(|path| wanted(path, None, false));
        when.equals.iter().for_each(|(path, values)| wanted(path, Some(boxed(values)), true));
        Claim {
            headers: when.headers.iter().map(|(k, v)| (k.as_str().into(), boxed(v))).collect(),
            shape: when.has_shape().then_some(shape),
        }
    }

    fn headers_hold(&self, around: &Around<'_>) -> bool {
        let holds = |(name, values): &(Box<str>, Vec<Box<str>>)| {
            around.headers.get(name).is_some_and(|found| values.iter().any(|v| **v == *found))
        };
        self.headers.iter().all(holds)
    }

    fn shape_holds(&self, leaves: &[Leaf<'_>], around: &Around<'_>) -> bool {
        let there = |slot: Slot| !matches!(leaves[slot as usize], Leaf::Absent | Leaf::Null);
        let holds = |condition: &Condition| match condition {
            Condition::Exists(slot) => there(*slot),
            Condition::Absent(slot) => !there(*slot),
            Condition::Equals(slot, values) => {
                let found = leaves[*slot as usize].scalar();
                found.is_some_and(|text| values.iter().any(|value| **value == *text))
            }
            Condition::Outside(op, values, wanted) => {
                let found = outside(op, around);
                match values {
                    Some(values) => found.is_some_and(|f| values.iter().any(|v| **v == *f)),
                    None => found.is_some() == *wanted,
                }
            }
        };
        self.shape.as_ref().is_some_and(|shape| shape.iter().all(holds))
    }
}

fn outside<'a>(op: &Op, around: &Around<'a>) -> Option<&'a str> {
    match op {
        Op::Header(name) => around.headers.get(name),
        Op::CloudEvent(name) => {
            around.cloud_event.iter().find(|(other, _)| *other == &**name).map(|(_, value)| *value)
        }
        Op::Key => around.key,
        Op::Topic => Some(around.topic),
        Op::Wrapper(slot) => around.wrapper.get(*slot as usize).and_then(|leaf| leaf.scalar()),
        _ => None,
    }
}

impl Claims {
    /// Of candidates that are named for the topic, or of all there are.
    pub fn new(named: bool, claims: Vec<Claim>) -> Claims {
        let with_headers = (0..claims.len()).filter(|at| !claims[*at].headers.is_empty()).collect();
        Claims { named, claims, with_headers }
    }

    /// Who claims a record, before its body is looked at: by topic, else by header.
    pub fn by_record(&self, around: &Around<'_>) -> Claimed {
        if self.named && self.claims.len() == 1 {
            return Claimed::One(0);
        }
        match claimed(self.by_header(around)) {
            Claimed::One(at) => Claimed::One(at),
            _ => Claimed::Nobody,
        }
    }

    /// Who claims a walked body: of those whose headers hold, or of all where no headers do.
    pub fn by_shape(&self, leaves: &[Leaf<'_>], around: &Around<'_>) -> Claimed {
        let holds = |at: &usize| self.claims[*at].shape_holds(leaves, around);
        if self.by_header(around).next().is_some() {
            claimed(self.by_header(around).filter(holds))
        } else {
            claimed((0..self.claims.len()).filter(holds))
        }
    }

    fn by_header(&self, around: &Around<'_>) -> impl Iterator<Item = usize> {
        self.with_headers.iter().copied().filter(|at| self.claims[*at].headers_hold(around))
    }
}

fn claimed(mut at: impl Iterator<Item = usize>) -> Claimed {
    match (at.next(), at.next()) {
        (None, _) => Claimed::Nobody,
        (Some(one), None) => Claimed::One(one),
        (Some(one), Some(other)) => Claimed::Several([one, other].into_iter().chain(at).collect()),
    }
}
