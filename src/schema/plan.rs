//! The mappings a topic's records may belong to, compiled into one trie.
//!
//! In: mappings. Out: a [`Plan`]: one walk fills the slots of all of them, the claim picks one,
//! and its rules read the slots.
//!
//! # Invariants
//! - A topic named for one mapping gets a trie of that mapping alone; neighbours cost it nothing.
//! - Where there is one candidate, the elements of its targets are walked as they are met.
//!
//! Deliberately unknown here: records.

use std::sync::Arc;

use super::claim::{Claim, Claims};
use super::mapping::{Field, Mapping, TargetRule};
use super::path::Path;
use super::rule::Op;
use super::trie::{Slot, Trie};

/// The candidates of a topic, compiled.
#[derive(Debug)]
pub struct Plan {
    /// Their paths.
    pub trie: Trie,
    /// The candidates.
    pub schemas: Vec<Schema>,
    /// What each of them claims, in the same order.
    pub claims: Claims,
    /// Whether any of them keeps what no field took.
    pub keep_rest: bool,
    /// The slot that tells a CloudEvents envelope.
    pub spec_version: Slot,
}

/// One mapping, compiled.
#[derive(Debug)]
pub struct Schema {
    pub name: String,
    pub version: u16,
    /// Where a record of it may carry many events.
    pub each: Vec<Slot>,
    /// The rule of each field, at the field's number.
    fields: Vec<Option<Op>>,
    pub required: Vec<Field>,
    pub targets: Vec<TargetPlan>,
    pub attributes: Vec<(String, Op)>,
    pub rest: bool,
    /// What is kept even without the rest: a time or an address that cannot stand in its column.
    pub kept: Vec<Slot>,
}

/// A rule for things acted on, compiled.
#[derive(Debug)]
pub struct TargetPlan {
    /// An array's slot, and the trie its elements are walked with.
    pub each: Option<(Slot, Arc<Trie>)>,
    pub id: Option<Op>,
    pub kind: Option<Op>,
    pub name: Option<Op>,
}

impl Plan {
    /// Compile candidates: those that the topic names, or all there are where it names none.
    pub fn compile<'m>(candidates: impl IntoIterator<Item = &'m Mapping>, named: bool) -> Plan {
        let mut trie = Trie::new();
        let spec_version = trie.slot(&["specversion".to_owned()]);
        let (mut compiled, mut claims) = (Vec::new(), Vec::new());
        for mapping in candidates {
            compiled.push((mapping, Schema::compile(mapping, &mut trie)));
            claims.push(Claim::compile(&mapping.when, &mut trie));
        }
        if let [(mapping, schema)] = &compiled[..] {
            schema.walk_elements(mapping, &mut trie);
        }
        let schemas: Vec<Schema> = compiled.into_iter().map(|(_, schema)| schema).collect();
        let keep_rest = schemas.iter().any(|schema| schema.rest);
        Plan { trie, schemas, claims: Claims::new(named, claims), keep_rest, spec_version }
    }
}

impl Schema {
    fn compile(mapping: &Mapping, trie: &mut Trie) -> Schema {
        for path in &mapping.unwrap {
            if let Path::Body(segments) = path {
                trie.mark(segments).unwrap = true;
            }
        }
        let mut fields: Vec<Option<Op>> = Field::ALL.iter().map(|_| None).collect();
        for (field, rule) in &mapping.fields {
            fields[*field as usize] = Some(Op::compile(rule, trie));
        }
        let mut kept = Vec::new();
        for field in [Field::OccurredAt, Field::ClientIp] {
            fields[field as usize].iter().for_each(|op| op.slots(&mut kept));
        }
        kept.sort_unstable();
        kept.dedup();
        let each = mapping.each.iter().filter_map(|path| array(path, trie)).collect();
        Schema {
            name: mapping.name.clone(),
            version: mapping.version,
            each,
            fields,
            required: mapping.required.clone(),
            targets: mapping.targets.iter().map(|rule| TargetPlan::compile(rule, trie)).collect(),
            attributes: mapping
                .attributes
                .iter()
                .map(|(name, rule)| (name.clone(), Op::compile(rule, trie)))
                .collect(),
            rest: mapping.rest,
            kept,
        }
    }

    /// Have lists of things acted on walked as they are met: the schema is the only candidate, so
    /// it is known that they are, and what for.
    fn walk_elements(&self, mapping: &Mapping, trie: &mut Trie) {
        for (rule, plan) in mapping.targets.iter().zip(&self.targets) {
            let (Some(path), Some((_, elements))) = (&rule.each, &plan.each) else { continue };
            let same = mapping.targets.iter().filter(|other| other.each.as_ref() == Some(path));
            let is_alone = same.count() == 1 && !mapping.each.contains(path);
            if let (Path::Body(segments), true) = (path, is_alone) {
                trie.walk_elements(segments, elements);
            }
        }
    }

    /// The rule of a field.
    pub fn field(&self, wanted: Field) -> Option<&Op> {
        self.fields[wanted as usize].as_ref()
    }
}

impl TargetPlan {
    fn compile(rule: &TargetRule, trie: &mut Trie) -> TargetPlan {
        let slot = rule.each.as_ref().and_then(|path| array(path, trie));
        let mut own = Trie::new();
        let paths = if slot.is_some() { &mut own } else { trie };
        let mut part = |rule: &Option<_>| rule.as_ref().map(|rule| Op::compile(rule, paths));
        let (id, kind, name) = (part(&rule.id), part(&rule.kind), part(&rule.name));
        TargetPlan { each: slot.map(|slot| (slot, Arc::new(own))), id, kind, name }
    }
}

/// The slot of an array whose elements are walked one by one.
fn array(path: &Path, trie: &mut Trie) -> Option<Slot> {
    let Path::Body(segments) = path else { return None };
    trie.mark(segments).each = true;
    Some(trie.slot(segments))
}
