//! The leaves of a walked record, by one mapping's rules, to an event.
//!
//! In: a [`Schema`], what a walk [`Found`], what stands around it. Out: an [`AuditEvent`], or the
//! reason there is none.
//!
//! # Invariants
//! - Every scalar of the record stands in a field, in the attributes (where the mapping keeps the
//!   rest), or hit a lookup; the `raw` bytes hold all of it in any case.
//! - `occurred_at` depends on the record alone: its own time, or the record's timestamp.
//!
//! Deliberately unknown here: envelopes, tenants' aliases.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::leftover::{Attributes, add_others, untaken};
use super::mapping::Field;
use super::plan::{Schema, TargetPlan};
use super::rule::{Around, Eval, Op};
use super::text::joined;
use super::trie::{Slot, Trie};
use super::walk::{Fault, Found, Leaf};
use crate::event::{Actor, AuditEvent, Micros, Origin, Outcome, Reason, Target, TimeSource, Verb};

/// A day: how far after its record's timestamp an event may say it happened.
const FUTURE: Micros = 24 * 3600 * 1_000_000;

/// What an event needs besides its body.
pub struct Setting<'a> {
    /// What rules read besides the body.
    pub around: Around<'a>,
    /// The tenant that the header or the topic gives, before the mapping's rule is asked.
    pub tenant: Option<&'a str>,
    /// Whether the mapping's rule may be asked.
    pub tenant_from_body: bool,
    /// The record's timestamp; `None` where the source has none.
    pub timestamp: Option<Micros>,
    /// Scalars of the wrapper, by their path in it.
    pub wrapper_rest: &'a [(&'a str, &'a str)],
}

/// Turn a walked record into an event; `raw` is its exact text.
pub fn assemble<'a>(
    schema: &'a Schema,
    trie: &'a Trie,
    found: Found<'a>,
    raw: &'a str,
    setting: &Setting<'a>,
    arena: &'a Bump,
) -> Result<&'a mut AuditEvent<'a>, Fault> {
    let taken = BumpVec::with_capacity_in(trie.slots(), arena);
    let mut eval = Eval { leaves: found.leaves, around: setting.around, arena, taken };
    let time = schema.field(Field::OccurredAt).and_then(|op| eval.time(op));
    // Too far off: what the source wrote goes to the attributes.
    let own_time = time.filter(|time| plausible(*time, setting.timestamp));
    if own_time.is_none() {
        eval.taken.clear();
    }
    for field in &schema.required {
        if *field != Field::OccurredAt || time.is_none() {
            require(schema, *field, trie, &mut eval)?;
        }
    }
    let mut text = |field| schema.field(field).and_then(|op| eval.text(op)).unwrap_or_default();

    let actor = Actor {
        id: text(Field::ActorId),
        kind: text(Field::ActorType),
        name: text(Field::ActorName),
        email: text(Field::ActorEmail),
        account_id: text(Field::ActorAccountId),
        account_name: text(Field::ActorAccountName),
    };
    let target = Target {
        id: text(Field::TargetId),
        kind: text(Field::TargetType),
        name: text(Field::TargetName),
    };
    let event = arena.alloc_with(|| AuditEvent {
        source_id: text(Field::SourceId),
        tenant: setting.tenant.unwrap_or_default(),
        schema: &schema.name,
        mapping_version: schema.version,
        occurred_at: own_time.or(setting.timestamp).unwrap_or_default(),
        time_source: if own_time.is_some() { TimeSource::Event } else { TimeSource::Record },
        service: text(Field::Service),
        action: text(Field::Action),
        verb: Verb::Other,
        outcome: Outcome::Unknown,
        reason: text(Field::Reason),
        actor,
        target,
        targets: &[],
        origin: Origin::Unknown,
        client_ip: std::net::Ipv6Addr::UNSPECIFIED,
        user_agent: text(Field::UserAgent),
        country: text(Field::Country),
        region: text(Field::Region),
        session_id: text(Field::SessionId),
        request_id: text(Field::RequestId),
        correlation_id: text(Field::CorrelationId),
        message: text(Field::Message),
        changes_old: "",
        changes_new: "",
        attributes: &[],
        written_by: setting.around.headers.get("written-by").unwrap_or_default(),
        headers: &[],
        raw,
    });
    if setting.tenant.is_none() && setting.tenant_from_body {
        event.tenant = text(Field::Tenant);
    }
    event.verb = word(schema.field(Field::Verb), &mut eval, Verb::parse);
    event.outcome = word(schema.field(Field::Outcome), &mut eval, Outcome::parse);
    event.origin = word(schema.field(Field::Origin), &mut eval, Origin::parse);
    if let Some(ip) = schema.field(Field::ClientIp).and_then(|op| eval.ip(op)) {
        event.client_ip = ip;
    }
    if let Some(json) = schema.field(Field::ChangesOld).and_then(|op| eval.json(op)) {
        event.changes_old = json;
    }
    if let Some(json) = schema.field(Field::ChangesNew).and_then(|op| eval.json(op)) {
        event.changes_new = json;
    }
    let likely = schema.attributes.len() + trie.slots() + found.rest.len();
    let mut attributes = BumpVec::with_capacity_in(likely, arena);
    named_attributes(schema, &mut eval, &mut attributes);
    let mut leftovers = BumpVec::with_capacity_in(trie.slots(), arena);
    event.targets = targets(schema, trie, &mut eval, &mut leftovers)?;
    if event.target == Target::default()
        && let Some(first) = event.targets.first()
    {
        event.target = *first;
    }
    let taken = eval.taken;
    if schema.rest {
        let around = setting.around.cloud_event.iter();
        let around = around.map(|(name, value)| (joined(["ce_", name], arena), *value));
        add_others(&mut attributes, around);
        untaken(trie, &found, &taken, &mut leftovers, arena)?;
        let wrapper = setting.wrapper_rest.iter().copied();
        add_others(&mut attributes, wrapper.chain(leftovers).chain(found.rest.iter().copied()));
    } else {
        let kept = schema.kept.iter().filter(|slot| !taken.contains(slot));
        let kept = kept.filter_map(|slot| Some((trie.path(*slot), found.leaf(*slot).scalar()?)));
        add_others(&mut attributes, kept);
    }
    event.attributes = attributes.into_bump_slice();
    Ok(event)
}

/// Whether a time may stand: from 1970 on, and at most a day after the record's timestamp.
fn plausible(time: Micros, timestamp: Option<Micros>) -> bool {
    // Where the record has no time, the year 2262: the last that fits nanoseconds in 64 bits.
    const END: Micros = 9_214_646_400_000_000;
    (0..=timestamp.map_or(END, |timestamp| timestamp.saturating_add(FUTURE))).contains(&time)
}

fn require<'a>(
    schema: &'a Schema,
    field: Field,
    trie: &Trie,
    eval: &mut Eval<'_, 'a>,
) -> Result<(), Fault> {
    let Some(op) = schema.field(field) else {
        let sentence = format!("the mapping has no rule for {}", field.name());
        return Err(Fault { reason: Reason::MissingField, sentence });
    };
    let before = eval.taken.len();
    let present = match field {
        Field::OccurredAt => eval.time(op).is_some(),
        Field::ClientIp => eval.ip(op).is_some(),
        Field::ChangesOld | Field::ChangesNew => eval.json(op).is_some(),
        _ => eval.text(op).is_some_and(|text| !text.is_empty()),
    };
    eval.taken.truncate(before);
    if present {
        return Ok(());
    }
    let mut slots = Vec::new();
    op.slots(&mut slots);
    let leaf = |slot: Slot| eval.leaves[slot as usize];
    let paths: Vec<String> = slots.iter().map(|slot| format!("`{}`", trie.path(*slot))).collect();
    let paths = paths.join(", ");
    let name = field.name();
    let container = |slot: &&Slot| leaf(**slot) == Leaf::Container || leaf(**slot).is_whole();
    if let Some(slot) = slots.iter().find(container) {
        let path = trie.path(*slot);
        let sentence = format!("{name} needs a scalar at `{path}`, which is an object or array");
        return Err(Fault { reason: Reason::WrongType, sentence });
    }
    let text = |slot: &Slot| {
        let text = leaf(*slot).scalar().filter(|text| !text.is_empty());
        text.map(|text| (trie.path(*slot), text))
    };
    if let (Field::OccurredAt, Some((path, text))) = (field, slots.iter().find_map(text)) {
        let shown: String = text.chars().take(64).collect();
        let sentence = format!("the time `{shown}` at `{path}` fits none of the mapping's formats");
        return Err(Fault { reason: Reason::BadTime, sentence });
    }
    let sentence = format!("{name} is required, and nothing is at {paths}");
    Err(Fault { reason: Reason::MissingField, sentence })
}

/// An enum field: a text that is none of its words stays untaken.
fn word<'a, W: Default>(
    op: Option<&'a Op>,
    eval: &mut Eval<'_, 'a>,
    parse: impl Fn(&str) -> Option<W>,
) -> W {
    let before = eval.taken.len();
    let word = op.and_then(|op| eval.text(op)).and_then(parse);
    if word.is_none() {
        eval.taken.truncate(before);
    }
    word.unwrap_or_default()
}

fn named_attributes<'a>(schema: &'a Schema, eval: &mut Eval<'_, 'a>, to: &mut Attributes<'a>) {
    for (name, op) in &schema.attributes {
        let before = eval.taken.len();
        match eval.text(op) {
            None | Some("") => eval.taken.truncate(before),
            Some(text) => to.push((name.as_str(), text)),
        }
    }
}

fn targets<'a>(
    schema: &'a Schema,
    trie: &'a Trie,
    eval: &mut Eval<'_, 'a>,
    leftovers: &mut Attributes<'a>,
) -> Result<&'a [Target<'a>], Fault> {
    let arena = eval.arena;
    let mut targets = BumpVec::with_capacity_in(schema.targets.len(), arena);
    for plan in &schema.targets {
        let Some((slot, own)) = &plan.each else {
            targets.extend(target(plan, eval));
            continue;
        };
        let path = trie.path(*slot);
        let elements = match eval.leaves[*slot as usize] {
            Leaf::Walked(elements) => elements,
            Leaf::List(list) => list.walked(own, path, schema.rest, arena)?,
            _ => continue,
        };
        eval.taken.push(*slot);
        for (at, found) in elements.iter().enumerate() {
            let taken = BumpVec::with_capacity_in(own.slots(), arena);
            let mut inner = Eval { leaves: found.leaves, around: eval.around, arena, taken };
            targets.extend(target(plan, &mut inner));
            let mut mine = BumpVec::new_in(arena);
            untaken(own, found, &inner.taken, &mut mine, arena)?;
            let at = |name| joined([path, ".", &at.to_string(), ".", name], arena);
            leftovers.extend(mine.iter().map(|(name, value)| (at(name), *value)));
            leftovers.extend_from_slice_copy(found.rest);
        }
    }
    Ok(targets.into_bump_slice())
}

fn target<'a>(plan: &'a TargetPlan, eval: &mut Eval<'_, 'a>) -> Option<Target<'a>> {
    let before = eval.taken.len();
    let mut part =
        |op: &'a Option<Op>| op.as_ref().and_then(|op| eval.text(op)).unwrap_or_default();
    let mut target = Target { id: part(&plan.id), kind: "", name: part(&plan.name) };
    if target.is_empty() {
        eval.taken.truncate(before);
        return None;
    }
    target.kind = part(&plan.kind);
    Some(target)
}
