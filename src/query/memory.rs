//! A naive store over a plain list: it says what a [`Query`] means.
//!
//! In: stored events. Out: the answers ClickHouse is held to, and a store for tests of the API.
//!
//! # Invariants
//! - Written to be obviously right: filter, sort, fold, cut. No index, no cleverness.
//!
//! Deliberately unknown here: performance.

use uuid::Uuid;

use super::{Answer, Condition, Cursor, EventReader, Page, Query, TenantScope};
use crate::event::StoredEvent;

/// Events in a list.
#[derive(Debug, Default)]
pub struct MemoryReader {
    /// Every record's event, repeats included, in any order.
    pub events: Vec<StoredEvent>,
}

impl MemoryReader {
    fn answer(&self, query: &Query) -> Page {
        let mut found: Vec<&StoredEvent> =
            self.events.iter().filter(|event| matches(query, event)).collect();
        found.sort_by_key(|event| std::cmp::Reverse((event.occurred_at, event.id)));
        let mut folded: Vec<StoredEvent> = Vec::new();
        for event in found {
            match folded.last_mut() {
                Some(last) if last.id == event.id => last.repeats += 1,
                _ => folded.push(StoredEvent { repeats: 1, raw: None, ..event.clone() }),
            }
        }
        let more = folded.len() > query.limit as usize;
        folded.truncate(query.limit as usize);
        let last = folded.last().map(|e| Cursor { occurred_at: e.occurred_at, id: e.id });
        Page { events: folded, next: last.filter(|_| more) }
    }
}

fn matches(query: &Query, event: &StoredEvent) -> bool {
    let key = (event.occurred_at, event.id);
    query.tenants.allows(&event.tenant)
        && query.window.contains(event.occurred_at)
        && query.after.is_none_or(|after| key < (after.occurred_at, after.id))
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
            let mut found =
                self.events.iter().filter(|event| event.id == id && tenants.allows(&event.tenant));
            let first = found.next().cloned();
            let repeats = 1 + found.count() as u64;
            Ok(first.map(|event| StoredEvent { repeats, ..event }))
        })
    }

    fn ready(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
