//! Whose log a record belongs to, as far as it can be told without its body.
//!
//! In: a record's headers, its topic's rule, the aliases. Out: a tenant, or the fault of a header
//! that names nobody.
//!
//! # Invariants
//! - A header that is there always wins: one that names nobody must not leave the choice to the
//!   body.
//! - Aliases are resolved once, and only here.
//!
//! Deliberately unknown here: the body.

use super::normalise::Normaliser;
use super::walk::Fault;
use crate::event::{RawRecord, Reason};

impl Normaliser {
    /// The tenant that the header or the topic gives, as it is written there.
    pub(super) fn outer_tenant<'a>(
        &'a self,
        record: &RawRecord<'a>,
    ) -> Result<Option<&'a str>, Fault> {
        let Some(named) = record.headers.last("tenant") else {
            return Ok(self.rule.tenant.as_deref());
        };
        let named = str::from_utf8(named).ok().filter(|tenant| !tenant.is_empty());
        let unusable = || Fault {
            reason: Reason::NoTenant,
            sentence: "the `tenant` header is empty or not UTF-8".to_owned(),
        };
        named.map(Some).ok_or_else(unusable)
    }

    /// Whose log a record would have been whose body cannot be read; empty when nobody says.
    pub fn tenant_of_rejected<'a>(&'a self, record: &RawRecord<'a>) -> &'a str {
        let named = self.outer_tenant(record).ok().flatten();
        named.map_or("", |name| self.resolved(name))
    }

    /// The name that is stored for a tenant.
    pub(super) fn resolved<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.get(name).map_or(name, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use bumpalo::Bump;

    use crate::event::{Fate, Headers, RawRecord};
    use crate::schema::{Catalog, TopicRule};

    /// Whose log a record that is not JSON would have been.
    fn of_rejected(header: Option<&[u8]>, topic_tenant: Option<&str>) -> String {
        let rule = TopicRule { tenant: topic_tenant.map(str::to_owned), ..TopicRule::default() };
        let aliases = HashMap::from([("ACC-1".to_owned(), "acme".to_owned())]);
        let normaliser = Catalog::default().normaliser("t", &rule, &Arc::new(aliases), 1024);
        let mut packed = Vec::new();
        if let Some(value) = header {
            Headers::pack(&mut packed, "tenant", value);
        }
        let (headers, payload) = (Headers::packed(&packed), b"not json".as_slice());
        let record = RawRecord { offset: 0, timestamp: None, key: None, headers, payload };
        let (arena, mut tenant) = (Bump::new(), None);
        normaliser.normalise(&record, &arena, |_, fate| match fate {
            Fate::Quarantine(why) => tenant = Some(why.tenant.to_owned()),
            other => panic!("{other:?}"),
        });
        tenant.unwrap()
    }

    #[test]
    fn what_is_rejected_says_whose_log_it_would_have_been() {
        for (header, topic, expected) in [
            (None, None, ""),
            (None, Some("beta"), "beta"),
            (None, Some("ACC-1"), "acme"),
            (Some(b"ACC-1".as_slice()), Some("beta"), "acme"),
            (Some(b"gamma"), None, "gamma"),
            // A header that names nobody: the topic is not asked either.
            (Some(b""), Some("beta"), ""),
            (Some(b"\xff"), Some("beta"), ""),
        ] {
            assert_eq!(of_rejected(header, topic), expected, "{header:?} {topic:?}");
        }
    }
}
