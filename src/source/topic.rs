//! One `[[kafka.topics]]`: a topic, or every topic that a pattern finds.
//!
//! In: TOML. Out: a [`TopicConfig`]; what is set of a topic that is met; what is wrong with any.
//!
//! # Invariants
//! - A pattern finds the same topics for us, for librdkafka (POSIX) and for a broker that assigns by
//!   itself (RE2, the whole name): only what the three read alike is let through.
//! - What is set of a topic by its name goes before any pattern; of patterns the first counts.
//!
//! Deliberately unknown here: which topics there are.

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

/// One topic, or the topics of a pattern.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicConfig {
    /// The topic's name; one that begins with `^` is a regular expression, and stands for every
    /// topic it finds, now and later.
    pub name: String,
    /// The mapping of all its records; empty leaves the choice to headers and shapes.
    pub schema: String,
    /// The tenant of all its records that have no `tenant` header; empty for none.
    pub tenant: String,
    /// Whether the body may say whose log it belongs to.
    pub tenant_from_body: bool,
}

/// What the three dialects have in common, and all that can stand in a topic's name.
const SHARED: &str = "^$.*+?|()[]{},-_\\";

/// Kafka's own, with nobody's audit events in them.
const INTERNAL: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

impl TopicConfig {
    /// Whether the name is a pattern. librdkafka tells them by the same sign.
    pub fn is_pattern(&self) -> bool {
        self.name.starts_with('^')
    }

    /// Whether it is a pattern that finds this topic.
    fn finds(&self, topic: &str) -> bool {
        self.is_pattern() && Regex::new(&self.name).is_ok_and(|pattern| pattern.is_match(topic))
    }

    /// What is wrong with its name; `broker_assigns` where the broker evaluates patterns.
    fn check_name(&self, broker_assigns: bool) -> Option<String> {
        let name = &self.name;
        if name.is_empty() {
            return Some("must name a topic".to_owned());
        }
        if !self.is_pattern() {
            return (!is_name(name)).then(|| not_a_name(name));
        }
        if let Err(error) = Regex::new(name) {
            return Some(format!("`{name}` is no regular expression: {error}"));
        }
        if let Some(what) = unshared(name) {
            return Some(format!(
                "`{name}` has {what}, which librdkafka may read otherwise; write a pattern of names, \
                 `.`, `*`, `+`, `?`, `[a-z]`, `(a|b)` and `[.]`"
            ));
        }
        if broker_assigns && !name.ends_with('$') {
            return Some(format!(
                "`{name}` must end in `$` with `group.protocol = consumer`, where the broker \
                 compares whole names: `{name}.*$`"
            ));
        }
        let internal = INTERNAL.iter().find(|internal| self.finds(internal))?;
        Some(format!(
            "`{name}` finds Kafka's own `{internal}`; begin it with what yours begin with"
        ))
    }
}

/// What is wrong with the topics, as (field, sentence).
pub fn check(topics: &[TopicConfig], broker_assigns: bool) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for (at, topic) in topics.iter().enumerate() {
        let field = format!("topics.{at}.name");
        if let Some(message) = topic.check_name(broker_assigns) {
            wrong.push((field.clone(), message));
        }
        if topics[..at].iter().any(|other| other.name == topic.name) {
            wrong.push((field, format!("`{}` is listed twice", topic.name)));
        }
    }
    wrong
}

/// What is set of a topic: by its name, else by the first pattern that finds it.
pub fn set_of<'t>(topics: &'t [TopicConfig], name: &str) -> Option<&'t TopicConfig> {
    let named = topics.iter().find(|topic| topic.name == name);
    named.or_else(|| topics.iter().find(|topic| topic.finds(name)))
}

/// Whether Kafka takes it for a topic's name.
pub fn is_name(name: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=249).contains(&name.len()) && name.chars().all(is_legal) && name != "." && name != ".."
}

/// The sentence for a text that is none.
pub fn not_a_name(name: &str) -> String {
    format!("`{name}` is no topic's name: up to 249 letters, digits, `.`, `_` and `-`")
}

/// What of a pattern is not read alike everywhere.
fn unshared(pattern: &str) -> Option<String> {
    let chars: Vec<char> = pattern.chars().collect();
    // Groups with a meaning and lazy repeats; escapes that stand for classes.
    let pair = chars.windows(2).find(|pair| match pair {
        ['\\', escaped] => *escaped != '.',
        ['(' | '*' | '+' | '?' | '}', '?'] => true,
        _ => false,
    });
    if let Some(pair) = pair {
        return Some(format!("`{}`", pair.iter().collect::<String>()));
    }
    let odd = chars.iter().find(|c| !c.is_ascii_alphanumeric() && !SHARED.contains(**c));
    odd.map(|odd| format!("a `{odd}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, schema: &str) -> TopicConfig {
        TopicConfig { name: name.to_owned(), schema: schema.to_owned(), ..TopicConfig::default() }
    }

    fn problem(name: &str) -> Option<String> {
        let mut found = check(&[topic(name, "")], false);
        assert!(found.len() <= 1, "{found:?}");
        found.pop().map(|(field, message)| {
            assert_eq!(field, "topics.0.name");
            message
        })
    }

    #[test]
    fn a_topic_is_read_by_its_own_name_first_and_then_by_the_first_pattern_that_finds_it() {
        let topics = [
            topic("^audit[.]", "wide"),
            topic("^audit[.]okta$", "narrow"),
            topic("audit.github", "named"),
        ];
        let schema = |name| set_of(&topics, name).map(|topic| topic.schema.as_str());
        for (name, wanted) in [
            ("audit.github", Some("named")),
            ("audit.okta", Some("wide")),
            ("audit.later", Some("wide")),
            ("pre.audit.okta", None),
            ("auditXokta", None),
            ("audit", None),
        ] {
            assert_eq!(schema(name), wanted, "{name}");
        }
    }

    #[test]
    fn a_pattern_that_is_no_regular_expression_or_that_others_read_otherwise_is_refused() {
        for (name, wanted) in [
            ("", "must name a topic"),
            ("audit cockpit", "no topic's name"),
            ("audit.*", "no topic's name"),
            ("^audit[.", "no regular expression"),
            ("^audit(", "no regular expression"),
            ("^audit\\d", "has `\\d`"),
            ("^(?:audit|log)[.]", "has `(?`"),
            ("^audit.+?", "has `+?`"),
            ("^audit [.]", "has a ` `"),
            ("^.*", "finds Kafka's own `__consumer_offsets`"),
            ("^", "finds Kafka's own"),
        ] {
            let found = problem(name).unwrap_or_default();
            assert!(found.contains(wanted), "{name}: {found}");
        }
        for name in ["^audit[.]", "^audit\\.", "^(audit|log)[.][a-z0-9_-]+$", "audit.cockpit"] {
            assert_eq!(problem(name), None, "{name}");
        }
        let twice = check(&[topic("^a", ""), topic("^a", "")], false);
        assert!(twice.len() == 1 && twice[0].1.contains("listed twice"), "{twice:?}");
    }

    #[test]
    fn where_the_broker_assigns_a_pattern_must_be_of_the_whole_name() {
        let of = |name| check(&[topic(name, "")], true);
        assert_eq!(of("^audit[.].*$"), []);
        assert_eq!(of("audit.okta"), []);
        let found = of("^audit[.]");
        assert!(found[0].1.contains("must end in `$`"), "{found:?}");
    }
}
