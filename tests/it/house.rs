//! The house's rules, held as data and read against the files.
//!
//! In: the files of this repository. Out: nothing, or every offence as `file: what; the fix`.
//!
//! # Invariants
//! - `#[cfg(test)]` code (a `mod tests` block, a `tests` file or folder) is not part of what is served and
//!   may import anything; every other rule holds for it too.
//! - A path in a doc comment counts as an import: what a module does not know, it does not link to.
//! - A rule that cannot fail is no rule: each is shown an offending text.
//!
//! Deliberately unknown here: whether the code works.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who may import what of this crate: a module, its settings alone (`module::*Config`), or everything
/// (`*`). A row may stand here before its module does.
const IMPORTS: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("problem", &[]),
    ("telemetry", &[]),
    ("query", &["event"]),
    ("access", &["query"]),
    ("schema", &["event", "problem"]),
    // Neighbours that do not see each other.
    ("source", &["event", "problem", "telemetry"]),
    ("gateway", &["event", "telemetry"]),
    ("warehouse", &["access", "event", "query", "telemetry"]),
    ("pipeline", &["event", "schema", "source", "warehouse", "telemetry"]),
    ("audit", &["event", "query", "schema", "source", "warehouse"]),
    ("api", &["access", "event", "query", "schema", "gateway", "telemetry"]),
    (
        "config",
        &[
            "api::*Config",
            "pipeline::*Config",
            "problem",
            "schema",
            "source::*Config",
            "telemetry::*Config",
            "warehouse::*Config",
        ],
    ),
    ("app", &["*"]),
    ("demo", &["*"]),
    ("arguments", &["*"]),
    ("main", &["*"]),
    ("signal", &["*"]),
    ("lib", &["*"]),
];

/// Which modules may name a crate. (Where a module has a child of that name, as demo has
/// `clickhouse`, the child is meant.)
const CRATES: &[(&str, &[&str])] = &[
    ("rdkafka", &["source", "gateway", "demo"]),
    ("clickhouse", &["warehouse"]),
    ("arrow_array", &["warehouse"]),
    ("arrow_ipc", &["warehouse"]),
    ("arrow_schema", &["warehouse"]),
    ("axum", &["api", "app"]),
    ("tower_http", &["api"]),
    ("jsonwebtoken", &["api"]),
    ("tokio_rustls", &["api", "telemetry", "warehouse"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_http", &["telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
];

/// Where a C library is called.
const UNSAFE: &[&str] = &["src/source/native.rs", "src/demo/launcher.rs", "src/demo/process.rs"];

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "manager", "helper", "helpers", "misc"];

const MOST_LINES: usize = 350;

/// The four parts a module opens with.
const PARTS: &[&str] = &["In:", "Out:", "# Invariants", "Deliberately unknown"];

#[test]
fn every_file_keeps_the_rules_of_the_house() {
    let mut found = String::new();
    let is_source = |file: &&String| file.starts_with("src/") && file.ends_with(".rs");
    for file in tracked().iter().filter(is_source) {
        for offence in offences(file, &read(file)) {
            let _ = writeln!(found, "{file}: {offence}");
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn no_file_names_a_registry_or_a_place_on_one_machine() {
    let mut found = String::new();
    for file in tracked().iter().filter(|file| !file.ends_with(".lock")) {
        let Ok(text) = std::fs::read_to_string(root().join(file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(place) = place_of_one_machine(line) {
                let _ = writeln!(found, "{file}:{}: names {place}", number + 1);
            }
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn an_offending_file_is_refused_with_its_reason() {
    let doc = "//! A.\n//! In: a. Out: b.\n//! # Invariants\n//! Deliberately unknown here: c.\n";
    let long = "\n".repeat(MOST_LINES);
    for (file, code, reason) in [
        ("src/schema/a.rs", "use crate::warehouse::Warehouse;", "uses crate::warehouse::Warehouse"),
        ("src/event/a.rs", "fn a() { crate::telemetry::log() }", "uses crate::telemetry::log"),
        ("src/source/a.rs", "use crate::{event::Micros, schema as s};", "uses crate::schema"),
        (
            "src/api/a.rs",
            "use crate::query::{\n    Page,\n};\nuse crate::source::A;",
            "crate::source",
        ),
        ("src/config/a.rs", "use crate::source::kafka::KafkaSource;", "crate::source::kafka"),
        ("src/query/a.rs", "//! See [`crate::warehouse`].", "uses crate::warehouse"),
        ("src/cellar/mod.rs", "", "no row in IMPORTS"),
        ("src/query/a.rs", "use super::super::warehouse::Warehouse;", "climbs out of query"),
        ("src/problem.rs", "use super::event::Micros;", "climbs out of problem"),
        ("src/pipeline/a.rs", "use rdkafka::Message;", "names the crate rdkafka"),
        ("src/api/a.rs", "fn a() -> clickhouse::Client {}", "names the crate clickhouse"),
        ("src/app/a.rs", "use clickhouse::Client;", "names the crate clickhouse"),
        ("src/warehouse/a.rs", "use axum::Router;", "names the crate axum"),
        ("src/schema/a.rs", "fn a() { unsafe { b() } }", "has `unsafe`"),
        ("src/schema/a.rs", long.as_str(), "lines"),
        ("src/schema/utils.rs", "", "says nothing"),
        ("src/common/a.rs", "", "says nothing"),
    ] {
        let found = offences(file, &format!("{doc}{code}\n"));
        assert!(found.iter().any(|offence| offence.contains(reason)), "{file} {code}: {found:?}");
    }
    for part in PARTS {
        let found = offences("src/schema/a.rs", &doc.replace(part, ""));
        assert!(found.iter().any(|offence| offence.contains(part)), "{part}: {found:?}");
    }
}

#[test]
fn a_lawful_file_is_let_through() {
    let doc = "//! A.\n//! In: a. Out: b.\n//! # Invariants\n//! Deliberately unknown here: c.\n";
    for (file, code) in [
        ("src/schema/parse/a.rs", "use super::super::mapping::Rule;\nuse crate::problem::Problem;"),
        ("src/config/a.rs", "use crate::source::{KafkaConfig, TopicConfig as Topic};"),
        ("src/demo/clickhouse.rs", "use clickhouse::USER;"),
        ("src/event/a.rs", "// Not rdkafka::Message, and not unsafe.\npub(crate) fn a() {}"),
        ("src/schema/a.rs", "#![allow(unsafe_code)]\nuse self::clickhouse::A;"),
        ("src/source/native.rs", "fn a() { unsafe { b() } }"),
        ("src/event/a.rs", "#[cfg(test)]\nmod tests {\n    use crate::api::A;\n}"),
        ("src/api/tests/fixture.rs", "use crate::warehouse::Warehouse;"),
    ] {
        assert_eq!(offences(file, &format!("{doc}{code}\n")), Vec::<String>::new(), "{file}");
    }
    let after = "#[cfg(test)]\nmod tests {\n    fn a() {}\n}\nuse crate::api::A;\n";
    assert_eq!(offences("src/event/a.rs", &format!("{doc}{after}")).len(), 1, "not a way around");
}

#[test]
fn a_place_of_one_machine_is_recognised() {
    let line = |parts: [&str; 3]| parts.concat();
    for offending in [
        line(["see /wo", "rk/", "main"]),
        line(["/ro", "ot/.", "cargo"]),
        line(["cp a /tm", "p/build_dir/", "b"]),
        line(["/ho", "me/ann/", "x"]),
        line(["https:/", "/registry", ".example.org/x"]),
        line(["http:/", "/mirror", ".example:8081"]),
    ] {
        assert!(place_of_one_machine(&offending).is_some(), "{offending}");
    }
    for fine in
        ["/run/secrets/x", "/v1/events", "https://github.com/a/registry", "/tmp", "rework/a"]
    {
        assert_eq!(place_of_one_machine(fine), None, "{fine}");
    }
}

/// What a file under src offends against.
fn offences(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let path: Vec<&str> =
        file.trim_start_matches("src/").trim_end_matches(".rs").split('/').collect();
    let module: Vec<&str> = path.iter().copied().filter(|part| *part != "mod").collect();
    let top = module[0];
    let is_test = module.contains(&"tests");
    let served = if is_test { String::new() } else { without_tests(text) };

    match IMPORTS.iter().find(|(name, _)| *name == top) {
        None => found.push(format!("`{top}` has no row in IMPORTS; say what it may use")),
        Some((_, allowed)) => {
            for used in imports(&served).iter().filter(|used| !may_use(top, allowed, used)) {
                found.push(format!("uses crate::{used}; {top} may use {allowed:?}"));
            }
        }
    }
    if climbs(&served) >= module.len() {
        found.push(format!("climbs out of {top} with super; write crate::"));
    }
    for (name, allowed) in CRATES {
        let own = root().join(format!("src/{top}/{name}.rs")).exists();
        if !own && !allowed.contains(&top) && names_crate(&without_comments(&served), name) {
            found.push(format!("names the crate {name}, which only {allowed:?} may"));
        }
    }
    let code = without_comments(text);
    if code.split(|c| !is_word(c)).any(|word| word == "unsafe") && !UNSAFE.contains(&file) {
        found.push(format!("has `unsafe`, which only {UNSAFE:?} may; add a safe door there"));
    }
    if text.lines().count() > MOST_LINES {
        found.push(format!("{} lines; split it below {MOST_LINES}", text.lines().count()));
    }
    if let Some(name) = module.iter().find(|name| EMPTY_NAMES.contains(*name)) {
        found.push(format!("`{name}` says nothing; name it after what it holds"));
    }
    found.extend(undocumented(text, is_test || top == "lib"));
    found
}

fn undocumented(text: &str, opening_only: bool) -> Vec<String> {
    if opening_only && text.starts_with("#![doc") {
        return Vec::new();
    }
    let doc: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
    let mut lacks = Vec::new();
    if doc.is_empty() {
        lacks.push("does not open with //!".to_owned());
    }
    let missing = |part: &&&str| !opening_only && !doc.iter().any(|line| line.contains(**part));
    lacks.extend(PARTS.iter().filter(missing).map(|part| format!("its //! lacks `{part}`")));
    lacks
}

fn may_use(own: &str, allowed: &[&str], used: &str) -> bool {
    let top = used.split("::").next().unwrap_or_default();
    let allows = |entry: &&str| match entry.split_once("::*") {
        None => *entry == top || *entry == "*",
        Some((module, ending)) => module == top && used.ends_with(ending),
    };
    top == own || allowed.iter().any(allows)
}

/// Every path that begins with `crate::`, groups taken apart.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, start) in text.match_indices("crate::") {
        if !text[..at].ends_with(is_word) {
            tree(&text[at + start.len()..], "", &mut found);
        }
    }
    found
}

/// One tree of a `use`; answers what follows it.
fn tree<'t>(text: &'t str, before: &str, found: &mut Vec<String>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = tree(rest, before, found);
            rest = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
            match rest.strip_prefix(',').map(str::trim_start) {
                Some(next) if !next.starts_with('}') => rest = next,
                Some(end) => return &end[1..],
                None => return rest.get(1..).unwrap_or_default(),
            }
        }
    }
    let (word, rest) = text.split_at(text.find(|c| !is_word(c)).unwrap_or(text.len()));
    let path = if before.is_empty() { word.to_owned() } else { format!("{before}::{word}") };
    match rest.strip_prefix("::") {
        Some(deeper) => tree(deeper, &path, found),
        None => {
            found.push(path);
            rest
        }
    }
}

/// The longest run of `super::`.
fn climbs(text: &str) -> usize {
    (1..).take_while(|times| text.contains(&"super::".repeat(*times))).last().unwrap_or(0)
}

fn names_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let begins = |at: usize| !code[..at].ends_with(is_word) && !code[..at].ends_with("::");
    let imported =
        code.contains(&format!("use {name};")) || code.contains(&format!("use {name} as"));
    imported || code.match_indices(&path).any(|(at, _)| begins(at))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The text without its block of tests.
fn without_tests(text: &str) -> String {
    let Some((before, rest)) = text.split_once("#[cfg(test)]\nmod tests {") else {
        return text.to_owned();
    };
    let after = rest.split_once("\n}\n").map_or("", |(_, after)| after);
    format!("{before}{after}")
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// What in a line exists on one machine only, or is a registry's business.
fn place_of_one_machine(line: &str) -> Option<&'static str> {
    let folder = |name: &str| {
        let starts = line.match_indices(name).map(|(at, _)| (at, &line[at + name.len()..]));
        let mut starts = starts.filter(|(at, _)| !line[..*at].ends_with(is_word));
        starts.any(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '.'))
    };
    // A folder below the temporary one; the folder itself is everywhere.
    let temporary = line.split("/tmp/").skip(1).any(|rest| {
        rest.split_once('/').is_some_and(|(name, _)| !name.is_empty() && name.chars().all(is_word))
    });
    let host = line.split("://").skip(1).any(|rest| {
        let first = rest.split(['.', ':', '/']).next().unwrap_or_default();
        ["registry", "mirror", "nexus", "artifactory"].iter().any(|name| first.starts_with(name))
    });
    let rules = [
        (
            ["/work/", "/farm/", "/root/", "/home/"].iter().any(|name| folder(name)),
            "a machine's folder",
        ),
        (temporary, "a temporary folder"),
        (host, "a registry's host"),
    ];
    rules.into_iter().find(|(holds, _)| *holds).map(|(_, place)| place)
}

/// What is in the repository, or would be after `git add`.
pub fn tracked() -> Vec<String> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(list).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let files = String::from_utf8(output.stdout).unwrap();
    let there = |file: &&str| root().join(file).is_file();
    files.lines().filter(there).map(str::to_owned).collect()
}

/// The text of a file of the repository.
pub fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The folder of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
