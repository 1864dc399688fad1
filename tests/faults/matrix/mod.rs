//! The fault matrix, a test a row.
//!
//! In: a [`crate::scene::Scene`]. Out: pass or fail.
//!
//! # Invariants
//! - The assertion is the ledger's: each record stored, quarantined or skipped, each position once.
//!
//! Deliberately unknown here: how faults are made.

mod broker;
mod crash;
mod dead_letter;
mod gateway;
mod load;
mod memory;
mod outcome;
mod poison;
mod reading;
mod rebalance;
mod refusal;
mod replay;
mod rule;
mod upgrade;
mod zombie;
