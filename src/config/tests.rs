//! What reading the settings finds.

use super::*;

fn problems_of(text: &str) -> Vec<String> {
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    let found = Config::load(Some(file.path())).err().unwrap_or_default();
    let name = file.path().display().to_string();
    found.iter().map(|problem| problem.to_string().replace(&name, "f")).collect()
}

#[test]
fn every_problem_of_every_section_is_named_at_once_with_its_line() {
    let text = "[kafka]\nbrokers = \"nowhere\"\ngruop = \"x\"\n\n[pipeline]\nbatch_age_ms = \"soon\"\nbatch_bytes = 1\n\n\
                [[kafka.topics]]\nname = \"t\"\nschema = \"cockpitt\"\n\n[[tenant]]\nid = \"\"\n\n[colour]\n\n\
                [kafka.properties]\n\"secruity.protocol\" = \"ssl\"\n";
    let found = problems_of(text).join("\n");
    for wanted in [
        "f:3: kafka.gruop: is unknown; did you mean `group`?",
        "f:6: pipeline.batch_age_ms: must be a whole number, not text",
        "f:16: colour: is unknown",
        "f:2: kafka.brokers: must be host:port",
        "f:7: pipeline.batch_bytes: is 1, and must be from",
        "f:11: kafka.topics.0.schema: no mapping is called `cockpitt`; did you mean `cockpit`?",
        "f:14: tenant.0.id: must name a tenant",
        "f:19: kafka.properties.secruity.protocol: is no property of librdkafka; did you mean",
    ] {
        assert!(found.contains(wanted), "{wanted}\nin\n{found}");
    }
}

#[test]
fn what_is_wrong_with_a_pattern_or_the_dead_letter_topic_is_told_with_its_line() {
    let text = "[kafka]\ndead_letter_topic = \"audit.dead\"\n[[kafka.topics]]\nname = \"^audit[.]\"\n\
                schema = \"cockpitt\"\n[[kafka.topics]]\nname = \"^team[.\"\n";
    let found = problems_of(text).join("\n");
    for wanted in [
        "f:2: kafka.dead_letter_topic: `audit.dead` is consumed, too (`^audit[.]` of kafka.topics)",
        "f:5: kafka.topics.0.schema: no mapping is called `cockpitt`; did you mean `cockpit`?",
        "f:7: kafka.topics.1.name: `^team[.` is no regular expression",
    ] {
        assert!(found.contains(wanted), "{wanted}\nin\n{found}");
    }
}

#[test]
fn what_is_wrong_with_a_skip_rule_is_told_with_its_line() {
    let text = "[[tenant]]\nid = \"acme\"\naliases = [\"ACC-1\"]\n[[skip]]\nname = \"a\"\n\
                schemas = [\"cockpitt\"]\ntenants = [\"ACC-1\"]\nverbs = \"read\"\n[[skip]]\nname = \"a\"\n";
    let found = problems_of(text).join("\n");
    for wanted in [
        "f:6: skip.0.schemas: no mapping is called `cockpitt`; did you mean `cockpit`?",
        "f:7: skip.0.tenants: `ACC-1` is stored as `acme`; name that",
        "f:8: skip.0.verbs: must be a list, not text",
        "f:9: skip.1: would skip everything",
        "f:10: skip.1.name: two rules are called `a`; rename one",
    ] {
        assert!(found.contains(wanted), "{wanted}\nin\n{found}");
    }
}

#[test]
fn a_share_may_be_a_whole_number() {
    for share in ["0", "1", "0.5"] {
        let found = problems_of(&format!("[traces]\nsampled_ratio = {share}\n"));
        assert_eq!(found, Vec::<String>::new(), "{share}");
    }
    let found = problems_of("[traces]\nsampled_ratio = 2\nqueue_spans = 1.5\n").join("\n");
    assert!(found.contains("f:2: traces.sampled_ratio: is 2, and must be from 0 to 1"), "{found}");
    assert!(found.contains("f:3: traces.queue_spans: must be a whole number"), "{found}");
}

#[test]
fn draining_for_longer_than_kafka_waits_is_a_problem() {
    let told = |text: &str| problems_of(text).first().map(ToString::to_string);
    assert_eq!(told("[pipeline]\ndrain_ms = 299999\n"), None);
    let found = told("[pipeline]\ndrain_ms = 300000\n").unwrap_or_default();
    assert!(found.starts_with("f:2: pipeline.drain_ms: is 300000"), "{found}");
    let set = "[kafka.properties]\n\"max.poll.interval.ms\" = \"60000\"\n\
               [pipeline]\ndrain_ms = 60000\n";
    assert!(told(set).is_some());
}

#[test]
fn a_file_that_is_not_toml_or_not_there_is_one_clear_problem() {
    assert!(problems_of("[kafka\n")[0].starts_with("f:1: not TOML"));
    let missing = Config::load(Some(Path::new("/nowhere.toml"))).unwrap_err();
    assert!(missing[0].to_string().contains("/nowhere.toml"), "{missing:?}");
}

#[test]
fn the_defaults_hold_and_the_documented_file_says_them_all() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/trailhouse.toml");
    let documented = Config::load(Some(&path)).unwrap().config;
    assert_eq!(documented, Config::default());
    let text = std::fs::read_to_string(&path).unwrap();
    let example = toml::Value::try_from(Config::example()).unwrap();
    for (section, value) in example.as_table().unwrap() {
        says_all(&text, section, value);
    }
}

/// Whether a text has every setting of a section, and of those below it.
fn says_all(text: &str, section: &str, value: &toml::Value) {
    let fields = value
        .as_table()
        .cloned()
        .unwrap_or_else(|| value.as_array().unwrap()[0].as_table().unwrap().clone());
    for (field, value) in fields {
        let name = format!("{section}.{field}");
        let is_set = |line: &str| {
            let line = line.trim_start_matches("# ");
            line.starts_with(&format!("{field} = ")) || line.contains(&format!("[{name}]"))
        };
        assert!(text.lines().any(is_set), "{name} is not in config/trailhouse.toml");
        if value.is_table() {
            says_all(text, &name, &value);
        }
    }
}
