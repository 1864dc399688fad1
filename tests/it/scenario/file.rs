//! A scenario as it is written: what was there, who asks what, and what is answered.
//!
//! In: `tests/scenarios/<contract>/*.toml`, `docs/CONTRACTS.md`. Out: [`Scenario`]s, [`Statement`]s.
//!
//! # Invariants
//! - `{{tenant}}` is a tenant of the scenario's own; `{{now}}` and `{{now-2h}}` (s, m, h, d) are
//!   times of the run, RFC 3339 in UTC to the microsecond; `{{3MiB}}` is as much text,
//!   `{{open}}` and `{{close}}` are the braces; `{{NAME}}` is what an earlier step captured.
//! - A key that is not known is refused: a misspelt expectation would hold of everything.
//!
//! Deliberately unknown here: how it is asked.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde::Deserialize;

use crate::house::{read, root};

/// The contracts, by the letter their statements begin with and the folder of their scenarios.
pub const CONTRACTS: [(char, &str); 5] =
    [('P', "pace"), ('F', "frontier"), ('S', "softwareone"), ('C', "cockpit"), ('B', "bloodhound")];

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// `contract/file`, for messages.
    #[serde(skip)]
    pub name: String,
    /// The statements it holds.
    pub holds: Vec<String>,
    /// Who asks; a reader of the scenario's tenant where nothing is said.
    #[serde(default)]
    pub caller: CallerSaid,
    /// Whether the store is down.
    #[serde(default)]
    pub store_is_down: bool,
    /// Whether a caller may ask once a second, and no more.
    #[serde(default)]
    pub once_a_second: bool,
    /// What is stored before the first step.
    #[serde(default)]
    pub event: Vec<EventSaid>,
    /// What is asked, in turn.
    pub step: Vec<Step>,
}

/// Who asks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallerSaid {
    /// Without a credential.
    pub nobody: bool,
    /// With a credential that does not hold.
    pub forged: bool,
    /// With a key that signs, instead of a token.
    pub signs: bool,
    pub role: String,
    pub tenants: Vec<String>,
    pub default_tenant: Option<String>,
    pub actor: Option<String>,
    pub resellers: Option<Vec<String>>,
}

impl Default for CallerSaid {
    fn default() -> CallerSaid {
        CallerSaid {
            nobody: false,
            forged: false,
            signs: false,
            role: "reader".into(),
            tenants: vec!["{{tenant}}".into()],
            default_tenant: None,
            actor: None,
            resellers: None,
        }
    }
}

/// One record, or several.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSaid {
    /// Whose topic it goes to.
    pub schema: String,
    /// Its `tenant` header.
    #[serde(default = "own_tenant")]
    pub tenant: String,
    /// The payload. `{{n}}` counts from 1 where there are several.
    pub body: String,
    /// How many, each with its own `{{n}}`.
    #[serde(default = "one")]
    pub count: u32,
    /// How often each is sent, byte for byte.
    #[serde(default = "one")]
    pub times: u32,
}

fn own_tenant() -> String {
    "{{tenant}}".to_owned()
}

fn one() -> u32 {
    1
}

/// One request and its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Stored before it is asked.
    #[serde(default)]
    pub event: Vec<EventSaid>,
    /// `METHOD /path?query`.
    pub request: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: Option<String>,
    /// Another caller than the scenario's.
    #[serde(default)]
    pub caller: Option<CallerSaid>,
    /// Ask again until all of it holds, up to a deadline.
    #[serde(default)]
    pub eventually: bool,
    pub status: u16,
    /// Headers of the answer, as patterns.
    #[serde(default)]
    pub answer_headers: BTreeMap<String, String>,
    /// Whether the body is nothing at all.
    #[serde(default)]
    pub answer_is_empty: bool,
    /// The body, as a pattern of JSON; without one, any.
    #[serde(default)]
    pub answer: Option<String>,
    /// Texts that stand in the body as they are: what JSON would not tell apart, such as `1.50`.
    #[serde(default)]
    pub answer_has: Vec<String>,
    /// Names for values of the body, by JSON pointer.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
}

/// Every scenario there is.
pub fn scenarios() -> Vec<Scenario> {
    let mut found = Vec::new();
    for (_, contract) in CONTRACTS {
        let folder = root().join("tests/scenarios").join(contract);
        for path in files_of(&folder) {
            let text = std::fs::read_to_string(&path).unwrap();
            let file = path.file_stem().unwrap().to_string_lossy();
            let name = format!("{contract}/{file}");
            let scenario = toml::from_str::<Scenario>(&text);
            let scenario = scenario.unwrap_or_else(|error| panic!("{name}: {error}"));
            found.push(Scenario { name, ..scenario });
        }
    }
    found
}

fn files_of(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

/// A statement of `docs/CONTRACTS.md`.
#[derive(Debug)]
pub struct Statement {
    /// `C12`
    pub number: String,
    /// Why no scenario can hold it.
    pub no_scenario: Option<String>,
}

/// Every statement there is.
pub fn statements() -> Vec<Statement> {
    let text = read("docs/CONTRACTS.md");
    let lines = text.split("\n- **").skip(1);
    let statement = |rest: &str| {
        let (number, rest) = rest.split_once("**").unwrap();
        let rest = rest.split("\n\n").next().unwrap_or_default();
        let reason = rest.split_once("*(No scenario:").map(|(_, reason)| reason.trim().to_owned());
        Statement { number: number.to_owned(), no_scenario: reason }
    };
    lines.map(statement).collect()
}

/// What `{{…}}` stand for.
#[derive(Debug, Clone)]
pub struct Words {
    pub now: DateTime<Utc>,
    pub named: BTreeMap<String, String>,
}

impl Words {
    /// Those of a tenant, from now on.
    pub fn of(tenant: &str) -> Words {
        Words { now: Utc::now(), named: [("tenant".to_owned(), tenant.to_owned())].into() }
    }

    /// A text with every placeholder filled in.
    pub fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, behind) = after.split_once("}}").unwrap_or_else(|| panic!("open: {text}"));
            filled += before;
            filled += &self.word(name);
            rest = behind;
        }
        filled + rest
    }

    fn word(&self, name: &str) -> String {
        match name {
            "3MiB" => return "x".repeat(3 << 20),
            "open" => return "{{".to_owned(),
            "close" => return "}}".to_owned(),
            _ => {}
        }
        let Some(span) = name.strip_prefix("now") else {
            let word = self.named.get(name);
            return word.unwrap_or_else(|| panic!("nothing is called {{{{{name}}}}}")).clone();
        };
        let ago = match span.strip_prefix('-') {
            None => Duration::zero(),
            Some(span) => {
                let (number, unit) = span.split_at(span.len() - 1);
                let number = number.parse().unwrap();
                match unit {
                    "s" => Duration::seconds(number),
                    "m" => Duration::minutes(number),
                    "h" => Duration::hours(number),
                    "d" => Duration::days(number),
                    _ => panic!("no unit: {name}"),
                }
            }
        };
        (self.now - ago).to_rfc3339_opts(SecondsFormat::Micros, true)
    }
}
