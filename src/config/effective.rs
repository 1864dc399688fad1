//! What counts in the end: every setting, and where it comes from.
//!
//! In: a [`Config`], its file, the environment. Out: [`Setting`]s, whose lines are TOML again.
//!
//! # Invariants
//! - No value of a setting that holds a secret is shown, be it the user's own property of librdkafka;
//!   nor what stands before the `@` of an address.
//! - What is shown is what was merged, not what was written.
//!
//! Deliberately unknown here: what a setting means.

use std::fmt;
use std::path::Path;

use toml::Value;

use super::Config;
use super::file::SettingsFile;
use crate::problem::Problem;

/// What stands for a secret.
const HIDDEN: &str = "***";

/// Parts of the names of settings, ours and librdkafka's, that hold secrets.
const SECRETS: [&str; 6] =
    ["password", "secret", "jaas", ".pem", "credential", "oauthbearer.config"];

/// Endings of names that say where a secret is, not what.
const PLACES: [&str; 3] = ["_file", ".location", "_url"];

/// One setting that counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its dotted name, as TOML writes it.
    pub name: String,
    /// Its value; a secret is left out.
    pub value: Value,
    /// Where it comes from: a line of the file, a variable, or the default.
    pub from: String,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = format!("{} = {}", self.name, self.value);
        write!(f, "{said:<48}  # {}", self.from)
    }
}

impl Config {
    /// All settings as data, with no secret in them.
    pub fn redacted(&self) -> Value {
        // INVARIANT: it is a struct of plain settings.
        Value::try_from(self).map_or(Value::Table(toml::Table::new()), |value| shown("", &value))
    }
}

/// Every setting of a configuration that was loaded from this file and the environment.
pub fn effective(config: &Config, path: Option<&Path>) -> Result<Vec<Setting>, Vec<Problem>> {
    let file = SettingsFile::read(path)?;
    let variables: Vec<String> = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().to_uppercase())
        .filter(|name| name.starts_with("TRAILHOUSE__"))
        .collect();
    let from = |parts: &[&str]| {
        let variable = format!("TRAILHOUSE__{}", parts.join("__").to_uppercase());
        if variables.contains(&variable) {
            return variable;
        }
        file.place(&parts.join(".")).unwrap_or_else(|| "default".to_owned())
    };
    let mut settings = Vec::new();
    // INVARIANT: it is a struct of plain settings.
    if let Ok(Value::Table(table)) = Value::try_from(config) {
        walk(&mut Vec::new(), &table, &from, &mut settings);
    }
    Ok(settings)
}

fn walk<'t>(
    place: &mut Vec<&'t str>,
    table: &'t toml::Table,
    from: &impl Fn(&[&str]) -> String,
    settings: &mut Vec<Setting>,
) {
    for (name, value) in table {
        place.push(name);
        match value {
            Value::Table(inner) => walk(place, inner, from, settings),
            value => {
                let dotted: Vec<String> = place.iter().map(|part| key(part)).collect();
                let value = shown(name, value);
                settings.push(Setting { name: dotted.join("."), value, from: from(place) });
            }
        }
        place.pop();
    }
}

/// A part of a name, in quotes where TOML wants them.
fn key(part: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !part.is_empty() && part.chars().all(is_bare) {
        true => part.to_owned(),
        false => Value::String(part.to_owned()).to_string(),
    }
}

fn shown(name: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => value.clone(),
        _ if is_secret(name) => Value::String(HIDDEN.to_owned()),
        Value::String(text) => Value::String(without_user(text)),
        Value::Array(list) => Value::Array(list.iter().map(|one| shown(name, one)).collect()),
        Value::Table(table) => {
            let inner = table.iter().map(|(name, value)| (name.clone(), shown(name, value)));
            Value::Table(inner.collect())
        }
        value => value.clone(),
    }
}

fn is_secret(name: &str) -> bool {
    SECRETS.iter().any(|part| name.contains(part)) && !PLACES.iter().any(|end| name.ends_with(end))
}

/// An address without what stands before its `@`.
pub fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let host = rest.split('/').next().unwrap_or_default();
    match host.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://{HIDDEN}{}", &rest[user.len()..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_shown_with_its_line_and_no_secret_is() {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        let text = "[kafka]\nbrokers = \"b:1\"\n[kafka.security]\nprotocol = \"sasl_plaintext\"\n\
                    mechanism = \"PLAIN\"\nusername = \"ann\"\npassword = \"hunter2\"\n\
                    [kafka.properties]\n\"ssl.key.password\" = \"hunter2\"\n\"client.rack\" = \"a\"\n\
                    [clickhouse]\npassword = \"hunter2\"\n[[kafka.topics]]\nname = \"t\"\n\
                    [api.auth]\njwks_url = \"https://ann:hunter2@id.example/a@b\"\n";
        std::fs::write(file.path(), text).unwrap();
        let config = Config::load(Some(file.path())).map(|loaded| loaded.config);
        // The address of a JWK set may be refused for its user some day; what counts is what is shown.
        let config = config.unwrap_or_else(|_| toml::from_str(text).unwrap());
        let settings = effective(&config, Some(file.path())).unwrap();
        let name = file.path().display().to_string();
        let lines: Vec<String> =
            settings.iter().map(|one| one.to_string().replace(&name, "f")).collect();
        let told = lines.join("\n");
        assert!(!told.contains("hunter2"), "{told}");
        for (setting, from) in [
            ("kafka.brokers = \"b:1\"", "f:2"),
            ("kafka.security.password = \"***\"", "f:7"),
            ("kafka.properties.\"ssl.key.password\" = \"***\"", "f:9"),
            ("kafka.properties.\"client.rack\" = \"a\"", "f:10"),
            ("clickhouse.password = \"***\"", "f:12"),
            ("api.auth.jwks_url = \"https://***@id.example/a@b\"", "f:16"),
            ("kafka.group = \"trailhouse\"", "default"),
            ("kafka.security.client_secret = \"\"", "default"),
        ] {
            let line = lines.iter().find(|line| line.starts_with(setting));
            let line = line.unwrap_or_else(|| panic!("{setting} in\n{told}"));
            assert!(line.ends_with(&format!("# {from}")), "{line}");
        }
        // What is printed is a settings file.
        let again: Config = toml::from_str(&told).unwrap();
        assert_eq!(again.kafka.topics, config.kafka.topics);
        assert_eq!(again.pipeline, config.pipeline);
    }
}
