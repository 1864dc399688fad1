//! Why ClickHouse did not do what it was asked.
//!
//! In: the client's error. Out: a [`ServerError`], which says where, why (once) and what would mend
//! it, and whether waiting may.
//!
//! # Invariants
//! - The address stands in every message once, and no password in any.
//!
//! Deliberately unknown here: what was asked, how often to try.

use std::error::Error as _;

use clickhouse::error::Error;

use super::Warehouse;

/// Characters of a cause that are shown: an answer may be a proxy's whole page.
const LONGEST_CAUSE: usize = 500;

/// Why ClickHouse did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Nobody answers, or somebody else does.
    #[error("no ClickHouse answers at {url}: {cause}; start it, or set {setting}")]
    Unreachable {
        /// Where.
        url: String,
        /// What names it.
        setting: &'static str,
        /// What the client saw.
        cause: String,
    },
    /// It does not know us.
    #[error(
        "ClickHouse at {url} does not let `{user}` in: {cause}; set clickhouse.user and \
         clickhouse.password, or password_file"
    )]
    Denied {
        /// Where.
        url: String,
        /// As whom.
        user: String,
        /// ClickHouse's words.
        cause: String,
    },
    /// It answers with an error.
    #[error("ClickHouse at {url}: {cause}")]
    Refused {
        /// Where.
        url: String,
        /// ClickHouse's words.
        cause: String,
        /// Whether it is an error of the hour, not of the statement.
        passing: bool,
    },
}

impl ServerError {
    /// Whether the same may go well later, with nothing changed on our side.
    pub fn may_pass(&self) -> bool {
        match self {
            ServerError::Unreachable { .. } => true,
            ServerError::Denied { .. } => false,
            ServerError::Refused { passing, .. } => *passing,
        }
    }
}

impl Warehouse {
    /// What an error of the client means here.
    pub(super) fn explain(&self, error: Error) -> ServerError {
        let (url, cause) = (self.url.to_string(), cause(&error));
        match (&error, error_code(&error)) {
            // Without a number it is a proxy's answer, not ClickHouse's.
            (Error::Network(_) | Error::TimedOut | Error::BadResponse(_), None) => {
                let setting = match self.shard {
                    Some(_) => "clickhouse.shards",
                    None => "clickhouse.url",
                };
                ServerError::Unreachable { url, setting, cause }
            }
            // Unknown user, wrong or missing password.
            (_, Some(192..=194 | 516)) => {
                ServerError::Denied { url, user: self.user.to_string(), cause }
            }
            (_, code) => ServerError::Refused { url, cause, passing: code.is_some_and(passes) },
        }
    }
}

/// Too slow, too busy, out of memory, cancelled, cut off from its other servers.
fn passes(code: u32) -> bool {
    matches!(code, 159 | 160 | 201 | 202 | 203 | 209 | 210 | 236 | 241 | 279 | 394)
}

/// ClickHouse's own number of an error, where the error is one of its answers.
///
/// The HTTP status says little: bad data is a 500 like a full disk.
pub(crate) fn error_code(error: &Error) -> Option<u32> {
    let Error::BadResponse(text) = error else { return None };
    let digits = text.split("Code: ").nth(1)?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// The words of an error and of those beneath it, each once, on one line.
fn cause(error: &Error) -> String {
    let mut text = match error {
        Error::BadResponse(answer) => answer.clone(),
        other => other.to_string(),
    };
    let mut beneath = error.source();
    while let Some(error) = beneath {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        beneath = error.source();
    }
    // What follows is advice for someone at the server's own console.
    let line = text.lines().next().unwrap_or_default().trim().trim_end_matches('.');
    line.chars().take(LONGEST_CAUSE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::ClickHouseConfig;

    fn warehouse() -> Warehouse {
        Warehouse::connect(&ClickHouseConfig::default()).unwrap()
    }

    #[test]
    fn the_number_of_an_error_is_read_from_the_answer() {
        let of = |text: &str| error_code(&Error::BadResponse(text.into()));
        assert_eq!(of("Code: 60. DB::Exception: Unknown table"), Some(60));
        assert_eq!(of("Code: 241"), Some(241));
        assert_eq!(of("502 Bad Gateway"), None);
        assert_eq!(error_code(&Error::TimedOut), None);
    }

    #[test]
    fn what_waiting_mends_is_told_from_what_it_does_not() {
        for (error, mends) in [
            (Error::TimedOut, true),
            (Error::Network("refused".into()), true),
            (Error::BadResponse("<html>502 Bad Gateway".into()), true),
            (Error::BadResponse("Code: 241. DB::Exception: memory".into()), true),
            (Error::BadResponse("Code: 516. DB::Exception: no".into()), false),
            (Error::BadResponse("Code: 497. DB::Exception: no grant".into()), false),
            (Error::NotEnoughData, false),
        ] {
            let told = warehouse().explain(error);
            assert_eq!(told.may_pass(), mends, "{told}");
        }
    }

    #[test]
    fn an_error_names_the_address_and_the_cause_once_and_the_fix() {
        let refused = std::io::Error::other("connection refused");
        for (error, wanted) in [
            (Error::Network(Box::new(refused)), ["connection refused", "set clickhouse.url"]),
            (
                Error::BadResponse("Code: 516. DB::Exception: no such.\n\nIf you use".into()),
                ["no such", "`default` in"],
            ),
        ] {
            // As `main` prints it, with all that is beneath.
            let told = format!("{:#}", anyhow::Error::new(warehouse().explain(error)));
            for words in wanted.into_iter().chain(["http://127.0.0.1:8123"]) {
                assert_eq!(told.matches(words).count(), 1, "{words} in {told}");
            }
            assert!(!told.contains('\n'), "{told}");
        }
    }
}
