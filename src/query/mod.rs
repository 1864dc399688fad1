//! The questions: what a reader asks of the store, whatever the store is.
//!
//! In: a tenant scope, a window of time, a filter, an order and a place in it. Out: a [`Query`],
//! which a reader answers with a [`Page`].
//!
//! # Invariants
//! - A [`Query`] cannot be built without a [`TenantScope`]: the constructor demands it.
//! - A window is half-open, `[from, to)`, in microseconds.
//! - A page folds byte-identical repeats of an event into one and says how many.
//!
//! Deliberately unknown here: HTTP parameters, SQL.

mod count;
mod cursor;
mod feed;
mod field;
mod filter;
pub mod language;
mod ledger;
pub mod memory;
mod order;
mod reader;
mod sealed;

use crate::event::{Micros, StoredEvent};

pub use count::{Bucket, ExportFormat, Facet, FacetValue, Facets, Interval};
pub use cursor::{Cursor, CursorError, Place};
pub use feed::{Extents, FeedPage, FeedQuery, NextRow, Positions, log_of};
pub use field::Field;
pub use filter::{Comparison, Filter, Pattern, TargetField, TextTest, TimeField, words};
pub use ledger::{Ledger, Refused, Told};
pub use order::{Direction, Order, SortField, Start};
pub use reader::{Answer, Chunks, EventReader, ReadError};
pub use sealed::{CursorKey, CursorKeyError};

/// What is asked about: the events of some tenants, in a window, for which a filter holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Whose logs may be seen.
    pub tenants: TenantScope,
    /// Which span of `occurred_at`.
    pub window: Window,
    /// What must hold.
    pub filter: Filter,
}

impl Selection {
    /// Everything the scope may see in a window.
    pub fn new(tenants: TenantScope, window: Window) -> Selection {
        Selection { tenants, window, filter: Filter::everything() }
    }
}

/// One question for a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// What is asked about.
    pub selection: Selection,
    /// In what order.
    pub order: Order,
    /// Where in that order the page begins.
    pub start: Start,
    /// How many events a page holds at most.
    pub limit: u32,
    /// Whether the events are to have their `raw`.
    pub raw: bool,
}

impl Query {
    /// The first page of a selection, newest first, without `raw`.
    pub fn new(selection: Selection, limit: u32) -> Query {
        Query { selection, order: Order::default(), start: Start::First, limit, raw: false }
    }
}

/// Whose logs a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantScope {
    /// Every tenant's: an auditor's scope.
    All,
    /// These tenants' and no others'; an empty list sees nothing.
    Only(Vec<String>),
}

impl TenantScope {
    /// Whether an event of a tenant may be seen.
    pub fn allows(&self, tenant: &str) -> bool {
        match self {
            TenantScope::All => true,
            TenantScope::Only(tenants) => tenants.iter().any(|allowed| allowed == tenant),
        }
    }
}

/// A half-open span of time, `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first moment inside.
    pub from: Micros,
    /// The first moment outside.
    pub to: Micros,
}

impl Window {
    /// Whether a moment is inside.
    pub fn contains(&self, at: Micros) -> bool {
        self.from <= at && at < self.to
    }
}

/// One page of an answer.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The events, in the order asked for.
    pub events: Vec<StoredEvent>,
    /// Where the next page goes on; `None` on the last.
    pub next: Option<Place>,
}
