//! The arguments of `trailhouse produce`.
//!
//! In: arguments. Out: [`ProduceArguments`].
//!
//! # Invariants
//! - Where Kafka is and how to come in is said once: by a settings file or by `--brokers`.
//!
//! Deliberately unknown here: what the subcommand does.

use std::path::PathBuf;

use clap::Args;

use super::header;

#[derive(Debug, Args)]
pub struct ProduceArguments {
    /// One record a line.
    #[arg(
        long,
        requires = "topic",
        required_unless_present = "generate",
        conflicts_with = "generate"
    )]
    pub file: Option<PathBuf>,
    /// Events of this schema.
    #[arg(long, value_name = "SCHEMA")]
    pub generate: Option<String>,
    /// Where to; `audit.SCHEMA` for generated events.
    #[arg(long)]
    pub topic: Option<String>,
    /// How many generated events.
    #[arg(long, default_value_t = 1000)]
    pub count: u64,
    /// Records a second; 0 as fast as they go.
    #[arg(long, default_value_t = 0)]
    pub rate: u64,
    /// A header of every record; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    pub header: Vec<(String, String)>,
    /// Create the topic with so many partitions, if it is missing.
    #[arg(long, value_name = "PARTITIONS")]
    pub create: Option<i32>,
    /// Settings file: its [kafka] says where Kafka is, and who we are there.
    #[arg(long, short, conflicts_with = "brokers")]
    pub config: Option<PathBuf>,
    /// Bootstrap servers, where there is no settings file; beside one, set TRAILHOUSE__KAFKA__BROKERS.
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
}
