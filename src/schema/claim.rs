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

/// The compiled conditions of one mapping.
#[derive(Debug)]
pub struct Claim {
    /// Whether the configuration or `when.topics` names it for this topic.
    by_topic: bool,
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
    pub fn compile(when: &When, by_topic: bool, trie: &mut Trie) -> Claim {
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
            by_topic,
            headers: when.headers.iter().map(|(k, v)| (k.as_str().into(), boxed(v))).collect(),
            shape: when.has_shape().then_some(shape),
        }
    }

    fn headers_hold(&self, around: &Around<'_>) -> bool {
        let holds = |(name, values): &(Box<str>, Vec<Box<str>>)| {
            around.headers.get(name).is_some_and(|found| values.iter().any(|v| **v == *found))
        };
        !self.headers.is_empty() && self.headers.iter().all(holds)
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

/// Who claims a record, before its body is looked at: by topic, else by header.
pub fn by_record(claims: &[Claim], around: &Around<'_>) -> Claimed {
    // The usual case, without an allocation: the topic is named for one mapping.
    if let [Claim { by_topic: true, .. }] = claims {
        return Claimed::One(0);
    }
    let all: Vec<usize> = (0..claims.len()).collect();
    let by_topic = some_or(&all, |at| claims[at].by_topic);
    if by_topic.len() == 1 && claims[by_topic[0]].by_topic {
        return Claimed::One(by_topic[0]);
    }
    let by_header: Vec<usize> =
        by_topic.iter().copied().filter(|at| claims[*at].headers_hold(around)).collect();
    match by_header[..] {
        [one] => Claimed::One(one),
        _ => Claimed::Nobody,
    }
}

/// Who claims a walked body.
pub fn by_shape(claims: &[Claim], leaves: &[Leaf<'_>], around: &Around<'_>) -> Claimed {
    let all: Vec<usize> = (0..claims.len()).collect();
    let by_topic = some_or(&all, |at| claims[at].by_topic);
    let by_header = some_or(&by_topic, |at| claims[at].headers_hold(around));
    let by_shape: Vec<usize> =
        by_header.into_iter().filter(|at| claims[*at].shape_holds(leaves, around)).collect();
    match by_shape[..] {
        [] => Claimed::Nobody,
        [one] => Claimed::One(one),
        _ => Claimed::Several(by_shape),
    }
}

/// Those that hold, or all where none does: the next step then chooses.
fn some_or(among: &[usize], holds: impl Fn(usize) -> bool) -> Vec<usize> {
    let some: Vec<usize> = among.iter().copied().filter(|at| holds(*at)).collect();
    if some.is_empty() { among.to_vec() } else { some }
}
