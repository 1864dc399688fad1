//! A record to its events: envelopes opened, claimed, walked, assembled.
//!
//! In: a [`RawRecord`] of one topic. Out: a [`Fate`] for it, or for each of its elements.
//!
//! # Invariants
//! - Pure: the same record gives the same fates, for ever.
//! - Every record has at least one fate; a fault inside one element leaves the others alone.
//! - Elements are numbered in the order of the text, from 0.
//!
//! Deliberately unknown here: Kafka, ClickHouse, the clock.

use std::collections::HashMap;
use std::sync::Arc;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::assemble::{Setting, assemble};
use super::claim::Claimed;
use super::envelope::{self, MAX_NESTING};
use super::plan::{Plan, Schema};
use super::rule::Around;
use super::skip::Skips;
use super::text::joined;
use super::walk::{self, Fault, Found, List};
use crate::event::{AuditEvent, Fate, RawRecord, Reason, Rejection};

/// Headers that are kept with the event: what a write endpoint fills in, and the trace context.
const KEPT_HEADERS: [&str; 10] = [
    "tenant",
    "actor-id",
    "actor-name",
    "actor-email",
    "actor-account-id",
    "actor-account-name",
    "id",
    "timestamp",
    "traceparent",
    "tracestate",
];

/// What the configuration says of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicRule {
    /// The mapping of all its records; `None` leaves the choice to headers and shapes.
    pub schema: Option<String>,
    /// The tenant of all its records that have no `tenant` header.
    pub tenant: Option<String>,
    /// Whether the body may say whose log it belongs to.
    pub tenant_from_body: bool,
}

/// Turns the records of one topic into events.
#[derive(Debug)]
pub struct Normaliser {
    pub(super) plan: Plan,
    pub(super) topic: Arc<str>,
    pub(super) rule: TopicRule,
    /// Alias to tenant.
    pub(super) aliases: Arc<HashMap<String, String>>,
    /// Records longer than this are quarantined.
    pub(super) max_record_bytes: usize,
    /// Rules that leave events out.
    pub(super) skips: Skips,
}

/// Where an element stands while its record is being opened.
#[derive(Clone, Copy)]
struct Place<'a> {
    around: Around<'a>,
    wrapper_rest: &'a [(&'a str, &'a str)],
    /// The bytes to keep: the payload, or the element's slice.
    raw: &'a str,
    nesting: usize,
}

/// A record being opened.
struct Opening<'r, 'a, F> {
    normaliser: &'a Normaliser,
    record: &'r RawRecord<'a>,
    arena: &'a Bump,
    index: u32,
    each: F,
}

impl Normaliser {
    /// Decide the fate of a record; `each` is called once for every element, in order.
    pub fn normalise<'a>(
        &'a self,
        record: &RawRecord<'a>,
        arena: &'a Bump,
        each: impl FnMut(u32, Fate<'a>),
    ) {
        let mut opening = Opening { normaliser: self, record, arena, index: 0, each };
        match self.text(record) {
            Err(fault) => opening.reject(fault, "", record.payload),
            Ok(text) => {
                let around = Around {
                    topic: &self.topic,
                    key: record.key.and_then(|key| str::from_utf8(key).ok()),
                    headers: record.headers,
                    cloud_event: envelope::binary_attributes(record.headers, arena),
                    wrapper: &[],
                };
                opening.open(text, Place { around, wrapper_rest: &[], raw: text, nesting: 0 });
            }
        }
    }

    fn text<'a>(&self, record: &RawRecord<'a>) -> Result<&'a str, Fault> {
        let payload = record.payload;
        let bytes = record.bytes();
        if bytes > self.max_record_bytes {
            let most = self.max_record_bytes;
            let sentence = format!("{bytes} bytes, and pipeline.max_record_bytes is {most}");
            return Err(Fault { reason: Reason::TooLarge, sentence });
        }
        let text = str::from_utf8(payload).map_err(|error| Fault {
            reason: Reason::BadUtf8,
            sentence: format!("not UTF-8 from byte {} on", error.valid_up_to()),
        })?;
        if text.trim_ascii().is_empty() {
            let sentence = "the record has no payload".to_owned();
            return Err(Fault { reason: Reason::Empty, sentence });
        }
        Ok(text)
    }
}

impl<'a, F: FnMut(u32, Fate<'a>)> Opening<'_, 'a, F> {
    fn open(&mut self, text: &'a str, place: Place<'a>) {
        let text = text.trim_ascii();
        match text.as_bytes().first() {
            Some(b'[') => match List::read(text, self.arena) {
                Ok(list) => self.open_list(&list, place),
                Err(fault) => self.reject(fault, "", place.raw.as_bytes()),
            },
            Some(b'{') => self.open_object(text, place),
            _ => {
                // A scalar, or no JSON at all: the parser knows which.
                let json = serde_json::from_str::<serde::de::IgnoredAny>(text);
                let fault = match json {
                    Err(error) => walk::syntax(&error),
                    Ok(_) => Fault {
                        reason: Reason::NotAnObject,
                        sentence: "a JSON scalar, where an event is an object".to_owned(),
                    },
                };
                self.reject(fault, "", place.raw.as_bytes());
            }
        }
    }

    fn open_list(&mut self, list: &List<'a>, place: Place<'a>) {
        let elements = match list.elements() {
            Ok(_) if place.nesting == MAX_NESTING => {
                Err(envelope::bad("envelopes nested more than three deep"))
            }
            Ok(elements) if self.repeated_bytes(&place) * elements.len() > self.most_repeated() => {
                let sentence = "what stands around its events would be kept with each of them, and \
                                take many times the record's size";
                Err(Fault { reason: Reason::TooLarge, sentence: sentence.to_owned() })
            }
            Ok([]) => {
                let sentence = "an array of events that holds none".to_owned();
                Err(Fault { reason: Reason::Empty, sentence })
            }
            elements => elements,
        };
        match elements {
            Err(fault) => self.reject(fault, "", place.raw.as_bytes()),
            Ok(elements) => {
                for &element in elements {
                    self.open(element, Place { raw: element, nesting: place.nesting + 1, ..place });
                }
            }
        }
    }

    /// Bytes that every element's event would carry of what stands around it.
    fn repeated_bytes(&self, place: &Place<'a>) -> usize {
        let around = place.around.cloud_event.iter().chain(place.wrapper_rest);
        let around: usize = around.map(|(name, value)| name.len() + value.len()).sum();
        around + self.record.bytes_around()
    }

    /// What all elements together may carry so.
    fn most_repeated(&self) -> usize {
        64 * 1024 + 8 * self.record.payload.len()
    }

    fn open_object(&mut self, text: &'a str, place: Place<'a>) {
        let plan = &self.normaliser.plan;
        let found = match walk::walk(&plan.trie, text, "", plan.keep_rest, self.arena) {
            Ok(found) => found,
            Err(fault) => return self.reject(fault, "", place.raw.as_bytes()),
        };
        if found.leaf(plan.spec_version).scalar().is_some() {
            match envelope::open_cloud_event(text, self.arena) {
                Err(fault) => return self.reject(fault, "", place.raw.as_bytes()),
                Ok(Some(_)) if place.nesting == MAX_NESTING => {
                    let fault = envelope::bad("envelopes nested more than three deep");
                    return self.reject(fault, "", place.raw.as_bytes());
                }
                Ok(Some(opened)) => {
                    let around = Around { cloud_event: opened.attributes, ..place.around };
                    let nesting = place.nesting + 1;
                    return self.open(opened.data, Place { around, nesting, ..place });
                }
                Ok(None) => {}
            }
        }
        let mut claimed = plan.claims.by_record(&place.around);
        let named = claimed != Claimed::Nobody;
        if !named {
            claimed = plan.claims.by_shape(found.leaves, &place.around);
        }
        match claimed {
            Claimed::One(at) => {
                let schema = &plan.schemas[at];
                let mut lists = lists_of(schema, &found).filter(|_| named);
                match (lists.next(), lists.next()) {
                    (None, _) => self.finish(schema, found, place),
                    (Some(list), None) => self.open_wrapper(list, found, place),
                    _ => self.reject(two_lists(), &schema.name, place.raw.as_bytes()),
                }
            }
            Claimed::Several(several) => {
                let names: Vec<&str> =
                    several.iter().map(|at| plan.schemas[*at].name.as_str()).collect();
                let sentence = format!(
                    "claimed by {}; name one for the topic, or narrow their `when`",
                    names.join(" and ")
                );
                self.reject(
                    Fault { reason: Reason::TwoMappings, sentence },
                    "",
                    place.raw.as_bytes(),
                );
            }
            Claimed::Nobody => {
                let mut lists: Vec<&List<'_>> =
                    plan.schemas.iter().flat_map(|schema| lists_of(schema, &found)).collect();
                lists.sort_by_key(|list| std::ptr::from_ref(*list));
                lists.dedup_by_key(|list| std::ptr::from_ref(*list));
                match lists[..] {
                    [list] => self.open_wrapper(list, found, place),
                    [_, _, ..] => self.reject(two_lists(), "", place.raw.as_bytes()),
                    [] => {
                        let sentence = format!(
                            "no mapping claims it by topic `{}`, by header or by shape; \
                             name a `schema` for the topic, or write a mapping",
                            self.normaliser.topic
                        );
                        let fault = Fault { reason: Reason::NoMapping, sentence };
                        self.reject(fault, "", place.raw.as_bytes());
                    }
                }
            }
        }
    }

    /// A wrapper: its list's elements are the events, its scalars stand around each.
    fn open_wrapper(&mut self, list: &List<'a>, found: Found<'a>, place: Place<'a>) {
        let plan = &self.normaliser.plan;
        let mut rest = BumpVec::new_in(self.arena);
        let slots = found.filled.iter();
        let slots =
            slots.filter_map(|slot| Some((plan.trie.path(slot), found.leaf(slot).scalar()?)));
        for (path, text) in slots.chain(found.rest.iter().copied()) {
            rest.push((joined(["@wrapper.", path], self.arena), text));
        }
        let around = Around { wrapper: found.leaves, ..place.around };
        self.open_list(list, Place { around, wrapper_rest: rest.into_bump_slice(), ..place });
    }

    fn finish(&mut self, schema: &'a Schema, found: Found<'a>, place: Place<'a>) {
        let tenant = match self.normaliser.outer_tenant(self.record) {
            Ok(tenant) => tenant,
            Err(fault) => return self.reject(fault, &schema.name, place.raw.as_bytes()),
        };
        let setting = Setting {
            around: place.around,
            tenant,
            tenant_from_body: self.normaliser.rule.tenant_from_body,
            timestamp: self.record.timestamp,
            wrapper_rest: place.wrapper_rest,
        };
        let plan = &self.normaliser.plan;
        let event = assemble(schema, &plan.trie, found, place.raw, &setting, self.arena);
        match event.and_then(|event| self.settle_tenant(event)) {
            Ok(event) => self.emit(self.normaliser.skips.fate(event)),
            Err(fault) => self.reject(fault, &schema.name, place.raw.as_bytes()),
        }
    }

    fn settle_tenant(&self, event: &'a mut AuditEvent<'a>) -> Result<&'a AuditEvent<'a>, Fault> {
        if event.tenant.is_empty() {
            let sentence = "no `tenant` header, no tenant for the topic, and none from the body \
                            (or `tenant_from_body` is off)";
            return Err(Fault { reason: Reason::NoTenant, sentence: sentence.to_owned() });
        }
        event.tenant = self.normaliser.resolved(event.tenant);
        let mut kept = BumpVec::with_capacity_in(KEPT_HEADERS.len(), self.arena);
        for (name, value) in self.record.headers.parts() {
            let name = KEPT_HEADERS.iter().find(|kept| kept.as_bytes() == name);
            if let (Some(name), Ok(value)) = (name, str::from_utf8(value)) {
                kept.push((*name, value));
            }
        }
        event.headers = kept.into_bump_slice();
        Ok(event)
    }

    fn reject(&mut self, fault: Fault, mapping: &'a str, raw: &'a [u8]) {
        let Fault { reason, sentence } = fault;
        let tenant = self.normaliser.tenant_of_rejected(self.record);
        self.emit(Fate::Quarantine(Rejection { reason, sentence, mapping, tenant, raw }));
    }

    fn emit(&mut self, fate: Fate<'a>) {
        (self.each)(self.index, fate);
        self.index += 1;
    }
}

/// The lists that make a walked object a wrapper of a schema's events.
fn lists_of<'a>(schema: &Schema, found: &Found<'a>) -> impl Iterator<Item = &'a List<'a>> {
    schema.each.iter().filter_map(|slot| found.leaf(*slot).list())
}

/// Whichever list were taken, the events of the other would be lost.
fn two_lists() -> Fault {
    envelope::bad("the record holds more than one list of events")
}
