//! The `[kafka.security]` section: how connections to Kafka are encrypted, and who we are there.
//!
//! In: TOML, environment, files with secrets. Out: [`SecurityConfig`], and the librdkafka properties
//! that say it.
//!
//! # Invariants
//! - Secrets given as files are read when connecting, without their last line ending, and appear in
//!   no `Debug`.
//! - What is said here is said nowhere else: these properties are refused in `[kafka.properties]`.
//! - A setting that would have no effect is a problem, not a surprise: nobody believes in a password
//!   that is never sent.
//!
//! Deliberately unknown here: whether anybody takes these credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How we come to Kafka.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityConfig {
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`. Default `plaintext`.
    pub protocol: String,
    /// With `sasl_*`: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`. Default none.
    pub mechanism: String,
    /// User name, for PLAIN and SCRAM. Default none.
    pub username: String,
    /// Its password; only one of `password` and `password_file`. Default none.
    pub password: String,
    /// File that holds the password and nothing else. Default none.
    pub password_file: Option<PathBuf>,
    /// Authorities that the brokers' certificates rest on, PEM. Default those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate with those it rests on, PEM, where brokers ask for one. Default none.
    pub certificate_file: Option<PathBuf>,
    /// Its private key, PEM. Default none.
    pub key_file: Option<PathBuf>,
    /// For OAUTHBEARER: where the identity provider gives tokens (OpenID Connect). Default none.
    pub token_url: String,
    /// For OAUTHBEARER: who we are there. Default none.
    pub client_id: String,
    /// Its secret; only one of `client_secret` and `client_secret_file`. Default none.
    pub client_secret: String,
    /// File that holds the secret and nothing else. Default none.
    pub client_secret_file: Option<PathBuf>,
    /// For OAUTHBEARER: what the token is asked for. Default none.
    pub scope: String,
}

/// librdkafka properties that are said by `[kafka.security]`, and by which setting.
pub(super) const SAID_HERE: [(&str, &str); 13] = [
    ("security.protocol", "kafka.security.protocol"),
    ("sasl.mechanism", "kafka.security.mechanism"),
    ("sasl.mechanisms", "kafka.security.mechanism"),
    ("sasl.username", "kafka.security.username"),
    ("sasl.password", "kafka.security.password, or password_file"),
    ("ssl.ca.location", "kafka.security.ca_file"),
    ("ssl.certificate.location", "kafka.security.certificate_file"),
    ("ssl.key.location", "kafka.security.key_file"),
    ("sasl.oauthbearer.method", "kafka.security.mechanism = \"OAUTHBEARER\", which means oidc"),
    ("sasl.oauthbearer.token.endpoint.url", "kafka.security.token_url"),
    ("sasl.oauthbearer.client.id", "kafka.security.client_id"),
    ("sasl.oauthbearer.client.secret", "kafka.security.client_secret, or client_secret_file"),
    ("sasl.oauthbearer.scope", "kafka.security.scope"),
];

const PROTOCOLS: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
const BY_PASSWORD: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
const BY_TOKEN: &str = "OAUTHBEARER";

impl Default for SecurityConfig {
    fn default() -> SecurityConfig {
        SecurityConfig {
            protocol: "plaintext".to_owned(),
            mechanism: String::new(),
            username: String::new(),
            password: String::new(),
            password_file: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            token_url: String::new(),
            client_id: String::new(),
            client_secret: String::new(),
            client_secret_file: None,
            scope: String::new(),
        }
    }
}

impl SecurityConfig {
    /// Every setting set, for the check of names and types.
    pub fn example() -> SecurityConfig {
        SecurityConfig {
            password_file: Some(PathBuf::new()),
            ca_file: Some(PathBuf::new()),
            certificate_file: Some(PathBuf::new()),
            key_file: Some(PathBuf::new()),
            client_secret_file: Some(PathBuf::new()),
            ..SecurityConfig::default()
        }
    }

    /// What is wrong, as (field, sentence).
    pub(super) fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut say = |field: &str, message: String| wrong.push((field.to_owned(), message));
        if !PROTOCOLS.contains(&self.protocol.as_str()) {
            say("protocol", format!("`{}` is none of {}", self.protocol, PROTOCOLS.join(", ")));
            return wrong;
        }
        let (is_sasl, is_tls) = (self.is_sasl(), self.protocol.ends_with("ssl"));
        let by_password = is_sasl && BY_PASSWORD.contains(&self.mechanism.as_str());
        let by_token = is_sasl && self.mechanism == BY_TOKEN;
        if is_sasl && !by_password && !by_token {
            let known = BY_PASSWORD.join(", ");
            say("mechanism", format!("`{}` is none of {known}, {BY_TOKEN}", self.mechanism));
        }
        if self.password_file.is_some() && !self.password.is_empty() {
            say("password", "password_file is set too; keep one of them".to_owned());
        }
        if self.client_secret_file.is_some() && !self.client_secret.is_empty() {
            say("client_secret", "client_secret_file is set too; keep one of them".to_owned());
        }
        let needed: [(&str, bool, bool, &str); 4] = [
            ("username", self.username.is_empty(), by_password, &self.mechanism),
            ("password", self.has_no_password(), by_password, &self.mechanism),
            ("token_url", self.token_url.is_empty(), by_token, BY_TOKEN),
            ("client_id", self.client_id.is_empty(), by_token, BY_TOKEN),
        ];
        for (field, is_missing, is_needed, by) in needed {
            match (is_missing, is_needed) {
                (true, true) => say(field, format!("is missing, and {by} needs it")),
                (false, false) if !is_sasl => {
                    say(field, self.no_effect("sasl_plaintext or sasl_ssl"))
                }
                _ => {}
            }
        }
        if !is_sasl && !self.mechanism.is_empty() {
            say("mechanism", self.no_effect("sasl_plaintext or sasl_ssl"));
        }
        for (field, file) in [
            ("ca_file", &self.ca_file),
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        ] {
            if file.is_some() && !is_tls {
                say(field, self.no_effect("ssl or sasl_ssl"));
            }
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            say("key_file", "certificate_file and key_file go together; set both".to_owned());
        }
        wrong
    }

    /// The librdkafka properties that say all this, with the secrets; or the file that cannot be
    /// read, and why.
    pub(super) fn properties(&self) -> Result<BTreeMap<String, String>, String> {
        let mut said = BTreeMap::new();
        let mut set = |name: &str, value: &str| {
            if !value.is_empty() {
                said.insert(name.to_owned(), value.to_owned());
            }
        };
        if self.protocol != SecurityConfig::default().protocol {
            set("security.protocol", &self.protocol);
        }
        for (name, field, file) in [
            ("ssl.ca.location", "ca_file", &self.ca_file),
            ("ssl.certificate.location", "certificate_file", &self.certificate_file),
            ("ssl.key.location", "key_file", &self.key_file),
        ] {
            if let Some(file) = file {
                // librdkafka's own word for it names neither the setting nor, always, the file.
                std::fs::metadata(file).map_err(|error| unreadable(field, file, &error))?;
                set(name, &file.to_string_lossy());
            }
        }
        if !self.is_sasl() {
            return Ok(said);
        }
        set("sasl.mechanism", &self.mechanism);
        if self.mechanism == BY_TOKEN {
            let secret =
                secret("client_secret_file", &self.client_secret_file, &self.client_secret)?;
            set("sasl.oauthbearer.method", "oidc");
            set("sasl.oauthbearer.token.endpoint.url", &self.token_url);
            set("sasl.oauthbearer.client.id", &self.client_id);
            set("sasl.oauthbearer.client.secret", &secret);
            set("sasl.oauthbearer.scope", &self.scope);
        } else {
            set("sasl.username", &self.username);
            set("sasl.password", &secret("password_file", &self.password_file, &self.password)?);
        }
        Ok(said)
    }

    fn is_sasl(&self) -> bool {
        self.protocol.starts_with("sasl_")
    }

    fn has_no_password(&self) -> bool {
        self.password.is_empty() && self.password_file.is_none()
    }

    fn no_effect(&self, wanted: &str) -> String {
        format!("has no effect with protocol = \"{}\"; set that to {wanted}", self.protocol)
    }
}

fn secret(field: &str, file: &Option<PathBuf>, otherwise: &str) -> Result<String, String> {
    let Some(file) = file else { return Ok(otherwise.to_owned()) };
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(field, file, &error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn unreadable(field: &str, file: &Path, error: &std::io::Error) -> String {
    let file = file.display();
    format!("kafka.security.{field} {file}: {error}; name a file that this user may read")
}

impl fmt::Debug for SecurityConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |text: &str| if text.is_empty() { "" } else { "***" };
        f.debug_struct("SecurityConfig")
            .field("protocol", &self.protocol)
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .field("password", &hidden(&self.password))
            .field("password_file", &self.password_file)
            .field("ca_file", &self.ca_file)
            .field("certificate_file", &self.certificate_file)
            .field("key_file", &self.key_file)
            .field("token_url", &self.token_url)
            .field("client_id", &self.client_id)
            .field("client_secret", &hidden(&self.client_secret))
            .field("client_secret_file", &self.client_secret_file)
            .field("scope", &self.scope)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    fn scram() -> SecurityConfig {
        SecurityConfig {
            protocol: "sasl_ssl".to_owned(),
            mechanism: "SCRAM-SHA-512".to_owned(),
            username: "trailhouse".to_owned(),
            password: "hunter2".to_owned(),
            ..SecurityConfig::default()
        }
    }

    fn oidc() -> SecurityConfig {
        SecurityConfig {
            protocol: "sasl_plaintext".to_owned(),
            mechanism: BY_TOKEN.to_owned(),
            token_url: "http://127.0.0.1:1/token".to_owned(),
            client_id: "trailhouse".to_owned(),
            client_secret: "hunter2".to_owned(),
            scope: "kafka".to_owned(),
            ..SecurityConfig::default()
        }
    }

    #[test]
    fn this_build_of_librdkafka_makes_a_client_of_every_mechanism_over_tls() {
        let plain = ["PLAIN", "SCRAM-SHA-256"]
            .map(|name| SecurityConfig { mechanism: name.to_owned(), ..scram() });
        for security in plain.into_iter().chain([scram(), oidc()]) {
            assert_eq!(security.check(), []);
            let mut client = ClientConfig::new();
            client.extend(security.properties().unwrap());
            let made = client.set("group.id", "g").create::<BaseConsumer>();
            assert!(made.is_ok(), "{}: {:?}", security.mechanism, made.err());
        }
    }

    #[test]
    fn what_is_missing_contradicts_or_has_no_effect_is_named_with_the_fix() {
        type Change = fn(&mut SecurityConfig);
        let cases: [(SecurityConfig, Change, &str, &str); 9] = [
            (scram(), |s| s.protocol = "tls".to_owned(), "protocol", "none of plaintext, ssl"),
            (scram(), |s| s.mechanism = "GSSAPI".to_owned(), "mechanism", "none of PLAIN"),
            (scram(), |s| s.username.clear(), "username", "SCRAM-SHA-512 needs it"),
            (scram(), |s| s.password.clear(), "password", "is missing"),
            (scram(), |s| s.password_file = Some("f".into()), "password", "keep one"),
            (oidc(), |s| s.token_url.clear(), "token_url", "OAUTHBEARER needs it"),
            (oidc(), |s| s.ca_file = Some("f".into()), "ca_file", "ssl or sasl_ssl"),
            (scram(), |s| s.key_file = Some("f".into()), "key_file", "set both"),
            (SecurityConfig::default(), |s| s.password = "x".to_owned(), "password", "no effect"),
        ];
        for (mut security, change, field, wanted) in cases {
            change(&mut security);
            let found = security.check();
            assert_eq!(found.len(), 1, "{field}: {found:?}");
            assert_eq!(found[0].0, field);
            assert!(found[0].1.contains(wanted), "{field}: {found:?}");
        }
    }

    #[test]
    fn a_secret_comes_from_its_file_and_is_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "se cret\r\n").unwrap();
        let path = Some(file.path().to_owned());
        let mut security =
            SecurityConfig { password: String::new(), password_file: path.clone(), ..scram() };
        assert_eq!(security.properties().unwrap()["sasl.password"], "se cret");
        let secret = SecurityConfig { client_secret_file: path, ..oidc() };
        assert_eq!(secret.properties().unwrap()["sasl.oauthbearer.client.secret"], "se cret");
        security.password_file = Some("/nowhere/secret".into());
        let told = security.properties().unwrap_err();
        assert!(told.contains("password_file /nowhere/secret: No such file"), "{told}");
        assert!(!format!("{:?} {:?}", scram(), oidc()).contains("hunter2"));
    }
}
