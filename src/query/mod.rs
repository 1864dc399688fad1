//! The questions: what a reader asks of the store, whatever the store is.
//!
//! In: a tenant scope, a window of time, conditions, a place to go on from. Out: a [`Query`],
//! which a reader answers with a [`Page`].
//!
//! # Invariants
//! - A [`Query`] cannot be built without a [`TenantScope`]: the constructor demands it.
//! - A window is half-open, `[from, to)`, in microseconds; the order is newest first, by
//!   [`Place::rank`].
//! - A page folds byte-identical repeats of an event into one and says how many.
//!
//! Deliberately unknown here: HTTP parameters, SQL.

mod cursor;
pub mod memory;
mod reader;

use std::net::Ipv6Addr;

use crate::event::{Micros, Outcome, StoredEvent, Verb};

pub use cursor::{Cursor, CursorError, Place};
pub use reader::{Answer, EventReader, ReadError};

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Whose logs may be seen.
    pub tenants: TenantScope,
    /// Which span of `occurred_at`.
    pub window: Window,
    /// What must hold; all of them.
    pub conditions: Vec<Condition>,
    /// How many events a page holds at most.
    pub limit: u32,
    /// The last event of the page before; `None` for the first page.
    pub after: Option<Place>,
}

impl Query {
    /// The first page of everything the scope may see in a window.
    pub fn new(tenants: TenantScope, window: Window, limit: u32) -> Query {
        Query { tenants, window, conditions: Vec::new(), limit, after: None }
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

/// Something that must hold of an event; equality of whole values, case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `actor.id`
    ActorId(String),
    /// `action`
    Action(String),
    /// `verb`
    Verb(Verb),
    /// `target.id`: the main target's, or that of any of `targets`.
    TargetId(String),
    /// `target.type`: the main target's, or that of any of `targets`.
    TargetType(String),
    /// `outcome`
    Outcome(Outcome),
    /// `schema`
    Schema(String),
    /// `client_ip`; an IPv4 address is mapped into IPv6.
    ClientIp(Ipv6Addr),
}

/// One page of an answer.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The events, newest first; without `raw`.
    pub events: Vec<StoredEvent>,
    /// Where the next page goes on; `None` on the last.
    pub next: Option<Place>,
}
