//! The fault tests: whatever is killed, frozen, lost or late, every record is stored once.
//!
//! In: the real binary, Apache Kafka, ClickHouse behind a fault proxy. Out: an account of every
//! record, asked of Kafka and ClickHouse.
//!
//! `cargo test --test faults` runs the matrix, a test a row; `soak` is for hours and asked for by
//! name.
//!
//! # Invariants
//! - A test waits for a condition with a deadline, never for a time.
//! - Where a fault must have happened, the test has seen it happen.
//!
//! Deliberately unknown here: private items, how exactly-once is done.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chaos;
mod forward;
#[allow(dead_code, reason = "shared with the integration tests, which use all of it")]
#[path = "../it/harness.rs"]
mod harness;
mod http;
mod kafka;
mod ledger;
mod matrix;
mod proxy;
mod scene;
mod soak;
mod trickle;
mod worker;
