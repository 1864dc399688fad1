//! The engines of a laptop: a real ClickHouse and a Kafka broker, without Docker, for
//! `trailhouse demo` and for the integration tests.
//!
//! In: a folder for their data, and the path of the `trailhouse` binary. Out: a URL and a bootstrap
//! address; nothing left running when this process ends.
//!
//! # Invariants
//! - Engines listen on 127.0.0.1 alone.
//! - An engine is fetched once a machine, and only as the pin in this source has it.
//! - What an engine acknowledged is there at the next start over the same folder, except in the
//!   in-process broker, which says that it is in memory.
//!
//! Deliberately unknown here: production. `trailhouse serve` is given addresses and uses none of
//! this.

mod bottom;
mod broker;
mod clickhouse;
mod fetch;
mod folder;
pub mod generate;
mod http;
mod in_process;
mod kafka;
pub mod launcher;
mod process;
mod run;

pub use bottom::{Bottom, watermarks};
pub use broker::{Broker, BrokerMode};
pub use clickhouse::{CLUSTER, ClickHouseServer, USER};
pub use in_process::InProcessBroker;
pub use kafka::{Guard, KafkaBroker, create_topics, create_topics_over};
pub use process::spawn;
pub use run::{DemoOptions, run};
