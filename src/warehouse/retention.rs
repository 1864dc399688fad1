//! How long what is stored is kept.
//!
//! In: the `[retention]` table of the configuration. Out: [`RetentionConfig`].
//!
//! # Invariants
//! - Without a word everything is kept for ever.
//!
//! Deliberately unknown here: how a row is retired, what a hold keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::Micros;

const DAY: Micros = 86_400_000_000;

/// A hundred years.
const MOST_DAYS: u32 = 36_525;

/// The `[retention]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Days that are kept of a tenant that `tenants` does not name, counted from `occurred_at`;
    /// 0 for ever. Default 0.
    pub default_days: u32,
    /// Days that are kept of a tenant; 0 for ever. Default none.
    pub tenants: BTreeMap<String, u32>,
}

impl RetentionConfig {
    /// What is wrong, as (field, sentence).
    pub fn check(&self) -> Vec<(String, String)> {
        let named = self.tenants.iter().map(|(tenant, days)| (format!("tenants.{tenant}"), *days));
        let all = named.chain([("default_days".to_owned(), self.default_days)]);
        let too_many = all.filter(|(_, days)| *days > MOST_DAYS);
        too_many
            .map(|(field, days)| {
                (field, format!("is {days}, and must be from 1 to {MOST_DAYS}, or 0 for ever"))
            })
            .collect()
    }

    /// Tenants that are named by another name than the one that is stored, as (field, sentence).
    pub fn misnamed(
        &self,
        aliases: impl Iterator<Item = (String, String)>,
    ) -> Vec<(String, String)> {
        let wrong = aliases.filter(|(alias, _)| self.tenants.contains_key(alias));
        wrong
            .map(|(alias, id)| {
                let message = format!("is stored as `{id}`; name that");
                (format!("retention.tenants.{alias}"), message)
            })
            .collect()
    }

    /// What of a tenant is older than it is kept for; `None` where all of it is kept.
    pub fn ends_before(&self, tenant: &str, now: Micros) -> Option<Micros> {
        let days = *self.tenants.get(tenant).unwrap_or(&self.default_days);
        (days > 0).then(|| now - Micros::from(days) * DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_kept_for_its_own_days_or_the_default_and_0_is_for_ever() {
        let tenants = BTreeMap::from([("acme".to_owned(), 2), ("court".to_owned(), 0)]);
        let config = RetentionConfig { default_days: 7, tenants };
        let now = 100 * DAY;
        assert_eq!(config.ends_before("acme", now), Some(98 * DAY));
        assert_eq!(config.ends_before("other", now), Some(93 * DAY));
        assert_eq!(config.ends_before("court", now), None);
        assert_eq!(RetentionConfig::default().ends_before("acme", now), None);
    }

    #[test]
    fn a_tenant_under_another_name_than_the_stored_one_is_told() {
        let tenants = BTreeMap::from([("ACC-1".to_owned(), 1), ("acme".to_owned(), 1)]);
        let config = RetentionConfig { default_days: 0, tenants };
        let aliases =
            [("ACC-1".to_owned(), "acme".to_owned()), ("b".to_owned(), "beta".to_owned())];
        let found = config.misnamed(aliases.into_iter());
        let sentence = "is stored as `acme`; name that".to_owned();
        assert_eq!(found, [("retention.tenants.ACC-1".to_owned(), sentence)]);
    }

    #[test]
    fn days_beyond_a_century_are_refused_where_they_stand() {
        let tenants = BTreeMap::from([("acme".to_owned(), 40_000)]);
        let config = RetentionConfig { default_days: 1, tenants };
        let [(field, message)] = &config.check()[..] else { panic!("{:?}", config.check()) };
        assert_eq!(field, "tenants.acme");
        assert!(message.contains("40000"), "{message}");
    }
}
