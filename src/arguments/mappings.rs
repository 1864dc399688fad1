//! The arguments of `trailhouse mappings`.
//!
//! In: arguments. Out: [`MappingsCommand`].
//!
//! # Invariants
//! - What is not said is left to the configuration.
//!
//! Deliberately unknown here: what the subcommands do.

use std::path::PathBuf;

use clap::Subcommand;

use super::header;

#[derive(Debug, Subcommand)]
pub enum MappingsCommand {
    /// Run the tests inside every mapping file.
    Test,
    /// Show what becomes of the records of a file: each event, and what stayed unmapped.
    Try {
        /// One JSON document, or one a line.
        file: PathBuf,
        /// Read them by this mapping; without it topic, headers and shapes decide.
        #[arg(long)]
        schema: Option<String>,
        /// The topic they would come on; one that the configuration names is read as it says.
        #[arg(long, default_value = "try")]
        topic: String,
        /// A header of every record, such as tenant=acme; may be repeated.
        #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
        header: Vec<(String, String)>,
        /// Whether the body may say whose log it belongs to; without it what the configuration
        /// says of the topic, and `true` for one that it does not name.
        #[arg(long, value_name = "BOOL")]
        tenant_from_body: Option<bool>,
    },
}
