//! In what order events are answered, and where in it a page begins.
//!
//! In: what is asked. Out: an [`Order`], total over events, and a [`Start`] in it.
//!
//! # Invariants
//! - Every order is total over distinct events: what it leaves open is settled by `occurred_at`,
//!   newest first, and by id; see [`Place::rank`].
//! - Events of one place are byte-identical repeats, and one event of a page.
//!
//! Deliberately unknown here: how a store finds the place.

use super::{Field, Place, TimeField};

/// An order of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// By a time, then by id in the same direction. It can be walked from any place.
    Time(TimeField, Direction),
    /// By some fields, in turn; then newest first. It can be walked by offset only.
    Fields(Vec<(SortField, Direction)>),
}

impl Default for Order {
    fn default() -> Order {
        Order::Time(TimeField::OccurredAt, Direction::Descending)
    }
}

/// Which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The least first.
    Ascending,
    /// The greatest first.
    #[default]
    Descending,
}

/// What an order of fields compares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SortField {
    /// A text, by its bytes; of `target.*` the main target's.
    Text(Field),
    /// A time.
    Time(TimeField),
    /// The source's id as an integer; one that is none stands below all.
    SourceNumber,
    /// The word of the outcome.
    Outcome,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// At the first event.
    #[default]
    First,
    /// Behind a place; for an order by time.
    After(Place),
    /// Behind that many events.
    Offset(u64),
}
