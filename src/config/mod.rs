//! The whole configuration, and every problem of it at once.
//!
//! In: a TOML file, `TRAILHOUSE__SECTION__FIELD` variables, mapping files. Out: [`Loaded`]: the
//! [`Config`] and the [`Catalog`] of mappings, or the list of all that is wrong.
//!
//! # Invariants
//! - Defaults < file < environment < flags.
//! - A problem names the file, the line, the field and the fix; one run shows them all.
//! - `config/trailhouse.toml` shows every setting with its default; a test holds the two equal.
//!
//! Deliberately unknown here: what the sections are for. Each lives beside what it configures.

mod effective;
mod file;
mod live;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};

use self::file::SettingsFile;
use crate::api::ApiConfig;
use crate::pipeline::PipelineConfig;
use crate::problem::Problem;
use crate::schema::{Catalog, SkipConfig};
use crate::source::{KafkaConfig, SecurityConfig, TopicConfig};
use crate::telemetry::{LogConfig, TracesConfig};
use crate::warehouse::{ClickHouseConfig, RetentionConfig};

pub use effective::{Setting, effective, without_user};
pub use live::{Live, topic_rule};

/// The mapping files of this repository; adding one needs no code.
static SHIPPED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/config/schemas");

/// Every setting.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where records come from.
    pub kafka: KafkaConfig,
    /// Where events are stored.
    pub clickhouse: ClickHouseConfig,
    /// How records become batches.
    pub pipeline: PipelineConfig,
    /// Where questions are answered.
    pub api: ApiConfig,
    /// How long what is stored is kept.
    pub retention: RetentionConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Where traces go, and how many.
    pub traces: TracesConfig,
    /// Mapping files beside the shipped ones.
    pub schemas: SchemasConfig,
    /// Names that mean the same tenant.
    pub tenant: Vec<TenantConfig>,
    /// Events that are not stored.
    pub skip: Vec<SkipConfig>,
}

/// The `[schemas]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchemasConfig {
    /// A folder of mapping files; one with a shipped mapping's name takes its place.
    pub dir: Option<PathBuf>,
}

/// One `[[tenant]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantConfig {
    /// The name that is stored.
    pub id: String,
    /// Other names sources have for it.
    pub aliases: Vec<String>,
}

/// A configuration that holds.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The mappings.
    pub catalog: Catalog,
}

impl Config {
    /// Read everything; without a file, the defaults and the environment.
    pub fn load(path: Option<&Path>) -> Result<Loaded, Vec<Problem>> {
        let settings = SettingsFile::read(path)?;
        let mut problems = settings.problems();
        let config = match settings.merged() {
            Ok(config) => config,
            Err(problem) => {
                // The lines found above say the same, and better.
                if problems.is_empty() {
                    problems.push(problem);
                }
                Config::default()
            }
        };
        let sections = [
            ("kafka", config.kafka.check()),
            ("clickhouse", config.clickhouse.check()),
            ("pipeline", config.pipeline.check()),
            ("api", config.api.check()),
            ("retention", config.retention.check()),
            ("log", config.log.check()),
            ("traces", config.traces.check()),
        ];
        for (section, wrong) in sections {
            for (field, message) in wrong {
                problems.push(settings.problem(&format!("{section}.{field}"), message));
            }
        }
        if let Some(message) = config.check_drain() {
            problems.push(settings.problem("pipeline.drain_ms", message));
        }
        let skips = SkipConfig::check(&config.skip, &config.aliases().collect());
        for (field, message) in config.check_tenants().into_iter().chain(skips) {
            problems.push(settings.problem(&field, message));
        }
        match catalog(config.schemas.dir.as_deref(), &settings) {
            Err(found) => problems.extend(found),
            Ok(catalog) => {
                for (at, topic) in config.kafka.topics.iter().enumerate() {
                    let unknown = catalog.unknown(&topic.schema);
                    if let Some(message) = unknown.filter(|_| !topic.schema.is_empty()) {
                        let field = format!("kafka.topics.{at}.schema");
                        problems.push(settings.problem(&field, message));
                    }
                }
                for (field, message) in SkipConfig::unknown(&config.skip, &catalog) {
                    problems.push(settings.problem(&field, message));
                }
                if problems.is_empty() {
                    return Ok(Loaded { config, catalog });
                }
            }
        }
        Err(problems)
    }

    /// Each tenant's other names, as (alias, tenant).
    pub fn aliases(&self) -> impl Iterator<Item = (String, String)> {
        self.tenant.iter().flat_map(|tenant| {
            tenant.aliases.iter().map(|alias| (alias.clone(), tenant.id.clone()))
        })
    }

    /// Kafka waits for a partition's old owner for `max.poll.interval.ms`, five minutes by default:
    /// then its new owner begins, whether the old one has finished or not.
    fn check_drain(&self) -> Option<String> {
        const PROPERTY: &str = "max.poll.interval.ms";
        let set = self.kafka.properties.get(PROPERTY).and_then(|value| value.parse().ok());
        let waits: u64 = set.unwrap_or(300_000);
        let drain = self.pipeline.drain_ms;
        (drain >= waits).then(|| {
            format!(
                "is {drain}, and must be below {PROPERTY} of kafka.properties, which is {waits}"
            )
        })
    }

    fn check_tenants(&self) -> Vec<(String, String)> {
        let mut wrong = self.retention.misnamed(self.aliases());
        let mut seen = HashMap::new();
        for (at, tenant) in self.tenant.iter().enumerate() {
            if tenant.id.is_empty() {
                wrong.push((format!("tenant.{at}.id"), "must name a tenant".to_owned()));
            }
            for name in tenant.aliases.iter().chain([&tenant.id]) {
                if let Some(other) = seen.insert(name, &tenant.id).filter(|id| **id != tenant.id) {
                    let message = format!("`{name}` means `{other}` and `{}`", tenant.id);
                    wrong.push((format!("tenant.{at}.aliases"), message));
                }
            }
        }
        wrong
    }

    /// Every setting set, for the check of names and types and the documentation's test.
    fn example() -> Config {
        let mut config = Config::default();
        config.kafka.topics.push(TopicConfig::default());
        config.kafka.security = SecurityConfig::example();
        config.clickhouse = ClickHouseConfig::example();
        config.api = ApiConfig::example();
        config.schemas.dir = Some(PathBuf::new());
        config.tenant.push(TenantConfig { id: String::new(), aliases: vec![String::new()] });
        config.skip.push(SkipConfig::example());
        config
    }
}

/// The shipped mappings, and those of a folder over them.
fn catalog(dir: Option<&Path>, settings: &SettingsFile) -> Result<Catalog, Vec<Problem>> {
    let mut files: Vec<(String, String, String)> = Vec::new();
    for file in SHIPPED.files() {
        let stem = file.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = format!("config/schemas/{}", file.path().display());
        files.push((name, stem, file.contents_utf8().unwrap_or_default().to_owned()));
    }
    if let Some(dir) = dir {
        let own =
            mapping_files(dir).map_err(|message| vec![settings.problem("schemas.dir", message)])?;
        files.retain(|(_, stem, _)| !own.iter().any(|(_, other, _)| other == stem));
        files.extend(own);
    }
    Catalog::load(files.iter().map(|(name, stem, text)| (&**name, &**stem, &**text)))
}

/// The mapping files of a folder, as (name, stem, text).
pub fn mapping_files(dir: &Path) -> Result<Vec<(String, String, String)>, String> {
    let cannot = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| cannot(dir, error))? {
        let path = entry.map_err(|error| cannot(dir, error))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).map_err(|error| cannot(&path, error))?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.push((path.display().to_string(), stem, text));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
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
        assert!(
            found.contains("f:2: traces.sampled_ratio: is 2, and must be from 0 to 1"),
            "{found}"
        );
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
}
