//! Every way a record can be wrong, on the mappings that ship: the exact reason, or the exact field.
//!
//! In: bad records. Out: pass or fail.
//!
//! # Invariants
//! - Each case names its outcome: a reason code, or the event's fields.
//!
//! Deliberately unknown here: good records; the fixtures are those.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use trailhouse::event::{Headers, RawRecord};
use trailhouse::schema::{Catalog, MAX_DEPTH, TopicRule};

use super::{AT, LIMIT, normaliser, outcomes, shipped};

/// Of PACE, which requires nothing but an action.
const PACE: &str = r#"{"service":"pay","actionName":"list_orders","x":VALUE}"#;
/// Of Cloud Cockpit, which captures changes and requires an id and a time.
const COCKPIT: &str = r#"{"id":"1","timestamp":"2025-06-15T15:00:00Z","operation":"UpdateUser","status":{"name":"Succeded"},"origin":{"name":"User"},"oldValues":VALUE}"#;
/// Of Okta, which goes over an array of targets.
const OKTA: &str = r#"{"uuid":"1","severity":"INFO","published":"2025-06-15T15:00:00Z","eventType":"user.login","actor":{"id":"a","alternateId":"a@b"},"target":VALUE}"#;
/// None that ships looks into strings.
const UNWRAPPING: &str = "name = \"log\"\nversion = 1\nabout = \"x\"\nunwrap = [\"log\"]\n[when]\ntopics = [\"audit.log\"]\n[event]\naction = \"log.action\"\nchanges.old = { json = \"log.old\" }\n";

/// The outcome of a record on the topic of a schema.
fn one(schema: &str, payload: impl AsRef<[u8]>) -> Result<BTreeMap<String, String>, &'static str> {
    let mut outcomes = all(schema, &[], payload);
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

fn all(
    schema: &str,
    headers: &[(&str, &str)],
    payload: impl AsRef<[u8]>,
) -> Vec<Result<BTreeMap<String, String>, &'static str>> {
    let catalog = match schema {
        "log" => Catalog::load([("log.toml", "log", UNWRAPPING)]).unwrap(),
        _ => shipped(),
    };
    let engine = normaliser(&catalog, &format!("audit.{schema}"));
    let headers: Vec<_> = [("tenant", "acme")].iter().chain(headers).copied().collect();
    let found = outcomes(&engine, &headers, payload.as_ref());
    found.into_iter().map(|outcome| outcome.map_err(|(code, _)| code)).collect()
}

/// Each payload, made by putting a value into a record, is refused for a reason.
fn refused(schema: &str, record: &str, table: &[(&str, &str)]) {
    for (value, reason) in table {
        let payload = record.replace("VALUE", value);
        let shown: String = value.chars().take(60).collect();
        assert_eq!(one(schema, &payload), Err(*reason), "{schema}: {shown}");
    }
}

/// Each payload, made by putting a value into a record, gives an event with this field.
fn stored(schema: &str, record: &str, table: &[(&str, &str, &str)]) {
    for (value, field, expected) in table {
        let payload = record.replace("VALUE", value);
        let event = one(schema, &payload).unwrap_or_else(|code| panic!("{value}: {code}"));
        assert_eq!(event.get(*field).map_or("", String::as_str), *expected, "{value}: {event:#?}");
    }
}

#[test]
fn what_is_no_json_object_is_refused_for_what_it_is() {
    let table: [(&[u8], &str); 24] = [
        (b"", "empty"),
        (b" \r\n\t ", "empty"),
        (b"hello", "not_json"),
        (b"<event/>", "not_json"),
        (b"{'a':1}", "not_json"),
        (b"{\"service\":\"pay\",}", "not_json"),
        (b"{\"service\":\"pay\"}{}", "not_json"),
        (b"{\"service\":\"pay\"} x", "not_json"),
        (b"{\"service\":NaN}", "not_json"),
        (b"{\"service\":01}", "not_json"),
        (b"{\"service\":\"a\nb\"}", "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b"\xff\xfe{\0}\0", "bad_utf8"),
        (b"{\"service\":\"Zo\xeb\"}", "bad_utf8"),
        (b"{\"service\":\"pay\",\"x\":{\"y\":[1,2", "truncated"),
        (b"{\"service\":\"pa", "truncated"),
        (b"{\"service\"", "truncated"),
        (b"{", "truncated"),
        (b"[{\"service\":\"pay\"},", "truncated"),
        (b"17", "not_an_object"),
        (b"\"text\"", "not_an_object"),
        (b"null", "not_an_object"),
        (b"1e999", "not_an_object"),
        (b"[]", "empty"),
    ];
    for (payload, reason) in table {
        let shown = String::from_utf8_lossy(payload);
        assert_eq!(one("pace", payload), Err(reason), "{shown}");
        assert_eq!(one("nobody", payload), Err(reason), "{shown}, on a topic of no mapping");
    }
}

#[test]
fn ten_thousand_levels_are_too_deep_wherever_they_stand() {
    let arrays = "[".repeat(10_000) + &"]".repeat(10_000);
    let objects = r#"{"a":"#.repeat(10_000) + "1" + &"}".repeat(10_000);
    let quoted = |json: &str| serde_json::to_string(json).unwrap();
    for deep in [&arrays, &objects] {
        refused("pace", PACE, &[(deep, "too_deep")]);
        refused("nobody", PACE, &[(deep, "too_deep")]);
        refused("cockpit", COCKPIT, &[(deep, "too_deep")]);
        refused("okta_system", OKTA, &[(&format!("[{{\"id\":\"1\",\"x\":{deep}}}]"), "too_deep")]);
        refused("okta_system", OKTA, &[(&format!("[{deep}]"), "too_deep")]);
        let log = format!(r#"{{"action":"a","x":{deep}}}"#);
        refused("log", r#"{"log":VALUE}"#, &[(&quoted(&log), "too_deep")]);
        let log = format!(r#"{{"action":"a","old":{deep}}}"#);
        refused("log", r#"{"log":VALUE}"#, &[(&quoted(&log), "too_deep")]);
        refused(
            "cockpit",
            r#"{"items":[VALUE]}"#,
            &[(&COCKPIT.replace("VALUE", deep), "too_deep")],
        );
    }
    // As a record, arrays are envelopes in envelopes.
    assert_eq!(one("pace", &arrays), Err("bad_envelope"));
    assert_eq!(one("pace", &objects), Err("too_deep"));
    // A hundred levels are not too many.
    let allowed = "[".repeat(99) + "7" + &"]".repeat(99);
    let name = format!("attributes.x{}", ".0".repeat(99));
    stored("pace", PACE, &[(&allowed, &name, "7")]);
    refused("pace", PACE, &[(&format!("[{allowed}]"), "too_deep")]);
}

#[test]
fn a_key_that_stands_twice_is_refused_wherever_it_stands() {
    let twice = [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"":1,"":2}"#,
        r#"[[{"b":{"a":null,"c":[],"a":{}}}]]"#,
    ];
    for value in twice {
        refused("pace", PACE, &[(value, "duplicate_key")]);
        refused("nobody", PACE, &[(value, "duplicate_key")]);
        refused("cockpit", COCKPIT, &[(value, "duplicate_key")]);
        refused("okta_system", OKTA, &[(&format!("[{value}]"), "duplicate_key")]);
        let log = serde_json::to_string(&format!(r#"{{"action":"a","x":{value}}}"#)).unwrap();
        refused("log", r#"{"log":VALUE}"#, &[(&log, "duplicate_key")]);
    }
    let top = r#"{"service":"pay","actionName":"a","VALUE":"b"}"#;
    refused("pace", top, &[("actionName", "duplicate_key"), (r"actionN\u0061me", "duplicate_key")]);
    // Between more keys than are compared one by one.
    let many: String = (0..500).map(|n| format!("\"k{n}\":{n},")).collect();
    refused("pace", PACE, &[(&format!("{{{many}\"k7\":0}}"), "duplicate_key")]);
    // One key at two levels, or in two objects, is no repeat.
    stored("pace", PACE, &[(r#"[{"x":{"x":1}},{"x":2}]"#, "attributes.x.1.x", "2")]);
}

#[test]
fn a_record_of_5_mib_is_too_large_by_default_and_stored_where_the_limit_allows_it() {
    let payload = PACE.replace("VALUE", &format!("\"{}\"", "é".repeat(5 << 19)));
    assert!(payload.len() > 5 << 20);
    assert_eq!(one("pace", &payload), Err("too_large"));
    let rule = TopicRule::default();
    let engine = shipped().normaliser("audit.pace", &rule, &Arc::new(HashMap::new()), 2 * LIMIT);
    let found = outcomes(&engine, &[("tenant", "acme")], payload.as_bytes()).remove(0).unwrap();
    assert_eq!(found["attributes.x"].len(), 5 << 20);
}

#[test]
fn a_record_that_none_or_two_claim_is_refused() {
    for body in [r#"{"level":"info","msg":"up"}"#, "{}", r#"{"specversion":1}"#] {
        assert_eq!(one("nobody", body), Err("no_mapping"), "{body}");
    }
    let both = r#"{"service":"pay","actionName":"a","event":"x.y.z","object":{"id":"1"}}"#;
    assert_eq!(one("nobody", both), Err("two_mappings"));
    assert_eq!(one("pace", both).unwrap()["schema"], "pace");
}

#[test]
fn a_record_without_a_tenant_is_refused() {
    let engine = normaliser(&shipped(), "audit.pace");
    let payload = PACE.replace("VALUE", "1");
    assert_eq!(outcomes(&engine, &[], payload.as_bytes())[0].as_ref().unwrap_err().0, "no_tenant");
}

#[test]
fn a_required_field_that_is_absent_or_of_another_type_is_told_apart() {
    let id = r#"{"id":VALUE,"timestamp":"2025-06-15T15:00:00Z","operation":"A","status":{"name":"x"},"origin":{"name":"User"}}"#;
    refused(
        "cockpit",
        id,
        &[
            ("null", "missing_field"),
            ("\"\"", "missing_field"),
            ("{}", "wrong_type"),
            ("{\"a\":1}", "wrong_type"),
            ("[\"1\"]", "wrong_type"),
        ],
    );
    refused("cockpit", &id.replace("\"id\"", "\"no\""), &[("1", "missing_field")]);
    stored(
        "cockpit",
        id,
        &[
            ("17", "source_id", "17"),
            ("1.50", "source_id", "1.50"),
            ("true", "source_id", "true"),
            ("\"null\"", "source_id", "null"),
        ],
    );
}

#[test]
fn a_value_of_another_type_goes_to_the_attributes() {
    let service = r#"{"service":VALUE,"actionName":"a"}"#;
    stored(
        "pace",
        service,
        &[
            (r#"{"name":"pay"}"#, "service", ""),
            (r#"{"name":"pay"}"#, "attributes.service.name", "pay"),
            (r#"["pay",{"a.b":"c"}]"#, "attributes.service.0", "pay"),
            (r#"["pay",{"a.b":"c"}]"#, r#"attributes.service.1."a.b""#, "c"),
            ("-1", "service", "-1"),
            ("false", "service", "false"),
            ("null", "service", ""),
            ("\"null\"", "service", "null"),
        ],
    );
    // Null, or text, where an object is expected.
    let resource = r#"{"service":"pay","actionName":"a","resource":VALUE}"#;
    stored(
        "pace",
        resource,
        &[
            ("null", "target.id", ""),
            ("\"null\"", "attributes.resource", "null"),
            ("7", "attributes.resource", "7"),
            ("[]", "target.id", ""),
        ],
    );
}

#[test]
fn a_time_that_cannot_be_or_cannot_be_read_is_not_invented() {
    let record = "2025-06-15T15:06:40.123456Z";
    let cockpit = r#"{"id":"1","timestamp":VALUE,"operation":"A","status":{"name":"x"},"origin":{"name":"User"}}"#;
    refused(
        "cockpit",
        cockpit,
        &[
            ("\"yesterday\"", "bad_time"),
            ("\"2025-06-15T15:00:00\"", "bad_time"),
            ("\"2025-02-30T00:00:00Z\"", "bad_time"),
            ("1750000000", "bad_time"),
            ("\"\"", "missing_field"),
            ("null", "missing_field"),
            ("{\"a\":1}", "wrong_type"),
        ],
    );
    for time in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        let event = one("cockpit", cockpit.replace("VALUE", &format!("\"{time}\""))).unwrap();
        assert_eq!(event["occurred_at"], record, "{time}");
        assert_eq!(event["time_source"], "record");
        assert_eq!(event["attributes.timestamp"], time);
    }
    // Where no time is required, one that cannot be read is the same as none.
    let pace = r#"{"service":"pay","actionName":"a","actionDate":VALUE}"#;
    let table = [
        ("\"1969-12-31T23:59:59.999999Z\"", record, "1969-12-31T23:59:59.999999Z"),
        ("\"1970-01-01T00:00:00Z\"", "1970-01-01T00:00:00Z", ""),
        ("\"2025-06-16T15:06:40.123456Z\"", "2025-06-16T15:06:40.123456Z", ""),
        ("\"2025-06-16T15:06:40.123457Z\"", record, "2025-06-16T15:06:40.123457Z"),
        ("\"2025-06-15T15:00:00\"", record, "2025-06-15T15:00:00"),
        ("\"null\"", record, "null"),
        ("1e999", record, "1e999"),
    ];
    for (value, time, attribute) in table {
        stored("pace", pace, &[(value, "occurred_at", time)]);
        stored("pace", pace, &[(value, "attributes.actionDate", attribute)]);
    }
}

#[test]
fn an_address_is_found_and_whatever_else_stood_there_is_kept() {
    let cloudtrail = r#"{"eventID":"1","eventTime":"2025-06-15T15:00:00Z","eventSource":"s3","eventName":"GetX","awsRegion":"r","sourceIPAddress":VALUE}"#;
    let table = [
        ("\"1.2.3.4\"", "1.2.3.4", ""),
        ("\"2001:db8::1\"", "2001:db8::1", ""),
        ("\"::ffff:1.2.3.4\"", "1.2.3.4", ""),
        ("\"1.2.3.4:80\"", "1.2.3.4", "1.2.3.4:80"),
        ("\"[2001:db8::1]:80\"", "2001:db8::1", "[2001:db8::1]:80"),
        ("\"2001:db8::1, 10.0.0.1\"", "2001:db8::1", "2001:db8::1, 10.0.0.1"),
        ("\"s3.amazonaws.com\"", "", "s3.amazonaws.com"),
        ("\"1.2.3.256\"", "", "1.2.3.256"),
        ("\"::\"", "", "::"),
        ("\"null\"", "", "null"),
        ("16909060", "", "16909060"),
        ("null", "", ""),
        ("{}", "", ""),
    ];
    for (value, ip, attribute) in table {
        stored("aws_cloudtrail", cloudtrail, &[(value, "client_ip", ip)]);
        stored("aws_cloudtrail", cloudtrail, &[(value, "attributes.sourceIPAddress", attribute)]);
    }
}

#[test]
fn a_number_keeps_its_text_whatever_its_size() {
    let numbers = [
        "9223372036854775808",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        "1.50",
        "-0",
        "-0.0",
        "1E+2",
        "1e999",
        "-1e999",
        "1e-999",
    ];
    for number in numbers {
        stored("pace", PACE, &[(number, "attributes.x", number)]);
        stored("pace", PACE, &[(&format!("[1,{{\"y\":{number}}}]"), "attributes.x.1.y", number)]);
        let spaced = format!("{{\"y\"\n :\t {number} , \"z\":7}}");
        stored("pace", PACE, &[(&spaced, "attributes.x.y", number)]);
        let escaped = format!("{{\"\\u0079\":{number}}}");
        stored("pace", PACE, &[(&escaped, "attributes.x.y", number)]);
        let nameless = format!("{{\"\":{number}}}");
        stored("pace", PACE, &[(&nameless, "attributes.x.\"\"", number)]);
        stored("pace", r#"{"service":VALUE,"actionName":"a"}"#, &[(number, "service", number)]);
        stored("cockpit", COCKPIT, &[(number, "changes.old", number)]);
        let json = format!("{{\"n\":[{number}]}}");
        stored("cockpit", COCKPIT, &[(&json, "changes.old", &json)]);
        let elements = format!("[{{\"id\":{number},\"n\":{number}}}, {number}]");
        stored("okta_system", OKTA, &[(&elements, "target.id", number)]);
        stored("okta_system", OKTA, &[(&elements, "attributes.target.0.n", number)]);
        stored("okta_system", OKTA, &[(&elements, "attributes.target.1", number)]);
        let log = format!("\"{{\\\"action\\\":{number},\\\"n\\\":{number}}}\"");
        stored("log", r#"{"log":VALUE}"#, &[(&log, "action", number)]);
        stored("log", r#"{"log":VALUE}"#, &[(&log, "attributes.log.n", number)]);
    }
}

#[test]
fn half_of_a_surrogate_pair_is_no_text() {
    for half in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#] {
        refused("pace", PACE, &[(half, "not_json")]);
        refused("pace", r#"{"service":VALUE,"actionName":"a"}"#, &[(half, "not_json")]);
        refused("pace", r#"{"service":"a","actionName":"a",VALUE:1}"#, &[(half, "not_json")]);
        refused("cockpit", COCKPIT, &[(&format!("{{\"a\":{half}}}"), "not_json")]);
        refused("okta_system", OKTA, &[(&format!("[{{\"id\":{half}}}]"), "not_json")]);
    }
    stored("pace", PACE, &[(r#""\ud83d\ude00\u0000""#, "attributes.x", "\u{1F600}\0")]);
}

#[test]
fn a_string_that_is_no_json_after_all_is_a_string() {
    let log = r#"{"log":VALUE}"#;
    refused("log", log, &[("\"plain\"", "missing_field"), ("\"{broken\"", "missing_field")]);
    stored("log", log, &[(r#""{\"action\":\"a\",\"old\":[1, 2]}""#, "changes.old", "[1, 2]")]);
    stored("log", log, &[(r#"{"action":"a"}"#, "action", "a")]);
}

#[test]
fn one_bad_element_is_refused_and_its_neighbours_are_stored() {
    let good = COCKPIT.replace("VALUE", "1");
    let bad = [
        (r#"{"id":"2"}"#, "missing_field"),
        (r#"{"a":1,"a":2}"#, "duplicate_key"),
        ("7", "not_an_object"),
        ("null", "not_an_object"),
        ("\"{}\"", "not_an_object"),
        ("[]", "empty"),
    ];
    for (element, reason) in bad {
        let wrapper = format!(r#"{{"items":[{good}, {element} ,{good}],"page":{{"n":1.50}}}}"#);
        let array = format!("[{good},\n{element},{good}]");
        for payload in [wrapper, array] {
            let found = all("cockpit", &[], &payload);
            let codes: Vec<_> = found.iter().map(|o| o.as_ref().err().copied()).collect();
            assert_eq!(codes, [None, Some(reason), None], "{payload}");
        }
    }
    let wrapper = format!(r#"{{"items":[{good}],"page":{{"n":1.50}}}}"#);
    assert_eq!(one("cockpit", wrapper).unwrap()["attributes.@wrapper.page.n"], "1.50");
    let scalars = all("cockpit", &[], "[1,\"a\",null]");
    assert_eq!(scalars, [Err("not_an_object"), Err("not_an_object"), Err("not_an_object")]);
    assert_eq!(one("cockpit", r#"{"items":[]}"#), Err("empty"));
    // Broken JSON has no elements to save.
    assert_eq!(one("cockpit", format!("[{good},{{\"id\":}},{good}]")), Err("not_json"));
    assert_eq!(one("cockpit", format!("[{good},{good}")), Err("truncated"));
}

#[test]
fn a_rejected_element_keeps_its_own_bytes_and_an_event_its_own() {
    let catalog = shipped();
    let engine = normaliser(&catalog, "audit.pace");
    let mut packed = Vec::new();
    Headers::pack(&mut packed, "tenant", b"acme");
    let good = "{ \"service\" : \"pay\",\"actionName\":\"a\" }";
    let payload = format!("[ {good} , 12 ]");
    let arena = bumpalo::Bump::new();
    let headers = Headers::packed(&packed);
    let payload = payload.as_bytes();
    let record = RawRecord { offset: 0, timestamp: Some(AT), key: None, headers, payload };
    let mut raw = Vec::new();
    engine.normalise(&record, &arena, |_, fate| match fate {
        trailhouse::event::Fate::Event(event) => raw.push(event.raw.as_bytes()),
        trailhouse::event::Fate::Quarantine(why) => raw.push(why.raw),
        trailhouse::event::Fate::Skip { .. } => {}
    });
    assert_eq!(raw, [good.as_bytes(), b"12"]);
}

#[test]
fn a_cloud_event_is_opened_however_it_travels() {
    let body = PACE.replace("VALUE", "1");
    let quoted = serde_json::to_string(&body).unwrap();
    // {"service":"pay","actionName":"list_orders","x":1}
    let base64 = "eyJzZXJ2aWNlIjoicGF5IiwiYWN0aW9uTmFtZSI6Imxpc3Rfb3JkZXJzIiwieCI6MX0=";
    let structured = [
        format!(r#"{{"specversion":"1.0","type":"t","data":{body}}}"#),
        format!(r#"{{"specversion":"1.0","type":"t","data":{quoted}}}"#),
        format!(r#"{{"data_base64":"{base64}","type":"t","specversion":"1.0"}}"#),
        format!(r#"[{{"specversion":"1.0","type":"t","data":{body}}}]"#),
    ];
    for payload in structured {
        for schema in ["pace", "nobody"] {
            let event = one(schema, &payload).unwrap_or_else(|code| panic!("{code}: {payload}"));
            assert_eq!(event["action"], "list_orders");
            assert_eq!(event["attributes.ce_type"], "t");
            assert_eq!(event["attributes.x"], "1");
        }
    }
    let binary = all("pace", &[("ce_type", "t"), ("ce_specversion", "1.0")], &body).remove(0);
    assert_eq!(binary.unwrap()["attributes.ce_type"], "t");
    let table = [
        (r#"{"specversion":"1.0","data_base64":"***"}"#, "bad_envelope"),
        (r#"{"specversion":"1.0","data_base64":7}"#, "bad_envelope"),
        (r#"{"specversion":"1.0","data_base64":"/w=="}"#, "bad_envelope"),
        (r#"{"specversion":"1.0","data":"text"}"#, "not_an_object"),
        (r#"{"specversion":"1.0","data":null}"#, "not_an_object"),
        (r#"{"specversion":"1.0","data":{"a":1,"a":2}}"#, "duplicate_key"),
    ];
    for (payload, reason) in table {
        assert_eq!(one("pace", payload), Err(reason), "{payload}");
    }
    let batch =
        format!(r#"[{{"specversion":"1.0","data":{body}}},{{"specversion":"1.0","data":1}}]"#);
    let found = all("pace", &[], batch);
    assert_eq!(found[0].as_ref().unwrap()["action"], "list_orders");
    assert_eq!(found[1], Err("not_an_object"));
}

#[test]
fn envelopes_in_envelopes_are_opened_three_deep_and_no_deeper() {
    let body = PACE.replace("VALUE", "1");
    let nested = |times| (0..times).fold(body.clone(), |inner, _| format!("[{inner}]"));
    assert_eq!(one("pace", nested(3)).unwrap()["action"], "list_orders");
    assert_eq!(one("pace", nested(4)), Err("bad_envelope"));
    let event = |inner: String| format!(r#"{{"specversion":"1.0","data":{inner}}}"#);
    assert!(one("pace", event(event(event(body.clone())))).is_ok());
    assert_eq!(one("pace", event(event(event(event(body.clone()))))), Err("bad_envelope"));
    assert_eq!(one("pace", event(event(nested(2)))), Err("bad_envelope"));
}

#[test]
fn a_small_record_cannot_fill_the_memory() {
    // A long key above a million values: their paths would take a terabyte.
    let values = vec!["1"; 200_000].join(",");
    let paths = format!("{{\"action\":\"a\",\"{}\":[{values}]}}", "k".repeat(100_000));
    // Bare braces, each an event.
    let braces = format!("[{}]", vec!["{}"; 10_001].join(","));
    // As many things acted on.
    let targets = format!(
        "{{\"uuid\":\"1\",\"published\":\"2025-06-15T15:00:00Z\",\"eventType\":\"a.b\",\"actor\":{{\"id\":\"x\"}},\"target\":{braces}}}"
    );
    // A wrapper's scalars, kept with each of its events.
    let wrapper = format!(
        "{{{},\"logs\":[{}]}}",
        (0..2_000)
            .map(|n| format!("\"key{n}\":\"{}\"", "v".repeat(100)))
            .collect::<Vec<_>>()
            .join(","),
        vec!["{}"; 5_000].join(",")
    );
    for (schema, record) in [
        ("github_audit", paths),
        ("frontier", braces),
        ("okta_system", targets),
        ("frontier", wrapper),
    ] {
        let reason = one(schema, record).unwrap_err();
        assert_eq!(reason, "too_large", "{schema}");
    }
}

#[test]
fn a_record_with_two_lists_of_events_is_refused_whole() {
    let record = r#"{"logs":[{"source":"iam","action":"a.b"}],"Records":[{"eventVersion":"1"}],"items":[{}]}"#;
    let outcomes = all("mixed", &[], record);
    assert_eq!(outcomes, [Err("bad_envelope")]);
}

#[test]
fn headers_count_for_a_records_size_and_for_what_its_events_repeat() {
    let long = "v".repeat(60_000);
    let record = format!("[{}]", vec!["1"; 5_000].join(","));
    let outcomes = all("frontier", &[("traceparent", &long)], record);
    assert_eq!(outcomes, [Err("too_large")]);
}

#[test]
fn a_tenant_header_that_names_nobody_does_not_leave_the_choice_to_the_body() {
    let record = r#"{"org_id":"evil","logs":[{"source":"iam","action":"a.b"}]}"#;
    let outcomes = all("frontier", &[("tenant", "")], record);
    assert_eq!(outcomes, [Err("no_tenant")]);
}

#[test]
fn targets_are_the_same_walked_as_they_are_met_or_kept_as_texts_for_who_claims_them() {
    let deep = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
    let many = format!("[{}]", vec!["{}"; 10_001].join(","));
    let table: [(&str, &str); 14] = [
        (r#"[{"id":"1","displayName":"One","type":"App"},{"id":"2","x":{"y":[true]}}]"#, ""),
        (r#"[{"id":1.50,"x":1e400},{"id":-0}]"#, ""),
        (r#"["scalar",7,1.5,null,[],{},[{"id":"1"}]]"#, ""),
        (r#"[{"id":"\u0041","a\u002eb":"c"}]"#, ""),
        (r#"[{"id":{"x":1}},{"type":"only"}]"#, ""),
        (r#"{"id":"1"}"#, ""),
        (r#""text""#, ""),
        ("[]", ""),
        (r#"[{"id":"1"},{"x":{"y":1,"y":1}}]"#, "duplicate_key"),
        (r#"[{"id":"1","id":"2"}],"uuid":"2""#, "duplicate_key"),
        (&format!("[{{\"x\":{deep}}}]"), "too_deep"),
        (&many, "too_large"),
        (r#"[{"id":"1"}"#, "not_json"),
        (r#"[{"id":"1","id":"2"},]"#, "not_json"),
    ];
    for (targets, reason) in table {
        let payload = OKTA.replace("VALUE", targets);
        let shown: String = targets.chars().take(60).collect();
        let as_met = one("okta_system", &payload);
        assert_eq!(as_met, one("nobody", &payload), "{shown}");
        assert_eq!(as_met.err().unwrap_or_default(), reason, "{shown}");
    }
}
