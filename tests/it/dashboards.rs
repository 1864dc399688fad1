//! Dashboards, alerts and runbooks name what there is, and each other.
//!
//! In: the files of `dashboards`, `docs/RUNBOOKS.md`, the program's own list of metrics. Out: nothing, or
//! what names something that is not there.
//!
//! # Invariants
//! - A metric is used with its own labels; a histogram by its buckets, sum or count.
//! - An alert has a severity, a runbook in four parts, a quiet case and a firing one.
//! - A panel says what it shows, and in which unit.
//!
//! Deliberately unknown here: whether a query means what it should, and whether a case holds; that is
//! for promtool, and for `tests/prometheus/run`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use trailhouse::telemetry::{Metrics, VerifyMetrics};

use crate::house::read;

const DASHBOARDS: [&str; 3] =
    ["dashboards/overview.json", "dashboards/ingestion.json", "dashboards/api.json"];

/// What Prometheus itself puts on a series, and `le`, which it puts between a histogram's.
const TARGET_LABELS: [&str; 5] = ["job", "instance", "le", "alertname", "alertstate"];

#[test]
fn every_metric_of_a_rule_or_a_panel_is_one_of_the_programs() {
    let known = Known::of_the_program();
    let rules = rules();
    assert!(rules.len() > 20, "{}", rules.len());
    for rule in &rules {
        assert_eq!(known.unknown(&rule.expression), Vec::<String>::new(), "{}", rule.name);
    }
    let mut panels = 0;
    for (dashboard, panel) in panels_of_all() {
        for query in queries(&panel) {
            let place = format!("{dashboard}, {}: {query}", panel["title"]);
            assert_eq!(known.unknown(&query), Vec::<String>::new(), "{place}");
            panels += 1;
        }
    }
    assert!(panels > 40, "{panels}");
}

#[test]
fn a_name_or_a_label_that_is_not_there_is_found() {
    let known = Known::of_the_program();
    for (expression, wrong) in [
        ("sum(rate(trailhouse_nothing_total[5m]))", "trailhouse_nothing_total"),
        ("trailhouse:nothing:ratio > 1", "trailhouse:nothing:ratio"),
        ("trailhouse_freshness_seconds > 1", "trailhouse_freshness_seconds"),
        ("trailhouse_ready_bucket", "trailhouse_ready_bucket"),
        ("trailhouse_events_stored_total{colour=\"a\"}", "colour"),
        ("sum by (colour) (trailhouse_events_stored_total)", "colour"),
        ("process_nothing > 1", "process_nothing"),
    ] {
        assert_eq!(known.unknown(expression), [wrong], "{expression}");
    }
    let fine = "sum by (le, topic) (rate(trailhouse_freshness_seconds_bucket{topic=~\"a{2}\"}[5m])) \
                / on (instance) process_open_fds";
    assert_eq!(known.unknown(fine), Vec::<String>::new());
}

#[test]
fn every_alert_has_a_severity_a_runbook_a_quiet_case_and_a_firing_one() {
    let runbooks = runbooks();
    let cases = read("dashboards/alerts_test.yml");
    let alerts: Vec<Rule> = rules().into_iter().filter(|rule| rule.alerts).collect();
    assert!(alerts.len() > 15, "{}", alerts.len());
    for Rule { name, text, .. } in &alerts {
        let severity = value_of(text, "severity:");
        assert!(matches!(severity, Some("page" | "ticket")), "{name}: {severity:?}");
        for said in ["summary:", "description:"] {
            assert!(value_of(text, said).is_some_and(|words| words.len() > 15), "{name}: {said}");
        }
        let link = value_of(text, "runbook_url:").unwrap_or_default();
        let anchor = format!("docs/RUNBOOKS.md#{}", name.to_lowercase());
        assert!(link.ends_with(&anchor), "{name}: {link}");
        assert!(runbooks.contains_key(name), "docs/RUNBOOKS.md has no heading `### {name}`");

        let asked = format!("expr: ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}\n");
        let answers = cases.split(&asked).skip(1).map(|rest| {
            let rest = rest.split("- expr:").next().unwrap_or_default();
            rest.split("- name:").next().unwrap_or_default()
        });
        let answers: Vec<&str> = answers.collect();
        let quiet = answers.iter().any(|answer| answer.contains("exp_samples: []"));
        let fires = answers.iter().any(|answer| answer.contains("value: 1"));
        assert!(quiet && fires, "{name} in alerts_test.yml: quiet {quiet}, fires {fires}");
    }
}

#[test]
fn every_runbook_is_of_an_alert_and_says_four_things() {
    let alerts: BTreeSet<String> =
        rules().into_iter().filter(|rule| rule.alerts).map(|rule| rule.name).collect();
    for (name, text) in runbooks() {
        assert!(alerts.contains(&name), "docs/RUNBOOKS.md: no alert is called {name}");
        let parts = ["**Means.**", "**Look.**", "**Do.**", "**Over.**"];
        let places: Vec<Option<usize>> = parts.iter().map(|part| text.find(part)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{name}: {places:?}");
    }
}

#[test]
fn every_panel_says_what_it_shows_and_in_which_unit() {
    let runbooks = runbooks();
    for (dashboard, panel) in panels_of_all() {
        let place = format!("{dashboard}, {}", panel["title"]);
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()), "{place}");
        if panel["type"] == "row" {
            continue;
        }
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.len() > 15 && description.ends_with('.'), "{place}: {description}");
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
        assert!(!unit.is_empty(), "{place} has no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{place}");
        assert!(!queries(&panel).is_empty(), "{place} asks nothing");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{place}");
        }
        for query in queries(&panel) {
            for rest in query.split("rate(").skip(1) {
                let window = rest.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
                assert_eq!(window.map(|(window, _)| window), Some("$__rate_interval"), "{place}");
            }
        }
        for link in panel["links"].as_array().into_iter().flatten() {
            let url = link["url"].as_str().unwrap_or_default();
            let anchor = url.strip_prefix("${runbooks}#").unwrap_or_default();
            let leads = runbooks.keys().any(|name| name.to_lowercase() == anchor);
            assert!(leads, "{place}: no runbook at {url}");
        }
    }
}

#[test]
fn panels_have_a_number_and_a_place_of_their_own() {
    let mut boards = BTreeSet::new();
    for file in DASHBOARDS {
        let dashboard = dashboard(file);
        assert!(boards.insert(dashboard["uid"].as_str().unwrap().to_owned()), "{file}: uid");
        assert!(dashboard["schemaVersion"].as_u64() >= Some(41), "{file}: schemaVersion");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        assert!(variables.iter().any(|variable| variable["type"] == "datasource"), "{file}");
        let (mut numbers, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in dashboard["panels"].as_array().unwrap() {
            let place = format!("{file}, {}", panel["title"]);
            assert!(numbers.insert(panel["id"].as_u64().unwrap()), "{place}: id");
            let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            assert!(side("x") + side("w") <= 24, "{place} is wider than the page");
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    assert!(taken.insert((x, y)), "{place} stands on another");
                }
            }
        }
    }
}

/// The metrics there are: names as they are scraped, with their labels.
struct Known {
    metrics: BTreeMap<String, Vec<&'static str>>,
    recorded: BTreeSet<String>,
}

impl Known {
    fn of_the_program() -> Known {
        let metrics = Metrics::new().unwrap();
        let verify = VerifyMetrics::new().unwrap();
        let mut known = BTreeMap::new();
        for listed in metrics.listed.iter().chain(verify.listed()) {
            let suffixes: &[&str] = match listed.kind {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            for suffix in suffixes {
                known.insert(format!("{}{suffix}", listed.name), listed.labels.to_vec());
            }
        }
        for family in metrics.registry.gather() {
            if family.name().starts_with("process_") {
                known.insert(family.name().to_owned(), Vec::new());
            }
        }
        let recorded = rules().into_iter().filter(|rule| !rule.alerts).map(|rule| rule.name);
        Known { metrics: known, recorded: recorded.collect() }
    }

    /// The names and labels of an expression that nothing has.
    fn unknown(&self, expression: &str) -> Vec<String> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let bare = without_texts(expression);
        let mut wrong = Vec::new();
        let mut labels: BTreeSet<&str> = TARGET_LABELS.into();
        let mut of_this: Option<Vec<&str>> = None;
        let mut rest = bare.as_str();
        while let Some(at) = rest.find(is_word) {
            let gap = &rest[..at];
            let end = rest[at..].find(|c| !is_word(c)).map_or(rest.len(), |end| at + end);
            let word = &rest[at..end];
            rest = &rest[end..];
            if gap.contains('}') {
                of_this = None;
            }
            if word.starts_with("trailhouse:") {
                wrong.extend((!self.recorded.contains(word)).then(|| word.to_owned()));
            } else if word.starts_with("trailhouse_") || word.starts_with("process_") {
                match self.metrics.get(word) {
                    Some(own) => labels.extend(own),
                    None => wrong.push(word.to_owned()),
                }
                let own = self.metrics.get(word).cloned().unwrap_or_default();
                of_this = rest.starts_with('{').then_some(own);
            } else if let Some(own) = &of_this
                && !own.contains(&word)
                && !TARGET_LABELS.contains(&word)
            {
                wrong.push(word.to_owned());
            }
        }
        let every: BTreeSet<&str> = self.metrics.values().flatten().copied().collect();
        let grouped = ["by (", "on (", "group_left (", "without ("];
        for clause in grouped.iter().flat_map(|word| bare.split(word).skip(1)) {
            let inside = clause.split(')').next().unwrap_or_default();
            for label in inside.split(',').map(str::trim).filter(|label| !label.is_empty()) {
                // What is summed may be a recorded series, whose labels are its rule's.
                let own = labels.contains(label) || bare.contains("trailhouse:");
                if !own || !(every.contains(label) || TARGET_LABELS.contains(&label)) {
                    wrong.push(label.to_owned());
                }
            }
        }
        wrong
    }
}

/// An expression without what stands in quotes.
fn without_texts(expression: &str) -> String {
    expression.split('"').step_by(2).collect()
}

/// A rule of alerts.yml.
struct Rule {
    name: String,
    /// An alert, or a recording rule.
    alerts: bool,
    expression: String,
    /// The whole of it.
    text: String,
}

/// The rules, read by their lines: one form is used, and promtool knows the others.
fn rules() -> Vec<Rule> {
    let text = read("dashboards/alerts.yml");
    let mut rules: Vec<Rule> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let begun = ["      - alert: ", "      - record: "].map(|key| line.strip_prefix(key));
        if let [Some(name), None] | [None, Some(name)] = begun {
            let (name, alerts) = (name.to_owned(), begun[0].is_some());
            rules.push(Rule { name, alerts, expression: String::new(), text: String::new() });
        } else if let Some(rule) = rules.last_mut() {
            rule.text += line;
            rule.text.push('\n');
        }
    }
    for rule in &mut rules {
        let (_, after) = rule.text.split_once("expr:").unwrap();
        let ends = ["\n        for:", "\n        labels:"];
        let end = ends.iter().filter_map(|end| after.find(end)).min().unwrap_or(after.len());
        rule.expression = after[..end].to_owned();
    }
    rules
}

/// What stands behind a key of a rule.
fn value_of<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.trim_start().strip_prefix(key)).map(str::trim)
}

/// The runbooks, by their alert.
fn runbooks() -> BTreeMap<String, String> {
    let text = read("docs/RUNBOOKS.md");
    let sections = text.split("\n### ").skip(1).filter_map(|section| section.split_once('\n'));
    let own = |text: &str| text.split("\n## ").next().unwrap_or_default().to_owned();
    sections.map(|(name, text)| (name.to_owned(), own(text))).collect()
}

fn dashboard(file: &str) -> Value {
    serde_json::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every panel, with its dashboard's file.
fn panels_of_all() -> Vec<(&'static str, Value)> {
    let mut all = Vec::new();
    for file in DASHBOARDS {
        let panels = dashboard(file)["panels"].as_array().unwrap().clone();
        all.extend(panels.into_iter().map(|panel| (file, panel)));
    }
    all
}

fn queries(panel: &Value) -> Vec<String> {
    let targets = panel["targets"].as_array().into_iter().flatten();
    targets.filter_map(|target| target["expr"].as_str().map(str::to_owned)).collect()
}
