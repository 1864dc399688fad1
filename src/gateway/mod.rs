//! The way in for those who bring records to us: onto Kafka, like everybody's.
//!
//! In: records. Out: their place in Kafka, once they are safe there. The HTTP write endpoints will
//! stand on this; today `trailhouse produce` and the demo do, and copies of what is quarantined.
//!
//! # Invariants
//! - Nothing is stored around Kafka: one way in, one proof of delivery.
//!
//! Deliberately unknown here: ClickHouse, HTTP.

mod client;
mod dead_letter;
mod producer;

pub use client::{Outgoing, Quiet, SendError};
pub use dead_letter::{DeadLetter, DeadLetters};
pub use producer::{IN_FLIGHT, Sender};
