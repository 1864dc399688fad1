//! The way in for those who bring records to us: onto Kafka, like everybody's.
//!
//! In: records, one by one from a program ([`Sender`]) or many at a time from requests
//! ([`Gateway`]), or copies of what is quarantined ([`DeadLetters`]). Out: their place in Kafka, once
//! they are safe there.
//!
//! # Invariants
//! - Nothing is stored around Kafka: one way in, one proof of delivery.
//!
//! Deliberately unknown here: ClickHouse, HTTP.

mod client;
mod dead_letter;
mod producer;
mod write;

pub use client::{Outgoing, Quiet, SendError};
pub use dead_letter::{DeadLetter, DeadLetters};
pub use producer::{IN_FLIGHT, Sender};
pub use write::{Gateway, Receipt, Recorder, Writing};
