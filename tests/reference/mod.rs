//! What docs/SCHEMAS.md means, said as simply as it can be: a tree of values and rules evaluated
//! one by one.
//!
//! In: a parsed [`Mapping`], a record's JSON, what stands around it. Out: the fields of its event,
//! or every reason there is to refuse it. The engine in `src/schema` is held to this by a property
//! test and measured against it by the benchmark.
//!
//! # Invariants
//! - Nothing here is shared with the engine but the types of a mapping, the reading of a time
//!   (which has its own table) and the printing of a path.
//! - A value is *taken* when its text stands in a field as it was, or inside a captured JSON text,
//!   or hit a lookup's table. The rest is every scalar that is not taken.
//! - `serde_json::Value` loses the digits of a number that is neither `i64` nor `u64`; its exact
//!   text is fetched from the record again.
//!
//! Deliberately unknown here: envelopes and claims (tables test those), speed, numbers beyond
//! `f64`, which a `Value` cannot hold.

mod rule;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, SecondsFormat};
use serde_json::Value;
use serde_json::value::RawValue;
use trailhouse::event::{Micros, Origin, Outcome, Reason, Verb};
use trailhouse::schema::mapping::{Field, Mapping};
use trailhouse::schema::path::{Path, push_segment};

use self::rule::{Body, Found, paths};

const DAY: Micros = 24 * 3600 * 1_000_000;

/// What stands around a record.
pub struct Outside<'r> {
    pub topic: &'r str,
    pub key: Option<&'r str>,
    pub headers: &'r [(&'r str, &'r str)],
    pub timestamp: Micros,
    pub tenant_from_body: bool,
}

impl<'r> Outside<'r> {
    fn header(&self, name: &str) -> Option<&'r str> {
        self.headers.iter().rfind(|(other, _)| *other == name).map(|(_, value)| *value)
    }
}

/// An event as a mapper over values would make it.
pub struct Meaning<'v> {
    pub fields: BTreeMap<Field, Cow<'v, str>>,
    /// Id, type and name of each.
    pub targets: Vec<[Cow<'v, str>; 3]>,
    pub attributes: Vec<(String, Cow<'v, str>)>,
    pub occurred_at: Micros,
    pub own_time: bool,
}

/// The fields of a record's event as `schema::inline::fields` names them, or the reasons against.
pub fn fields(
    mapping: &Mapping,
    text: &str,
    outside: &Outside<'_>,
) -> Result<BTreeMap<String, String>, Vec<Reason>> {
    let mut value: Value = serde_json::from_str(text).map_err(|_| vec![Reason::NotJson])?;
    let mut reasons = Vec::new();
    if has_a_key_twice(text) {
        reasons.push(Reason::DuplicateKey);
    }
    reasons.extend(unwrap(mapping, &mut value));
    reasons.extend(missing(mapping, text, &value, outside));
    let meaning = meaning(mapping, text, &value, outside);
    if meaning.fields.get(&Field::Tenant).is_none_or(|tenant| tenant.is_empty()) {
        reasons.push(Reason::NoTenant);
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }

    let time = DateTime::from_timestamp_micros(meaning.occurred_at).unwrap_or_default();
    let time_source = if meaning.own_time { "event" } else { "record" };
    let mut all: BTreeMap<String, String> = BTreeMap::from([
        ("schema".to_owned(), mapping.name.clone()),
        ("mapping_version".to_owned(), mapping.version.to_string()),
        ("occurred_at".to_owned(), time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        ("time_source".to_owned(), time_source.to_owned()),
        ("written_by".to_owned(), outside.header("written-by").unwrap_or_default().to_owned()),
    ]);
    for (field, text) in meaning.fields {
        all.insert(field.name().to_owned(), text.into_owned());
    }
    for (name, text) in meaning.attributes {
        all.insert(format!("attributes.{name}"), text.into_owned());
    }
    for (at, target) in meaning.targets.into_iter().enumerate() {
        for (part, text) in ["id", "type", "name"].into_iter().zip(target) {
            all.insert(format!("targets.{at}.{part}"), text.into_owned());
        }
    }
    for (name, value) in outside.headers.iter().filter(|(name, _)| *name == "tenant") {
        all.insert(format!("headers.{name}"), (*value).to_owned());
    }
    all.retain(|_, text| !text.is_empty());
    Ok(all)
}

/// The event of a record that has been parsed.
pub fn meaning<'v>(
    mapping: &'v Mapping,
    text: &'v str,
    value: &'v Value,
    outside: &'v Outside<'v>,
) -> Meaning<'v> {
    let body = Body { root: value, prefix: &[], text, outside };
    let mut taken: HashSet<*const Value> = HashSet::new();
    let mut fields = BTreeMap::new();
    let mut time = None;
    let ce = outside.headers.iter().filter(|(name, _)| name.starts_with("ce_"));
    for (field, rule) in &mapping.fields {
        let tenant_is_known = outside.header("tenant").is_some_and(|tenant| !tenant.is_empty());
        let found = match field {
            Field::OccurredAt => {
                time = body
                    .time(rule)
                    .filter(|(time, _)| (0..=outside.timestamp.saturating_add(DAY)).contains(time));
                if let Some((_, took)) = &time {
                    taken.extend(took.iter().map(|value| std::ptr::from_ref(*value)));
                }
                None
            }
            Field::Tenant if tenant_is_known || !outside.tenant_from_body => None,
            Field::ClientIp => body.ip(rule),
            Field::ChangesOld | Field::ChangesNew => body.json(rule),
            Field::Verb => body.text(rule).filter(|found| Verb::parse(&found.text).is_some()),
            Field::Outcome => body.text(rule).filter(|found| Outcome::parse(&found.text).is_some()),
            Field::Origin => body.text(rule).filter(|found| Origin::parse(&found.text).is_some()),
            _ => body.text(rule),
        };
        if let Some(Found { text, took }) = found {
            fields.insert(*field, text);
            taken.extend(took.into_iter().map(std::ptr::from_ref));
        }
    }
    for (field, word) in
        [(Field::Verb, "other"), (Field::Outcome, "unknown"), (Field::Origin, "unknown")]
    {
        fields.entry(field).or_insert(Cow::Borrowed(word));
    }
    if let Some(tenant) = outside.header("tenant").filter(|tenant| !tenant.is_empty()) {
        fields.insert(Field::Tenant, Cow::Borrowed(tenant));
    }

    let mut named = Vec::new();
    for (name, rule) in &mapping.attributes {
        if let Some(Found { text, took }) = body.text(rule).filter(|found| !found.text.is_empty()) {
            named.push((name.clone(), text));
            taken.extend(took.into_iter().map(std::ptr::from_ref));
        }
    }
    let targets = targets(mapping, &body, &mut taken);
    let parts = [Field::TargetId, Field::TargetType, Field::TargetName];
    let nothing = |part| fields.get(part).is_none_or(|text: &Cow<'_, str>| text.is_empty());
    if let (true, Some(first)) = (parts.iter().all(nothing), targets.first()) {
        fields.extend(parts.into_iter().zip(first.clone()));
    }

    let mut attributes = Vec::new();
    if mapping.rest {
        attributes.extend(ce.map(|(name, value)| ((*name).to_owned(), Cow::Borrowed(*value))));
        rest(&body, value, &mut Vec::new(), &taken, &mut attributes);
    } else {
        let kept = [Field::OccurredAt, Field::ClientIp];
        for (_, rule) in mapping.fields.iter().filter(|(field, _)| kept.contains(field)) {
            for path in paths(rule) {
                let is_scalar = |value: &&Value| !value.is_object() && !value.is_array();
                if let Some(value) = at(value, path).filter(is_scalar) {
                    let path = &mut path.to_vec();
                    self::rest(&body, value, path, &taken, &mut attributes);
                }
            }
        }
    }
    // A name that the mapping gives is the mapping's.
    attributes.extend(named);
    Meaning {
        fields,
        targets,
        attributes,
        occurred_at: time.as_ref().map_or(outside.timestamp, |(time, _)| *time),
        own_time: time.is_some(),
    }
}

fn targets<'v>(
    mapping: &'v Mapping,
    body: &Body<'v, '_>,
    taken: &mut HashSet<*const Value>,
) -> Vec<[Cow<'v, str>; 3]> {
    let mut targets = Vec::new();
    for target in &mapping.targets {
        let parts = [target.id.as_ref(), target.kind.as_ref(), target.name.as_ref()];
        let Some(Path::Body(each)) = &target.each else {
            if let Some((target, took)) = body.target(parts) {
                targets.push(target);
                taken.extend(took);
            }
            continue;
        };
        let Some(Value::Array(elements)) = at(body.root, each) else { continue };
        for (index, element) in elements.iter().enumerate() {
            let mut prefix = each.clone();
            prefix.push(index.to_string());
            if let Some((target, took)) =
                (Body { root: element, prefix: &prefix, ..*body }).target(parts)
            {
                targets.push(target);
                taken.extend(took);
            }
        }
    }
    targets
}

/// Every scalar that is not taken, under its path.
fn rest<'v>(
    body: &Body<'v, '_>,
    value: &'v Value,
    path: &mut Vec<String>,
    taken: &HashSet<*const Value>,
    attributes: &mut Vec<(String, Cow<'v, str>)>,
) {
    if taken.contains(&std::ptr::from_ref(value)) {
        return;
    }
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                path.push(key.clone());
                rest(body, member, path, taken, attributes);
                path.pop();
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                path.push(index.to_string());
                rest(body, element, path, taken, attributes);
                path.pop();
            }
        }
        scalar => {
            let mut name = String::new();
            path.iter().for_each(|segment| push_segment(&mut name, segment));
            attributes.extend(scalar_text(body.text, scalar, path).map(|text| (name, text)));
        }
    }
}

/// Why a mapping's required fields refuse the record.
fn missing(mapping: &Mapping, text: &str, value: &Value, outside: &Outside<'_>) -> Vec<Reason> {
    let body = Body { root: value, prefix: &[], text, outside };
    let mut reasons = Vec::new();
    for field in &mapping.required {
        let Some((_, rule)) = mapping.fields.iter().find(|(ruled, _)| ruled == field) else {
            reasons.push(Reason::MissingField);
            continue;
        };
        let there = match field {
            Field::OccurredAt => body.time(rule).is_some(),
            Field::ClientIp => body.ip(rule).is_some(),
            Field::ChangesOld | Field::ChangesNew => body.json(rule).is_some(),
            _ => body.text(rule).is_some_and(|found| !found.text.is_empty()),
        };
        let values: Vec<&Value> = paths(rule).iter().filter_map(|path| at(value, path)).collect();
        let is_text = |value: &&Value| !(value.is_null() || value.as_str() == Some(""));
        reasons.extend(match field {
            _ if there => None,
            _ if values.iter().any(|v| v.is_object() || v.is_array()) => Some(Reason::WrongType),
            Field::OccurredAt if values.iter().any(is_text) => Some(Reason::BadTime),
            _ => Some(Reason::MissingField),
        });
    }
    // The first that is missing is the one that is told.
    reasons.truncate(1);
    reasons
}

/// Put the JSON that stands in strings in their place; the reason is that of a bad one.
pub fn unwrap(mapping: &Mapping, value: &mut Value) -> Option<Reason> {
    let mut paths: Vec<&Vec<String>> = mapping
        .unwrap
        .iter()
        .filter_map(|path| match path {
            Path::Body(segments) => Some(segments),
            _ => None,
        })
        .collect();
    paths.sort_by_key(|path| path.len());
    let mut reason = None;
    for path in paths {
        let Some(place) = at_mut(value, path) else { continue };
        let Value::String(text) = place else { continue };
        if let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
            if has_a_key_twice(text) {
                reason = Some(Reason::DuplicateKey);
            }
            *place = inner;
        }
    }
    reason
}

fn at<'v>(root: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(root, |value, key| match value {
        Value::Object(members) => members.get(key),
        Value::Array(elements) => elements.get(index(key)?),
        _ => None,
    })
}

fn at_mut<'v>(root: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(root, |value, key| match value {
        Value::Object(members) => members.get_mut(key),
        Value::Array(elements) => elements.get_mut(index(key)?),
        _ => None,
    })
}

fn index(key: &str) -> Option<usize> {
    key.parse().ok().filter(|index: &usize| index.to_string() == key)
}

fn scalar_text<'v>(text: &str, value: &'v Value, path: &[String]) -> Option<Cow<'v, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Number(n) if n.is_i64() || n.is_u64() => Some(Cow::Owned(n.to_string())),
        Value::Number(_) => Some(Cow::Owned(exact(text, path))),
        _ => None,
    }
}

/// The text of the value at a path, as it was written.
fn exact(text: &str, path: &[String]) -> String {
    let Some((key, rest)) = path.split_first() else { return text.to_owned() };
    // Going on inside a string is what `unwrap` allows.
    let inside = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
    if let Ok(members) = serde_json::from_str::<HashMap<String, &RawValue>>(&inside) {
        return exact(members[key].get(), rest);
    }
    let elements: Vec<&RawValue> = serde_json::from_str(&inside).unwrap_or_default();
    exact(index(key).map_or("", |index| elements[index].get()), rest)
}

/// Whether some object has one key twice: parse every object as a list of pairs.
fn has_a_key_twice(text: &str) -> bool {
    struct Twice(bool);
    impl<'de> serde::de::Visitor<'de> for Twice {
        type Value = bool;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object or array")
        }

        fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<bool, M::Error> {
            let (mut keys, mut twice) = (HashSet::new(), false);
            while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                twice |= !keys.insert(key) || has_a_key_twice(value.get());
            }
            Ok(twice)
        }

        fn visit_seq<S: serde::de::SeqAccess<'de>>(self, mut seq: S) -> Result<bool, S::Error> {
            let mut twice = self.0;
            while let Some(value) = seq.next_element::<&RawValue>()? {
                twice |= has_a_key_twice(value.get());
            }
            Ok(twice)
        }
    }
    let mut json = serde_json::Deserializer::from_str(text);
    // A scalar is neither, and has no key.
    serde::Deserializer::deserialize_any(&mut json, Twice(false)).unwrap_or(false)
}
