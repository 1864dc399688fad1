//! The contracts, held by scenarios: each file is a request and its answer, and names the statements
//! of `docs/CONTRACTS.md` that it holds.
//!
//! In: `tests/scenarios/<contract>/*.toml`. Out: nothing, or every scenario that does not hold.
//!
//! # Invariants
//! - All are played over one real ClickHouse, each with a tenant of its own.
//! - A contract with scenarios has one for every statement, or the document says why not.
//!
//! Deliberately unknown here: what the contracts are.

mod credential;
mod file;
mod likeness;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::file::{CONTRACTS, Scenario, Step, scenarios, statements};

use crate::harness::DEADLINE;

pub use self::credential::authorization;
pub use self::file::{CallerSaid, Words};
pub use self::stage::{Answered, Stage};

/// Between two times that the same is asked.
const PAUSE: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_holds() {
    // One alone: TRAILHOUSE_SCENARIO=cockpit/first_page
    let wanted = std::env::var("TRAILHOUSE_SCENARIO").unwrap_or_default();
    let scenarios: Vec<Scenario> =
        scenarios().into_iter().filter(|scenario| scenario.name.contains(&wanted)).collect();
    let stage = Stage::start().await;
    let mut words: Vec<Words> = scenarios
        .iter()
        .map(|scenario| {
            let tenant = format!("{}.example", scenario.name.replace(['/', '_'], "-"));
            Words::of(&tenant)
        })
        .collect();
    let before = scenarios.iter().zip(&words);
    let before =
        before.flat_map(|(scenario, words)| scenario.event.iter().map(move |e| (e, words)));
    stage.store(before).await;

    let mut told = String::new();
    let mut passed: BTreeMap<&str, u32> = BTreeMap::new();
    for (scenario, words) in scenarios.iter().zip(&mut words) {
        let faults = played(&stage, scenario, words).await;
        let (contract, _) = scenario.name.split_once('/').unwrap();
        *passed.entry(contract).or_default() += u32::from(faults.is_empty());
        for fault in faults {
            let _ = writeln!(told, "{}: {fault}", scenario.name);
        }
    }
    stage.stop().await;
    println!("scenarios that hold: {passed:?}, of {}", scenarios.len());
    assert!(told.is_empty(), "\n{told}");
}

/// Play a scenario; what does not hold of it. A step that fails is its last.
async fn played(stage: &Stage, scenario: &Scenario, words: &mut Words) -> Vec<String> {
    for (number, step) in scenario.step.iter().enumerate() {
        stage.store(step.event.iter().map(|event| (event, &*words))).await;
        let deadline = Instant::now() + DEADLINE;
        let mut faults = asked(stage, scenario, step, words).await;
        while step.eventually && !faults.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
            faults = asked(stage, scenario, step, words).await;
        }
        if !faults.is_empty() {
            let step = number + 1;
            return faults.into_iter().map(|fault| format!("step {step}: {fault}")).collect();
        }
    }
    Vec::new()
}

async fn asked(stage: &Stage, scenario: &Scenario, step: &Step, words: &mut Words) -> Vec<String> {
    let caller = step.caller.as_ref().unwrap_or(&scenario.caller);
    let filled = |(name, value): (&String, &String)| (name.clone(), words.fill(value));
    let mut headers: Vec<(String, String)> = step.headers.iter().map(filled).collect();
    if let Some(value) = credential::authorization(caller, words) {
        headers.push(("authorization".to_owned(), value));
    }
    let body = step.body.as_ref().map(|body| words.fill(body)).unwrap_or_default();
    let request = words.fill(&step.request);
    if caller.signs {
        let key = stage.signing_key(&words.fill("{{tenant}}")).await;
        key.sign(&request, &body, &mut headers, words);
    }
    let answer = match (scenario.store_is_down, scenario.once_a_second) {
        (true, _) => stage.ask_without_store(&request, headers, body).await,
        (false, true) => stage.ask_once_a_second(&request, headers, body).await,
        (false, false) => stage.ask(&request, headers, body).await,
    };

    let mut faults = Vec::new();
    if answer.status != step.status {
        faults.push(format!("status {}, not {}: {}", answer.status, step.status, answer.text));
    }
    for (name, pattern) in &step.answer_headers {
        let value = answer.headers.get(&name.to_lowercase()).map_or("", String::as_str);
        let pattern = words.fill(pattern);
        if !likeness::header_is(&pattern, value) {
            faults.push(format!("header {name} is {value:?}, not {pattern:?}"));
        }
    }
    if step.answer_is_empty && !answer.text.is_empty() {
        faults.push(format!("the body is {:?}, not empty", answer.text));
    }
    if let Some(pattern) = &step.answer {
        let pattern = serde_json::from_str::<Value>(&words.fill(pattern));
        match pattern {
            Ok(pattern) => faults.extend(likeness::differences(&pattern, &answer.json())),
            Err(error) => faults.push(format!("the pattern is no JSON: {error}")),
        }
    }
    for text in step.answer_has.iter().map(|text| words.fill(text)) {
        if !answer.text.contains(&text) {
            faults.push(format!("it has no {text} in {}", answer.text));
        }
    }
    for (name, pointer) in &step.capture {
        match answer.json().pointer(pointer) {
            Some(Value::String(text)) => words.named.insert(name.clone(), text.clone()),
            Some(Value::Null) | None => {
                faults.push(format!("there is nothing at {pointer}"));
                None
            }
            Some(other) => words.named.insert(name.clone(), other.to_string()),
        };
    }
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_prefix_a_signature_is_over_the_uri_that_was_asked() {
    let stage = Stage::behind("/vendor").await;
    let words = Words::of("prefixed.example");
    let key = stage.signing_key("prefixed.example").await;
    let request = "GET /vendor/api/v2/audit?skip=0";
    let mut headers = Vec::new();
    key.sign(request, "", &mut headers, &words);
    let answer = stage.ask(request, headers, String::new()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let original = stage.ask("GET /api/v2/audit", Vec::new(), String::new()).await;
    assert_eq!(original.status, 404, "{}", original.text);
    stage.stop().await;
}

#[test]
fn a_contract_with_scenarios_has_one_for_every_statement() {
    let scenarios = scenarios();
    let statements = statements();
    let mut told = String::new();
    let mut numbers = BTreeSet::new();
    for statement in &statements {
        if !numbers.insert(statement.number.as_str()) {
            let _ = writeln!(told, "{} is there twice", statement.number);
        }
        if statement.no_scenario.as_ref().is_some_and(|reason| reason.len() < 10) {
            let _ = writeln!(told, "{} has no reason for having no scenario", statement.number);
        }
    }
    for (letter, contract) in CONTRACTS {
        let own: Vec<&Scenario> =
            scenarios.iter().filter(|s| s.name.starts_with(&format!("{contract}/"))).collect();
        let held: BTreeSet<&str> =
            own.iter().flat_map(|s| s.holds.iter().map(String::as_str)).collect();
        for scenario in &own {
            let foreign = scenario.holds.iter().filter(|number| !number.starts_with(letter));
            for number in foreign.chain(scenario.holds.iter().filter(|n| !numbers.contains(&***n)))
            {
                let _ = writeln!(told, "{} holds {number}, which is not there", scenario.name);
            }
            if scenario.holds.is_empty() {
                let _ = writeln!(told, "{} holds nothing", scenario.name);
            }
        }
        let of_this = statements.iter().filter(|s| s.number.starts_with(letter));
        for statement in of_this.filter(|_| !own.is_empty()) {
            let is_held = held.contains(&*statement.number);
            match statement.no_scenario {
                None if !is_held => {
                    let _ = writeln!(told, "{} is held by no scenario", statement.number);
                }
                Some(_) if is_held => {
                    let _ = writeln!(told, "{} is held, and says it cannot be", statement.number);
                }
                _ => {}
            }
        }
    }
    assert!(told.is_empty(), "\n{told}");
    assert!(statements.len() > 150, "is the document's form another now?");
}
