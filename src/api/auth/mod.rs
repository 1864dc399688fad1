//! Who a request is from.
//!
//! In: a request's head and body. Out: a [`Caller`], or [`Unknown`]: why it is from nobody. Later: whether
//! a [`Credential`] still holds.
//!
//! # Invariants
//! - A route answers nothing before it has a caller; the operators' routes apart.
//! - Each API says [`Unknown`] in its own words.
//! - A caller has so many questions under way and no more: whoever is told holds a seat for theirs
//!   until it is answered. A write is no question.
//! - No credential, nor any part of one that is secret, is in an error or the log.
//!
//! Deliberately unknown here: what the caller asks for.

mod claims;
mod config;
mod credential;
mod hmac;
mod jwks;
mod jwt;
mod key;
mod limit;
#[cfg(test)]
pub(super) mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use governor::clock::DefaultClock;

use self::jwks::{Jwks, Source};
use self::jwt::Jwt;
use self::key::Keys;
use self::limit::Limiter;
use super::config::LimitsConfig;
use super::seat::{Seats, Turn};
use crate::access::{ApiKey, Caller, KeyReader, SealError, SealingKey, Tenants};
use crate::event::Micros;

pub use config::{AuthConfig, ClaimsConfig};
pub use credential::{Admitted, Credential};

/// How callers are told.
#[derive(Clone, Default)]
pub enum Authenticator {
    /// They are not; for loopback.
    #[default]
    None,
    /// Nobody is known; for a process that answers no questions.
    Nobody,
    /// By what they bring.
    Token(Arc<Credentials>),
}

/// What credentials are held against.
pub struct Credentials {
    tenants: Tenants,
    jwt: Option<Jwt>,
    keys: Keys,
    limiter: Limiter,
    /// For questions under way; `None` where there is no limit.
    seats: Option<Seats>,
    now: fn() -> Micros,
}

impl Authenticator {
    /// As the settings say.
    pub async fn open(
        config: &AuthConfig,
        limits: &LimitsConfig,
        tenants: Tenants,
        keys: Arc<dyn KeyReader>,
        now: fn() -> Micros,
    ) -> Result<Authenticator, AuthError> {
        if !config.is_required() {
            return Ok(Authenticator::None);
        }
        let source = match (&config.jwks_file, &config.jwks_url) {
            (Some(path), _) => Some(Source::File(path.clone())),
            (None, Some(url)) => Some(Source::url(url).map_err(AuthError::Jwks)?),
            (None, None) => None,
        };
        let jwt = match source {
            None => None,
            Some(source) => {
                let refetch = Duration::from_secs(config.jwks_refetch_s);
                let max_age = Duration::from_secs(config.jwks_max_age_s);
                let keys = Jwks::open(source, refetch, max_age).await.map_err(AuthError::Jwks)?;
                Some(Jwt::of(config, keys))
            }
        };
        let sealing = config.sealing_key_file.as_deref().map(SealingKey::read).transpose()?;
        let keys = Keys::of(keys, sealing, Duration::from_secs(config.key_cache_s));
        let limiter = Limiter::new(
            limits.requests_per_second,
            limits.burst_requests,
            DefaultClock::default(),
        );
        let seats = match limits.questions_at_once {
            0 => None,
            most_of_caller => Some(Seats::new(usize::MAX, most_of_caller as usize)),
        };
        let credentials = Credentials { tenants, jwt, keys, limiter, seats, now };
        Ok(Authenticator::Token(Arc::new(credentials)))
    }

    /// The caller of a request. The body is for schemes that sign it.
    pub async fn caller(&self, head: &Parts, body: &[u8]) -> Result<Caller, Unknown> {
        Ok(self.admitted(head, body).await?.caller)
    }

    /// The caller of a request, and what they were told by.
    pub async fn admitted(&self, head: &Parts, body: &[u8]) -> Result<Admitted, Unknown> {
        let admitted = match self {
            Authenticator::None => {
                Admitted { caller: Caller::anyone(), credential: Credential::None }
            }
            Authenticator::Nobody => return Err(Unknown::Missing),
            Authenticator::Token(credentials) => credentials.limited(head, body).await?,
        };
        if let Some(told) = head.extensions.get::<Told>() {
            told.tell(&admitted.caller);
        }
        Ok(admitted)
    }

    /// Whether a credential that let somebody in would do so now. It counts as no request.
    pub async fn holds(&self, credential: &Credential) -> Result<(), Unknown> {
        let is_over = |last_s: u64| jsonwebtoken::get_current_timestamp() > last_s;
        match (credential, self) {
            (Credential::Token { last_s }, _) if is_over(*last_s) => {
                Err(Unknown::Refused("it has expired".to_owned()))
            }
            (Credential::Key(prefix), Authenticator::Token(credentials)) => {
                credentials.keys.holds(prefix, (credentials.now)()).await
            }
            _ => Ok(()),
        }
    }
}

/// Why a caller who is limited to some resellers is refused where no answer can be limited to them.
pub(super) const LIMITED_TO_RESELLERS: &str =
    "the credential is limited to some resellers, which only /v1/AuditLogs can be";

/// Who asked a request: for what surrounds a handler that tells its caller itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(Arc<OnceLock<Caller>>);

impl Told {
    pub(super) fn tell(&self, caller: &Caller) {
        // Told twice, a request is still from the same.
        let _ = self.0.set(caller.clone());
    }

    /// The caller, once they were told.
    pub(super) fn get(&self) -> Option<&Caller> {
        self.0.get()
    }
}

impl Credentials {
    /// A caller who does not ask too often.
    async fn limited(&self, head: &Parts, body: &[u8]) -> Result<Admitted, Unknown> {
        let Admitted { caller, credential } = self.admitted(head, body).await?;
        let caller = self.stored(caller);
        self.limiter.count(&caller.id).map_err(|wait| {
            let retry_after_s = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Unknown::TooOften { id: caller.id.clone(), retry_after_s }
        })?;
        // Who asks in passing, and answers nothing of the log, gives no turn.
        if let (Some(seats), Some(turn), true) =
            (&self.seats, head.extensions.get::<Turn>(), head.method.is_safe())
        {
            let seat = seats.take(Some(&caller.id));
            turn.hold(seat.map_err(|_| Unknown::TooManyAtOnce(caller.id.clone()))?);
        }
        Ok(Admitted { caller, credential })
    }

    /// A caller whose tenants have the names that are stored.
    fn stored(&self, caller: Caller) -> Caller {
        let stored = |name: String| self.tenants.resolve(&name).to_owned();
        Caller {
            tenants: caller.tenants.into_iter().map(stored).collect(),
            default_tenant: caller.default_tenant.map(stored),
            ..caller
        }
    }

    async fn admitted(&self, head: &Parts, body: &[u8]) -> Result<Admitted, Unknown> {
        let mut given = head.headers.get_all(AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else {
            return match head.headers.contains_key(AUTHORIZATION) {
                true => Err(Unknown::Malformed("there are several".to_owned())),
                false => Err(Unknown::Missing),
            };
        };
        let text = given.to_str().ok().and_then(|text| text.trim().split_once(' '));
        let malformed = || Unknown::Malformed("Authorization is not SCHEME CREDENTIAL".to_owned());
        let (scheme, credential) = text.ok_or_else(malformed)?;
        let credential = credential.trim_start();
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" if ApiKey::looks_like(credential) => {
                self.keys.shown(credential, (self.now)()).await
            }
            "bearer" => match &self.jwt {
                Some(jwt) => jwt.admitted(credential).await,
                None => Err(Unknown::Refused("it is no API key, and JWTs are not set up".into())),
            },
            // It may be sent again within the hour, which does no harm where it reads.
            hmac::SCHEME if !head.method.is_safe() => {
                Err(Unknown::Refused("a signature is taken where events are read".to_owned()))
            }
            hmac::SCHEME => self.keys.signed(credential, head, body, (self.now)()).await,
            _ => Err(Unknown::Refused("its scheme is none we know".to_owned())),
        }
    }
}

/// Why callers cannot be told as the settings say.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The keys of tokens.
    #[error("api.auth, the keys of tokens: {0}")]
    Jwks(String),
    /// The key that seals.
    #[error("api.auth.sealing_key_file: {0}")]
    Sealing(#[from] SealError),
}

/// Why a request is from nobody. Each API says it in its own words; the reasons are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No credential is given: 401.
    #[error("the request has no credential")]
    Missing,
    /// One is given that does not hold: 401.
    #[error("the credential does not hold: {0}")]
    Refused(String),
    /// One is given that cannot be read: 400 where the API has one for it (BloodHound), else 401.
    #[error("the credential is malformed: {0}")]
    Malformed(String),
    /// What it is to be held against cannot be reached: 503.
    #[error("the credential cannot be looked up: {0}")]
    Unavailable(String),
    /// The caller is known, and asks too often: 429.
    #[error("{id} asks too often")]
    TooOften {
        /// Who.
        id: String,
        /// When to ask again, in seconds: `Retry-After`.
        retry_after_s: u64,
    },
    /// The caller is known, and has as many questions under way as one may have: 429. Who.
    #[error("{0} has too many questions under way")]
    TooManyAtOnce(String),
}
