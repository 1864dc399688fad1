//! A log in memory that is written and read through the API: what Kafka, the pipeline and
//! ClickHouse are together, at once.
//!
//! In: records. Out: the events the real normaliser makes of them.

use std::sync::{Arc, Mutex};

use bumpalo::Bump;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::Normalisers;
use crate::config::Config;
use crate::event::{
    Actor, AuditEvent, Fate, Headers, Micros, Position, RawRecord, StoredActor, StoredChanges,
    StoredEvent, StoredPosition, StoredTarget, Target, id,
};
use crate::gateway::{Outgoing, Receipt, Recorder, SendError, Writing};
use crate::query::memory::MemoryReader;
use crate::query::{
    Answer, Bucket, Chunks, EventReader, ExportFormat, Extents, Facet, Facets, FeedPage, FeedQuery,
    Interval, Ledger, Page, Query, Refused, Selection, TenantScope, Told,
};

/// The log.
pub struct Log {
    normalisers: Normalisers,
    events: Mutex<Vec<StoredEvent>>,
    /// What was written, as it was.
    pub records: Mutex<Vec<Outgoing>>,
    /// Whether Kafka is away.
    pub is_down: bool,
}

/// The shipped mappings.
pub fn normalisers() -> Normalisers {
    let of_topic = Config::load(None).unwrap().normalisers();
    Arc::new(move |topic| Some(of_topic(topic)))
}

impl Log {
    /// A log that holds some events.
    pub fn of(events: Vec<StoredEvent>) -> Arc<Log> {
        let (events, records) = (Mutex::new(events), Mutex::default());
        Arc::new(Log { normalisers: normalisers(), events, records, is_down: false })
    }

    /// A log whose Kafka is away.
    pub fn down() -> Arc<Log> {
        let (events, records) = (Mutex::default(), Mutex::default());
        Arc::new(Log { normalisers: normalisers(), events, records, is_down: true })
    }

    /// Store what becomes of a record; its offset.
    pub fn store(&self, topic: &str, record: &Outgoing, at: Micros) -> i64 {
        let mut packed = Vec::new();
        for (name, value) in &record.headers {
            Headers::pack(&mut packed, name, value.as_bytes());
        }
        let mut records = self.records.lock().unwrap();
        let offset = records.len() as i64;
        records.push(record.clone());
        let raw = RawRecord {
            offset,
            timestamp: Some(at),
            key: None,
            headers: Headers::packed(&packed),
            payload: &record.payload,
        };
        let mut events = self.events.lock().unwrap();
        let normaliser = (self.normalisers)(topic).unwrap();
        normaliser.normalise(&raw, &Bump::new(), |index, fate| match fate {
            Fate::Event(event) => {
                let (cluster, incarnation) = ("memory", "");
                let position =
                    Position { cluster, topic, incarnation, partition: 0, offset, index };
                events.push(stored(event, &position, at));
            }
            Fate::Quarantine(why) => panic!("quarantined: {}", why.sentence),
            Fate::Skip { .. } => {}
        });
        offset
    }

    fn reader(&self) -> MemoryReader {
        MemoryReader { events: self.events.lock().unwrap().clone() }
    }
}

impl Recorder for Log {
    fn write<'a>(&'a self, topic: &'a str, record: &'a Outgoing, at: Micros) -> Writing<'a> {
        Box::pin(async move {
            if self.is_down {
                return Err(SendError::Unreachable("secret:9092".into(), "refused".into()));
            }
            let offset = Some(self.store(topic, record, at));
            Ok(Receipt { topic: topic.to_owned(), partition: 0, offset })
        })
    }
}

impl EventReader for Log {
    fn page<'a>(&'a self, query: &'a Query) -> Answer<'a, Page> {
        Box::pin(async move { self.reader().page(query).await })
    }

    fn get<'a>(&'a self, tenants: &'a TenantScope, id: Uuid) -> Answer<'a, Option<StoredEvent>> {
        Box::pin(async move { self.reader().get(tenants, id).await })
    }

    fn count<'a>(&'a self, selection: &'a Selection) -> Answer<'a, u64> {
        Box::pin(async move { self.reader().count(selection).await })
    }

    fn histogram<'a>(
        &'a self,
        selection: &'a Selection,
        interval: Interval,
    ) -> Answer<'a, Vec<Bucket>> {
        Box::pin(async move { self.reader().histogram(selection, interval).await })
    }

    fn facets<'a>(
        &'a self,
        selection: &'a Selection,
        facet: &'a Facet,
        limit: u32,
    ) -> Answer<'a, Facets> {
        Box::pin(async move { self.reader().facets(selection, facet, limit).await })
    }

    fn export<'a>(
        &'a self,
        selection: &'a Selection,
        format: ExportFormat,
        limit: Option<u64>,
    ) -> Answer<'a, Chunks> {
        Box::pin(async move { self.reader().export(selection, format, limit).await })
    }

    fn extents(&self) -> Answer<'_, Extents> {
        Box::pin(async move { self.reader().extents().await })
    }

    fn feed<'a>(&'a self, query: &'a FeedQuery) -> Answer<'a, FeedPage> {
        Box::pin(async move { self.reader().feed(query).await })
    }

    fn ready(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl Ledger for Log {
    fn has(&self, topic: &str) -> bool {
        topic.starts_with("audit")
    }

    fn receipt<'a>(
        &'a self,
        topic: &'a str,
        partition: i32,
        offset: i64,
    ) -> Answer<'a, Option<Told>> {
        let events = self.reader().events.into_iter();
        let of_record = |event: &StoredEvent| {
            let kafka = &event.kafka;
            (&*kafka.topic, kafka.partition, kafka.offset) == (topic, partition, offset)
        };
        let rows: Vec<StoredEvent> = events.filter(of_record).collect();
        let tenants = rows.iter().map(|event| event.tenant.clone()).collect();
        let told = Told { tenants, receipt: json!({ "offset": offset, "events": rows }) };
        Box::pin(async move { Ok(Some(told)) })
    }

    /// Every event, as if it had been refused.
    fn refused<'a>(&'a self, wanted: &'a Refused) -> Answer<'a, Vec<Value>> {
        let mut rows = self.reader().events;
        rows.retain(|row| wanted.topic.as_ref().is_none_or(|topic| *topic == row.kafka.topic));
        rows.truncate(wanted.limit as usize);
        Box::pin(async move { Ok(rows.iter().map(|row| json!(row)).collect()) })
    }
}

fn stored(event: &AuditEvent<'_>, position: &Position<'_>, at: Micros) -> StoredEvent {
    let json =
        |text: &str| (!text.is_empty()).then(|| RawValue::from_string(text.to_owned()).unwrap());
    let target = |target: &Target<'_>| StoredTarget {
        id: target.id.into(),
        kind: target.kind.into(),
        name: target.name.into(),
    };
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let Actor { id, kind, name, email, account_id, account_name } = event.actor;
    StoredEvent {
        id: id::derive(event, position, &id::digest(event.raw.as_bytes())),
        source_id: event.source_id.into(),
        tenant: event.tenant.into(),
        schema: event.schema.into(),
        mapping_version: event.mapping_version,
        occurred_at: event.occurred_at,
        received_at: at,
        time_source: event.time_source,
        service: event.service.into(),
        action: event.action.into(),
        verb: event.verb,
        outcome: event.outcome,
        reason: event.reason.into(),
        actor: StoredActor {
            id: id.into(),
            kind: kind.into(),
            name: name.into(),
            email: email.into(),
            account_id: account_id.into(),
            account_name: account_name.into(),
        },
        target: target(&event.target),
        targets: event.targets.iter().map(target).collect(),
        origin: event.origin,
        client_ip: Some(event.client_ip).filter(|ip| !ip.is_unspecified()),
        user_agent: event.user_agent.into(),
        country: event.country.into(),
        region: event.region.into(),
        session_id: event.session_id.into(),
        request_id: event.request_id.into(),
        correlation_id: event.correlation_id.into(),
        message: event.message.into(),
        changes: StoredChanges { old: json(event.changes_old), new: json(event.changes_new) },
        attributes: pairs(event.attributes),
        written_by: event.written_by.into(),
        headers: pairs(event.headers),
        kafka: StoredPosition {
            cluster: position.cluster.into(),
            topic: position.topic.into(),
            incarnation: position.incarnation.into(),
            partition: position.partition,
            offset: position.offset,
            index: position.index,
        },
        repeats: 1,
        raw: Some(event.raw.into()),
    }
}
