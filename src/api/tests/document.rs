//! The document at `/openapi.json` says what the router does.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::Value;

use super::fixture::{api, get};
use crate::api::{
    ROUTES, counts, docs, events, export, feed, fields, ledger, related, selection, tail,
};

fn document() -> Value {
    serde_json::from_str(docs::OPENAPI).unwrap()
}

/// What a reference stands for, or the value itself.
fn of<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(path) => document.pointer(path.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

#[test]
fn every_route_stands_in_the_document_and_no_other() {
    let document = document();
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            documented.insert((method.to_uppercase(), path.clone()));
        }
    }
    let own = ROUTES.iter().filter(|route| !docs::PATHS.contains(&route.path));
    let served: BTreeSet<_> =
        own.map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    assert_eq!(served, documented, "deploy/openapi.json is kept by hand");
}

#[test]
fn every_parameter_of_a_question_stands_in_the_document_and_no_other() {
    let document = document();
    let filters: Vec<&str> = selection::names().chain(["tenant"]).collect();
    let with = |own: &[&'static str]| [&filters, own].concat();
    for (path, expected) in [
        ("/v1/events", with(&events::OWN)),
        ("/v1/events/count", with(&[])),
        ("/v1/events/histogram", with(&counts::OF_HISTOGRAM)),
        ("/v1/events/facets", with(&counts::OF_FACETS)),
        ("/v1/events/export", with(&export::OWN)),
        ("/v1/events/feed", with(&feed::OWN)),
        ("/v1/events/tail", with(&tail::OWN)),
        ("/v1/events/{id}", vec!["tenant"]),
        ("/v1/events/{id}/related", [&["tenant"][..], &related::OWN].concat()),
        ("/v1/receipts/{topic}/{partition}/{offset}", vec!["tenant"]),
        ("/v1/quarantine", ledger::OF_QUARANTINE.to_vec()),
        ("/v1/schemas", vec![]),
        ("/v1/me", vec![]),
    ] {
        let parameters = document["paths"][path]["get"]["parameters"].as_array();
        let parameters = parameters.into_iter().flatten().map(|one| of(&document, one));
        let named: BTreeSet<&str> = parameters
            .filter(|one| one["in"] == "query")
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(named, expected.into_iter().collect(), "{path}");
    }
}

#[test]
fn every_field_of_an_event_stands_in_the_document_and_no_other() {
    let document = document();
    let properties = &document["components"]["schemas"]["EventPart"]["properties"];
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let known: BTreeSet<String> =
        fields::NAMES.into_iter().chain(["repeats"]).map(str::to_owned).collect();
    assert_eq!(keys(properties), known);
    for (group, parts) in fields::PARTS.iter().filter(|(_, parts)| !parts.is_empty()) {
        let parts: BTreeSet<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        assert_eq!(keys(&properties[group]["properties"]), parts, "{group}");
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = document();
    let text = docs::OPENAPI;
    let references = text.split("\"$ref\": \"#").skip(1).filter_map(|rest| rest.split('"').next());
    let mut count = 0;
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
        count += 1;
    }
    assert!(count > 20);
}

#[test]
fn the_page_has_its_files_and_loads_nothing_from_elsewhere() {
    let api = api(Vec::new());
    assert_eq!(get(&api, "/openapi.json").body, document());
    let page = get(&api, "/docs");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let html = page.body.as_str().unwrap();
    for name in ["start.js", "swagger-ui-bundle.js", "swagger-ui.css"] {
        assert!(html.contains(&format!("/docs/{name}")), "{name}");
    }
    assert!(!html.contains("://"), "{html}");
    assert_eq!(
        get(&api, "/docs/start.js").headers["content-type"],
        "text/javascript; charset=utf-8"
    );
    assert_eq!(get(&api, "/docs/other").status, StatusCode::NOT_FOUND);
}
