//! The closed vocabularies of the event: verb, outcome, origin, time source.
//!
//! In: the lower-case word as mapping files, queries and JSON spell it. Out: an enum whose
//! discriminant is the value of the ClickHouse `Enum8` of the same name.
//!
//! # Invariants
//! - `code()` equals the DDL in `deploy/clickhouse`; a test on a real server holds the two equal.
//! - A word parses to the variant that prints it, and `ALL` lists every variant.
//!
//! Deliberately unknown here: how a source spells these things. That is a lookup in its mapping.

use serde::{Deserialize, Serialize};

/// What kind of thing was done, for asking across schemas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(i8)]
pub enum Verb {
    /// Something came into being.
    Create = 1,
    /// Something was looked at or listed.
    Read = 2,
    /// Something changed.
    Update = 3,
    /// Something ceased to be.
    Delete = 4,
    /// A session began, or was attempted.
    Login = 5,
    /// A session ended.
    Logout = 6,
    /// A right was given.
    Grant = 7,
    /// A right was taken.
    Revoke = 8,
    /// Something was run.
    Execute = 9,
    /// None of the above, or not said. Never guessed.
    #[default]
    Other = 0,
}

/// How it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(i8)]
pub enum Outcome {
    /// It was done.
    Success = 1,
    /// It was refused or went wrong.
    Failure = 2,
    /// It had begun and not ended when the event was written.
    Pending = 3,
    /// The source does not say.
    #[default]
    Unknown = 0,
}

/// Through what kind of door it came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(i8)]
pub enum Origin {
    /// A person at a user interface.
    User = 1,
    /// A program through an API.
    Api = 2,
    /// The system itself.
    System = 3,
    /// The source does not say.
    #[default]
    Unknown = 0,
}

/// Whose clock `occurred_at` is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(i8)]
pub enum TimeSource {
    /// The event's own time.
    Event = 1,
    /// The Kafka record's timestamp: the event has no time, or one too far from the record's.
    #[default]
    Record = 0,
}

impl Verb {
    /// Every verb, in the order of the documentation.
    pub const ALL: [Verb; 10] = [
        Verb::Create,
        Verb::Read,
        Verb::Update,
        Verb::Delete,
        Verb::Login,
        Verb::Logout,
        Verb::Grant,
        Verb::Revoke,
        Verb::Execute,
        Verb::Other,
    ];

    /// The word in JSON, queries and mapping files.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Read => "read",
            Verb::Update => "update",
            Verb::Delete => "delete",
            Verb::Login => "login",
            Verb::Logout => "logout",
            Verb::Grant => "grant",
            Verb::Revoke => "revoke",
            Verb::Execute => "execute",
            Verb::Other => "other",
        }
    }

    /// The verb a word names.
    pub fn parse(word: &str) -> Option<Verb> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == word)
    }

    /// The value in ClickHouse.
    pub fn code(self) -> i8 {
        self as i8
    }

    /// The verb of a ClickHouse value; one this version does not know is `Other`.
    pub fn from_code(code: i8) -> Verb {
        Self::ALL.into_iter().find(|verb| verb.code() == code).unwrap_or_default()
    }
}

impl Outcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Outcome; 4] =
        [Outcome::Success, Outcome::Failure, Outcome::Pending, Outcome::Unknown];

    /// The word in JSON, queries and mapping files.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Pending => "pending",
            Outcome::Unknown => "unknown",
        }
    }

    /// The outcome a word names.
    pub fn parse(word: &str) -> Option<Outcome> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// The value in ClickHouse.
    pub fn code(self) -> i8 {
        self as i8
    }

    /// The outcome of a ClickHouse value; one this version does not know is `Unknown`.
    pub fn from_code(code: i8) -> Outcome {
        Self::ALL.into_iter().find(|outcome| outcome.code() == code).unwrap_or_default()
    }
}

impl Origin {
    /// Every origin, in the order of the documentation.
    pub const ALL: [Origin; 4] = [Origin::User, Origin::Api, Origin::System, Origin::Unknown];

    /// The word in JSON, queries and mapping files.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::User => "user",
            Origin::Api => "api",
            Origin::System => "system",
            Origin::Unknown => "unknown",
        }
    }

    /// The origin a word names.
    pub fn parse(word: &str) -> Option<Origin> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == word)
    }

    /// The value in ClickHouse.
    pub fn code(self) -> i8 {
        self as i8
    }

    /// The origin of a ClickHouse value; one this version does not know is `Unknown`.
    pub fn from_code(code: i8) -> Origin {
        Self::ALL.into_iter().find(|origin| origin.code() == code).unwrap_or_default()
    }
}

impl TimeSource {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            TimeSource::Event => "event",
            TimeSource::Record => "record",
        }
    }

    /// The value in ClickHouse.
    pub fn code(self) -> i8 {
        self as i8
    }

    /// The time source of a ClickHouse value.
    pub fn from_code(code: i8) -> TimeSource {
        if code == TimeSource::Event.code() { TimeSource::Event } else { TimeSource::Record }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_parses_to_the_variant_that_prints_it() {
        for verb in Verb::ALL {
            assert_eq!(Verb::parse(verb.as_str()), Some(verb));
            assert_eq!(Verb::from_code(verb.code()), verb);
        }
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
            assert_eq!(Outcome::from_code(outcome.code()), outcome);
        }
        for origin in Origin::ALL {
            assert_eq!(Origin::parse(origin.as_str()), Some(origin));
            assert_eq!(Origin::from_code(origin.code()), origin);
        }
        assert_eq!(Verb::parse("Create"), None, "words are lower case");
    }
}
