//! The fault tests: whatever is killed, frozen, lost or late, every record is stored once.
//!
//! In: a model of the protocol. Out: pass or fail.
//!
//! # Invariants
//! - A test waits for a condition with a deadline, never for a time.
//!
//! Deliberately unknown here: private items.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod model;
