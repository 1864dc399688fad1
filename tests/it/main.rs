//! The one integration binary: each module holds one part of Trailhouse to what it promises.
//!
//! In: the crate as a user of it sees it. Out: pass or fail.
//!
//! # Invariants
//! - A test waits for a condition with a deadline, never for a time.
//!
//! Deliberately unknown here: private items.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod analyst;
mod audit;
mod backup;
mod cli;
mod cluster;
mod connect;
mod cost;
mod counting;
mod dashboards;
mod demo;
mod desk;
mod document;
mod erasure;
mod fallback;
mod feed;
mod file;
mod fitness;
mod guard;
mod harness;
mod house;
mod lifecycle;
mod metrics;
mod pipeline;
mod quarantine;
mod reading;
#[path = "../reference/mod.rs"]
mod reference;
mod reload;
mod scenario;
mod schema;
mod serve;
mod skip;
mod stream;
mod token;
mod unchanged;
mod view;
mod write;
