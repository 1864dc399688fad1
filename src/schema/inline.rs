//! Running the tests inside mapping files, and showing an event field by field.
//!
//! In: a [`Catalog`], one of its mappings' [`InlineTest`]s. Out: what differs.
//!
//! # Invariants
//! - A test sees the record as the pipeline would: all mappings are candidates unless its topic
//!   says otherwise.
//!
//! Deliberately unknown here: files, terminals.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bumpalo::Bump;
use chrono::{DateTime, SecondsFormat};

use super::mapping::{Expect, InlineTest};
use super::{Catalog, TopicRule};
use crate::event::{AuditEvent, Fate, Headers, RawRecord};

/// The tenant a test's record gets where nothing else says one.
const TEST_TENANT: &str = "test";
/// 2030-01-01: the timestamp of a test's record that has none of its own.
const TEST_TIMESTAMP: i64 = 1_893_456_000_000_000;

/// An event as field names and texts, absent ones left out.
pub fn fields(event: &AuditEvent<'_>) -> BTreeMap<String, String> {
    let micros = |at| DateTime::from_timestamp_micros(at).unwrap_or_default();
    let ip = event.client_ip;
    let ip = if ip.is_unspecified() { String::new() } else { ip.to_canonical().to_string() };
    let singles: [(&str, &str); 24] = [
        ("source_id", event.source_id),
        ("tenant", event.tenant),
        ("schema", event.schema),
        ("service", event.service),
        ("action", event.action),
        ("verb", event.verb.as_str()),
        ("outcome", event.outcome.as_str()),
        ("reason", event.reason),
        ("origin", event.origin.as_str()),
        ("client_ip", &ip),
        ("user_agent", event.user_agent),
        ("country", event.country),
        ("region", event.region),
        ("session_id", event.session_id),
        ("request_id", event.request_id),
        ("correlation_id", event.correlation_id),
        ("message", event.message),
        ("changes.old", event.changes_old),
        ("changes.new", event.changes_new),
        ("written_by", event.written_by),
        ("time_source", event.time_source.as_str()),
        ("target.id", event.target.id),
        ("target.type", event.target.kind),
        ("target.name", event.target.name),
    ];
    let actor = [
        ("actor.id", event.actor.id),
        ("actor.type", event.actor.kind),
        ("actor.name", event.actor.name),
        ("actor.email", event.actor.email),
        ("actor.account_id", event.actor.account_id),
        ("actor.account_name", event.actor.account_name),
    ];
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let occurred_at = micros(event.occurred_at).to_rfc3339_opts(SecondsFormat::AutoSi, true);
    found.insert("occurred_at".into(), occurred_at);
    found.insert("mapping_version".into(), event.mapping_version.to_string());
    let pairs = singles.into_iter().chain(actor).map(|(k, v)| (k.to_owned(), v));
    let attributes = event.attributes.iter().map(|(k, v)| (format!("attributes.{k}"), *v));
    let headers = event.headers.iter().map(|(k, v)| (format!("headers.{k}"), *v));
    let targets = event.targets.iter().enumerate().flat_map(|(at, target)| {
        [("id", target.id), ("type", target.kind), ("name", target.name)]
            .map(|(part, text)| (format!("targets.{at}.{part}"), text))
    });
    for (name, text) in pairs.chain(attributes).chain(headers).chain(targets) {
        if !text.is_empty() {
            found.insert(name, text.to_owned());
        }
    }
    found
}

/// Run one test of a mapping; what differs, one sentence each.
pub fn run(catalog: &Catalog, test: &InlineTest) -> Vec<String> {
    let rule = TopicRule { schema: None, tenant: None, tenant_from_body: true };
    let topic = test.topic.as_deref().unwrap_or("test");
    let normaliser = catalog.normaliser(topic, &rule, &Arc::new(HashMap::new()), 64 << 20);
    let mut packed = Vec::new();
    for (name, value) in &test.headers {
        Headers::pack(&mut packed, name, value.as_bytes());
    }
    let fates = fates(&normaliser, test, &packed);
    // A mapping whose tenant comes from outside is still testable without saying so.
    let no_tenant =
        |fate: &Result<_, (String, String)>| matches!(fate, Err((code, _)) if code == "no_tenant");
    let expects_it = test.expect == Expect::Reason("no_tenant".to_owned());
    if fates.iter().any(no_tenant) && !expects_it {
        Headers::pack(&mut packed, "tenant", TEST_TENANT.as_bytes());
        return compare(test, &self::fates(&normaliser, test, &packed));
    }
    compare(test, &fates)
}

type Outcome = Result<BTreeMap<String, String>, (String, String)>;

fn fates(normaliser: &super::Normaliser, test: &InlineTest, headers: &[u8]) -> Vec<Outcome> {
    let arena = Bump::new();
    let record = RawRecord {
        offset: 0,
        timestamp: Some(test.timestamp.unwrap_or(TEST_TIMESTAMP)),
        key: test.key.as_deref().map(str::as_bytes),
        headers: Headers::packed(headers),
        payload: test.input.as_bytes(),
    };
    let mut fates = Vec::new();
    normaliser.normalise(&record, &arena, |_, fate| {
        fates.push(match fate {
            Fate::Event(event) => Ok(fields(event)),
            Fate::Quarantine(why) => Err((why.reason.code().to_owned(), why.sentence)),
            Fate::Skip { rule, .. } => Err(("skipped".to_owned(), rule.to_owned())),
        });
    });
    fates
}

fn compare(test: &InlineTest, fates: &[Outcome]) -> Vec<String> {
    let mut differences = Vec::new();
    match &test.expect {
        Expect::Reason(expected) => {
            for fate in fates {
                match fate {
                    Err((code, _)) if code == expected => {}
                    Err((code, sentence)) => {
                        differences.push(format!("expected {expected}, got {code}: {sentence}"));
                    }
                    Ok(_) => differences.push(format!("expected {expected}, got an event")),
                }
            }
        }
        Expect::Events(expected) => {
            if expected.len() != fates.len() {
                let (wanted, got) = (expected.len(), fates.len());
                differences.push(format!("expected {wanted} event(s), got {got}"));
            }
            for (at, (expected, fate)) in expected.iter().zip(fates).enumerate() {
                match fate {
                    Err((code, sentence)) => {
                        differences.push(format!("event {at}: quarantined as {code}: {sentence}"));
                    }
                    Ok(found) => differences.extend(field_differences(at, expected, found)),
                }
            }
        }
    }
    differences
}

fn field_differences(
    at: usize,
    expected: &BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
) -> Vec<String> {
    let differs = |(name, wanted): (&String, &String)| {
        let got = found.get(name).map(String::as_str).unwrap_or_default();
        let same = got == wanted || (name == "occurred_at" && same_time(got, wanted));
        (!same).then(|| format!("event {at}: {name} is `{got}`, expected `{wanted}`"))
    };
    expected.iter().filter_map(differs).collect()
}

/// Times are compared as moments, however they are written.
fn same_time(one: &str, other: &str) -> bool {
    let moment = |text| DateTime::parse_from_rfc3339(text).ok();
    moment(one).is_some() && moment(one) == moment(other)
}
