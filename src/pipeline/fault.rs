//! Places where the tests break the process.
//!
//! In: names. Out: nothing, in a build without the feature `failpoints`.
//!
//! # Invariants
//! - A release build has none of it.
//!
//! Deliberately unknown here: what a place means.

/// The process may be killed or stopped here.
pub fn point(_name: &'static str) {}

/// Whether a test has switched something on, or off.
pub fn is_on(_name: &'static str) -> bool {
    false
}
