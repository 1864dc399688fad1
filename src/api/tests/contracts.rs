//! Who may not, of the contracts: every route of theirs, asked by those who may not ask it; and of
//! every route there is, that it is one of the lists those tests go through.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::access::{ACME, guarded, token};
use super::fixture::{Answered, send, state};
use crate::access::Role;
use crate::api::auth::tests::fixture::{Store, but};
use crate::api::contract::CONTRACTS;
use crate::api::{ApiConfig, ROUTES, router};

/// How a route is asked for what is acme's, and what one gets who may or may not.
struct Row {
    contract: &'static str,
    route: (&'static str, &'static str),
    address: &'static str,
    body: &'static str,
    /// The least role that may ask.
    least: Role,
    /// What a caller of acme gets who may.
    own: u16,
    /// What one of another tenant gets.
    stranger: u16,
    /// What one of acme gets who is limited to a reseller.
    limited: u16,
}

const fn row(
    contract: &'static str,
    route: (&'static str, &'static str),
    address: &'static str,
    least: Role,
    [own, stranger, limited]: [u16; 3],
) -> Row {
    Row { contract, route, address, body: "", least, own, stranger, limited }
}

const LOGS: &str = "/v1beta1/organizations/acme/auditlogs";
const LOG: &str = "/v1beta1/organizations/acme/auditlogs/00000000-0000-0000-0000-000000000007";
const RECORDS: &str = "/public/v1/audit/records";
const RECORD: &str = "/public/v1/audit/records/00000000-0000-0000-0000-000000000007";
const TYPES: &str = "/public/v1/audit/event-types";
const TYPE: &str = "/public/v1/audit/event-types/only-acme-may-read-this";

const ROWS: &[Row] = &[
    Row {
        body: r#"{"service":"shop","actionName":"order.placed"}"#,
        ..row(
            "pace",
            ("POST", "/user/2024-2/auditlogs/record"),
            "/user/2024-2/auditlogs/record",
            Role::Writer,
            // The tenant is the token's: a stranger writes into their own.
            [204, 204, 403],
        )
    },
    row(
        "frontier",
        ("GET", "/v1beta1/organizations/{org_id}/auditlogs"),
        LOGS,
        Role::Reader,
        [200, 403, 403],
    ),
    Row {
        body: r#"{"logs":[{"source":"shop","action":"order.placed"}]}"#,
        ..row(
            "frontier",
            ("POST", "/v1beta1/organizations/{org_id}/auditlogs"),
            LOGS,
            Role::Writer,
            [200, 403, 403],
        )
    },
    row(
        "frontier",
        ("GET", "/v1beta1/organizations/{org_id}/auditlogs/{id}"),
        LOG,
        Role::Reader,
        [200, 403, 403],
    ),
    Row {
        body: r#"{"event":"order.placed"}"#,
        ..row("softwareone", ("POST", RECORDS), RECORDS, Role::Writer, [201, 201, 403])
    },
    row("softwareone", ("GET", RECORDS), RECORDS, Role::Reader, [200, 200, 403]),
    row(
        "softwareone",
        ("GET", "/public/v1/audit/records/{id}"),
        RECORD,
        Role::Reader,
        [200, 404, 403],
    ),
    row("softwareone", ("GET", TYPES), TYPES, Role::Reader, [200, 200, 403]),
    row(
        "softwareone",
        ("GET", "/public/v1/audit/event-types/{id}"),
        TYPE,
        Role::Reader,
        [200, 404, 403],
    ),
    // Nobody may.
    row(
        "softwareone",
        ("PUT", "/public/v1/audit/event-types/{id}"),
        TYPE,
        Role::Reader,
        [403, 403, 403],
    ),
    // A reseller's rows are told from others'.
    row("cockpit", ("GET", "/v1/AuditLogs"), "/v1/AuditLogs", Role::Reader, [200, 403, 200]),
    row("cockpit", ("GET", "/v1/auditlogs"), "/v1/auditlogs", Role::Reader, [200, 403, 200]),
    row("bloodhound", ("GET", "/api/v2/audit"), "/api/v2/audit", Role::Reader, [200, 200, 403]),
];

/// The content type of a contract's errors, and a member that only they have.
const WORDS: &[(&str, &str, &str)] = &[
    ("pace", "application/vnd.api+json", "/errors/0/links/about"),
    ("frontier", "application/json", "/details"),
    ("softwareone", "application/json", "/traceId"),
    ("cockpit", "application/json", "/correlationId"),
    ("bloodhound", "application/json", "/http_status"),
];

#[test]
fn every_route_of_a_contract_refuses_who_may_not_ask_it_in_its_words() {
    let api = guarded(Store::default());
    let mut table = format!(
        "{:<72} no token  expired  wrong role  other tenant  a reseller\n",
        "route of a contract"
    );
    let mut rows: BTreeSet<(&str, &str, &str)> =
        ROWS.iter().map(|row| (row.contract, row.route.0, row.route.1)).collect();
    for (contract, method, path) in served() {
        let name = format!("{contract}: {method} {path}");
        let is_its = |row: &&Row| (row.contract, row.route) == (contract, (method.as_str(), path));
        let row = ROWS.iter().find(is_its).unwrap_or_else(|| panic!("{name} has no row here"));
        rows.remove(&(row.contract, row.route.0, row.route.1));
        let statuses = refusals(&api, row, &name);
        let cells = statuses.map(|status| status.map_or("-".to_owned(), |s| s.to_string()));
        let [nobody, expired, lower, stranger, limited] = cells;
        table.push_str(&format!(
            "{name:<72} {nobody:<9} {expired:<8} {lower:<11} {stranger:<13} {limited}\n"
        ));
    }
    assert!(rows.is_empty(), "no routes any more: {rows:?}");
    println!("{table}");
}

/// Ask a route as everybody who may not; what each gets.
fn refusals(api: &Router, row: &Row, name: &str) -> [Option<u16>; 5] {
    let of = |role: Role, tenant: &str| {
        let mut claims = but("role", json!(role.as_str()));
        claims["tenants"] = json!([tenant]);
        claims["actor"] = json!("usr-7");
        claims
    };
    let ask = |claims: Option<&Value>| ask(api, row, claims);
    let tells = |answer: &Answered| answer.body.to_string().contains(ACME);
    // What is asked for by its name is named in the refusal too.
    let names = row.address.contains(ACME);

    let own = ask(Some(&of(row.least, "acme")));
    assert_eq!(own.status.as_u16(), row.own, "{name}: {}", own.body);
    let is_shown = row.route.0 != "GET" || tells(&own);
    assert!(is_shown, "{name}: no event to be hidden: {}", own.body);

    let nobody = ask(None);
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "{name}: {}", nobody.body);
    assert!(nobody.headers.contains_key("www-authenticate"), "{name}");
    let mut past = of(row.least, "acme");
    past["exp"] = json!(chrono::Utc::now().timestamp() - 3_600);
    let expired = ask(Some(&past));
    assert_eq!(expired.status, StatusCode::UNAUTHORIZED, "{name}: {}", expired.body);
    let lower = Role::ALL.into_iter().rfind(|role| *role < row.least);
    let lower = lower.map(|role| ask(Some(&of(role, "acme"))));
    if let Some(answer) = &lower {
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}: {}", answer.body);
    }
    let stranger = ask(Some(&of(row.least, "beta")));
    assert_eq!(stranger.status.as_u16(), row.stranger, "{name}: {}", stranger.body);
    let mut reseller = of(row.least, "acme");
    reseller["resellers"] = json!(["r1"]);
    let limited = ask(Some(&reseller));
    assert_eq!(limited.status.as_u16(), row.limited, "{name}: {}", limited.body);

    let answers = [Some(nobody), Some(expired), lower, Some(stranger), Some(limited)];
    for answer in answers.iter().flatten() {
        assert!(names || !tells(answer), "{name}: {}", answer.body);
        if answer.status.is_client_error() {
            let (_, kind, member) = WORDS.iter().find(|words| words.0 == row.contract).unwrap();
            assert_eq!(answer.headers["content-type"], kind, "{name}");
            assert!(answer.body.pointer(member).is_some(), "{name}: {}", answer.body);
        }
    }
    answers.map(|answer| answer.map(|answer| answer.status.as_u16()))
}

#[test]
fn a_path_answers_the_methods_of_its_routes_and_no_other() {
    let mut paths: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let native = ROUTES.iter().map(|route| (route.method.clone(), route.path));
    for (method, path) in native.chain(served().map(|(_, method, path)| (method, path))) {
        let methods = paths.entry(path).or_default();
        if method == Method::GET {
            methods.insert(Method::HEAD.to_string());
        }
        methods.insert(method.to_string());
    }
    let api = router(state(Vec::new()), &ApiConfig::default());
    for (path, methods) in paths {
        let address = path.replace(['{', '}'], "");
        let request = Request::builder().method("NOTHING").uri(address).body(Body::empty());
        let answer = send(&api, request.unwrap());
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}: {}", answer.body);
        let allowed = answer.headers["allow"].to_str().unwrap();
        let allowed: BTreeSet<String> = allowed.split(',').map(str::to_owned).collect();
        assert_eq!(allowed, methods, "{path}: a handler has a method that no list names");
    }
}

/// Every route of a contract, as the router has them.
fn served() -> impl Iterator<Item = (&'static str, Method, &'static str)> {
    CONTRACTS.iter().flat_map(|contract| {
        let endpoints = (contract.endpoints)(state(Vec::new()), format!("audit.{}", contract.name));
        endpoints.into_iter().map(|endpoint| (contract.name, endpoint.method, endpoint.path))
    })
}

fn ask(api: &Router, row: &Row, claims: Option<&Value>) -> Answered {
    let request = Request::builder().method(row.route.0).uri(row.address);
    // Cockpit's callers name the tenant they mean.
    let mut request = request.header("x-tenant", "acme");
    if let Some(claims) = claims {
        request = request.header("authorization", format!("Bearer {}", token(claims)));
    }
    if !row.body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    send(api, request.body(Body::from(row.body)).unwrap())
}
