//! Metrics of the process: what it is, what it was told, what will run out; and those of `verify`.
//!
//! In: a register, or nothing. Out: [`ProcessMetrics`], [`VerifyMetrics`].
//!
//! # Invariants
//! - What is described by labels has the value 1, and its old description goes when a new one comes.
//! - What has no end has no series, not a 0.
//!
//! Deliberately unknown here: files, configurations.

use prometheus::{Error, IntGauge, IntGaugeVec, TextEncoder};

use super::super::{COMMIT, VERSION};
use super::register::Register;

/// What the process says of itself.
#[derive(Clone)]
pub struct ProcessMetrics {
    /// 1 while `/readyz` says ready.
    pub ready: IntGauge,
    /// 1 after a reload of the configuration that failed.
    pub config_reload_failed: IntGauge,
    config: IntGaugeVec,
    mappings: IntGaugeVec,
    certificates: IntGaugeVec,
    key: IntGaugeVec,
}

impl ProcessMetrics {
    pub(super) fn new(register: &mut Register) -> Result<ProcessMetrics, Error> {
        let build = register.gauges(
            "trailhouse_build_info",
            &["version", "commit"],
            "The program that runs.",
        )?;
        build.with_label_values(&[VERSION, COMMIT]).set(1);
        Ok(ProcessMetrics {
            ready: register.gauge("trailhouse_ready", "1 where /readyz says ready, else 0.")?,
            config_reload_failed: register.gauge(
                "trailhouse_config_reload_failed",
                "1 after a reload of the configuration that failed: the old one is in force.",
            )?,
            config: register.gauges(
                "trailhouse_config_info",
                &["digest"],
                "The settings in force, without secrets.",
            )?,
            mappings: register.gauges(
                "trailhouse_mapping_info",
                &["schema", "version", "digest"],
                "The mapping in force of a schema.",
            )?,
            certificates: register.gauges(
                "trailhouse_certificate_expiry_timestamp_seconds",
                &["file"],
                "When the first certificate of a file ends: tls (of the API) or kafka.",
            )?,
            key: register.gauges(
                "trailhouse_key_expiry_timestamp_seconds",
                &[],
                "When the next API key expires.",
            )?,
        })
    }

    /// These settings are in force, and these mappings: (schema, version, digest).
    pub fn in_force(&self, config: &str, mappings: &[(String, u16, String)]) {
        self.config.reset();
        self.config.with_label_values(&[config]).set(1);
        self.mappings.reset();
        for (schema, version, digest) in mappings {
            self.mappings.with_label_values(&[schema, &version.to_string(), digest]).set(1);
        }
    }

    /// When the first certificate of a file ends, seconds since the Unix epoch.
    pub fn certificate_ends(&self, file: &str, at_s: i64) {
        self.certificates.with_label_values(&[file]).set(at_s);
    }

    /// When the next API key expires, seconds since the Unix epoch; `None` where none does.
    pub fn next_key_expires(&self, at_s: Option<i64>) {
        match at_s {
            Some(at_s) => self.key.with_label_values::<&str>(&[]).set(at_s),
            None => self.key.reset(),
        }
    }
}

/// What `verify` found, for a collector of text files.
pub struct VerifyMetrics {
    register: Register,
    last_run: IntGauge,
    clean: IntGauge,
    missing_offsets: IntGauge,
}

impl VerifyMetrics {
    /// Register them, apart from those of a process that serves.
    pub fn new() -> Result<VerifyMetrics, Error> {
        let mut register = Register::default();
        let last_run = register.gauge(
            "trailhouse_verify_last_run_timestamp_seconds",
            "When verify last came to an end.",
        )?;
        let clean = register.gauge(
            "trailhouse_verify_clean",
            "1 where verify found nothing lost, duplicated, unaccounted for or altered, else 0.",
        )?;
        let missing_offsets = register.gauge(
            "trailhouse_verify_missing_offsets",
            "Offsets that should be stored and have nothing.",
        )?;
        Ok(VerifyMetrics { register, last_run, clean, missing_offsets })
    }

    /// The text of a pass that ended at `at_s`, seconds since the Unix epoch.
    pub fn text(&self, at_s: i64, clean: bool, missing_offsets: u64) -> Result<String, Error> {
        self.last_run.set(at_s);
        self.clean.set(i64::from(clean));
        self.missing_offsets.set(i64::try_from(missing_offsets).unwrap_or(i64::MAX));
        TextEncoder::new().encode_to_string(&self.register.registry.gather())
    }

    /// Their names, labels and help.
    pub fn listed(&self) -> &[super::Listed] {
        &self.register.listed
    }
}
