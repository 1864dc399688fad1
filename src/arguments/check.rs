//! The arguments of `trailhouse check` and `trailhouse config`.
//!
//! In: arguments. Out: [`CheckArguments`], [`ConfigCommand`].
//!
//! # Invariants
//! - Without `--connect` nobody is asked anything.
//!
//! Deliberately unknown here: what the subcommands do.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Settings file.
    #[arg(long, short)]
    pub config: Option<PathBuf>,
    /// Then try it: brokers, credentials, topics, rights, ClickHouse, tables, clocks; a line each,
    /// with the fix. Changes nothing. Exit code 1 where one fails.
    #[arg(long)]
    pub connect: bool,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting that counts, as TOML, and where each comes from.
    #[command(after_help = "Example:
  trailhouse config print --redacted --config trailhouse.toml")]
    Print {
        /// Say that secrets are left out; they always are.
        #[arg(long)]
        redacted: bool,
    },
}
