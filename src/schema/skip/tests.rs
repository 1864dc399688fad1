//! Rules that leave events out.
//!
//! In: one event of one mapping, rules. Out: which rule leaves it out; what is wrong with rules.
//!
//! # Invariants
//! - Every condition is seen to hold and not to hold.
//!
//! Deliberately unknown here: what becomes of what is left out; `tests/it/skip.rs` has that.

use std::sync::Arc;

use bumpalo::Bump;

use super::*;
use crate::event::{Headers, RawRecord};
use crate::schema::TopicRule;

const MAPPING: &str = r#"
    name = "shop"
    version = 1
    about = "A shop."
    [when]
    exists = ["did"]
    [envelope]
    each = "all"
    [event]
    service = "from"
    action = "did"
    verb = "verb"
    outcome = "ended"
    actor.id = "who"
    target.type = "kind"
    target.id = "what"
    user_agent = "with"
"#;

const EVENT: &str = r#"{"did":"health.ping","from":"till","verb":"read","ended":"success",
    "who":"u-1","what":"o-1","kind":"Order","with":"probe/1.2"}"#;

fn rule(text: &str) -> SkipConfig {
    toml::from_str(&format!("name = \"r\"\n{text}")).unwrap()
}

/// By which rule each element of a record of tenant `acme` on topic `audit.shop` is left out.
fn skipped_by(rules: &[SkipConfig], payload: &str) -> Vec<Option<String>> {
    let catalog = Catalog::load([("f", "shop", MAPPING)]).unwrap();
    let topic = TopicRule { tenant: Some("ACC-1".to_owned()), ..TopicRule::default() };
    let aliases = HashMap::from([("ACC-1".to_owned(), "acme".to_owned())]);
    let normaliser = catalog.normaliser("audit.shop", &topic, &Arc::new(aliases), 1 << 20);
    let normaliser = normaliser.skipping(rules);
    let (headers, payload) = (Headers::default(), payload.as_bytes());
    let record = RawRecord { offset: 0, timestamp: Some(0), key: None, headers, payload };
    let (arena, mut found) = (Bump::new(), Vec::new());
    normaliser.normalise(&record, &arena, |_, fate| {
        found.push(match fate {
            Fate::Event(_) => None,
            Fate::Skip { rule, schema } => Some(format!("{rule} of {schema}")),
            Fate::Quarantine(why) => panic!("{why:?}"),
        });
    });
    found
}

#[test]
fn a_rule_holds_where_all_its_conditions_do_and_of_each_one_value() {
    for (conditions, expected) in [
        ("topics = ['audit.shop']", true),
        ("topics = ['audit.*']", true),
        ("topics = ['audit']", false),
        ("schemas = ['shop']", true),
        ("schemas = ['pace', 'shop']", true),
        ("schemas = ['pace']", false),
        ("tenants = ['acme']", true),
        ("tenants = ['ACC-1']", false),
        ("services = ['till']", true),
        ("services = ['til']", false),
        ("actions = ['health.ping']", true),
        ("actions = ['health.*']", true),
        ("actions = ['*.ping']", true),
        ("actions = ['Health.*']", false),
        ("actions = ['order.*', 'health.*']", true),
        ("verbs = ['read']", true),
        ("verbs = ['create', 'delete']", false),
        ("outcomes = ['success', 'unknown']", true),
        ("outcomes = ['failure']", false),
        ("actor_ids = ['u-1']", true),
        ("actor_ids = ['u-2']", false),
        ("target_types = ['Order']", true),
        ("target_types = ['Lease']", false),
        ("user_agents = ['probe/*']", true),
        ("user_agents = ['curl/*']", false),
        ("tenants = ['acme']\nverbs = ['read']\nactions = ['health.*']", true),
        ("tenants = ['acme']\nverbs = ['read']\nactions = ['order.*']", false),
        ("topics = ['audit.pace']\ntenants = ['acme']", false),
    ] {
        let expected = expected.then(|| "r of shop".to_owned());
        assert_eq!(skipped_by(&[rule(conditions)], EVENT), [expected], "{conditions}");
    }
}

#[test]
fn the_first_rule_that_fits_names_it_and_without_a_rule_all_is_stored() {
    let named = |name: &str, text: &str| SkipConfig { name: name.to_owned(), ..rule(text) };
    let rules = [
        named("other", "verbs = ['delete']"),
        named("probes", "user_agents = ['probe/*']"),
        named("reads", "verbs = ['read']"),
    ];
    assert_eq!(skipped_by(&rules, EVENT), [Some("probes of shop".to_owned())]);
    assert_eq!(skipped_by(&[], EVENT), [None]);
}

#[test]
fn an_element_is_left_out_and_its_neighbours_are_not() {
    let payload = r#"{"all":[{"did":"a"},{"did":"ping"},{"did":"b"}]}"#;
    let left_out = Some("r of shop".to_owned());
    assert_eq!(skipped_by(&[rule("actions = ['ping']")], payload), [None, left_out, None]);
}

#[test]
fn what_is_wrong_with_a_rule_is_told_where_it_stands() {
    let aliases = HashMap::from([("ACC-1".to_owned(), "acme".to_owned())]);
    let told = |rules: &[SkipConfig]| -> Vec<String> {
        let catalog = Catalog::load([("f", "shop", MAPPING)]).unwrap();
        let all = SkipConfig::check(rules, &aliases).into_iter();
        let all = all.chain(SkipConfig::unknown(rules, &catalog));
        all.map(|(field, what)| format!("{field}: {what}")).collect()
    };
    for (text, expected) in [
        ("", "skip.0: would skip everything; give it one condition or more: tenants, "),
        ("verbs = ['reed']", "skip.0.verbs: there is no verb `reed`; did you mean `read`?"),
        ("verbs = ['re*']", "skip.0.verbs: there is no verb `re*`"),
        ("outcomes = ['failed']", "skip.0.outcomes: there is no outcome `failed`"),
        ("schemas = ['shpo']", "skip.0.schemas: no mapping is called `shpo`; did you mean"),
        ("tenants = ['ACC-1']", "skip.0.tenants: `ACC-1` is stored as `acme`; name that"),
        ("actions = ['*']", "skip.0.actions: `*` says nothing"),
        ("topics = ['']", "skip.0.topics: `` says nothing"),
    ] {
        let found = told(&[rule(text)]);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
    }
    let nameless = SkipConfig { name: " ".to_owned(), ..rule("verbs = ['read']") };
    assert!(told(&[nameless])[0].starts_with("skip.0.name: must name the rule"));
    let good = rule("schemas = ['shop']\nverbs = ['read']\ntenants = ['acme']");
    assert_eq!(told(std::slice::from_ref(&good)), [""; 0]);
    let twice = told(&[good.clone(), good]);
    assert_eq!(twice, ["skip.1.name: two rules are called `r`; rename one"]);
}
