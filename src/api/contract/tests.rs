//! What holds for every contract: whose words an error is in, and where.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

use super::CONTRACTS;
use crate::api::layer::{Speech, around};
use crate::api::tests::fixture::{api, ask, ask_as, state, writer};
use crate::api::{ApiConfig, router};

/// A path below each contract's root, where nothing is.
fn nowhere() -> Vec<String> {
    CONTRACTS.iter().flat_map(|c| c.roots).map(|root| format!("{root}/nothing/here")).collect()
}

#[test]
fn a_path_below_a_contract_s_root_is_refused_in_its_words_and_any_other_in_ours() {
    let api = api(Vec::new());
    for path in nowhere() {
        let answer = ask(&api, "GET", &path);
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_ne!(answer.headers["content-type"], "application/problem+json", "{path}");
        assert!(!answer.headers["x-request-id"].is_empty(), "{path}");
        let beside = ask(&api, "GET", &path.replacen("/nothing", "nothing", 1));
        assert_eq!(beside.headers["content-type"], "application/problem+json", "{path}");
    }
}

#[test]
fn a_prefix_moves_a_contract_and_its_words() {
    let mut config = ApiConfig::default();
    config.compat.pace.prefix = "/vendor/pace".into();
    let api = router(state(Vec::new()), &config);
    let moved = ask(&api, "GET", "/vendor/pace/user/2024-2/nothing");
    assert_eq!(moved.headers["content-type"], "application/vnd.api+json");
    let original = ask(&api, "GET", "/user/2024-2/nothing");
    assert_eq!(original.headers["content-type"], "application/problem+json");
}

#[test]
fn several_contracts_may_share_a_prefix_each_with_its_own_words() {
    let mut config = ApiConfig::default();
    let compat = &mut config.compat;
    for contract in [
        &mut compat.pace,
        &mut compat.frontier,
        &mut compat.softwareone,
        &mut compat.cockpit,
        &mut compat.bloodhound,
    ] {
        contract.prefix = "/vendor".into();
    }
    let api = router(state(Vec::new()), &config);
    for contract in &CONTRACTS {
        let moved = ask(&api, "GET", &format!("/vendor{}/nothing", contract.roots[0]));
        assert_eq!(moved.status, StatusCode::NOT_FOUND, "{}", contract.name);
        let kind = &moved.headers["content-type"];
        assert_ne!(kind, "application/problem+json", "{}", contract.name);
    }
    let answer = ask(&api, "GET", "/vendor/api/v2/audit");
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[test]
fn a_defect_and_a_question_out_of_time_are_said_in_the_contract_s_words_too() {
    for contract in &CONTRACTS {
        let root = contract.roots[0];
        let routes = Router::new()
            .route(&format!("{root}/panic"), get(async || -> &'static str { panic!("secret") }))
            .route(&format!("{root}/hang"), get(async || std::future::pending::<()>().await));
        let metrics = crate::telemetry::Metrics::new().unwrap().api;
        let contracts = vec![(root.to_owned(), contract.words)];
        let speech = Speech { contracts, now: || 0, metrics };
        let api = around(routes, Duration::from_millis(50), speech);
        for (method, path, least) in
            [("GET", "panic", 500), ("GET", "hang", 500), ("POST", "hang", 405)]
        {
            let answer = ask(&api, method, &format!("{root}/{path}"));
            assert!(answer.status.as_u16() >= least, "{path}: {}", answer.status);
            assert_ne!(answer.headers["content-type"], "application/problem+json", "{path}");
            assert!(!answer.body.to_string().contains("secret"), "{path}: {}", answer.body);
            if method == "POST" {
                assert_eq!(answer.headers["allow"], "GET,HEAD", "{root}");
            }
        }
    }
}

#[test]
fn a_body_above_two_mebibytes_is_refused_in_the_contract_s_words() {
    let api = api(Vec::new());
    for path in [
        "/user/2024-2/auditlogs/record",
        "/v1beta1/organizations/acme/auditlogs",
        "/public/v1/audit/records",
    ] {
        let body = format!(r#"{{"service":"{}"}}"#, "a".repeat(2 << 20));
        let answer = ask_as(&api, &writer("acme"), "POST", path, &body);
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert_ne!(answer.headers["content-type"], "application/problem+json", "{path}");
    }
}

#[test]
fn a_contract_that_is_not_enabled_is_not_there() {
    let mut config = ApiConfig::default();
    config.compat.pace.enabled = false;
    let api = router(state(Vec::new()), &config);
    let answer = ask(&api, "POST", "/user/2024-2/auditlogs/record");
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
}

#[test]
fn roots_of_two_contracts_do_not_overlap() {
    let roots: Vec<&str> = CONTRACTS.iter().flat_map(|c| c.roots.iter().copied()).collect();
    for (at, root) in roots.iter().enumerate() {
        let others = roots.iter().enumerate().filter(|(other, _)| *other != at);
        for (_, other) in others {
            assert!(!format!("{other}/").starts_with(&format!("{root}/")), "{root} {other}");
        }
    }
}
