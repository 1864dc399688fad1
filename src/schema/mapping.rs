//! A mapping as its file says it: rules, conditions and tests, not yet compiled.
//!
//! In: nothing (see `parse` for the TOML). Out: [`Mapping`], the vocabulary of docs/SCHEMAS.md as
//! types.
//!
//! # Invariants
//! - What parses is meaningful: times only for `occurred_at`, words that exist for enums.
//!
//! Deliberately unknown here: how a record is walked.

use std::collections::BTreeMap;

use super::path::Path;

/// One mapping file.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// The schema's name; equals the file's.
    pub name: String,
    /// Raised when the mapping changes; stored with each event.
    pub version: u16,
    /// One line for people.
    pub about: String,
    /// Which records it claims.
    pub when: When,
    /// Where a record carries many events.
    pub each: Vec<Path>,
    /// Paths whose string value is itself JSON.
    pub unwrap: Vec<Path>,
    /// Fields without which a record is quarantined.
    pub required: Vec<Field>,
    /// The rule of each field.
    pub fields: Vec<(Field, Rule)>,
    /// The things acted on, where there may be several.
    pub targets: Vec<TargetRule>,
    /// Attributes with names of their own.
    pub attributes: Vec<(String, Rule)>,
    /// Whether values no field took go to the attributes.
    pub rest: bool,
    /// Its inline tests.
    pub tests: Vec<InlineTest>,
}

/// Which records a mapping claims.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct When {
    /// Topic names; `*` stands for any run of characters.
    pub topics: Vec<String>,
    /// Headers and the values they may have.
    pub headers: Vec<(String, Vec<String>)>,
    /// Paths that must be there and not null.
    pub exists: Vec<Path>,
    /// Paths that must not be there, or be null.
    pub absent: Vec<Path>,
    /// Paths and the values they may have.
    pub equals: Vec<(Path, Vec<String>)>,
}

impl When {
    /// Whether it says anything about a record's shape.
    pub fn has_shape(&self) -> bool {
        !(self.exists.is_empty() && self.absent.is_empty() && self.equals.is_empty())
    }
}

/// How a value is made.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// The scalar at a path.
    Path(Path),
    /// The first that is present and not empty.
    FirstOf(Vec<Rule>),
    /// Always this text.
    Const(String),
    /// Text with paths filled in.
    Template(Vec<Piece>),
    /// A table's value for a key.
    Lookup {
        /// The key.
        of: Box<Rule>,
        /// Key to value.
        table: BTreeMap<String, String>,
        /// For a key not in the table, or none at all.
        otherwise: Option<String>,
    },
    /// In lower case.
    Lower(Box<Rule>),
    /// A part of a text.
    Split {
        /// The text.
        of: Box<Rule>,
        /// Between what.
        by: Separator,
        /// Which part.
        take: Take,
    },
    /// A time.
    Time {
        /// The text or number.
        of: Box<Rule>,
        /// Tried in order.
        formats: Vec<TimeFormat>,
    },
    /// An IP address.
    Ip(Box<Rule>),
    /// The JSON text of whatever is at a path.
    Json(Path),
}

impl Rule {
    /// Every path the rule reads.
    pub fn paths<'r>(&'r self, found: &mut Vec<&'r Path>) {
        match self {
            Rule::Path(path) | Rule::Json(path) => found.push(path),
            Rule::FirstOf(rules) => rules.iter().for_each(|rule| rule.paths(found)),
            Rule::Const(_) => {}
            Rule::Template(pieces) => found.extend(pieces.iter().filter_map(|piece| match piece {
                Piece::Path(path) => Some(path),
                Piece::Text(_) => None,
            })),
            Rule::Lookup { of, .. }
            | Rule::Lower(of)
            | Rule::Split { of, .. }
            | Rule::Time { of, .. }
            | Rule::Ip(of) => of.paths(found),
        }
    }
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// The scalar at a path.
    Path(Path),
}

/// What a split cuts at.
#[derive(Debug, Clone, PartialEq)]
pub enum Separator {
    /// This text.
    Text(String),
    /// Where a word ends: `CreateOrder`, `create_order`, `create.order`.
    Word,
}

/// Which part of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// The first.
    First,
    /// The last.
    Last,
    /// The one at this place, from 0.
    At(usize),
    /// Those of a half-open range, joined again.
    Range(usize, usize),
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq)]
pub enum TimeFormat {
    /// RFC 3339, with its zone.
    Rfc3339,
    /// Seconds since the epoch, a fraction allowed.
    EpochSeconds,
    /// Milliseconds since the epoch.
    EpochMillis,
    /// Microseconds since the epoch.
    EpochMicros,
    /// A chrono pattern; UTC if it has no zone.
    Pattern(String),
}

/// A rule for things acted on.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetRule {
    /// An array whose every element is one, the paths below starting there.
    pub each: Option<Path>,
    /// Its identifier.
    pub id: Option<Rule>,
    /// Its kind.
    pub kind: Option<Rule>,
    /// Its name.
    pub name: Option<Rule>,
}

/// A test inside a mapping file.
#[derive(Debug, Clone, PartialEq)]
pub struct InlineTest {
    /// What it shows.
    pub name: String,
    /// The record's payload.
    pub input: String,
    /// The record's topic.
    pub topic: Option<String>,
    /// The record's key.
    pub key: Option<String>,
    /// The record's headers.
    pub headers: Vec<(String, String)>,
    /// The record's timestamp, microseconds since the epoch.
    pub timestamp: Option<i64>,
    /// What must come out.
    pub expect: Expect,
    /// The line it stands on, from 1.
    pub line: usize,
}

/// What a test expects.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// Events with these fields, in order.
    Events(Vec<BTreeMap<String, String>>),
    /// Quarantine with this reason code.
    Reason(String),
}

/// A field of the event that a rule can fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is the field of AuditEvent with that name")]
pub enum Field {
    SourceId,
    Tenant,
    OccurredAt,
    Service,
    Action,
    Verb,
    Outcome,
    Reason,
    ActorId,
    ActorType,
    ActorName,
    ActorEmail,
    ActorAccountId,
    ActorAccountName,
    TargetId,
    TargetType,
    TargetName,
    Origin,
    ClientIp,
    UserAgent,
    Country,
    Region,
    SessionId,
    RequestId,
    CorrelationId,
    Message,
    ChangesOld,
    ChangesNew,
}

impl Field {
    /// Every field with the name mapping files and JSON give it.
    pub const ALL: [(Field, &'static str); 28] = [
        (Field::SourceId, "source_id"),
        (Field::Tenant, "tenant"),
        (Field::OccurredAt, "occurred_at"),
        (Field::Service, "service"),
        (Field::Action, "action"),
        (Field::Verb, "verb"),
        (Field::Outcome, "outcome"),
        (Field::Reason, "reason"),
        (Field::ActorId, "actor.id"),
        (Field::ActorType, "actor.type"),
        (Field::ActorName, "actor.name"),
        (Field::ActorEmail, "actor.email"),
        (Field::ActorAccountId, "actor.account_id"),
        (Field::ActorAccountName, "actor.account_name"),
        (Field::TargetId, "target.id"),
        (Field::TargetType, "target.type"),
        (Field::TargetName, "target.name"),
        (Field::Origin, "origin"),
        (Field::ClientIp, "client_ip"),
        (Field::UserAgent, "user_agent"),
        (Field::Country, "country"),
        (Field::Region, "region"),
        (Field::SessionId, "session_id"),
        (Field::RequestId, "request_id"),
        (Field::CorrelationId, "correlation_id"),
        (Field::Message, "message"),
        (Field::ChangesOld, "changes.old"),
        (Field::ChangesNew, "changes.new"),
    ];

    /// The name in mapping files.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The field of a name.
    pub fn parse(name: &str) -> Option<Field> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(field, _)| *field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_fields_is_in_the_order_of_the_enum() {
        for (at, (field, name)) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, at);
            assert_eq!(Field::parse(name), Some(field));
        }
    }
}
