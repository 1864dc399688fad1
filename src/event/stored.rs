//! An event as a reader gets it back: owned, with its id and position.
//!
//! In: a row of the warehouse. Out: the JSON of the native API, nested (`actor.id`) where the
//! column is flat (`actor_id`).
//!
//! # Invariants
//! - A string absent in the source is absent in the JSON.
//! - `changes` are the source's own JSON text, not re-serialised.
//!
//! Deliberately unknown here: SQL, HTTP.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Micros, Origin, Outcome, TimeSource, Verb};

/// One event of the warehouse.
#[derive(Debug, Clone, Serialize)]
pub struct StoredEvent {
    /// Derived id; byte-identical repeats share it.
    pub id: Uuid,
    /// The id as the source wrote it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_id: String,
    /// Whose log this is.
    pub tenant: String,
    /// The mapping that made it.
    pub schema: String,
    /// That mapping's version.
    pub mapping_version: u16,
    /// When it happened.
    #[serde(serialize_with = "rfc3339")]
    pub occurred_at: Micros,
    /// The Kafka record's timestamp.
    #[serde(serialize_with = "rfc3339")]
    pub received_at: Micros,
    /// Whose clock `occurred_at` is.
    pub time_source: TimeSource,
    /// The system that emitted it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// What was done, in the source's words.
    pub action: String,
    /// What was done, in one of ten words.
    pub verb: Verb,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who did it.
    pub actor: StoredActor,
    /// The main thing acted on.
    #[serde(skip_serializing_if = "StoredTarget::is_empty")]
    pub target: StoredTarget,
    /// All things acted on, when there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<StoredTarget>,
    /// Through what kind of door it came.
    pub origin: Origin,
    /// Where from, in its usual notation; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "usual_ip")]
    pub client_ip: Option<Ipv6Addr>,
    /// The client program.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
    /// Country.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub country: String,
    /// Region.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Session.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session_id: String,
    /// Request.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Operation.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub correlation_id: String,
    /// One line for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Before and after.
    #[serde(skip_serializing_if = "StoredChanges::is_empty")]
    pub changes: StoredChanges,
    /// Everything else the source says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The caller of a write endpoint.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub written_by: String,
    /// What the write endpoint filled in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Where the record stands.
    pub kafka: StoredPosition,
    /// How many byte-identical records a page folded into this one; absent when one.
    #[serde(skip_serializing_if = "is_one")]
    pub repeats: u64,
    /// The original bytes; only where one event is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

/// Who did it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StoredActor {
    /// Stable identifier.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Kind of actor.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Mail address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// The account the actor belongs to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account_id: String,
    /// That account's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account_name: String,
}

/// A thing acted on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StoredTarget {
    /// Stable identifier.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Kind of thing.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl StoredTarget {
    fn is_empty(&self) -> bool {
        *self == StoredTarget::default()
    }
}

/// The state before and after, each the source's JSON text.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StoredChanges {
    /// Before; absent where the source has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Box<RawValue>>,
    /// After; absent where the source has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Box<RawValue>>,
}

impl StoredChanges {
    fn is_empty(&self) -> bool {
        self.old.is_none() && self.new.is_none()
    }
}

/// Where the record stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredPosition {
    /// The Kafka cluster.
    pub cluster: String,
    /// The topic.
    pub topic: String,
    /// The topic's id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub incarnation: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Place inside a record that fans out.
    pub index: u32,
}

fn is_one(repeats: &u64) -> bool {
    *repeats == 1
}

fn rfc3339<S: Serializer>(micros: &Micros, serializer: S) -> Result<S::Ok, S::Error> {
    let time = DateTime::<Utc>::from_timestamp_micros(*micros).unwrap_or_default();
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn usual_ip<S: Serializer>(ip: &Option<Ipv6Addr>, serializer: S) -> Result<S::Ok, S::Error> {
    match ip {
        None => serializer.serialize_none(),
        Some(ip) => serializer.collect_str(&ip.to_canonical()),
    }
}
