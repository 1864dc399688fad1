//! When certificates end.
//!
//! In: a PEM file. Out: the first end of a certificate in it.
//!
//! Only as much of X.509 is read as stands before `notAfter` (RFC 5280, 4.1): what the certificate is
//! good for, TLS itself checks.
//!
//! # Invariants
//! - A file that holds no certificate, or one that cannot be read, has no end: no guess is made.
//! - Times are seconds since the Unix epoch.
//!
//! Deliberately unknown here: what the certificates are for.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::NaiveDateTime;

/// When the first certificate of a PEM file ends.
pub fn of_file(path: &Path) -> Option<i64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .filter_map(|rest| rest.split("-----END CERTIFICATE-----").next())
        .map(|body| {
            let body: String = body.split_whitespace().collect();
            not_after(&STANDARD.decode(body).ok()?)
        })
        .min()
        .flatten()
}

/// Tags of DER.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// `Certificate { tbs { [0] version?, serial, algorithm, issuer, validity { from, to } ...`
fn not_after(der: &[u8]) -> Option<i64> {
    let (certificate, _) = value(der, SEQUENCE)?;
    let (tbs, _) = value(certificate, SEQUENCE)?;
    let rest = value(tbs, VERSION).map_or(tbs, |(_, rest)| rest);
    let (_, rest) = value(rest, INTEGER)?;
    let (_, rest) = value(rest, SEQUENCE)?;
    let (_, rest) = value(rest, SEQUENCE)?;
    let (validity, _) = value(rest, SEQUENCE)?;
    let (_, to) = any(validity)?;
    let (tag, text) = (*to.first()?, any(to)?.0);
    let text = std::str::from_utf8(text).ok()?;
    let whole = match tag {
        // Two digits of the year, from 1950 to 2049.
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = NaiveDateTime::parse_from_str(&whole, "%Y%m%d%H%M%SZ").ok()?;
    Some(time.and_utc().timestamp())
}

/// The value of an element of this tag, and what follows it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    if *der.first()? == tag { any(der) } else { None }
}

/// The value of an element, and what follows it.
fn any(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = der.get(1..)?.split_first()?;
    match usize::from(*length) {
        short @ 0..0x80 => rest.split_at_checked(short),
        long => {
            let (digits, rest) = rest.split_at_checked(long - 0x80)?;
            let digits: [u8; 8] = {
                let mut all = [0; 8];
                all.get_mut(8usize.checked_sub(digits.len())?..)?.copy_from_slice(digits);
                all
            };
            rest.split_at_checked(usize::try_from(u64::from_be_bytes(digits)).ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn pem(year: i32) -> String {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 3, 4);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn the_first_end_of_a_chain_is_its_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let of = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            of_file(file.path())
        };
        let (early, late) = (1_898_812_800, 2_845_584_000);
        assert_eq!(of(&pem(2030)), Some(early));
        assert_eq!(of(&pem(2060)), Some(late), "beyond 2049 a time is written otherwise");
        assert_eq!(of(&format!("{}{}", pem(2060), pem(2030))), Some(early));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let whole = pem(2030);
        let body = STANDARD.encode(b"0\x82\xff\xff0\x03\x02\x01\x01");
        for text in [
            "",
            "key",
            &format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----"),
            &whole.replace('\n', "").replace("MII", "M"),
            // One of them is broken: nothing is known of the whole.
            &format!("{whole}-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(of_file(file.path()), None, "{text}");
        }
        assert_eq!(of_file(Path::new("/nowhere.pem")), None);
    }
}
