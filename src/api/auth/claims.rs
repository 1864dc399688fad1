//! What a token says of its bearer.
//!
//! In: the claims of a JWT that holds, the names that the settings give them. Out: a [`Caller`].
//!
//! # Invariants
//! - A claim that is there and is not what it should be is an error, never as if it were not there.
//! - The default tenant is one of the caller's, unless the caller has all.
//! - A role value that no row of the table names is an error; no role at all is a reader.
//!
//! Deliberately unknown here: signatures, times, issuers.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::config::{AuthConfig, ClaimsConfig};
use crate::access::{Caller, Role};

/// The role claim's value of those who see their own resellers' events alone.
const RESELLER: &str = "reseller";

/// How claims are read.
pub struct Claims {
    names: ClaimsConfig,
    roles: HashMap<String, Role>,
}

impl Claims {
    /// As the settings say.
    pub fn of(config: &AuthConfig) -> Claims {
        let known = |(value, role): (&String, &String)| Some((value.clone(), Role::named(role)?));
        let roles = config.roles.iter().filter_map(known).collect();
        Claims { names: config.claims.clone(), roles }
    }

    /// Whom some claims are of.
    pub fn caller(&self, claims: &Map<String, Value>) -> Result<Caller, String> {
        let names = &self.names;
        let id = text(claims, "sub")?.filter(|id| !id.is_empty()).ok_or("it has no sub")?;
        let values = list(claims, &names.role)?.unwrap_or_default();
        let role = self.role(&values)?;
        let default_tenant = text(claims, &names.default_tenant)?.filter(|name| !name.is_empty());
        let tenants = match list(claims, &names.tenants)? {
            Some(tenants) => tenants,
            None => default_tenant.iter().cloned().collect(),
        };
        if let Some(tenant) = &default_tenant
            && role < Role::Auditor
            && !tenants.contains(tenant)
        {
            return Err(format!("{} is none of {}", names.default_tenant, names.tenants));
        }
        let mut resellers = list(claims, &names.resellers)?;
        if values.contains(RESELLER) {
            // Who is one of the resellers sees none, not all, where the token names none.
            resellers.get_or_insert_default();
        }
        let account_name = text(claims, &names.account_name)?.unwrap_or_default();
        Ok(Caller {
            id,
            name: text(claims, &names.name)?.unwrap_or_default(),
            email: text(claims, &names.email)?.unwrap_or_default(),
            role,
            tenants,
            default_tenant,
            actor: text(claims, &names.actor)?.filter(|actor| !actor.is_empty()),
            account: text(claims, &names.account_id)?.map(|id| (id, account_name)),
            resellers,
        })
    }

    fn role(&self, values: &BTreeSet<String>) -> Result<Role, String> {
        let mut greatest = Role::Reader;
        for value in values {
            let role = self.roles.get(value).copied();
            greatest = greatest.max(role.ok_or_else(|| format!("no role is called {value:?}"))?);
        }
        Ok(greatest)
    }
}

/// A claim by its whole name, or by the path that its dots make.
fn find<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    let found = claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        find(claims.get(first)?.as_object()?, rest)
    });
    found.filter(|value| !value.is_null())
}

fn text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match find(claims, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{name} is no text")),
    }
}

fn list(claims: &Map<String, Value>, name: &str) -> Result<Option<BTreeSet<String>>, String> {
    let values = match find(claims, name) {
        None => return Ok(None),
        Some(Value::Array(values)) => values.iter().collect(),
        Some(value) => vec![value],
    };
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let texts: Option<BTreeSet<String>> = values.into_iter().map(text).collect();
    texts.map(Some).ok_or_else(|| format!("{name} is neither a text nor a list of texts"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(claims: Value) -> Result<Caller, String> {
        Claims::of(&AuthConfig::default()).caller(claims.as_object().unwrap())
    }

    #[test]
    fn claims_say_who_and_what() {
        let caller = read(json!({
            "sub": "u1", "name": "Ann", "email": "a@x", "role": ["reader", "writer"],
            "tenants": ["a", "b"], "tenant": "b", "actor": "ann",
            "account": {"id": "ACC-1", "name": "Acme"}, "resellers": "r1",
        }));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let wanted = Caller {
            id: "u1".into(),
            name: "Ann".into(),
            email: "a@x".into(),
            role: Role::Writer,
            tenants: names(&["a", "b"]),
            default_tenant: Some("b".into()),
            actor: Some("ann".into()),
            account: Some(("ACC-1".into(), "Acme".into())),
            resellers: Some(names(&["r1"])),
        };
        assert_eq!(caller, Ok(wanted));
    }

    #[test]
    fn a_token_that_says_little_gives_little() {
        let caller = read(json!({"sub": "u1"})).unwrap();
        assert_eq!((caller.role, caller.tenants.len()), (Role::Reader, 0));
        let caller = read(json!({"sub": "u1", "tenant": "a"})).unwrap();
        assert_eq!(caller.tenants, ["a".to_owned()].into());
        let reseller = read(json!({"sub": "u1", "role": "reseller"})).unwrap();
        assert_eq!(reseller.resellers, Some(BTreeSet::new()));
        assert_eq!(read(json!({"sub": "u1", "role": "csp"})).unwrap().resellers, None);
    }

    #[test]
    fn a_claim_that_is_not_what_it_should_be_is_refused() {
        for (claims, why) in [
            (json!({}), "no sub"),
            (json!({"sub": ""}), "no sub"),
            (json!({"sub": 7}), "sub is no text"),
            (json!({"sub": "u", "role": "king"}), "no role is called"),
            (json!({"sub": "u", "role": ["reader", "king"]}), "no role is called"),
            (json!({"sub": "u", "role": 3}), "neither a text nor a list"),
            (json!({"sub": "u", "tenants": [1]}), "neither a text nor a list"),
            (json!({"sub": "u", "tenants": ["a", ""]}), "neither a text nor a list"),
            (json!({"sub": "u", "tenants": ["a"], "tenant": "b"}), "none of tenants"),
            (json!({"sub": "u", "tenants": [], "tenant": "b"}), "none of tenants"),
            (json!({"sub": "u", "resellers": {}}), "neither a text nor a list"),
        ] {
            let error = read(claims.clone()).unwrap_err();
            assert!(error.contains(why), "{claims}: {error}");
        }
        assert!(read(json!({"sub": "u", "role": "auditor", "tenant": "b"})).is_ok());
    }

    #[test]
    fn a_name_with_dots_is_a_claim_or_a_path() {
        let mut config = AuthConfig::default();
        config.claims.tenants = "https://x.example/tenants".into();
        config.claims.role = "realm.access.role".into();
        let claims = json!({
            "sub": "u", "https://x.example/tenants": "a", "realm": {"access": {"role": "admin"}},
        });
        let caller = Claims::of(&config).caller(claims.as_object().unwrap()).unwrap();
        assert_eq!((caller.role, caller.tenants), (Role::Admin, ["a".to_owned()].into()));
    }
}
