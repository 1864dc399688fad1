#![doc = include_str!("../docs/ARCHITECTURE.md")]
// A test that unwraps says where it failed; the rule is for code that serves.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod access;
pub mod api;
pub mod app;
pub mod audit;
pub mod config;
pub mod demo;
pub mod event;
pub mod gateway;
pub mod pipeline;
pub mod problem;
pub mod query;
pub mod schema;
pub mod source;
pub mod telemetry;
pub mod warehouse;

/// Version, and what it was built of: commit with its date, target.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("TRAILHOUSE_COMMIT"),
    ", ",
    env!("TRAILHOUSE_TARGET"),
    ")"
);
