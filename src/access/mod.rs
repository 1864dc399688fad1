//! Who asks, and what they may: the words, whatever the credential was.
//!
//! In: what a token or key says. Out: a [`Caller`], and from it the [`TenantScope`] of a question;
//! an [`ApiKey`], and what is kept of one.
//!
//! # Invariants
//! - A scope comes from a caller, and is never wider than the caller's tenants.
//! - A tenant that is not the caller's cannot be told from one that does not exist.
//!
//! Deliberately unknown here: HTTP, JWT, where keys are kept.

mod key;
mod seal;

use std::collections::BTreeSet;
use std::fmt;

use crate::query::TenantScope;

pub use key::{ApiKey, KEY_BYTES, KeyError, KeyReader, KeyRecord, Lookup, Proof};
pub use seal::{SealError, SealingKey};

/// What somebody is, each more than the one before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads events of their tenants.
    Reader,
    /// Writes events, and reads them.
    Writer,
    /// Reads every tenant's events, and the quarantine.
    Auditor,
    /// Everything.
    Admin,
}

impl Role {
    /// Each, the least first.
    pub const ALL: [Role; 4] = [Role::Reader, Role::Writer, Role::Auditor, Role::Admin];

    /// Its name in settings, claims and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Writer => "writer",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }

    /// The role of a name.
    pub fn named(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Stable identifier: the token's subject or the key's name.
    pub id: String,
    /// Name for people; empty when unknown.
    pub name: String,
    /// Mail address; empty when unknown.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// Their tenants; without meaning for an auditor, who has all.
    pub tenants: BTreeSet<String>,
    /// The tenant that is meant where a request names none.
    pub default_tenant: Option<String>,
    /// The identity linked to the token that acts, where the token says one (PACE).
    pub actor: Option<String>,
    /// The account the caller belongs to, as id and name (SoftwareOne).
    pub account: Option<(String, String)>,
    /// The only resellers whose events are seen; `None` is no such limit (Cockpit).
    pub resellers: Option<BTreeSet<String>>,
}

impl Caller {
    /// Everybody, where there is no authentication.
    pub fn anyone() -> Caller {
        Caller {
            id: "anonymous".into(),
            name: String::new(),
            email: String::new(),
            role: Role::Admin,
            tenants: BTreeSet::new(),
            default_tenant: None,
            actor: None,
            account: None,
            resellers: None,
        }
    }

    /// Whether a tenant's events may be seen.
    pub fn sees(&self, tenant: &str) -> bool {
        self.role >= Role::Auditor || self.tenants.contains(tenant)
    }

    /// What a question that names some tenants is about: those of them that are the caller's. One
    /// that names none is about the default tenant, or else about all the caller's.
    pub fn scope(&self, named: &[String]) -> TenantScope {
        let all = self.role >= Role::Auditor;
        if !named.is_empty() {
            let own = named.iter().filter(|tenant| self.sees(tenant));
            return TenantScope::Only(own.cloned().collect());
        }
        match &self.default_tenant {
            Some(tenant) => TenantScope::Only(vec![tenant.clone()]),
            None if all => TenantScope::All,
            None => TenantScope::Only(self.tenants.iter().cloned().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_never_wider_than_the_caller_s_tenants() {
        let mut caller = Caller { role: Role::Reader, ..Caller::anyone() };
        caller.tenants = ["a", "b"].map(str::to_owned).into();
        let only = |names: &[&str]| {
            TenantScope::Only(names.iter().map(|name| (*name).to_owned()).collect())
        };
        assert_eq!(caller.scope(&[]), only(&["a", "b"]));
        assert_eq!(caller.scope(&["b".into(), "c".into()]), only(&["b"]));
        assert_eq!(caller.scope(&["c".into()]), only(&[]));
        caller.default_tenant = Some("b".into());
        assert_eq!(caller.scope(&[]), only(&["b"]));
        let auditor = Caller { role: Role::Auditor, default_tenant: None, ..caller };
        assert_eq!(auditor.scope(&[]), TenantScope::All);
        assert_eq!(auditor.scope(&["c".into()]), only(&["c"]));
    }
}
