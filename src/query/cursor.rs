//! Where the next page goes on, and in which window: the place of the last event of this one.
//!
//! In: a [`Place`], the window as resolved for the first page, a [`CursorKey`]. Out: an opaque,
//! versioned, sealed text that a client hands back unread.
//!
//! # Invariants
//! - A printed cursor parses to itself; any other text is refused, one that differs in a single bit
//!   too.
//! - It carries the question it belongs to (as a digest), so that a cursor taken to another
//!   filter is refused instead of giving a page of something else.
//! - It carries the window and the moment it was resolved at, both in microseconds: `-24h` means
//!   on every page what it meant on the first, in a filter too.
//! - It grants nothing: whose logs may be seen is decided anew for every page.
//!
//! Deliberately unknown here: how the place is used in SQL.

use uuid::Uuid;

use super::{CursorKey, Query, TenantScope, TimeField, Window};
use crate::event::{Micros, StoredEvent, id};

/// First byte of every content; raised when the layout changes.
const VERSION: u8 = 3;
const CONTENT: usize = 1 + 16 + 4 * 8 + 8;
/// What cursors are sealed as.
const PURPOSE: &str = "trailhouse cursor";

/// Where an event stands in the order of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The event's time, by which the order goes.
    pub at: Micros,
    /// The event's id.
    pub id: Uuid,
}

impl Place {
    /// An event's place in the order of a time.
    pub fn of(event: &StoredEvent, by: TimeField) -> Place {
        Place { at: by.of(event), id: event.id }
    }

    /// What places are ordered by.
    ///
    /// An id counts by its second half first. That is how ClickHouse orders a UUID, on disk too,
    /// and an order of our own would cost it its primary key. To a reader one is as good as the
    /// other: the id only makes the order total.
    pub fn rank(self) -> (Micros, u128) {
        (self.at, self.id.as_u128().rotate_left(64))
    }
}

/// What a page leaves for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The place of the page's last event.
    pub after: Place,
    /// The window of the first page.
    pub window: Window,
    /// The moment that window's relative ends were counted from.
    pub asked_at: Micros,
}

impl Cursor {
    /// The opaque text, bound to a question by its [`Query::digest`].
    pub fn encode(&self, question: u64, key: &CursorKey) -> String {
        let mut bytes = Vec::with_capacity(CONTENT);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.after.id.as_bytes());
        for moment in [self.after.at, self.window.from, self.window.to, self.asked_at] {
            bytes.extend_from_slice(&moment.to_be_bytes());
        }
        bytes.extend_from_slice(&question.to_be_bytes());
        key.seal(PURPOSE, bytes)
    }

    /// Read an opaque text back, with the digest of the question it belongs to: to be compared
    /// with [`Query::digest`] once the question is known, which may count times from `asked_at`.
    pub fn decode(text: &str, key: &CursorKey) -> Result<(Cursor, u64), CursorError> {
        let content = key.open(PURPOSE, text)?;
        let content: [u8; CONTENT] = content.try_into().map_err(|_| CursorError::Malformed)?;
        if content[0] != VERSION {
            return Err(CursorError::Malformed);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&content[1..17]);
        let mut numbers = [[0; 8]; 5];
        for (number, part) in numbers.iter_mut().zip(content[17..].chunks_exact(8)) {
            number.copy_from_slice(part);
        }
        let [at, from, to, asked_at, question] = numbers;
        let cursor = Cursor {
            after: Place { at: Micros::from_be_bytes(at), id: Uuid::from_bytes(id) },
            window: Window { from: Micros::from_be_bytes(from), to: Micros::from_be_bytes(to) },
            asked_at: Micros::from_be_bytes(asked_at),
        };
        Ok((cursor, u64::from_be_bytes(question)))
    }
}

impl Query {
    /// A digest of what is asked: scope, filter and order. The window is left out, because a
    /// cursor carries it; so are place and limit.
    pub fn digest(&self) -> u64 {
        let mut lines = vec![format!("{:?}", self.selection.filter), format!("{:?}", self.order)];
        match &self.selection.tenants {
            TenantScope::All => lines.push("every tenant".into()),
            TenantScope::Only(tenants) => lines.push(format!("{:?}", sorted(tenants.clone()))),
        }
        // `Debug` quotes and escapes, so no value can imitate another line.
        let digest = id::digest(lines.join("\n").as_bytes());
        digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts.dedup();
    texts
}

/// Why a text is not a cursor for this question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not a text this program printed, with this secret.
    #[error(
        "the cursor is malformed, or not valid any more; pass next_cursor of the previous page \
         unchanged, or begin anew"
    )]
    Malformed,
    /// Printed for another filter, order or window.
    #[error("the cursor belongs to another question; repeat the parameters of the first page")]
    OtherQuestion,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Direction, Field, Filter, Order, Selection, TextTest};
    use super::*;

    fn key(secret: u8) -> CursorKey {
        CursorKey::new([secret; 32]).unwrap()
    }

    proptest! {
        #[test]
        fn a_printed_cursor_parses_to_itself_under_its_own_key_only(
            at: i64, id: u128, from: i64, to: i64, asked_at: i64, question: u64
        ) {
            let after = Place { at, id: Uuid::from_u128(id) };
            let cursor = Cursor { after, window: Window { from, to }, asked_at };
            let text = cursor.encode(question, &key(1));
            prop_assert_eq!(Cursor::decode(&text, &key(1)), Ok((cursor, question)));
            prop_assert_eq!(Cursor::decode(&text, &key(2)), Err(CursorError::Malformed));
        }

        #[test]
        fn any_other_text_is_refused(text in "\\PC*") {
            prop_assert_eq!(Cursor::decode(&text, &key(1)), Err(CursorError::Malformed));
        }

        #[test]
        fn places_are_ordered_by_time_and_then_by_the_second_half_of_the_id(
            a: (i64, u64, u64), b: (i64, u64, u64)
        ) {
            let place = |(at, first, second)| Place {
                at,
                id: Uuid::from_u64_pair(first, second),
            };
            let expected = (a.0, a.2, a.1).cmp(&(b.0, b.2, b.1));
            prop_assert_eq!(place(a).rank().cmp(&place(b).rank()), expected);
        }
    }

    #[test]
    fn a_question_is_its_scope_its_filter_and_its_order() {
        let ask = |tenants: &[&str], action: &str, direction| {
            let tenants = TenantScope::Only(tenants.iter().map(|t| t.to_string()).collect());
            let selection = Selection {
                filter: Filter::Text(Field::Action, TextTest::Is(action.into())),
                ..Selection::new(tenants, Window { from: 0, to: 1 })
            };
            let order = Order::Time(TimeField::OccurredAt, direction);
            Query { order, ..Query::new(selection, 10) }.digest()
        };
        let one = ask(&["x", "y"], "a", Direction::Descending);
        assert_eq!(one, ask(&["y", "x"], "a", Direction::Descending));
        assert_ne!(one, ask(&["x"], "a", Direction::Descending));
        assert_ne!(one, ask(&["x", "y"], "b", Direction::Descending));
        assert_ne!(one, ask(&["x", "y"], "a", Direction::Ascending));
    }
}
