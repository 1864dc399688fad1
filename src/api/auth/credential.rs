//! What a caller was told by: enough to ask later whether it still holds.
//!
//! In: a request that was let in. Out: an [`Admitted`]; its [`Credential`] is for who answers longer
//! than a moment.
//!
//! # Invariants
//! - Nothing of it is secret, and nobody is let in by it.
//!
//! Deliberately unknown here: how a credential is checked.

use crate::access::Caller;

/// A caller, and what they were told by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Who.
    pub caller: Caller,
    /// By what.
    pub credential: Credential,
}

/// What a caller was told by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nothing was asked for, and callers are not told apart.
    None,
    /// A token.
    Token {
        /// The last second it holds in, since the Unix epoch, clocks' difference included.
        last_s: u64,
    },
    /// An API key, shown or signing; its prefix.
    Key(String),
}
