//! Names that mean the same tenant.
//!
//! In: the `[[tenant]]` tables' aliases. Out: the name that is stored, for any name in a request.
//!
//! # Invariants
//! - A name without an entry is its own tenant's.
//!
//! Deliberately unknown here: who may see the tenant.

use std::collections::HashMap;
use std::sync::Arc;

/// Which tenant a name means.
#[derive(Debug, Clone, Default)]
pub struct Tenants(Arc<HashMap<String, String>>);

impl Tenants {
    /// The tenant that is stored for a name.
    pub fn resolve<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.get(name).map_or(name, String::as_str)
    }
}

impl FromIterator<(String, String)> for Tenants {
    /// From pairs of alias and tenant.
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Tenants {
        Tenants(Arc::new(pairs.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_means_its_tenant_and_any_other_name_itself() {
        let tenants: Tenants =
            [("acme.example".to_owned(), "acme".to_owned())].into_iter().collect();
        assert_eq!(tenants.resolve("acme.example"), "acme");
        assert_eq!(tenants.resolve("acme"), "acme");
        assert_eq!(tenants.resolve("beta"), "beta");
    }
}
