//! Rules of the configuration that leave events out: `[[skip]]`.
//!
//! In: [`SkipConfig`]s and what is wrong with them; then, one by one, the events of a topic. Out: a
//! [`Fate`]: the event, or the name of the first rule that it fits.
//!
//! # Invariants
//! - A rule is asked of events only: what cannot be read is quarantined, whoever sent it.
//! - All conditions of a rule must hold, and of a condition's values one.
//! - Where no rule may touch a topic, its events cost nothing.
//!
//! Deliberately unknown here: where rules are written, what is kept of what they leave out.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::normalise::Normaliser;
use super::{Catalog, text};
use crate::event::{AuditEvent, Fate, Outcome, Verb};
use crate::problem::did_you_mean;

/// One `[[skip]]`: an event that fits all conditions given is not stored. Of a condition's values
/// one must fit, exactly; a `*` in it stands for any run of characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkipConfig {
    /// What receipts, batches and metrics call it.
    pub name: String,
    /// Topics of the records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// Mappings that made the event; no `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<String>,
    /// Whose log it is, by the name that is stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<String>,
    /// Systems that emitted the event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Actions, as the source writes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// Actions reduced to verbs; no `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<String>,
    /// How it ended; no `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<String>,
    /// Who did it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actor_ids: Vec<String>,
    /// Kinds of the main thing acted on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target_types: Vec<String>,
    /// Client programs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_agents: Vec<String>,
}

/// The text of an event that a condition asks for.
type TextOf = for<'e> fn(&'e AuditEvent<'_>) -> &'e str;

impl SkipConfig {
    /// Every condition on an event, whether given or not; on topics it is decided before.
    fn conditions(&self) -> [(&'static str, &[String], TextOf); 9] {
        [
            ("tenants", &self.tenants, |event| event.tenant),
            ("schemas", &self.schemas, |event| event.schema),
            ("verbs", &self.verbs, |event| event.verb.as_str()),
            ("outcomes", &self.outcomes, |event| event.outcome.as_str()),
            ("services", &self.services, |event| event.service),
            ("actions", &self.actions, |event| event.action),
            ("actor_ids", &self.actor_ids, |event| event.actor.id),
            ("target_types", &self.target_types, |event| event.target.kind),
            ("user_agents", &self.user_agents, |event| event.user_agent),
        ]
    }

    /// With every condition set, for the documentation's test.
    pub fn example() -> SkipConfig {
        let one = || vec![String::new()];
        SkipConfig {
            name: String::new(),
            topics: one(),
            schemas: one(),
            tenants: one(),
            services: one(),
            actions: one(),
            verbs: one(),
            outcomes: one(),
            actor_ids: one(),
            target_types: one(),
            user_agents: one(),
        }
    }

    /// What is wrong with rules, as (field, sentence); aliases are tenants' other names.
    pub fn check(rules: &[SkipConfig], aliases: &HashMap<String, String>) -> Vec<(String, String)> {
        let (mut wrong, mut names) = (Vec::new(), HashSet::new());
        for (at, rule) in rules.iter().enumerate() {
            let mut tell = |field: &str, what: String| {
                wrong.push((format!("skip.{at}{field}"), what));
            };
            if rule.name.trim().is_empty() {
                tell(".name", "must name the rule: receipts and metrics say it".to_owned());
            } else if !names.insert(&rule.name) {
                tell(".name", format!("two rules are called `{}`; rename one", rule.name));
            }
            let conditions = rule.conditions();
            let conditions = conditions.iter().map(|(field, values, _)| (*field, *values));
            let all: Vec<_> = conditions.chain([("topics", &rule.topics[..])]).collect();
            if all.iter().all(|(_, values)| values.is_empty()) {
                let fields: Vec<_> = all.iter().map(|(field, _)| *field).collect();
                let fields = fields.join(", ");
                tell("", format!("would skip everything; give it one condition or more: {fields}"));
            }
            for (field, values) in all {
                for value in values {
                    if let Some(what) = misfit(field, value, aliases) {
                        tell(&format!(".{field}"), what);
                    }
                }
            }
        }
        wrong
    }

    /// Schemas named by rules that no mapping has, as (field, sentence).
    pub fn unknown(rules: &[SkipConfig], catalog: &Catalog) -> Vec<(String, String)> {
        let named = rules.iter().enumerate();
        let named = named.flat_map(|(at, rule)| rule.schemas.iter().map(move |name| (at, name)));
        named
            .filter_map(|(at, name)| Some((format!("skip.{at}.schemas"), catalog.unknown(name)?)))
            .collect()
    }
}

/// What is wrong with a value of a condition.
fn misfit(field: &str, value: &str, aliases: &HashMap<String, String>) -> Option<String> {
    let no_word = |kind: &str, words: &[&str]| {
        let near = did_you_mean(value, words.iter().copied());
        Some(format!("there is no {kind} `{value}`{near}; there are {}", words.join(", ")))
    };
    match field {
        _ if value.trim_matches('*').is_empty() => {
            Some(format!("`{value}` says nothing; leave it out"))
        }
        "verbs" if Verb::parse(value).is_none() => no_word("verb", &Verb::ALL.map(Verb::as_str)),
        "outcomes" if Outcome::parse(value).is_none() => {
            no_word("outcome", &Outcome::ALL.map(Outcome::as_str))
        }
        "tenants" => {
            aliases.get(value).map(|id| format!("`{value}` is stored as `{id}`; name that"))
        }
        _ => None,
    }
}

/// The rules that may leave out events of one topic, in their order.
#[derive(Debug, Default)]
pub struct Skips(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    name: Box<str>,
    conditions: Vec<Condition>,
}

#[derive(Debug)]
struct Condition {
    of: TextOf,
    values: Vec<String>,
}

impl Skips {
    /// Those of all rules that a topic's records may fit.
    fn of_topic(rules: &[SkipConfig], topic: &str) -> Skips {
        let may_fit = |rule: &&SkipConfig| rule.topics.is_empty() || any_fits(&rule.topics, topic);
        let compiled = rules.iter().filter(may_fit).map(|rule| {
            let given = rule.conditions().into_iter().filter(|(_, values, _)| !values.is_empty());
            let conditions = given.map(|(_, values, of)| Condition { of, values: values.to_vec() });
            Rule { name: rule.name.as_str().into(), conditions: conditions.collect() }
        });
        Skips(compiled.collect())
    }

    /// What becomes of an event.
    pub fn fate<'a>(&'a self, event: &'a AuditEvent<'a>) -> Fate<'a> {
        let holds = |condition: &Condition| any_fits(&condition.values, (condition.of)(event));
        match self.0.iter().find(|rule| rule.conditions.iter().all(holds)) {
            None => Fate::Event(event),
            Some(rule) => Fate::Skip { rule: &rule.name, schema: event.schema },
        }
    }
}

fn any_fits(values: &[String], found: &str) -> bool {
    values.iter().any(|value| text::fits(value, found))
}

impl Normaliser {
    /// The same, but for events that a rule leaves out.
    pub fn skipping(self, rules: &[SkipConfig]) -> Normaliser {
        Normaliser { skips: Skips::of_topic(rules, &self.topic), ..self }
    }
}

#[cfg(test)]
mod tests;
