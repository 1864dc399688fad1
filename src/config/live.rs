//! The mappings and skip rules as they are now: compiled for each topic, replaced as a whole.
//!
//! In: a [`Loaded`] configuration; later another [`Catalog`] and rules that hold. Out: the normaliser of a
//! topic, the catalog.
//!
//! # Invariants
//! - Whoever asks gets mappings that were loaded together; nobody waits while others are loaded.
//! - What a topic is read by (`schema`, tenant, aliases) stays what it was at start; mappings and
//!   rules alone are replaced, and only by mappings that every topic's setting finds.
//!
//! Deliberately unknown here: when they are loaded again.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Config, Loaded};
use crate::schema::{Catalog, Normaliser, SkipConfig, TopicRule};
use crate::source::TopicConfig;

/// The mappings in use. Cheap to clone; clones see the same.
#[derive(Clone)]
pub struct Live {
    config: Arc<Config>,
    aliases: Arc<HashMap<String, String>>,
    now: Arc<RwLock<Mappings>>,
}

struct Mappings {
    catalog: Arc<Catalog>,
    skip: Vec<SkipConfig>,
    /// By topic, as they are asked for.
    compiled: HashMap<String, Arc<Normaliser>>,
}

impl Live {
    /// The mappings of a configuration.
    pub fn of(loaded: &Loaded) -> Live {
        let catalog = Arc::new(loaded.catalog.clone());
        Live {
            config: Arc::new(loaded.config.clone()),
            aliases: Arc::new(loaded.config.aliases().collect()),
            now: Arc::new(RwLock::new(Mappings {
                catalog,
                skip: loaded.config.skip.clone(),
                compiled: HashMap::new(),
            })),
        }
    }

    /// Every mapping.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).catalog)
    }

    /// How a topic's records are read now.
    pub fn normaliser(&self, topic: &str) -> Arc<Normaliser> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = now.compiled.get(topic) {
            return Arc::clone(found);
        }
        drop(now);
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let found = self.config.kafka.topic(topic);
        let rule = found.map(topic_rule).unwrap_or_default();
        let most = self.config.pipeline.max_record_bytes;
        let made = now.catalog.normaliser(topic, &rule, &self.aliases, most);
        let made = Arc::new(made.skipping(&now.skip));
        now.compiled.insert(topic.to_owned(), Arc::clone(&made));
        made
    }

    /// Read by these from now on; refused where a topic's mapping is not among them.
    pub fn replace(&self, catalog: Catalog, skip: Vec<SkipConfig>) -> Result<(), String> {
        let named = self.config.kafka.topics.iter().filter(|topic| !topic.schema.is_empty());
        for topic in named {
            if let Some(unknown) = catalog.unknown(&topic.schema) {
                return Err(format!("topic {}: {unknown}", topic.name));
            }
        }
        let fresh = Mappings { catalog: Arc::new(catalog), skip, compiled: HashMap::new() };
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl Loaded {
    /// The normaliser of each topic, by the mappings as they were loaded.
    pub fn normalisers(&self) -> impl Fn(&str) -> Arc<Normaliser> + Send + use<> {
        let live = Live::of(self);
        move |topic| live.normaliser(topic)
    }
}

/// A topic's rule; an empty setting is none.
pub fn topic_rule(topic: &TopicConfig) -> TopicRule {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    TopicRule {
        schema: some(&topic.schema),
        tenant: some(&topic.tenant),
        tenant_from_body: topic.tenant_from_body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(name: &str, version: u32) -> String {
        format!(
            "name = \"{name}\"\nversion = {version}\nabout = \"x\"\n[when]\nexists = [\"a\"]\n\
             [event]\naction = \"a\"\n"
        )
    }

    fn catalog(name: &str, version: u32) -> Catalog {
        let text = mapping(name, version);
        Catalog::load([("f", name, text.as_str())]).unwrap()
    }

    #[test]
    fn mappings_are_replaced_together_and_never_by_ones_that_lack_a_topics() {
        let mut config = Config::default();
        let (name, schema) = ("audit.shop".to_owned(), "shop".to_owned());
        config.kafka.topics.push(TopicConfig { name, schema, ..TopicConfig::default() });
        let live = Live::of(&Loaded { config, catalog: catalog("shop", 1) });
        let before = live.normaliser("audit.shop");
        assert!(Arc::ptr_eq(&before, &live.normaliser("audit.shop")), "compiled once");
        let refused = live.replace(catalog("store", 2), Vec::new()).unwrap_err();
        assert!(refused.contains("audit.shop: no mapping is called `shop`"), "{refused}");
        assert!(Arc::ptr_eq(&before, &live.normaliser("audit.shop")), "the old ones stay");
        live.replace(catalog("shop", 2), Vec::new()).unwrap();
        assert!(!Arc::ptr_eq(&before, &live.clone().normaliser("audit.shop")));
        assert_eq!(live.catalog().get("shop").map(|mapping| mapping.version), Some(2));
    }
}
