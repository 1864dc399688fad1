//! What a process says of itself when it starts: the line of the log, and metrics that describe it.
//!
//! In: [`Loaded`] settings and mappings, a role. Out: a line; digests on metrics.
//!
//! # Invariants
//! - No secret is in the line, nor in what the digest is of.
//! - The same settings have the same digest on every machine.
//!
//! Deliberately unknown here: what the settings mean.

use sha2::{Digest as _, Sha256};

use super::{Role, expiry};
use crate::config::{Config, Loaded, without_user};
use crate::schema::SkipConfig;
use crate::telemetry::{COMMIT, Metrics, VERSION};

/// Say what starts, with which settings, and what it will connect to.
pub fn tell(loaded: &Loaded, role: Role) {
    let Config { kafka, clickhouse, api, pipeline, traces, .. } = &loaded.config;
    let topics: Vec<&str> = kafka.topics.iter().map(|topic| topic.name.as_str()).collect();
    let properties: Vec<&str> = kafka.properties.keys().map(String::as_str).collect();
    tracing::info!(
        version = VERSION,
        commit = COMMIT,
        ?role,
        config = digest(&loaded.config),
        mappings = loaded.catalog.mappings().count(),
        kafka = kafka.brokers,
        group = kafka.group,
        topics = topics.join(","),
        kafka_properties = properties.join(","),
        clickhouse = without_user(&clickhouse.url),
        database = clickhouse.database,
        user = clickhouse.user,
        memory_bytes = pipeline.memory_bytes,
        listen = api.listen,
        auth = api.auth.mode,
        tls = api.tls.certificate_file.is_some(),
        traces = without_user(&traces.endpoint),
        "starting"
    );
    if !loaded.config.skip.is_empty() {
        tell_skips(&loaded.config.skip);
    }
}

/// Say which rules leave events out.
pub fn tell_skips(rules: &[SkipConfig]) {
    let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    tracing::info!("{} skip rules: {}", names.len(), names.join(", "));
}

/// Describe what is in force on metrics; also after a reload.
pub fn describe(loaded: &Loaded, metrics: &Metrics) {
    let mappings = loaded.catalog.mappings().map(|mapping| {
        let digest = loaded.catalog.digest(&mapping.name).unwrap_or_default();
        (mapping.name.clone(), mapping.version, digest.to_owned())
    });
    let mappings: Vec<(String, u16, String)> = mappings.collect();
    metrics.process.in_force(&digest(&loaded.config), &mappings);
    let of_api = loaded.config.api.tls.certificate_file.clone();
    let of_kafka = loaded.config.kafka.security.certificate_file.clone();
    for (file, path) in [("tls", of_api), ("kafka", of_kafka)] {
        if let Some(ends) = path.and_then(|path| expiry::of_file(&path)) {
            metrics.process.certificate_ends(file, ends);
        }
    }
}

/// The first 12 hex digits of the settings' SHA-256, without secrets.
fn digest(config: &Config) -> String {
    let digest = Sha256::digest(config.redacted().to_string());
    digest[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_changes_with_the_settings_and_not_with_their_secrets() {
        let mut config = Config::default();
        let before = digest(&config);
        assert_eq!(before.len(), 12);
        config.clickhouse.password = "hunter2".to_owned();
        config.kafka.properties.insert("sasl.password".to_owned(), "hunter2".to_owned());
        config.kafka.properties.insert("sasl.password".to_owned(), "hunter3".to_owned());
        let with_secrets = digest(&config);
        config.kafka.properties.insert("sasl.password".to_owned(), "hunter4".to_owned());
        assert_eq!(digest(&config), with_secrets);
        config.clickhouse.database = "other".to_owned();
        assert_ne!(digest(&config), with_secrets);
    }
}
