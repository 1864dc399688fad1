//! What a failed insert means, by ClickHouse's own number of the error.
//!
//! In: an error of the client. Out: an [`InsertError`], which says what may be done about it.
//!
//! Numbers and names are those of `src/Common/ErrorCodes.cpp` in ClickHouse's repository; a test
//! asks the engine for each (`errorCodeToName`). The HTTP status says nothing: bad data is a 500
//! like a full disk.
//!
//! # Invariants
//! - What is not listed, an unreadable answer and a lost connection are [`InsertError::Retry`]:
//!   nobody knows whether the block was stored, so it is looked for first.
//! - No class is a reason to skip a record.
//!
//! Deliberately unknown here: how often to try.

use clickhouse::error::Error;

use super::error_code;

/// Why a block is not known to be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// It may be stored or not, or yet be: look for its rows, then send it again.
    #[error("{0}")]
    Retry(String),
    /// ClickHouse refuses a row for what it holds: find that row.
    #[error("{0}")]
    Poison(String),
    /// ClickHouse takes nothing now, and somebody must do something about it.
    #[error("{0}; {1}")]
    Fatal(String, &'static str),
}

impl InsertError {
    /// Its kind, where its words would be too many to tell apart.
    pub fn kind(&self) -> &'static str {
        match self {
            InsertError::Retry(_) => "retry",
            InsertError::Poison(_) => "poison",
            InsertError::Fatal(..) => "fatal",
        }
    }
}

enum Class {
    Poison,
    Fatal(&'static str),
}

use Class::{Fatal, Poison};

const MIGRATE: &str = "see `trailhouse migrate status`, then `trailhouse migrate up`";
const ACCESS: &str = "check clickhouse.user, its password and its grants";
const SPACE: &str = "free or add disk space";
const READONLY: &str = "make the user and the table writable";
const PARTS: &str = "let merges catch up, and close fewer, larger batches (pipeline.batch_age_ms)";
const SETTINGS: &str = "let the user's profile change the settings of an insert";

const CODES: &[(u32, &str, Class)] = &[
    // The row's content.
    (6, "CANNOT_PARSE_TEXT", Poison),
    (25, "CANNOT_PARSE_ESCAPE_SEQUENCE", Poison),
    (26, "CANNOT_PARSE_QUOTED_STRING", Poison),
    (27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", Poison),
    (38, "CANNOT_PARSE_DATE", Poison),
    (41, "CANNOT_PARSE_DATETIME", Poison),
    (53, "TYPE_MISMATCH", Poison),
    (69, "ARGUMENT_OUT_OF_BOUND", Poison),
    (70, "CANNOT_CONVERT_TYPE", Poison),
    (72, "CANNOT_PARSE_NUMBER", Poison),
    (117, "INCORRECT_DATA", Poison),
    (131, "TOO_LARGE_STRING_SIZE", Poison),
    (248, "INVALID_PARTITION_VALUE", Poison),
    (321, "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", Poison),
    (349, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", Poison),
    (395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", Poison),
    (407, "DECIMAL_OVERFLOW", Poison),
    (469, "VIOLATED_CONSTRAINT", Poison),
    // The tables.
    (10, "NOT_FOUND_COLUMN_IN_BLOCK", Fatal(MIGRATE)),
    (16, "NO_SUCH_COLUMN_IN_TABLE", Fatal(MIGRATE)),
    (47, "UNKNOWN_IDENTIFIER", Fatal(MIGRATE)),
    (60, "UNKNOWN_TABLE", Fatal(MIGRATE)),
    (81, "UNKNOWN_DATABASE", Fatal(MIGRATE)),
    (218, "TABLE_IS_DROPPED", Fatal(MIGRATE)),
    // Who we are, and what we may.
    (115, "UNKNOWN_SETTING", Fatal(SETTINGS)),
    (192, "UNKNOWN_USER", Fatal(ACCESS)),
    (193, "WRONG_PASSWORD", Fatal(ACCESS)),
    (194, "REQUIRED_PASSWORD", Fatal(ACCESS)),
    (201, "QUOTA_EXCEEDED", Fatal(ACCESS)),
    (452, "SETTING_CONSTRAINT_VIOLATION", Fatal(SETTINGS)),
    (497, "ACCESS_DENIED", Fatal(ACCESS)),
    (516, "AUTHENTICATION_FAILED", Fatal(ACCESS)),
    // Where it is kept.
    (164, "READONLY", Fatal(READONLY)),
    (242, "TABLE_IS_READ_ONLY", Fatal(READONLY)),
    (243, "NOT_ENOUGH_SPACE", Fatal(SPACE)),
    (252, "TOO_MANY_PARTS", Fatal(PARTS)),
];

impl From<Error> for InsertError {
    fn from(error: Error) -> InsertError {
        let text = error.to_string();
        let code = error_code(&error);
        match CODES.iter().find(|(number, ..)| Some(*number) == code) {
            Some((.., Poison)) => InsertError::Poison(text),
            Some((.., Fatal(fix))) => InsertError::Fatal(text, fix),
            None => InsertError::Retry(text),
        }
    }
}

/// Every listed error's number and name.
pub fn listed() -> impl Iterator<Item = (u32, &'static str)> {
    CODES.iter().map(|(number, name, _)| (*number, *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_classed_by_its_number_and_unknown_ones_are_tried_again() {
        let of = |text: &str| InsertError::from(Error::BadResponse(text.into()));
        assert!(matches!(of("Code: 469. DB::Exception: Constraint"), InsertError::Poison(_)));
        assert!(matches!(of("Code: 60. DB::Exception: Unknown table"), InsertError::Fatal(..)));
        // MEMORY_LIMIT_EXCEEDED, QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING, UNKNOWN_STATUS_OF_INSERT
        for code in [241, 216, 319, 999_999] {
            assert!(matches!(of(&format!("Code: {code}. X")), InsertError::Retry(_)), "{code}");
        }
        assert!(matches!(of("502 Bad Gateway"), InsertError::Retry(_)));
        assert!(matches!(InsertError::from(Error::TimedOut), InsertError::Retry(_)));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let error = InsertError::from(Error::BadResponse("Code: 243. Not enough".into()));
        assert!(error.to_string().ends_with("free or add disk space"), "{error}");
    }
}
