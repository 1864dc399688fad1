//! BloodHound's signatures: a request signed with a key, instead of a key that is shown.
//!
//! In: a request's head and body. Out: a [`Signed`], which holds or does not once the key is known.
//!
//! # Invariants
//! - k1 = HMAC-SHA256(key, method + request URI); k2 = HMAC(k1, first 13 characters of
//!   `RequestDate`, which is its hour); the signature is base64(HMAC(k2, body)).
//! - `RequestDate` (RFC 3339) is within an hour of our clock, in a zone that there is. A signature can
//!   be sent again: the scheme has nothing against it. Not for that hour alone, for its text is signed
//!   without the zone, and in other zones it comes again, for up to 28 hours. Clients sign in the zone
//!   they are in, so none can be demanded; reading twice does no harm.
//! - What is missing or malformed is told apart from what does not hold: BloodHound answers the
//!   first 400, the second 401.
//!
//! Deliberately unknown here: whose key it is.

use std::ops::RangeInclusive;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, Tag, sign, verify};
use axum::extract::OriginalUri;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;

use super::Unknown;
use crate::event::Micros;

/// The scheme's word in `Authorization`.
pub const SCHEME: &str = "bhesignature";

const DATE: &str = "requestdate";
const SIGNATURE: &str = "signature";

/// How far a request's date may be from our clock.
const HOUR: Micros = 3_600_000_000;

/// How far a zone is from UTC at most, in seconds: from 12 hours behind to 14 before.
const ZONES_S: RangeInclusive<i32> = -12 * 3_600..=14 * 3_600;

/// Characters of the date that are signed: to the hour.
const SIGNED_DATE_CHARS: usize = 13;

/// What a request says of its signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Signed {
    date: String,
    at: Micros,
    signature: Vec<u8>,
}

impl Signed {
    /// Read the headers.
    pub fn read(headers: &HeaderMap) -> Result<Signed, Unknown> {
        let date = header(headers, DATE)?;
        let at = DateTime::parse_from_rfc3339(date)
            .ok()
            .filter(|at| ZONES_S.contains(&at.offset().local_minus_utc()))
            .ok_or_else(|| Unknown::Malformed("RequestDate is not RFC 3339".into()))?;
        let signature = STANDARD
            .decode(header(headers, SIGNATURE)?)
            .map_err(|_| Unknown::Malformed("Signature is not base64".into()))?;
        Ok(Signed { date: date.to_owned(), at: at.timestamp_micros(), signature })
    }

    /// Whether a key signed this head and body, about now.
    pub fn holds(&self, key: &[u8], head: &Parts, body: &[u8], now: Micros) -> Result<(), Unknown> {
        if self.at.abs_diff(now) > HOUR.unsigned_abs() {
            return Err(Unknown::Refused("RequestDate is more than an hour away".into()));
        }
        // A router inside another sees less of the address than the caller signed.
        let uri = head.extensions.get::<OriginalUri>().map_or(&head.uri, |original| &original.0);
        let uri = uri.path_and_query().map_or("/", |uri| uri.as_str());
        let operation = format!("{}{uri}", head.method);
        // INVARIANT: what parses as RFC 3339 begins with ASCII, and is longer.
        let hour = self.date.get(..SIGNED_DATE_CHARS).unwrap_or(&self.date);
        let key = next(&sign(&Key::new(HMAC_SHA256, key), operation.as_bytes()));
        let key = next(&sign(&key, hour.as_bytes()));
        // In constant time.
        verify(&key, body, &self.signature)
            .map_err(|_| Unknown::Refused("the signature does not hold".into()))
    }
}

fn next(tag: &Tag) -> Key {
    Key::new(HMAC_SHA256, tag.as_ref())
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, Unknown> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.ok_or_else(|| Unknown::Malformed(format!("there is no header {name}")))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    /// 2026-01-31T12:00:00Z
    const NOW: Micros = 1_769_860_800_000_000;
    const KEY: &[u8] = b"the key of the token";
    const DATED: &str = "2026-01-31T12:30:00Z";

    fn head(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/api/v2/audit?after=1&skip=0");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// Computed by another program, see the script below.
    ///
    /// ```python
    /// import hmac, hashlib, base64
    /// k = hmac.new(b"the key of the token", b"GET/api/v2/audit?after=1&skip=0", hashlib.sha256)
    /// k = hmac.new(k.digest(), b"2026-01-31T12", hashlib.sha256)
    /// print(base64.b64encode(hmac.new(k.digest(), b"", hashlib.sha256).digest()))
    /// ```
    const SIGNED: &str = "5nZnf6vLTrEjD3h3qFXmkMktUm5OUpOASUxZWx6zr0s=";
    /// The same with the body `{}`.
    const SIGNED_BODY: &str = "0Y8mQ2SvLqZvIJ4yNSNzk7POdofItTjmaO+vU3P+TNY=";

    fn holds(date: &str, signature: &str, body: &[u8]) -> Result<(), Unknown> {
        let head = head(&[("RequestDate", date), ("Signature", signature)]);
        Signed::read(&head.headers)?.holds(KEY, &head, body, NOW)
    }

    #[test]
    fn a_signature_made_by_another_program_holds() {
        assert_eq!(holds(DATED, SIGNED, b""), Ok(()));
        assert_eq!(holds(DATED, SIGNED_BODY, b"{}"), Ok(()));
    }

    #[test]
    fn a_signature_holds_for_its_request_alone() {
        let refused = |found: Result<(), Unknown>| matches!(found, Err(Unknown::Refused(_)));
        assert!(refused(holds(DATED, SIGNED, b"{}")), "another body");
        assert!(refused(holds("2026-01-31T11:30:00Z", SIGNED, b"")), "another hour");
        assert!(refused(holds(DATED, "", b"")), "no bytes");
        assert!(refused(holds(DATED, &SIGNED[..20], b"")), "a part of it");
        let mut other = head(&[("RequestDate", DATED), ("Signature", SIGNED)]);
        let signed = Signed::read(&other.headers).unwrap();
        assert!(refused(signed.holds(b"another key", &other, b"", NOW)));
        other.uri = "/api/v2/audit?after=1&skip=1".parse().unwrap();
        assert!(refused(signed.holds(KEY, &other, b"", NOW)), "another address");
        let original = OriginalUri("/api/v2/audit?after=1&skip=0".parse().unwrap());
        other.extensions.insert(original);
        assert_eq!(signed.holds(KEY, &other, b"", NOW), Ok(()), "below a prefix");
    }

    #[test]
    fn a_date_may_be_an_hour_away_and_no_more() {
        let at = |at: Micros| {
            let head = head(&[("RequestDate", DATED), ("Signature", SIGNED)]);
            Signed::read(&head.headers).unwrap().holds(KEY, &head, b"", at)
        };
        let dated = NOW + HOUR / 2;
        assert_eq!(at(dated + HOUR), Ok(()));
        assert_eq!(at(dated - HOUR), Ok(()));
        assert!(matches!(at(dated + HOUR + 1), Err(Unknown::Refused(_))));
        assert!(matches!(at(dated - HOUR - 1), Err(Unknown::Refused(_))));
    }

    /// What SECURITY.md says of it: the scheme's own weakness, within bounds.
    #[test]
    fn the_hour_that_is_signed_comes_again_in_another_zone_and_no_later_than_in_the_last() {
        let at = |date: &str, at: Micros| {
            let head = head(&[("RequestDate", date), ("Signature", SIGNED)]);
            Signed::read(&head.headers)?.holds(KEY, &head, b"", at)
        };
        assert_eq!(at("2026-01-31T12:59:59-12:00", NOW + 13 * HOUR), Ok(()));
        let later = at("2026-01-31T12:59:59-12:01", NOW + 13 * HOUR);
        assert!(matches!(later, Err(Unknown::Malformed(_))), "{later:?}");
        assert!(matches!(at("2026-01-31T12:00:00+14:01", NOW), Err(Unknown::Malformed(_))));
    }

    #[test]
    fn what_is_missing_or_malformed_is_told_apart() {
        let malformed = |headers: &[(&str, &str)]| {
            matches!(Signed::read(&head(headers).headers), Err(Unknown::Malformed(_)))
        };
        assert!(malformed(&[]));
        assert!(malformed(&[("RequestDate", DATED)]));
        assert!(malformed(&[("Signature", SIGNED)]));
        assert!(malformed(&[("RequestDate", "yesterday"), ("Signature", SIGNED)]));
        assert!(malformed(&[("RequestDate", DATED), ("Signature", "***")]));
    }
}
