//! What becomes of a record: an event, a quarantine row, or nothing by a named rule.
//!
//! In: the verdict of normalising. Out: a value, not an error, for rejecting is an outcome that
//! must be stored like any other.
//!
//! # Invariants
//! - Every record, and every element of one that fans out, has exactly one fate.
//! - A reason's code is stable: it is a column of `quarantine` and a metric label.
//!
//! Deliberately unknown here: where the bytes of a rejected record are kept.

use super::AuditEvent;

/// What became of a record, or of one element of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate<'a> {
    /// It is an event; in the arena, for it is large and goes through several hands.
    Event(&'a AuditEvent<'a>),
    /// It cannot be normalised; its bytes are kept with the reason.
    Quarantine(Rejection<'a>),
    /// A rule says it is not to be stored.
    Skip {
        /// Name of the rule.
        rule: &'a str,
        /// Name of the mapping that made the event.
        schema: &'a str,
    },
}

/// Why bytes could not become an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection<'a> {
    /// The class of the fault.
    pub reason: Reason,
    /// One sentence naming the thing, the place and what would mend it.
    pub sentence: String,
    /// The mapping that claimed the record; empty when none did.
    pub mapping: &'a str,
    /// Whose log it would have been, by its header or its topic; empty when they do not say.
    pub tenant: &'a str,
    /// The bytes at fault: the record's payload, or the element's slice.
    pub raw: &'a [u8],
}

/// The classes of fault, each with its stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The record has no payload, or only white space.
    Empty,
    /// Longer than `pipeline.max_record_bytes`.
    TooLarge,
    /// Not UTF-8.
    BadUtf8,
    /// Ends in the middle of a JSON value.
    Truncated,
    /// Not JSON for another reason.
    NotJson,
    /// Nested deeper than the limit.
    TooDeep,
    /// An object has one key twice: parsers differ on which counts, so neither does.
    DuplicateKey,
    /// JSON, but neither an object nor an array of objects where events were expected.
    NotAnObject,
    /// An envelope (CloudEvents, wrapper) that does not hold what it must.
    BadEnvelope,
    /// No mapping claims the record.
    NoMapping,
    /// More than one mapping claims the record.
    TwoMappings,
    /// A field the mapping requires is absent.
    MissingField,
    /// A field the mapping requires is there with another type.
    WrongType,
    /// A time the mapping requires cannot be read.
    BadTime,
    /// Nothing says whose log the event belongs to.
    NoTenant,
    /// ClickHouse refuses the row for what it holds.
    Refused,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Reason; 16] = [
        Reason::Empty,
        Reason::TooLarge,
        Reason::BadUtf8,
        Reason::Truncated,
        Reason::NotJson,
        Reason::TooDeep,
        Reason::DuplicateKey,
        Reason::NotAnObject,
        Reason::BadEnvelope,
        Reason::NoMapping,
        Reason::TwoMappings,
        Reason::MissingField,
        Reason::WrongType,
        Reason::BadTime,
        Reason::NoTenant,
        Reason::Refused,
    ];

    /// The stable code: a column value and a metric label.
    pub fn code(self) -> &'static str {
        match self {
            Reason::Empty => "empty",
            Reason::TooLarge => "too_large",
            Reason::BadUtf8 => "bad_utf8",
            Reason::Truncated => "truncated",
            Reason::NotJson => "not_json",
            Reason::TooDeep => "too_deep",
            Reason::DuplicateKey => "duplicate_key",
            Reason::NotAnObject => "not_an_object",
            Reason::BadEnvelope => "bad_envelope",
            Reason::NoMapping => "no_mapping",
            Reason::TwoMappings => "two_mappings",
            Reason::MissingField => "missing_field",
            Reason::WrongType => "wrong_type",
            Reason::BadTime => "bad_time",
            Reason::NoTenant => "no_tenant",
            Reason::Refused => "refused",
        }
    }
}
