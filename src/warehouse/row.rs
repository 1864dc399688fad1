//! A row of `events` as RowBinary brings it, and the event it is.
//!
//! In: columns, flat. Out: a [`StoredEvent`], nested.
//!
//! # Invariants
//! - Fields are named and typed like the columns of `deploy/clickhouse/0001_events.sql`; the
//!   client checks that against every answer.
//! - Times are microseconds since the Unix epoch, as the columns are.
//! - Nothing is lost on the way: `changes` that are no JSON come back as a JSON string.
//!
//! Deliberately unknown here: which rows are asked for.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use clickhouse::Row;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::event::{
    Origin, Outcome, StoredActor, StoredChanges, StoredEvent, StoredPosition, StoredTarget,
    TimeSource, Verb,
};

/// Everything of an event; `raw` may be left empty.
#[derive(Debug, Row, Deserialize)]
pub(super) struct EventRow {
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    source_id: String,
    tenant: String,
    schema: String,
    mapping_version: u16,
    occurred_at: i64,
    received_at: i64,
    time_source: i8,
    service: String,
    action: String,
    verb: i8,
    outcome: i8,
    reason: String,
    actor_id: String,
    actor_type: String,
    actor_name: String,
    actor_email: String,
    actor_account_id: String,
    actor_account_name: String,
    target_id: String,
    target_type: String,
    target_name: String,
    target_ids: Vec<String>,
    target_types: Vec<String>,
    target_names: Vec<String>,
    origin: i8,
    client_ip: Ipv6Addr,
    user_agent: String,
    country: String,
    region: String,
    session_id: String,
    request_id: String,
    correlation_id: String,
    message: String,
    changes_old: String,
    changes_new: String,
    attributes: BTreeMap<String, String>,
    kafka_cluster: String,
    kafka_topic: String,
    kafka_incarnation: String,
    kafka_partition: i32,
    kafka_offset: i64,
    kafka_index: u32,
    written_by: String,
    headers: BTreeMap<String, String>,
    original: String,
}

impl EventRow {
    /// What to select for it; `raw`, or nothing, goes behind as `original`: an alias `raw` would
    /// hide the column. `targets` in three columns: the client has no named tuples.
    pub(super) const SELECT: &str = "\
        SELECT id, source_id, tenant, schema, mapping_version, occurred_at, received_at, \
        time_source, service, action, verb, outcome, reason, actor_id, actor_type, actor_name, \
        actor_email, actor_account_id, actor_account_name, target_id, target_type, target_name, \
        targets.id AS target_ids, targets.type AS target_types, targets.name AS target_names, \
        origin, client_ip, user_agent, country, region, session_id, request_id, correlation_id, \
        message, changes_old, changes_new, attributes, kafka_cluster, kafka_topic, \
        kafka_incarnation, kafka_partition, kafka_offset, kafka_index, written_by, headers";
}

impl EventRow {
    /// The event, with its `raw` where that was asked for.
    pub(super) fn into_event(self, raw: bool) -> StoredEvent {
        let row = self;
        StoredEvent {
            id: row.id,
            source_id: row.source_id,
            tenant: row.tenant,
            schema: row.schema,
            mapping_version: row.mapping_version,
            occurred_at: row.occurred_at,
            received_at: row.received_at,
            time_source: TimeSource::from_code(row.time_source),
            service: row.service,
            action: row.action,
            verb: Verb::from_code(row.verb),
            outcome: Outcome::from_code(row.outcome),
            reason: row.reason,
            actor: StoredActor {
                id: row.actor_id,
                kind: row.actor_type,
                name: row.actor_name,
                email: row.actor_email,
                account_id: row.actor_account_id,
                account_name: row.actor_account_name,
            },
            target: StoredTarget {
                id: row.target_id,
                kind: row.target_type,
                name: row.target_name,
            },
            targets: row
                .target_ids
                .into_iter()
                .zip(row.target_types)
                .zip(row.target_names)
                .map(|((id, kind), name)| StoredTarget { id, kind, name })
                .collect(),
            origin: Origin::from_code(row.origin),
            client_ip: Some(row.client_ip).filter(|ip| !ip.is_unspecified()),
            user_agent: row.user_agent,
            country: row.country,
            region: row.region,
            session_id: row.session_id,
            request_id: row.request_id,
            correlation_id: row.correlation_id,
            message: row.message,
            changes: StoredChanges { old: json(row.changes_old), new: json(row.changes_new) },
            attributes: row.attributes,
            written_by: row.written_by,
            headers: row.headers,
            kafka: StoredPosition {
                cluster: row.kafka_cluster,
                topic: row.kafka_topic,
                incarnation: row.kafka_incarnation,
                partition: row.kafka_partition,
                offset: row.kafka_offset,
                index: row.kafka_index,
            },
            repeats: 1,
            raw: raw.then_some(row.original),
        }
    }
}

fn json(text: String) -> Option<Box<RawValue>> {
    if text.is_empty() {
        return None;
    }
    let quoted = || serde_json::value::to_raw_value(&text).ok();
    RawValue::from_string(text.clone()).ok().or_else(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::migrate;

    #[test]
    fn the_enums_of_the_table_are_the_words_of_the_domain() {
        let ddl = migrate::ALL[0].sql;
        let column = |name: &str, mut words: Vec<(&str, i8)>| {
            words.sort_by_key(|(_, code)| *code);
            let words: Vec<String> =
                words.into_iter().map(|(word, code)| format!("'{word}' = {code}")).collect();
            let column = format!("`{name}` Enum8({})", words.join(", "));
            assert!(ddl.contains(&column), "0001_events.sql should say {column}");
        };
        column("verb", Verb::ALL.map(|word| (word.as_str(), word.code())).to_vec());
        column("outcome", Outcome::ALL.map(|word| (word.as_str(), word.code())).to_vec());
        column("origin", Origin::ALL.map(|word| (word.as_str(), word.code())).to_vec());
        let time_sources = [TimeSource::Record, TimeSource::Event];
        column("time_source", time_sources.map(|word| (word.as_str(), word.code())).to_vec());
    }

    #[test]
    fn changes_keep_absent_null_and_empty_apart_and_lose_nothing() {
        let text = |json: Option<Box<RawValue>>| json.map(|json| json.get().to_owned());
        assert_eq!(text(json("".into())), None);
        assert_eq!(text(json("null".into())), Some("null".into()));
        assert_eq!(text(json("{ }".into())), Some("{ }".into()));
        assert_eq!(text(json("{oops".into())), Some("\"{oops\"".into()));
    }
}
