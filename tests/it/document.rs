//! What the documents say is so: commands, links, metrics, reasons.
//!
//! In: every Markdown file of this repository, the program's own help. Out: nothing, or the place
//! that is out of date.
//!
//! # Invariants
//! - A line of a `sh` block that begins with `trailhouse` or `cargo run` is a command that the
//!   program understands, flags included.
//!
//! Deliberately unknown here: whether the prose is true.

use std::collections::BTreeSet;
use std::process::Command;

use trailhouse::event::Reason;
use trailhouse::telemetry::{Listed, Metrics, VerifyMetrics};

use crate::house::{read, root, tracked};

#[test]
fn every_command_in_the_documents_is_understood() {
    let mut checked = 0;
    for (file, text) in documents() {
        for line in commands(&text) {
            let problem = misunderstood(&line);
            assert_eq!(problem, None, "{file}: {line}");
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} commands: is the README's form another now?");
    assert!(misunderstood("demo --nonsense 3").is_some_and(|why| why.contains("--nonsense")));
    assert!(misunderstood("dance").is_some());
}

#[test]
fn every_example_in_the_help_is_understood() {
    for command in [
        "demo", "serve", "produce", "ingest", "migrate", "mappings", "key", "check", "config",
        "verify", "receipt",
    ] {
        let help = help_of(&[command]);
        let (_, examples) = help.split_once("Example").unwrap();
        let lines = examples.lines().filter_map(|line| line.split_once("trailhouse "));
        // A variable may stand before the program.
        let mut lines =
            lines.filter(|(before, _)| before.trim().is_empty() || before.contains('='));
        let problem = lines.find_map(|(_, arguments)| misunderstood(arguments));
        assert_eq!(problem, None, "{command}");
    }
}

#[test]
fn every_link_in_the_documents_leads_to_a_file() {
    for (file, text) in documents() {
        let folder = root().join(&file).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()) {
            let path = link.split('#').next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://") || path.contains("::");
            assert!(elsewhere || folder.join(path).exists(), "{file}: no file at `{link}`");
        }
    }
}

#[test]
fn every_metric_and_every_reason_stands_in_the_operating_guide() {
    let guide = read("docs/OPERATING.md");
    for name in Reason::ALL.map(Reason::code) {
        assert!(guide.contains(&format!("`{name}`")), "docs/OPERATING.md lacks `{name}`");
    }
    let row = |listed: &Listed| (listed.name.to_owned(), listed.labels.join(", "));
    let (metrics, verify) = (Metrics::new().unwrap(), VerifyMetrics::new().unwrap());
    let registered = metrics.listed.iter().chain(verify.listed()).map(row);
    let (_, table) = guide.split_once("| metric | labels | is |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let documented = rows.map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
    });
    let mut documented: BTreeSet<(String, String)> = documented.collect();
    assert!(documented.remove(&("process_*".to_owned(), String::new())));
    let registered: BTreeSet<(String, String)> = registered.collect();
    assert_eq!(documented, registered, "names and labels, as the guide and the code have them");
}

/// The arguments of every `trailhouse` or `cargo run` in the fenced blocks of a document.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("```").skip(1).step_by(2);
    let shell = blocks.filter(|block| block.starts_with("sh\n"));
    let lines: Vec<String> = shell
        .flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let arguments = |line: &String| {
        let line = line.split(" #").next().unwrap_or_default();
        let after = line.strip_prefix("trailhouse ").or_else(|| {
            line.strip_prefix("cargo run").and_then(|rest| rest.split_once(" -- ")).map(|(_, a)| a)
        });
        after.map(|arguments| arguments.trim().to_owned())
    };
    lines.iter().filter_map(arguments).collect()
}

/// Why the program would not understand a line of arguments, by its own help.
fn misunderstood(arguments: &str) -> Option<String> {
    let mut path: Vec<&str> = Vec::new();
    let mut help = help_of(&path);
    for word in arguments.split_whitespace().take_while(|word| !word.starts_with('-')) {
        let listed = |line: &str| line.trim_start().split(' ').next() == Some(word);
        if !help.lines().filter(|line| line.starts_with("  ")).any(listed) {
            break;
        }
        path.push(word);
        help = help_of(&path);
    }
    if path.is_empty() {
        return Some("no such subcommand".to_owned());
    }
    let flags = arguments.split_whitespace().filter(|word| word.starts_with("--"));
    let unknown = |flag: &&str| !help.contains(flag.split('=').next().unwrap_or_default());
    flags.clone().find(unknown).map(|flag| format!("{path:?} has no {flag}"))
}

fn help_of(path: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_trailhouse"));
    let output = program.args(path).arg("--help").output().unwrap();
    assert!(output.status.success(), "{path:?} --help: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every document of ours, with its text.
fn documents() -> Vec<(String, String)> {
    let files = tracked().into_iter().filter(|file| file.ends_with(".md"));
    files.map(|file| (file.clone(), read(&file))).collect()
}
