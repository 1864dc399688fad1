//! The words of the domain: an audit event, where its record came from, and what became of it.
//!
//! In: nothing. Out: the types every other module speaks in. [`AuditEvent`] borrows from the
//! Kafka record (and a per-record arena), so building one allocates nothing; [`StoredEvent`] is
//! the owned form a reader gets back.
//!
//! # Invariants
//! - Times are microseconds since the Unix epoch, UTC, in `i64` ([`Micros`]).
//! - An absent string is the empty string; `changes_old` and `changes_new` keep `''`, `null` and
//!   `{}` apart.
//! - Nothing here depends on when it runs: no clock, no randomness.
//!
//! Deliberately unknown here: JSON paths, Kafka clients, ClickHouse, HTTP.

mod fate;
pub mod id;
mod record;
mod stored;
mod word;

use std::net::Ipv6Addr;

pub use fate::{Fate, Reason, Rejection};
pub use record::{Headers, LogId, OffsetRange, PartitionId, Place, Position, REPLAY, RawRecord};
pub use stored::{StoredActor, StoredChanges, StoredEvent, StoredPosition, StoredTarget};
pub use word::{Origin, Outcome, TimeSource, Verb};

/// Microseconds since the Unix epoch, UTC.
pub type Micros = i64;

/// One normalised event, borrowing from the record it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent<'a> {
    /// The id exactly as the source wrote it.
    pub source_id: &'a str,
    /// Whose log this is; every read is scoped by it.
    pub tenant: &'a str,
    /// Name of the mapping that made the event.
    pub schema: &'a str,
    /// The `version` in that mapping's file.
    pub mapping_version: u16,
    /// When the source says it happened, or the Kafka timestamp (see `time_source`).
    pub occurred_at: Micros,
    /// Whether `occurred_at` is the source's or Kafka's.
    pub time_source: TimeSource,
    /// The system that emitted the event.
    pub service: &'a str,
    /// The verb phrase as the source wrote it.
    pub action: &'a str,
    /// `action` reduced to one of ten verbs, for asking across schemas.
    pub verb: Verb,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, if it did.
    pub reason: &'a str,
    /// Who did it.
    pub actor: Actor<'a>,
    /// The main thing acted on.
    pub target: Target<'a>,
    /// All things acted on, when there are several.
    pub targets: &'a [Target<'a>],
    /// Through what kind of door it came.
    pub origin: Origin,
    /// Where from; an IPv4 address is mapped (`::ffff:a.b.c.d`), absent is `::`.
    pub client_ip: Ipv6Addr,
    /// The client program.
    pub user_agent: &'a str,
    /// Country code or name, as the source has it.
    pub country: &'a str,
    /// Region within the country or the cloud.
    pub region: &'a str,
    /// Ties the event to a session.
    pub session_id: &'a str,
    /// Ties the event to one request.
    pub request_id: &'a str,
    /// Ties the event to other events of one operation.
    pub correlation_id: &'a str,
    /// One line for people.
    pub message: &'a str,
    /// JSON text of the state before; empty when absent.
    pub changes_old: &'a str,
    /// JSON text of the state after; empty when absent.
    pub changes_new: &'a str,
    /// What the source documents and the columns do not hold: dotted path to scalar text.
    pub attributes: &'a [(&'a str, &'a str)],
    /// The authenticated caller of a write endpoint, from its header.
    pub written_by: &'a str,
    /// What the write endpoint filled in, and the trace context.
    pub headers: &'a [(&'a str, &'a str)],
    /// The original bytes; for a record that fans out, this element's exact slice.
    pub raw: &'a str,
}

impl AuditEvent<'_> {
    /// Bytes of all its texts, and a little for each of those there may be many of.
    pub fn bytes(&self) -> usize {
        const EACH: usize = 16;
        let Actor { id, kind, name, email, account_id, account_name } = self.actor;
        let actor = [id, kind, name, email, account_id, account_name];
        let target = |target: &Target<'_>| target.id.len() + target.kind.len() + target.name.len();
        let own = [
            self.source_id,
            self.tenant,
            self.schema,
            self.service,
            self.action,
            self.reason,
            self.user_agent,
            self.country,
            self.region,
            self.session_id,
            self.request_id,
            self.correlation_id,
            self.message,
            self.changes_old,
            self.changes_new,
            self.written_by,
            self.raw,
        ];
        let texts: usize = own.into_iter().chain(actor).map(str::len).sum();
        let pairs = self.attributes.iter().chain(self.headers);
        let pairs: usize = pairs.map(|(name, value)| name.len() + value.len() + EACH).sum();
        let targets: usize = self.targets.iter().map(|each| target(each) + EACH).sum();
        texts + target(&self.target) + pairs + targets
    }
}

/// Who did it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Actor<'a> {
    /// Stable identifier.
    pub id: &'a str,
    /// Kind of actor, in the source's words.
    pub kind: &'a str,
    /// Name for people.
    pub name: &'a str,
    /// Mail address.
    pub email: &'a str,
    /// The account the actor belongs to.
    pub account_id: &'a str,
    /// That account's name.
    pub account_name: &'a str,
}

/// A thing acted on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Target<'a> {
    /// Stable identifier.
    pub id: &'a str,
    /// Kind of thing, in the source's words.
    pub kind: &'a str,
    /// Name for people.
    pub name: &'a str,
}

impl Target<'_> {
    /// True when neither id nor name says what it is.
    pub fn is_empty(&self) -> bool {
        self.id.is_empty() && self.name.is_empty()
    }
}
