//! The words of SQL for the words of a question.
//!
//! In: a field, a time, a comparison. Out: the column or operator of `deploy/clickhouse`.
//!
//! # Invariants
//! - Only `&'static str`: no value of a caller ever becomes part of a statement.
//!
//! Deliberately unknown here: how they are put together.

use crate::query::{Comparison, Direction, Field, TimeField};

pub(super) fn time(field: TimeField) -> &'static str {
    match field {
        TimeField::OccurredAt => "occurred_at",
        TimeField::ReceivedAt => "received_at",
    }
}

pub(super) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Ascending => " ASC",
        Direction::Descending => " DESC",
    }
}

pub(super) fn comparison(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => " < ",
        Comparison::AtMost => " <= ",
        Comparison::Greater => " > ",
        Comparison::AtLeast => " >= ",
    }
}

/// The column of a field; of attributes, the whole map.
pub(super) fn text(field: &Field) -> &'static str {
    match field {
        Field::SourceId => "source_id",
        Field::Tenant => "tenant",
        Field::Schema => "schema",
        Field::Service => "service",
        Field::Action => "action",
        Field::Reason => "reason",
        Field::ActorId => "actor_id",
        Field::ActorType => "actor_type",
        Field::ActorName => "actor_name",
        Field::ActorEmail => "actor_email",
        Field::ActorAccountId => "actor_account_id",
        Field::ActorAccountName => "actor_account_name",
        Field::TargetId => "target_id",
        Field::TargetType => "target_type",
        Field::TargetName => "target_name",
        Field::UserAgent => "user_agent",
        Field::Country => "country",
        Field::Region => "region",
        Field::SessionId => "session_id",
        Field::RequestId => "request_id",
        Field::CorrelationId => "correlation_id",
        Field::Message => "message",
        Field::WrittenBy => "written_by",
        Field::Topic => "kafka_topic",
        Field::Attribute(_) => "attributes",
    }
}

/// The column of all targets, for a field of the main one.
pub(super) fn of_targets(field: &Field) -> Option<&'static str> {
    match field {
        Field::TargetId => Some("targets.id"),
        Field::TargetType => Some("targets.type"),
        Field::TargetName => Some("targets.name"),
        _ => None,
    }
}
