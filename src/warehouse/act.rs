//! What is to be ended, and what becomes of it: as conditions and assignments.
//!
//! In: a tenant and a time, or a subject. Out: an [`Act`], and its SQL.
//!
//! # Invariants
//! - No assignment names a subject, for ClickHouse keeps the text of mutations: it is known there by
//!   its hash.
//! - A redacted row keeps what it was, when, and where it stood; the digest of its bytes is in its mark,
//!   and all rows of an act show that they are of one subject. The mark is no JSON: so the vendors'
//!   contracts, which would answer with the original, answer with what the columns still say.
//!
//! Deliberately unknown here: when a statement runs.

use clickhouse::query::Query;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::hold::{holds_event, holds_quarantined};
use super::insert::Table;
use crate::event::Micros;

/// No act's id.
pub(super) const ZERO: &str = "toUUID('00000000-0000-0000-0000-000000000000')";

/// Which rows are to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Everything of a tenant that is older: events by `occurred_at`, quarantined rows by the time
    /// they were quarantined.
    Before(Micros),
    /// Events that name a subject as actor, target or caller, and quarantined rows of the tenant, or
    /// of none, in which its name stands.
    Subject {
        /// The subject, as sources name it.
        name: String,
        /// Whether events count, too, in whose bytes it stands anywhere.
        anywhere: bool,
    },
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Its row goes.
    Deleted,
    /// Its row stays, without what is personal.
    Redacted,
}

impl Form {
    /// As `retired.form` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Deleted => "deleted",
            Form::Redacted => "redacted",
        }
    }
}

/// An act upon the rows of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Names it; several tenants may share it.
    pub id: Uuid,
    /// Whose rows.
    pub tenant: String,
    /// Which of them.
    pub due: Due,
    /// What becomes of events.
    pub form: Form,
    /// Why.
    pub reason: String,
    /// Who asks.
    pub acted_by: String,
}

impl Act {
    /// As `retirements.kind` has it.
    pub fn kind(&self) -> &'static str {
        match self.due {
            Due::Before(_) => "retention",
            Due::Subject { .. } => "erasure",
        }
    }

    /// SHA-256 of tenant, a zero byte and the subject, in hex; empty without a subject.
    pub fn subject_sha256(&self) -> String {
        let Due::Subject { name, .. } = &self.due else { return String::new() };
        let digest = Sha256::new().chain_update(&self.tenant).chain_update([0]).chain_update(name);
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Which rows of a table, as a condition.
    pub(super) fn condition(&self, table: Table) -> String {
        match (&self.due, table) {
            (Due::Before(_), Table::Quarantine) => {
                "tenant = ? AND ingested_at < fromUnixTimestamp64Micro(?, 'UTC')".to_owned()
            }
            (Due::Before(_), _) => {
                "tenant = ? AND occurred_at < fromUnixTimestamp64Micro(?, 'UTC')".to_owned()
            }
            (Due::Subject { .. }, Table::Quarantine) => {
                "tenant IN (?, '') AND (position(raw, ?) > 0 OR position(key, ?) > 0
                 OR arrayExists(v -> position(v, ?) > 0, mapValues(headers)))"
                    .to_owned()
            }
            (Due::Subject { anywhere, .. }, _) => {
                let more = if *anywhere { " OR position(raw, ?) > 0" } else { "" };
                format!(
                    "tenant = ? AND (actor_id = ? OR actor_email = ? OR target_id = ?
                     OR has(targets.id, ?) OR written_by = ?{more})"
                )
            }
        }
    }

    pub(super) fn bind(&self, table: Table, query: Query) -> Query {
        let query = query.bind(&self.tenant);
        let (name, times) = match (&self.due, table) {
            (Due::Before(before), _) => return query.bind(*before),
            (Due::Subject { name, .. }, Table::Quarantine) => (name, 3),
            (Due::Subject { name, anywhere }, _) => (name, 5 + usize::from(*anywhere)),
        };
        (0..times).fold(query, |query, _| query.bind(name))
    }

    /// What becomes of a table's rows.
    pub(super) fn form_in(&self, table: Table) -> Form {
        if table == Table::Quarantine { Form::Deleted } else { self.form }
    }

    /// Whether a hold stands over a row of a table, as a condition.
    pub(super) fn holds(table: Table) -> String {
        if table == Table::Quarantine { holds_quarantined() } else { holds_event() }
    }

    /// The assignments that take from a row what is personal.
    pub(super) fn redaction(&self) -> String {
        let is = |text: &str| {
            format!("SHA256(concat(tenant, char(0), {text})) = unhex('{}')", self.subject_sha256())
        };
        let mark = format!("'erased:{}'", self.id);
        let is_actor = format!("({} OR {})", is("actor_id"), is("actor_email"));
        let mut sets: Vec<String> = vec![
            format!("actor_id = if({is_actor}, {mark}, actor_id)"),
            format!("target_id = if({}, {mark}, target_id)", is("target_id")),
            format!("target_name = if({}, '', target_name)", is("target_id")),
            format!(
                "targets = arrayMap(t -> if({}, ({mark}, t.2, ''), (t.1, t.2, t.3)), targets)",
                is("t.1")
            ),
            format!("written_by = if({}, {mark}, written_by)", is("written_by")),
            format!(
                "raw = if(retired_by = {ZERO}, concat('erased:{} sha256:', lower(hex(SHA256(raw)))), raw)",
                self.id
            ),
            format!("retired_by = if(retired_by = {ZERO}, toUUID('{}'), retired_by)", self.id),
            format!("client_ip = if({is_actor}, toIPv6('::'), client_ip)"),
        ];
        for column in ["actor_name", "actor_email", "user_agent", "country", "region", "session_id"]
        {
            sets.push(format!("{column} = if({is_actor}, '', {column})"));
        }
        for column in ["message", "reason", "changes_old", "changes_new"] {
            sets.push(format!("{column} = ''"));
        }
        for column in ["attributes", "headers"] {
            sets.push(format!("{column} = map()"));
        }
        sets.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutation_names_no_subject_but_its_hash() {
        let act = Act {
            id: Uuid::nil(),
            tenant: "acme".into(),
            due: Due::Subject { name: "ann@acme.example".into(), anywhere: false },
            form: Form::Redacted,
            reason: "DSR-1".into(),
            acted_by: "bob".into(),
        };
        // printf 'acme\0ann@acme.example' | sha256sum
        let hash = act.subject_sha256();
        assert_eq!(hash, "385919b075a76e348941faab0bd1633f7888ddedad9a8c52a7ac52b1342b0900");
        let sets = act.redaction();
        assert!(sets.contains(&hash) && !sets.contains("ann@"), "{sets}");
    }
}
