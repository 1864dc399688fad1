//! When certificates end.
//!
//! In: a PEM file. Out: the first end of a certificate in it.
//!
//! # Invariants
//! - A file that holds no certificate, or one that cannot be read, has no end: no guess is made.
//! - Times are seconds since the Unix epoch.
//!
//! Deliberately unknown here: what the certificates are for.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// When the first certificate of a PEM file ends; a key beside it in the file is passed over.
pub fn of_file(path: &Path) -> Option<i64> {
    CertificateDer::pem_file_iter(path)
        .ok()?
        .map(|der| {
            let certificate = Certificate::from_der(&der.ok()?).ok()?;
            let end = certificate.tbs_certificate().validity().not_after;
            i64::try_from(end.to_unix_duration().as_secs()).ok()
        })
        .min()
        .flatten()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn pem(year: i32) -> String {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 3, 4);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn key() -> String {
        KeyPair::generate().unwrap().serialize_pem()
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
        assert_eq!(of(&format!("{}{}{}", key(), pem(2030), key())), Some(early), "with keys");
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let whole = pem(2030);
        let body = STANDARD.encode(b"0\x82\xff\xff0\x03\x02\x01\x01");
        for text in [
            "",
            "key",
            &key(),
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
