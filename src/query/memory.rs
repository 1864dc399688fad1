//! A naive store over a plain list: it says what a [`Query`] means.
//!
//! In: stored events. Out: the answers ClickHouse is held to, and a store for tests of the API.
//!
//! # Invariants
//! - Written to be obviously right: filter, sort, fold, cut. No index, no cleverness.
//! - The order is total: events of one [`Place`] are repeats, and stand by the position of their
//!   records. A fold shows the first of them.
//!
//! Deliberately unknown here: performance.

use std::cmp::Reverse;

use uuid::Uuid;

use super::{Answer, Condition, EventReader, Page, Place, Query, TenantScope};
use crate::event::{StoredEvent, StoredPosition};

/// Events in a list.
#[derive(Debug, Default)]
pub struct MemoryReader {
    /// Every record's event, repeats included, in any order.
    pub events: Vec<StoredEvent>,
}

impl MemoryReader {
    fn answer(&self, query: &Query) -> Page {
        let mut found = self.folded(|event| matches(query, event));
        let more = found.len() > query.limit as usize;
        found.truncate(query.limit as usize);
        let next = found.last().map(Place::of).filter(|_| more);
        let without_raw = |event| StoredEvent { raw: None, ..event };
        Page { events: found.into_iter().map(without_raw).collect(), next }
    }

    /// The events that match, newest first, repeats folded.
    fn folded(&self, matches: impl Fn(&StoredEvent) -> bool) -> Vec<StoredEvent> {
        let mut found: Vec<&StoredEvent> = self.events.iter().filter(|e| matches(e)).collect();
        found.sort_by(|a, b| order(a).cmp(&order(b)));
        let mut folded: Vec<StoredEvent> = Vec::new();
        for event in found {
            match folded.last_mut() {
                Some(last) if Place::of(last) == Place::of(event) => last.repeats += 1,
                _ => folded.push(StoredEvent { repeats: 1, ..event.clone() }),
            }
        }
        folded
    }
}

fn order(event: &StoredEvent) -> impl Ord {
    let StoredPosition { cluster, topic, incarnation, partition, offset, index } = &event.kafka;
    (Reverse(Place::of(event).rank()), (cluster, topic, incarnation, partition, offset, index))
}

fn matches(query: &Query, event: &StoredEvent) -> bool {
    query.tenants.allows(&event.tenant)
        && query.window.contains(event.occurred_at)
        && query.after.is_none_or(|after| Place::of(event).rank() < after.rank())
        && query.conditions.iter().all(|condition| holds(condition, event))
}

fn holds(condition: &Condition, event: &StoredEvent) -> bool {
    let mut targets = event.targets.iter().chain([&event.target]);
    match condition {
        Condition::ActorId(id) => event.actor.id == *id,
        Condition::Action(action) => event.action == *action,
        Condition::Verb(verb) => event.verb == *verb,
        Condition::TargetId(id) => targets.any(|target| target.id == *id),
        Condition::TargetType(kind) => targets.any(|target| target.kind == *kind),
        Condition::Outcome(outcome) => event.outcome == *outcome,
        Condition::Schema(schema) => event.schema == *schema,
        Condition::ClientIp(ip) => event.client_ip == Some(*ip),
    }
}

impl EventReader for MemoryReader {
    fn page<'a>(&'a self, query: &'a Query) -> Answer<'a, Page> {
        Box::pin(async { Ok(self.answer(query)) })
    }

    fn get<'a>(&'a self, tenants: &'a TenantScope, id: Uuid) -> Answer<'a, Option<StoredEvent>> {
        Box::pin(async move {
            let found = self.folded(|event| event.id == id && tenants.allows(&event.tenant));
            Ok(found.into_iter().next())
        })
    }

    fn ready(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
