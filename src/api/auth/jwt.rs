//! JSON Web Tokens: signed by a key we know, for us, now.
//!
//! In: a token. Out: the [`Caller`](crate::access::Caller) its claims make, and until when.
//!
//! # Invariants
//! - The algorithm is the key's; `none`, or one that the key is not for, is refused before anything
//!   is computed.
//! - A token without `exp`, `iss`, `aud` or `sub` is refused; `nbf` counts where it is there. Clocks
//!   may be `leeway_s` apart.
//! - An extension that the token calls critical (`crit`) is refused: we know none.
//!
//! Deliberately unknown here: where keys are from.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::claims::Claims;
use super::config::AuthConfig;
use super::jwks::{Jwks, NoKey};
use super::{Admitted, Credential, Unknown};

/// Checks tokens.
pub struct Jwt {
    keys: Jwks,
    issuer: String,
    audience: String,
    leeway_s: u64,
    claims: Claims,
}

impl Jwt {
    /// Tokens that these keys sign.
    pub fn of(config: &AuthConfig, keys: Jwks) -> Jwt {
        Jwt {
            keys,
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway_s: config.leeway_s,
            claims: Claims::of(config),
        }
    }

    /// Whose token it is.
    pub async fn admitted(&self, token: &str) -> Result<Admitted, Unknown> {
        let refused = |why: &str| Unknown::Refused(why.to_owned());
        // An algorithm it has no word for, `none` among them, is no header either.
        let header = decode_header(token).map_err(|_| refused("it is no JWT of a kind we know"))?;
        if header.crit.is_some() {
            return Err(refused("it has a critical extension"));
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg).await;
        let key = key.map_err(|error| match error {
            NoKey::Unavailable(why) => Unknown::Unavailable(why),
            other => Unknown::Refused(other.to_string()),
        })?;
        let mut validation = Validation::new(key.algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.validate_nbf = true;
        validation.leeway = self.leeway_s;
        let token = decode::<Map<String, Value>>(token, &key.key, &validation);
        let token = token.map_err(|error| Unknown::Refused(why(error.kind())))?;
        let caller = self.claims.caller(&token.claims).map_err(Unknown::Refused)?;
        // INVARIANT: it was a number just now, or the token would have been refused.
        let exp = token.claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
        // A cast ends at the greatest number, and has no fraction.
        let last_s = (exp as u64).saturating_add(self.leeway_s);
        Ok(Admitted { caller, credential: Credential::Token { last_s } })
    }
}

/// Nothing of the token gets into the sentence.
fn why(error: &ErrorKind) -> String {
    match error {
        ErrorKind::InvalidSignature => "its signature does not hold".to_owned(),
        ErrorKind::ExpiredSignature => "it has expired".to_owned(),
        ErrorKind::ImmatureSignature => "it does not hold yet (nbf)".to_owned(),
        ErrorKind::InvalidIssuer => "it is from another issuer".to_owned(),
        ErrorKind::InvalidAudience => "it is for another audience".to_owned(),
        ErrorKind::MissingRequiredClaim(claim) => format!("it has no {claim}"),
        ErrorKind::InvalidClaimFormat(claim) => format!("its {claim} has the wrong form"),
        _ => "it is malformed".to_owned(),
    }
}
