//! The text fields of an event that a question may name.
//!
//! In: a name as the JSON of the native API has it (`actor.id`). Out: a [`Field`], and its text in
//! an event.
//!
//! # Invariants
//! - A name parses to the field that prints it; [`Field::NAMED`] lists them all.
//! - Words (`verb`, `outcome`, `origin`), times and addresses are no texts, and not here.
//!
//! Deliberately unknown here: the columns behind them.

use crate::event::StoredEvent;
use std::fmt;

/// A text field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the field of AuditEvent by that name")]
pub enum Field {
    SourceId,
    Tenant,
    Schema,
    Service,
    Action,
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
    UserAgent,
    Country,
    Region,
    SessionId,
    RequestId,
    CorrelationId,
    Message,
    WrittenBy,
    Topic,
    /// One of `attributes`, by its dotted name.
    Attribute(String),
}

/// What a name of an attribute begins with.
const ATTRIBUTES: &str = "attributes.";

impl Field {
    /// Every field with a name of its own, by that name.
    pub const NAMED: [(&'static str, Field); 24] = [
        ("source_id", Field::SourceId),
        ("tenant", Field::Tenant),
        ("schema", Field::Schema),
        ("service", Field::Service),
        ("action", Field::Action),
        ("reason", Field::Reason),
        ("actor.id", Field::ActorId),
        ("actor.type", Field::ActorType),
        ("actor.name", Field::ActorName),
        ("actor.email", Field::ActorEmail),
        ("actor.account_id", Field::ActorAccountId),
        ("actor.account_name", Field::ActorAccountName),
        ("target.id", Field::TargetId),
        ("target.type", Field::TargetType),
        ("target.name", Field::TargetName),
        ("user_agent", Field::UserAgent),
        ("country", Field::Country),
        ("region", Field::Region),
        ("session_id", Field::SessionId),
        ("request_id", Field::RequestId),
        ("correlation_id", Field::CorrelationId),
        ("message", Field::Message),
        ("written_by", Field::WrittenBy),
        ("kafka.topic", Field::Topic),
    ];

    /// The field of a name.
    pub fn parse(name: &str) -> Option<Field> {
        match name.strip_prefix(ATTRIBUTES) {
            Some(attribute) if !attribute.is_empty() => Some(Field::Attribute(attribute.into())),
            _ => Field::NAMED.into_iter().find(|(known, _)| *known == name).map(|(_, field)| field),
        }
    }

    /// Its texts in an event: one, except of targets.
    pub(super) fn texts<'a>(&self, event: &'a StoredEvent) -> Vec<&'a str> {
        let of_targets = |text: fn(&crate::event::StoredTarget) -> &str| {
            super::filter::targets(event).map(text).collect()
        };
        let text = match self {
            Field::TargetId => return of_targets(|target| &target.id),
            Field::TargetType => return of_targets(|target| &target.kind),
            Field::TargetName => return of_targets(|target| &target.name),
            Field::SourceId => &event.source_id,
            Field::Tenant => &event.tenant,
            Field::Schema => &event.schema,
            Field::Service => &event.service,
            Field::Action => &event.action,
            Field::Reason => &event.reason,
            Field::ActorId => &event.actor.id,
            Field::ActorType => &event.actor.kind,
            Field::ActorName => &event.actor.name,
            Field::ActorEmail => &event.actor.email,
            Field::ActorAccountId => &event.actor.account_id,
            Field::ActorAccountName => &event.actor.account_name,
            Field::UserAgent => &event.user_agent,
            Field::Country => &event.country,
            Field::Region => &event.region,
            Field::SessionId => &event.session_id,
            Field::RequestId => &event.request_id,
            Field::CorrelationId => &event.correlation_id,
            Field::Message => &event.message,
            Field::WrittenBy => &event.written_by,
            Field::Topic => &event.kafka.topic,
            Field::Attribute(name) => return vec![event.attributes.get(name).map_or("", |v| v)],
        };
        vec![text]
    }

    /// Its text in an event; of `target.*` the main target's.
    pub(super) fn main<'a>(&self, event: &'a StoredEvent) -> &'a str {
        self.texts(event).last().copied().unwrap_or_default()
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Field::Attribute(name) = self {
            return write!(f, "{ATTRIBUTES}{name}");
        }
        let named = Field::NAMED.iter().find(|(_, field)| field == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_parses_to_the_field_that_prints_it() {
        let attribute = ("attributes.a.b", Field::Attribute("a.b".into()));
        for (name, field) in Field::NAMED.into_iter().chain([attribute]) {
            assert_eq!(field.to_string(), name);
            assert_eq!(Field::parse(name), Some(field));
        }
        assert_eq!(Field::parse("attributes."), None);
        assert_eq!(Field::parse("actor"), None);
    }
}
