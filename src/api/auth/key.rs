//! API keys: shown, or signing.
//!
//! In: a key or a signature, and the store of keys. Out: the [`Caller`](crate::access::Caller) it stands for.
//!
//! # Invariants
//! - What the store said of a key is good for `key_cache_s`; so long at most does a key work after it
//!   was revoked. A store that does not answer then is an error, never a yes.
//! - A prefix that no key has is looked up in a list of all that there are. The list is read again for
//!   one that it lacks, at most once in [`LISTED_EVERY`], and who shows it waits for that: a new key
//!   holds at once, and however many are guessed, they cost the store no more.
//! - What is remembered is bounded: keys that there are, and of their records [`MOST`].
//!
//! Deliberately unknown here: what a key may do.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::request::Parts;

use super::hmac::Signed;
use super::{Admitted, Credential, Unknown};
use crate::access::{ApiKey, KeyReader, KeyRecord, Proof, SealingKey};
use crate::event::Micros;

/// Keys remembered at most.
const MOST: usize = 10_000;

/// How soon the list of prefixes is read again for one that it does not have.
const LISTED_EVERY: Duration = Duration::from_secs(1);

/// Checks API keys.
pub struct Keys {
    reader: Arc<dyn KeyReader>,
    sealing: Option<SealingKey>,
    keep: Duration,
    known: Mutex<HashMap<String, Known>>,
    /// The prefix of every key, when it was last looked.
    listed: Mutex<HashSet<String>>,
    /// Held while somebody looks.
    looked: tokio::sync::Mutex<Option<Look>>,
}

/// A look at the list of prefixes.
struct Look {
    /// When it began.
    at: Instant,
    /// Why it saw nothing.
    error: Option<String>,
}

#[derive(Clone)]
struct Known {
    /// `None` where the store has the key no more.
    record: Option<Arc<KeyRecord>>,
    at: Instant,
}

impl Keys {
    /// Keys of a store.
    pub fn of(reader: Arc<dyn KeyReader>, sealing: Option<SealingKey>, keep: Duration) -> Keys {
        Keys {
            reader,
            sealing,
            keep,
            known: Mutex::default(),
            listed: Mutex::default(),
            looked: tokio::sync::Mutex::default(),
        }
    }

    /// Whose key is shown.
    pub async fn shown(&self, text: &str, now: Micros) -> Result<Admitted, Unknown> {
        let key = ApiKey::parse(text);
        let key = key.ok_or_else(|| Unknown::Refused("it is no API key, whole".to_owned()))?;
        let record = self.valid(key.prefix(), now).await?;
        if !record.proves(&key) {
            return Err(refused(key.prefix(), "the secret is wrong, or it is one that signs"));
        }
        Ok(admitted(&record))
    }

    /// Whose key signed a request.
    pub async fn signed(
        &self,
        prefix: &str,
        head: &Parts,
        body: &[u8],
        now: Micros,
    ) -> Result<Admitted, Unknown> {
        let signed = Signed::read(&head.headers)?;
        // What is no name is neither looked up nor remembered.
        if !ApiKey::is_prefix(prefix) {
            return Err(Unknown::Refused("no such API key".to_owned()));
        }
        let record = self.valid(prefix, now).await?;
        let Proof::Signing(sealed) = &record.proof else {
            return Err(refused(prefix, "it is to be shown, not to sign with"));
        };
        let Some(sealing) = &self.sealing else {
            return Err(Unknown::Unavailable("api.auth.sealing_key_file is not set".to_owned()));
        };
        let secret = sealing.open(prefix, sealed).map_err(|error| {
            Unknown::Unavailable(format!("the secret of key {prefix} cannot be opened: {error}"))
        })?;
        signed.holds(&secret, head, body, now)?;
        Ok(admitted(&record))
    }

    /// Whether the key of a prefix is worth something.
    pub async fn holds(&self, prefix: &str, now: Micros) -> Result<(), Unknown> {
        self.valid(prefix, now).await.map(drop)
    }

    async fn valid(&self, prefix: &str, now: Micros) -> Result<Arc<KeyRecord>, Unknown> {
        let record = self.look_up(prefix).await?;
        let record = record.ok_or_else(|| Unknown::Refused("no such API key".to_owned()))?;
        match record.ended(now) {
            Some(how) => Err(refused(prefix, how)),
            None => Ok(record),
        }
    }

    async fn look_up(&self, prefix: &str) -> Result<Option<Arc<KeyRecord>>, Unknown> {
        let asked_at = Instant::now();
        let known = self.lock().get(prefix).cloned();
        match known {
            Some(known) if known.at.elapsed() < self.keep => return Ok(known.record),
            Some(_) => {}
            None if self.is_listed(prefix).await? => {}
            None => return Ok(None),
        }
        let record = self.reader.key(prefix).await;
        let record = record.map_err(|error| Unknown::Unavailable(error.to_string()))?.map(Arc::new);
        let mut known = self.lock();
        if known.len() >= MOST {
            known.retain(|_, known| known.at.elapsed() < self.keep);
        }
        if known.len() < MOST {
            // As old as the question: the answer may have been true then and no more.
            known.insert(prefix.to_owned(), Known { record: record.clone(), at: asked_at });
        }
        Ok(record)
    }

    async fn is_listed(&self, prefix: &str) -> Result<bool, Unknown> {
        if self.listed().contains(prefix) {
            return Ok(true);
        }
        let missed_at = Instant::now();
        let mut looked = self.looked.lock().await;
        let error = match &*looked {
            // Another looked, while this one waited to.
            Some(look) if look.at >= missed_at => look.error.clone(),
            before => {
                if let Some(before) = before {
                    tokio::time::sleep_until((before.at + LISTED_EVERY).into()).await;
                }
                self.look(&mut looked).await
            }
        };
        match error {
            None => Ok(self.listed().contains(prefix)),
            Some(error) => Err(Unknown::Unavailable(error)),
        }
    }

    /// Read the list; why not, where it cannot be read.
    async fn look(&self, looked: &mut Option<Look>) -> Option<String> {
        // It counts from now on, and as nothing seen: who looks may be gone before there is an answer.
        let unseen = Some("the list of keys was asked for, and the asker is gone".to_owned());
        let look = looked.insert(Look { at: Instant::now(), error: unseen });
        match self.reader.prefixes().await {
            Ok(prefixes) => {
                *self.listed() = prefixes;
                look.error = None;
            }
            Err(error) => look.error = Some(error.to_string()),
        }
        look.error.clone()
    }

    fn listed(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn admitted(record: &KeyRecord) -> Admitted {
    Admitted { caller: record.caller(), credential: Credential::Key(record.prefix.clone()) }
}

fn refused(prefix: &str, why: &str) -> Unknown {
    Unknown::Refused(format!("key {prefix}: {why}"))
}
