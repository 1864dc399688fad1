//! The command line: subcommands, flags, and an example of each.
//!
//! In: arguments. Out: [`Arguments`].
//!
//! # Invariants
//! - Every subcommand's `--help` ends with examples that work as they stand.
//!
//! Deliberately unknown here: what the subcommands do.

mod check;
mod key;
mod lifecycle;
mod mappings;
mod produce;
mod quarantine;

use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use trailhouse::app::Role;
use trailhouse::app::output::output;
use trailhouse::demo::BrokerMode;
use trailhouse::event::PartitionId;

pub use check::{CheckArguments, ConfigCommand};
pub use key::KeyCommand;
pub use lifecycle::LifecycleCommand;
pub use mappings::MappingsCommand;
pub use produce::ProduceArguments;
pub use quarantine::QuarantineCommand;

/// A company's whole audit trail, from Kafka into ClickHouse, and answered over HTTP.
#[derive(Debug, Parser)]
#[command(
    version = trailhouse::VERSION,
    max_term_width = 100,
    after_help = "Begin with: trailhouse demo

Exit codes: 0 done, 1 failed, 2 misused, 75 not verified, 78 misconfigured; 130 and 143 ended at once by a second
signal. docs/OPERATING.md says more."
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: broker, ClickHouse, pipeline, API, and a producer.
    #[command(after_help = "Examples:
  trailhouse demo
  trailhouse demo --for 30 --kafka in-process
  trailhouse demo --dir ./data --rate 2000
  trailhouse demo --dir ./data --reset
  trailhouse demo --kafka 127.0.0.1:9092 --clickhouse http://127.0.0.1:8123

Ctrl-C stops everything; a second one at once. Exit code 1 where the last line counts records lost
or stored twice.")]
    Demo(DemoArguments),

    /// Consume, store and answer, until SIGTERM or Ctrl-C.
    #[command(after_help = "Examples:
  trailhouse serve --config /etc/trailhouse.toml
  trailhouse serve --config trailhouse.toml --role ingest
  trailhouse serve --config trailhouse.toml --accept-gap audit.cockpit/3
  TRAILHOUSE__KAFKA__BROKERS=kafka:9092 trailhouse serve --config trailhouse.toml

Waits for a ClickHouse and a Kafka that do not answer yet; /readyz names them. SIGHUP reads the mappings
and log.level again.")]
    Serve {
        /// Settings file; `config/trailhouse.toml` of the repository shows every setting.
        #[arg(long, short)]
        config: Option<PathBuf>,
        /// Which parts to run.
        #[arg(long, value_enum, default_value_t)]
        role: Role,
        /// Go on with a partition though records of it were lost before they were read: the log
        /// says which. For this start only; may be repeated.
        #[arg(long, value_name = "TOPIC/PARTITION", value_parser = partition)]
        accept_gap: Vec<PartitionId>,
    },

    /// Put records onto a topic: the lines of a file, or generated events.
    #[command(after_help = "Examples:
  trailhouse produce --file events.ndjson --topic audit.cockpit --header tenant=acme
  trailhouse produce --generate okta_system --count 1000 --rate 200
  trailhouse produce --generate cockpit --create 12 --brokers kafka:9092
  trailhouse produce --generate cockpit --config /etc/trailhouse.toml
  TRAILHOUSE__KAFKA__BROKERS=kafka:9093 trailhouse produce --generate pace --config trailhouse.toml

Brokers that want TLS or SASL are described by [kafka.security] of the settings file, as for `serve`.
Without --config and --brokers the environment counts, and the default 127.0.0.1:9092.")]
    Produce(ProduceArguments),

    /// Store the lines of a file without Kafka: a backfill.
    #[command(after_help = "Examples:
  trailhouse ingest --file cloudtrail.ndjson --schema aws_cloudtrail
  trailhouse ingest --config trailhouse.toml --file old.ndjson --schema cockpit --tenant acme")]
    Ingest {
        /// Settings file.
        #[arg(long, short)]
        config: Option<PathBuf>,
        /// One JSON document a line.
        #[arg(long)]
        file: PathBuf,
        /// The mapping of all lines; without it shapes decide.
        #[arg(long)]
        schema: Option<String>,
        /// The tenant of all lines; without it the body's word.
        #[arg(long)]
        tenant: Option<String>,
    },

    /// Bring ClickHouse's tables up to date, or show how they stand.
    #[command(after_help = "Examples:
  trailhouse migrate status --config trailhouse.toml
  trailhouse migrate up --dry-run
  trailhouse migrate up")]
    Migrate {
        /// Settings file.
        #[arg(long, short, global = true)]
        config: Option<PathBuf>,
        #[command(subcommand)]
        command: MigrateCommand,
    },

    /// Try mapping files: on their own tests, or on your records.
    #[command(after_help = "Examples:
  trailhouse mappings test
  trailhouse mappings try events.ndjson --header tenant=acme
  trailhouse mappings try event.json --schema cockpit
  trailhouse mappings try events.ndjson --config trailhouse.toml --topic audit.cockpit
  trailhouse mappings test --config trailhouse.toml")]
    Mappings {
        /// Settings file; `schemas.dir` names a folder of mapping files of your own.
        #[arg(long, short, global = true)]
        config: Option<PathBuf>,
        #[command(subcommand)]
        command: MappingsCommand,
    },

    /// Look at what could not be normalised, and replay it once the cause is mended.
    #[command(after_help = "Examples:
  trailhouse quarantine list --config trailhouse.toml --since 24h
  trailhouse quarantine show audit.shop 0 4711 --config trailhouse.toml
  trailhouse quarantine replay --config trailhouse.toml --dry-run")]
    Quarantine {
        /// Settings file.
        #[arg(long, short, global = true)]
        config: Option<PathBuf>,
        #[command(subcommand)]
        command: QuarantineCommand,
    },

    /// Make, list and revoke API keys.
    #[command(after_help = "Examples:
  trailhouse key create --config trailhouse.toml --name siem --role reader --tenant acme
  trailhouse key list --config trailhouse.toml
  trailhouse key revoke 5f0c9ae2b1d34477 --config trailhouse.toml")]
    Key {
        /// Settings file.
        #[arg(long, short, global = true)]
        config: Option<PathBuf>,
        #[command(subcommand)]
        command: KeyCommand,
    },

    /// Hold what is stored against Kafka's offsets: what is lost, what is there twice, and where.
    #[command(after_help = "Examples:
  trailhouse verify --config trailhouse.toml
  trailhouse verify --config trailhouse.toml --topic audit.cockpit --digests
  trailhouse verify --topic audit.cockpit --partition 3 --from 1000000 --to 1999999
  trailhouse verify --config trailhouse.toml --output json
  trailhouse verify --config trailhouse.toml --metrics-file trailhouse_verify.prom

Workers may go on meanwhile. Exit code 1 where anything is lost, duplicated, accounted for by no
batch, or altered; 75 where that could not be found out.")]
    Verify(VerifyArguments),

    /// Where one record ended: its rows, why it was quarantined, by which rule it was skipped.
    #[command(after_help = "Examples:
  trailhouse receipt audit.cockpit 3 1000017 --config trailhouse.toml
  trailhouse receipt audit.cockpit 3 1000017 --output json

Exit code 1 for a record that is lost or that nobody knows of.")]
    Receipt {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// Settings file.
        #[arg(long, short)]
        config: Option<PathBuf>,
        /// For people, or for programs.
        #[arg(long, value_enum, default_value_t)]
        output: OutputFormat,
    },

    #[command(flatten)]
    Lifecycle(LifecycleCommand),

    /// Check the configuration and every mapping file; every problem with its line. Exit code 78.
    #[command(after_help = "Examples:
  trailhouse check --config trailhouse.toml
  trailhouse check --connect --config trailhouse.toml")]
    Check(CheckArguments),

    /// Show what counts of defaults, settings file and environment.
    #[command(after_help = "Example:
  trailhouse config print --redacted --config trailhouse.toml")]
    Config {
        /// Settings file.
        #[arg(long, short, global = true)]
        config: Option<PathBuf>,
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// `auto` (Apache Kafka where Java 17 and mvn are there, else in-process), `apache`,
    /// `in-process` (in memory, keeps only 5 MiB a partition), or HOST:PORT.
    #[arg(long, default_value = "auto")]
    pub kafka: BrokerMode,
    /// `auto` fetches and starts one; or the URL of one that runs.
    #[arg(long, default_value = "auto", value_name = "auto|URL")]
    pub clickhouse: String,
    /// Records a second.
    #[arg(long, default_value_t = 200)]
    pub rate: u64,
    /// Stop by itself after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub r#for: Option<u64>,
    /// Keep the data here; a second start goes on with it.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Drop the data in --dir first.
    #[arg(long, requires = "dir")]
    pub reset: bool,
    /// Where the API listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: String,
    /// How much is logged: error, warn, info, debug, or a filter.
    #[arg(long, default_value = "warn", value_name = "LEVEL")]
    pub log_level: String,
}

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Settings file.
    #[arg(long, short)]
    pub config: Option<PathBuf>,
    /// This topic alone; without it those of the configuration.
    #[arg(long)]
    pub topic: Option<String>,
    /// This partition of it alone.
    #[arg(long, requires = "topic")]
    pub partition: Option<i32>,
    /// From this offset on, or the first of the batch that holds it.
    #[arg(long, requires = "partition", value_name = "OFFSET")]
    pub from: Option<i64>,
    /// Up to this offset, or the last of the batch that holds it.
    #[arg(long, requires = "partition", value_name = "OFFSET")]
    pub to: Option<i64>,
    /// Read every stored byte, too, and compare each batch's digest: finds altered rows.
    #[arg(long)]
    pub digests: bool,
    /// Write what was found to this file as metrics, for node_exporter's textfile collector.
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

impl OutputFormat {
    /// An answer, to standard output.
    pub fn print(self, answer: &(impl Display + Serialize)) -> anyhow::Result<()> {
        let mut out = output();
        match self {
            OutputFormat::Text => writeln!(out, "{answer}")?,
            OutputFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(answer)?)?,
        }
        Ok(())
    }
}

#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// How every migration stands.
    Status,
    /// Apply what is pending.
    Up {
        /// Only say what would be applied.
        #[arg(long)]
        dry_run: bool,
    },
}

fn partition(text: &str) -> Result<PartitionId, String> {
    let parts = text.rsplit_once('/').filter(|(topic, _)| !topic.is_empty());
    let number = parts.and_then(|(topic, number)| Some((topic, number.parse().ok()?)));
    let (topic, partition) = number.ok_or_else(|| format!("`{text}` is not TOPIC/PARTITION"))?;
    Ok(PartitionId { topic: topic.into(), partition })
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}
