//! `POST /v1/events`: the native way to write.
//!
//! In: one event of a schema, an array of them, or CloudEvents, as they are. Out: 202 with the
//! place of the record they are in, once Kafka has it on all in-sync replicas.
//!
//! # Invariants
//! - One request is one Kafka record: it lands whole, or not at all.
//! - With an `Idempotency-Key`, the same caller's same body is written once by this process within
//!   a day, and answered with the same receipts; another body under that key is refused. What is
//!   refused leaves its key free.
//! - The tenant is the one that is named and the caller's, or the caller's own.
//!
//! Deliberately unknown here: what a schema looks like.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::{Extension, Json};
use serde::Serialize;

use super::ApiState;
use super::error::Problem;
use super::idempotency::Keys;
use super::parameter::Parameters;
use super::refusal::Refusal;
use super::write::{LeftOut, Normalisers, Submission, Writer, home, must_be_json};
use crate::access::Caller;
use crate::event::id;
use crate::gateway::{Receipt, Recorder};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The longest key.
const MOST_KEY_BYTES: usize = 255;

/// What writes natively: a way for each schema that has a topic of its own.
pub struct Submissions {
    writers: BTreeMap<String, Writer>,
    keys: Keys,
}

#[derive(Serialize)]
pub(super) struct Accepted {
    receipts: Vec<Place>,
}

#[derive(Serialize)]
struct Place {
    topic: String,
    partition: i32,
    /// Null where a retry met the record, and Kafka did not say where.
    offset: Option<i64>,
    /// What of it rules leave out: only auditors see the receipt of a record without a row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<LeftOut>,
}

impl Submissions {
    /// Ways of writing onto topics, given as (schema, topic); of several topics of a schema the
    /// first counts.
    pub fn new(
        topics: impl IntoIterator<Item = (String, String)>,
        recorder: &Arc<dyn Recorder>,
        normalisers: &Normalisers,
    ) -> Submissions {
        let mut writers = BTreeMap::new();
        for (schema, topic) in topics {
            writers.entry(schema).or_insert_with_key(|schema| {
                Writer::new(topic, schema.clone(), Arc::clone(recorder), normalisers)
            });
        }
        Submissions { writers, keys: Keys::default() }
    }

    fn writer(&self, schema: &str) -> Result<&Writer, Problem> {
        self.writers.get(schema).ok_or_else(|| {
            let known: Vec<String> = self.writers.keys().cloned().collect();
            let detail = match known.is_empty() {
                true => "no topic has a schema of its own; name one in [[kafka.topics]]".to_owned(),
                false => format!(
                    "schema is {schema:?}; those with a topic of their own are {}",
                    known.join(", ")
                ),
            };
            Problem::parameter("schema", detail, known)
        })
    }
}

pub(super) async fn create(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let said = |refusal: Refusal| Problem::of_refusal(&refusal, uri.path());
    let parameters = Parameters::read(&uri, &["schema"], &["tenant"])?;
    let writer = state.submissions.writer(parameters.get("schema").unwrap_or_default())?;
    must_be_json(&headers).map_err(said)?;
    let tenant = tenant(&state, &caller, &parameters).map_err(said)?;
    let now = (state.now)();
    let filled = cloud_event(&headers).map_err(said)?;
    let about = format!("{tenant:?}\n{uri}\n{filled:?}\n");
    let digest = id::digest(&[about.as_bytes(), &body].concat());
    let what =
        Submission { caller: &caller, tenant: &tenant, at: now, filled, headers: &headers, body };
    let key = key(&headers).map_err(said)?;
    // Before the key is remembered: what is refused may come again, mended, under the same.
    let taken = writer.take(what).map_err(said)?;
    let receipt = match key {
        None => writer.send(&taken).await.map_err(said)?,
        Some(key) => {
            let known = state.submissions.keys.of(&caller.id, key, digest, now);
            if known.digest != digest {
                let detail =
                    "Idempotency-Key was given before with another request; take a new one";
                return Err(said(Refusal::header("Idempotency-Key", detail)));
            }
            // Whoever comes meanwhile waits, and tries itself where this fails.
            let sent = known.receipt.get_or_try_init(|| writer.send(&taken)).await;
            sent.map_err(said)?.clone()
        }
    };
    let Receipt { topic, partition, offset } = receipt;
    let skipped = taken.skipped().to_vec();
    let place = Place { topic, partition, offset, skipped };
    Ok((StatusCode::ACCEPTED, Json(Accepted { receipts: vec![place] })))
}

fn tenant(state: &ApiState, caller: &Caller, parameters: &Parameters) -> Result<String, Refusal> {
    let mut named = parameters.all("tenant");
    let Some(first) = named.next() else { return home(caller).map(str::to_owned) };
    if named.any(|other| other != first) {
        return Err(Refusal::parameter("tenant", "an event is of one tenant; name one"));
    }
    let named = first;
    let tenant = state.tenants.resolve(named);
    let foreign = || Refusal::Forbidden(format!("{named:?} is no tenant of the credential"));
    caller.sees(tenant).then(|| tenant.to_owned()).ok_or_else(foreign)
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = key.to_str().ok().filter(|key| (1..=MOST_KEY_BYTES).contains(&key.len()));
    let wrong = || {
        let detail = format!("Idempotency-Key must be 1 to {MOST_KEY_BYTES} visible characters");
        Refusal::header("Idempotency-Key", detail)
    };
    text.map(|key| Some(key.to_owned())).ok_or_else(wrong)
}

/// A CloudEvent in binary mode: its attributes are `ce-` headers here and `ce_` ones in Kafka.
fn cloud_event(headers: &HeaderMap) -> Result<Vec<(String, String)>, Refusal> {
    let mut found = Vec::new();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let wrong = |_| Refusal::header(name.as_str(), format!("{name} is no visible ASCII"));
        found.push((format!("ce_{attribute}"), value.to_str().map_err(wrong)?.to_owned()));
    }
    Ok(found)
}
