//! Bytes to events: the mapping files, compiled, and the one pass over a record.
//!
//! In: mapping files' texts, then [`RawRecord`](crate::event::RawRecord)s. Out:
//! [`Fate`](crate::event::Fate)s. Use [`Catalog::load`] once, [`Catalog::normaliser`] for each
//! topic, and [`Normaliser::normalise`] for each record.
//!
//! # Invariants
//! - Pure: no clock, network, file or metric. Same bytes, same mapping: same event, same id.
//! - A schema is a file. What a source needs and the vocabulary lacks is a new operator, with its
//!   row in the table test, never code for that source.
//!
//! Deliberately unknown here: Kafka, ClickHouse, HTTP.

mod assemble;
mod claim;
mod envelope;
pub mod inline;
mod key;
mod leftover;
pub mod mapping;
mod normalise;
pub mod parse;
pub mod path;
mod plan;
mod rule;
mod skip;
mod slots;
mod tenant;
mod text;
pub mod time;
mod trie;
mod walk;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use self::mapping::Mapping;
pub use self::normalise::{Normaliser, TopicRule};
use self::plan::Plan;
pub use self::skip::SkipConfig;
use self::skip::Skips;
pub use self::walk::MAX_DEPTH;
use crate::problem::Problem;

/// Every mapping there is.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    mappings: BTreeMap<String, Arc<Mapping>>,
    /// Of each mapping's text.
    digests: BTreeMap<String, String>,
}

impl Catalog {
    /// Read mapping files, given as (file name for messages, stem, text); every problem of all of
    /// them at once.
    pub fn load<'f>(
        files: impl IntoIterator<Item = (&'f str, &'f str, &'f str)>,
    ) -> Result<Catalog, Vec<Problem>> {
        let mut catalog = Catalog::default();
        let mut problems = Vec::new();
        for (file, stem, text) in files {
            match parse::mapping(file, stem, text) {
                Ok(mapping) => {
                    catalog.digests.insert(mapping.name.clone(), digest(text));
                    catalog.mappings.insert(mapping.name.clone(), Arc::new(mapping));
                }
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(catalog) } else { Err(problems) }
    }

    /// The mappings, by name.
    pub fn mappings(&self) -> impl Iterator<Item = &Mapping> {
        self.mappings.values().map(|mapping| &**mapping)
    }

    /// The mapping of a name.
    pub fn get(&self, name: &str) -> Option<&Mapping> {
        self.mappings.get(name).map(|mapping| &**mapping)
    }

    /// The first 12 hex digits of the SHA-256 of a mapping's text: of what is in force, not of the
    /// version it claims.
    pub fn digest(&self, name: &str) -> Option<&str> {
        self.digests.get(name).map(String::as_str)
    }

    /// The sentence for a name that no mapping has; `None` for one that has.
    pub fn unknown(&self, name: &str) -> Option<String> {
        let near = || crate::problem::did_you_mean(name, self.mappings.keys().map(String::as_str));
        self.get(name).is_none().then(|| format!("no mapping is called `{name}`{}", near()))
    }

    /// Compile what a topic's records need.
    ///
    /// The candidates are the mapping the rule names; else those whose `when.topics` fit; else
    /// all of them.
    pub fn normaliser(
        &self,
        topic: &str,
        rule: &TopicRule,
        aliases: &Arc<HashMap<String, String>>,
        max_record_bytes: usize,
    ) -> Normaliser {
        let by_topic = |mapping: &Mapping| match &rule.schema {
            Some(schema) => mapping.name == *schema,
            None => mapping.when.topics.iter().any(|pattern| text::fits(pattern, topic)),
        };
        let named: Vec<&Mapping> = self.mappings().filter(|mapping| by_topic(mapping)).collect();
        let plan = if named.is_empty() {
            Plan::compile(self.mappings(), false)
        } else {
            Plan::compile(named, true)
        };
        Normaliser {
            plan,
            topic: topic.into(),
            rule: rule.clone(),
            aliases: Arc::clone(aliases),
            max_record_bytes,
            skips: Skips::default(),
        }
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text)[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}
