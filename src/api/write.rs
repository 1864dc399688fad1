//! What is written through HTTP: one request, one Kafka record.
//!
//! In: a body, whose log it is, who writes. Out: the record's [`Receipt`], once Kafka has it on all
//! in-sync replicas.
//!
//! # Invariants
//! - What is taken can be stored: the record is normalised first, as it will be behind Kafka, and
//!   refused where any of it would be quarantined, or where nobody reads the topic.
//! - The body goes onto Kafka byte for byte; what the endpoint fills in goes into headers.
//! - Tenant and writer are the caller's, never the body's.
//! - What a rule will leave out goes onto Kafka like the rest, and is not waited for.
//!
//! Deliberately unknown here: any API's paths and words.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bumpalo::Bump;
use serde::Serialize;

use super::refusal::Refusal;
use crate::access::{Caller, Role};
use crate::event::{AuditEvent, Fate, Headers, Micros, RawRecord};
use crate::gateway::{Outgoing, Receipt, Recorder, SendError};
use crate::query::{EventReader, Field, Filter, Query, Selection, TenantScope, TextTest, Window};
use crate::schema::Normaliser;

/// The normaliser of each topic that is read; `None` where nobody reads what is written there.
pub type Normalisers = Arc<dyn Fn(&str) -> Option<Arc<Normaliser>> + Send + Sync>;

/// How long a write that is to be seen at once waits for that.
const SEEN_WITHIN: Duration = Duration::from_secs(3);

/// How often it looks: batches close by age once a second.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One way of writing: a topic, and what stands behind it.
pub(super) struct Writer {
    topic: String,
    /// The mapping that is meant, as the `schema` header says it.
    schema: String,
    recorder: Arc<dyn Recorder>,
    /// Asked for at each write: the mappings may change.
    normalisers: Normalisers,
}

/// What is to be written.
pub(super) struct Submission<'s> {
    /// Who writes.
    pub caller: &'s Caller,
    /// Whose log it is.
    pub tenant: &'s str,
    /// When it was asked.
    pub at: Micros,
    /// What else the endpoint fills in.
    pub filled: Vec<(String, String)>,
    /// The request's own headers, for the trace context.
    pub headers: &'s HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What can be stored, on its way to Kafka.
pub(super) struct Taken {
    record: Outgoing,
    /// Its time, to the millisecond.
    at: Micros,
    /// What will be stored of it.
    becomes: Becomes,
}

/// What will be stored of a record, by the settings of this process.
#[derive(Debug, Default)]
struct Becomes {
    /// How the first event of it is found; `None` where rules leave out all of it.
    sight: Option<Selection>,
    /// Which elements rules leave out.
    skipped: Vec<LeftOut>,
}

/// An element that a rule of the configuration leaves out: nobody will find it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LeftOut {
    /// Place inside a record that fans out.
    pub index: u32,
    /// The rule.
    pub rule: String,
}

/// What was written.
pub(super) struct Written {
    /// Where.
    pub receipt: Receipt,
    /// How the first event of it is found; `None` where rules leave out all of it.
    sight: Option<Selection>,
}

impl Writer {
    /// A way of writing onto a topic.
    pub(super) fn new(
        topic: String,
        schema: String,
        recorder: Arc<dyn Recorder>,
        normalisers: &Normalisers,
    ) -> Writer {
        Writer { topic, schema, recorder, normalisers: Arc::clone(normalisers) }
    }

    /// Write it.
    pub(super) async fn write(&self, what: Submission<'_>) -> Result<Written, Refusal> {
        let taken = self.take(what)?;
        let receipt = self.send(&taken).await?;
        Ok(Written { receipt, sight: taken.becomes.sight })
    }

    /// Take it, or refuse what would be quarantined: nothing is written yet.
    pub(super) fn take(&self, what: Submission<'_>) -> Result<Taken, Refusal> {
        // Kafka's clock counts in milliseconds.
        let at = what.at.div_euclid(1_000) * 1_000;
        let record = self.record(what);
        let Some(normaliser) = (self.normalisers)(&self.topic) else {
            let topic = &self.topic;
            tracing::error!(topic, "a write is refused: no [[kafka.topics]] names its topic");
            let what = "what is written here is not read by anybody yet; the log says why";
            return Err(Refusal::Unavailable(what.to_owned()));
        };
        let becomes = checked(&normaliser, &record, at)?;
        Ok(Taken { record, at, becomes })
    }

    /// Send what was taken.
    pub(super) async fn send(&self, taken: &Taken) -> Result<Receipt, Refusal> {
        Ok(self.recorder.write(&self.topic, &taken.record, taken.at).await?)
    }

    fn record(&self, what: Submission<'_>) -> Outgoing {
        let caller = what.caller;
        let actor = caller.actor.as_ref().unwrap_or(&caller.id);
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut fill = |name: &str, value: &str| {
            if !value.is_empty() {
                headers.push((name.to_owned(), value.to_owned()));
            }
        };
        fill("tenant", what.tenant);
        fill("schema", &self.schema);
        fill("written-by", &caller.id);
        fill("actor-id", actor);
        fill("actor-name", &caller.name);
        fill("actor-email", &caller.email);
        for name in ["traceparent", "tracestate"] {
            let value = what.headers.get(name).and_then(|value| value.to_str().ok());
            fill(name, value.unwrap_or_default());
        }
        what.filled.iter().for_each(|(name, value)| fill(name, value));
        Outgoing { key: String::new(), headers, payload: what.body.to_vec() }
    }
}

impl Taken {
    /// Which elements rules leave out, so that nobody waits for them.
    pub(super) fn skipped(&self) -> &[LeftOut] {
        &self.becomes.skipped
    }
}

/// Refuse what would be quarantined; what will be stored.
fn checked(normaliser: &Normaliser, record: &Outgoing, at: Micros) -> Result<Becomes, Refusal> {
    let mut packed = Vec::new();
    for (name, value) in &record.headers {
        Headers::pack(&mut packed, name, value.as_bytes());
    }
    let raw = RawRecord {
        offset: 0,
        timestamp: Some(at),
        key: None,
        headers: Headers::packed(&packed),
        payload: &record.payload,
    };
    let (arena, mut becomes, mut fault) = (Bump::new(), Becomes::default(), None);
    normaliser.normalise(&raw, &arena, |index, fate| match fate {
        Fate::Event(event) => drop(becomes.sight.get_or_insert_with(|| sight_of(event))),
        Fate::Quarantine(why) => drop(fault.get_or_insert_with(|| why.sentence.to_owned())),
        Fate::Skip { rule, .. } => {
            becomes.skipped.push(LeftOut { index, rule: rule.to_owned() });
        }
    });
    match fault {
        Some(sentence) => Err(Refusal::body("", sentence)),
        None => Ok(becomes),
    }
}

/// What finds an event once it is stored: its exact moment, and what it says of itself.
fn sight_of(event: &AuditEvent<'_>) -> Selection {
    let is = |(field, text): (Field, &str)| Filter::Text(field, TextTest::Is(text.to_owned()));
    let said = [
        (Field::SourceId, event.source_id),
        (Field::Action, event.action),
        (Field::ActorId, event.actor.id),
        (Field::WrittenBy, event.written_by),
    ];
    Selection {
        tenants: TenantScope::Only(vec![event.tenant.to_owned()]),
        window: Window { from: event.occurred_at, to: event.occurred_at.saturating_add(1) },
        filter: Filter::All(said.map(is).into()),
    }
}

impl Written {
    /// Wait until a reader sees it, three seconds at most. One record is stored whole, so its
    /// first event stands for all.
    pub(super) async fn until_seen(&self, reader: &dyn EventReader) {
        let Some(sight) = &self.sight else { return };
        let query = Query::new(sight.clone(), 1);
        let seen = async {
            loop {
                match reader.page(&query).await {
                    Ok(page) if !page.events.is_empty() => return,
                    Ok(_) => {}
                    Err(error) => tracing::debug!(%error, "what was written is not seen yet"),
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // It is safe in Kafka: late to be seen is no failure.
        if tokio::time::timeout(SEEN_WITHIN, seen).await.is_err() {
            let Receipt { topic, partition, .. } = &self.receipt;
            tracing::info!(topic, partition, "what was written is not seen after 3 s");
        }
    }
}

/// The tenant that a caller writes for where the request names none. For one who has all and no
/// default it is empty: the topic's own rule says, or the record is refused.
pub(super) fn home(caller: &Caller) -> Result<&str, Refusal> {
    let only = match caller.tenants.iter().collect::<Vec<_>>()[..] {
        [only] => Some(only.as_str()),
        [] if caller.role >= Role::Auditor => Some(""),
        _ => None,
    };
    let why = "the credential names no tenant to write for, or several and no default";
    let home = caller.default_tenant.as_deref().or(only);
    home.ok_or_else(|| Refusal::Forbidden(why.to_owned()))
}

/// Refuse a body that says it is no JSON; one that says nothing is taken to be.
pub(super) fn must_be_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is_json = kind == "application/json"
        || kind == "text/json"
        || kind.starts_with("application/") && kind.ends_with("+json");
    is_json.then_some(()).ok_or_else(|| Refusal::MediaType("application/json".to_owned()))
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Refusal {
        tracing::warn!(%error, "write not acknowledged");
        if let SendError::TooLong(_) = error {
            return Refusal::TooLarge;
        }
        Refusal::Unavailable("Kafka has not acknowledged the record; try again".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::schema::SkipConfig;

    #[test]
    fn what_rules_leave_out_is_not_looked_for_and_its_neighbour_is() {
        let loaded = Config::load(None).unwrap();
        let actions = vec!["ping".to_owned()];
        let rule = SkipConfig { name: "pings".to_owned(), actions, ..SkipConfig::default() };
        let normaliser = loaded.catalog.normaliser(
            "audit.pace",
            &crate::schema::TopicRule { schema: Some("pace".into()), ..Default::default() },
            &Arc::default(),
            1 << 20,
        );
        let normaliser = normaliser.skipping(&[rule]);
        let becomes = |payload: &str| {
            let headers = vec![("tenant".to_owned(), "acme".to_owned())];
            let record = Outgoing { headers, payload: payload.into(), ..Outgoing::default() };
            checked(&normaliser, &record, 0).unwrap()
        };
        let [ping, list] =
            ["ping", "list"].map(|did| format!(r#"{{"service":"pay","actionName":"{did}"}}"#));
        let left_out = |index| LeftOut { index, rule: "pings".to_owned() };
        let all = becomes(&format!("[{ping},{ping}]"));
        assert_eq!((all.sight.is_none(), all.skipped), (true, vec![left_out(0), left_out(1)]));
        let some = becomes(&format!("[{ping},{list}]"));
        assert_eq!(some.skipped, [left_out(0)]);
        let sight = format!("{:?}", some.sight.unwrap().filter);
        assert!(sight.contains("list") && !sight.contains("ping"), "{sight}");
    }
}
