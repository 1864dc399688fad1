//! For any record and any mapping, the engine and the naive mapper give the same event.
//!
//! In: what [`super::generator`] makes; arbitrary bytes. Out: pass, or the smallest case that
//! differs.
//!
//! # Invariants
//! - `PROPTEST_CASES` overrides the number of cases.
//!
//! Deliberately unknown here: which of the two is right.

use std::collections::HashMap;
use std::sync::Arc;

use bumpalo::Bump;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use trailhouse::event::{Fate, Headers, Position, RawRecord, id};
use trailhouse::schema::{Catalog, TopicRule, parse};

use super::generator::{Json, Style, mapping, record};
use super::{AT, LIMIT, normaliser, outcomes, shipped};
use crate::reference::{self, Outside};

const HEADERS: [(&str, &str); 3] = [("tenant", "acme"), ("ce_type", "order"), ("ce_a", "ä")];

fn runner(cases: u32) -> TestRunner {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = wanted.unwrap_or(cases);
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn the_engine_and_the_naive_mapper_agree_on_any_record_and_any_mapping() {
    let records = vec((record(), any::<u64>().prop_map(Style)), 1..5);
    let any = (mapping(), records, prop::bool::weighted(0.9), any::<bool>());
    let result = runner(2_000).run(&any, |(file, records, has_tenant, tenant_from_body)| {
        let mapping = parse::mapping("any.toml", "any", &file);
        let mapping = mapping.unwrap_or_else(|problems| panic!("{problems:#?}\n{file}"));
        let catalog = Catalog::load([("any.toml", "any", file.as_str())]).unwrap();
        let rule = TopicRule { schema: Some("any".to_owned()), tenant: None, tenant_from_body };
        let engine = catalog.normaliser("a.topic", &rule, &Arc::new(HashMap::new()), LIMIT);
        let headers = if has_tenant { &HEADERS[..] } else { &HEADERS[1..] };
        let outside = Outside {
            topic: "a.topic",
            key: Some("the key"),
            headers,
            timestamp: AT,
            tenant_from_body,
        };
        for (record, mut style) in records {
            let text = record.write(&mut style);
            let expected = reference::fields(&mapping, &text, &outside);
            let found = outcomes(&engine, headers, text.as_bytes()).remove(0);
            match (found, expected) {
                (Ok(found), Ok(expected)) => {
                    prop_assert_eq!(found, expected, "{}\n{}", file, text);
                }
                (Err((code, _)), Err(reasons)) => {
                    let codes: Vec<&str> = reasons.iter().map(|reason| reason.code()).collect();
                    prop_assert!(codes.contains(&code), "{code} of {codes:?}\n{file}\n{text}");
                }
                (found, expected) => {
                    prop_assert!(false, "{found:#?}\nnaive: {expected:#?}\n{file}\n{text}");
                }
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_same_bytes_give_the_same_event_and_the_same_id_twice() {
    let catalog = shipped();
    let pace = normaliser(&catalog, "audit.pace");
    let result = runner(500).run(&(record(), any::<u64>()), |(record, style)| {
        let text = with_an_action(record).write(&mut Style(style));
        let mut packed = Vec::new();
        Headers::pack(&mut packed, "tenant", b"acme");
        let arenas = [Bump::new(), Bump::new()];
        let twice = arenas.each_ref().map(|arena| {
            let headers = Headers::packed(&packed);
            let payload = text.as_bytes();
            let record = RawRecord { offset: 5, timestamp: Some(AT), key: None, headers, payload };
            let mut fates = Vec::new();
            pace.normalise(&record, arena, |index, fate| {
                let id = match &fate {
                    Fate::Event(event) => {
                        assert_eq!(event.raw.trim(), text.trim());
                        Some(id::derive(event, &position(index), &id::digest(event.raw.as_bytes())))
                    }
                    _ => None,
                };
                fates.push((index, id, fate));
            });
            fates
        });
        let [one, other] = twice;
        prop_assert_eq!(one, other);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

fn with_an_action(record: Json) -> Json {
    match record {
        Json::Object(mut members) => {
            members.push(("actionName".to_owned(), Json::Text("list_orders".to_owned())));
            Json::Object(members)
        }
        other => other,
    }
}

fn position(index: u32) -> Position<'static> {
    Position {
        cluster: "main",
        topic: "audit.pace",
        incarnation: "",
        partition: 3,
        offset: 5,
        index,
    }
}

#[test]
fn no_bytes_panic_and_all_have_a_fate() {
    let catalog = shipped();
    let topics = catalog.mappings().map(|mapping| format!("audit.{}", mapping.name));
    let topics: Vec<String> = topics.chain(["unnamed".to_owned()]).collect();
    let engines: Vec<_> = topics.iter().map(|topic| normaliser(&catalog, topic)).collect();
    let mutated = (record(), any::<u64>(), vec((any::<Index>(), any::<u8>()), 0..4));
    let mutated = mutated.prop_map(|(record, style, changes)| {
        let mut bytes = record.write(&mut Style(style)).into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    });
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..200),
        "[\\[\\]{}\",:0-9a-e\\\\ ]*".prop_map(String::into_bytes),
        mutated
    ];
    let result = runner(2_000).run(&bytes, |bytes| {
        for engine in &engines {
            outcomes(engine, &[("tenant", "acme")], &bytes);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
