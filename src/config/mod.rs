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
mod tests;
