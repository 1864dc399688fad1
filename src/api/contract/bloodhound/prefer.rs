//! `Prefer: wait=N`: how long a caller is willing to wait (RFC 7240).
//!
//! In: the header. Out: a [`Wait`].
//!
//! # Invariants
//! - A bare number means `wait` of that number. 0 and -1 are no bound.
//!
//! Deliberately unknown here: what is waited for.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};

use crate::api::refusal::Refusal;

/// What a caller prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    seconds: Option<i64>,
}

impl Wait {
    /// Read the header; without one nothing is preferred.
    pub(super) fn of(headers: &HeaderMap) -> Result<Wait, Refusal> {
        let Some(value) = headers.get("prefer") else { return Ok(Wait { seconds: None }) };
        let text = value.to_str().unwrap_or_default().trim();
        if text.is_empty() {
            return Ok(Wait { seconds: None });
        }
        let bad = |why: &str| {
            let detail = format!("Prefer header has an invalid value: {why}");
            Refusal::header("Prefer", detail)
        };
        let preferences = text.split([',', ';']).map(str::trim);
        let mut waits = preferences.filter_map(|one| match one.split_once('=') {
            Some((name, value)) => {
                Some(value.trim()).filter(|_| name.trim().eq_ignore_ascii_case("wait"))
            }
            None => Some(one).filter(|one| one.parse::<i64>().is_ok()),
        });
        let Some(wait) = waits.next() else {
            return Err(bad("it has no wait; write wait=N, in seconds"));
        };
        match wait.trim_matches('"').parse() {
            Ok(seconds) if seconds >= -1 => Ok(Wait { seconds: Some(seconds) }),
            _ => Err(bad("wait is a number of seconds, or -1")),
        }
    }

    /// After how long the caller gives up.
    pub(super) fn bound(self) -> Option<Duration> {
        let seconds = self.seconds.and_then(|seconds| u64::try_from(seconds).ok());
        seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }

    /// What `Preference-Applied` says; `None` where nothing was preferred.
    pub(super) fn applied(self) -> Option<HeaderValue> {
        let text = format!("wait={}.00", self.seconds?);
        HeaderValue::try_from(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Wait, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert("prefer", HeaderValue::try_from(text).unwrap());
        Wait::of(&headers)
    }

    #[test]
    fn a_preference_is_seconds_or_no_bound_or_refused() {
        for (text, bound_s, applied) in [
            ("wait=30", Some(30), Some("wait=30.00")),
            ("30", Some(30), Some("wait=30.00")),
            ("Wait = 5", Some(5), Some("wait=5.00")),
            ("respond-async, wait=10", Some(10), Some("wait=10.00")),
            ("wait=0", None, Some("wait=0.00")),
            ("0", None, Some("wait=0.00")),
            ("wait=-1", None, Some("wait=-1.00")),
            ("", None, None),
        ] {
            let wait = read(text).unwrap();
            assert_eq!(wait.bound(), bound_s.map(Duration::from_secs), "{text}");
            let said = wait.applied();
            assert_eq!(said.as_ref().map(|v| v.to_str().unwrap()), applied, "{text}");
        }
        assert_eq!(Wait::of(&HeaderMap::new()).unwrap().applied(), None);
        for text in ["wait=-2", "wait=soon", "wait=", "respond-async", "wait=1.5", "soon"] {
            let refusal = read(text).unwrap_err();
            assert!(refusal.detail().starts_with("Prefer header has an invalid value: "), "{text}");
        }
    }
}
