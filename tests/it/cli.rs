//! The program as a user meets it: subcommands, exit codes, help, the demo.
//!
//! In: arguments. Out: what is printed, and the code.
//!
//! # Invariants
//! - 0 done, 1 failed, 2 misused, 78 misconfigured.
//!
//! Deliberately unknown here: the library.

use std::process::{Command, Output};

use crate::harness::exe;

fn trailhouse(arguments: &[&str]) -> Output {
    Command::new(exe()).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_subcommand_has_help_with_an_example() {
    for command in ["demo", "serve", "produce", "ingest", "migrate", "mappings", "check"] {
        let output = trailhouse(&[command, "--help"]);
        assert!(output.status.success(), "{command}");
        let help = text(&output.stdout);
        assert!(help.contains("Example"), "{command} has no example:\n{help}");
        assert!(help.contains(&format!("trailhouse {command}")), "{command}:\n{help}");
    }
    assert!(!text(&trailhouse(&["--help"]).stdout).contains("engine"), "that one is ours alone");
}

#[test]
fn a_bad_configuration_is_told_whole_and_ends_with_78() {
    let dir = tempfile::tempdir().unwrap();
    let schemas = dir.path().join("schemas");
    std::fs::create_dir(&schemas).unwrap();
    let mapping = "name = \"shop\"\nversion = 1\nabout = \"x\"\n[event]\nactoin = \"a\"\nverb = { const = \"made\" }\n";
    std::fs::write(schemas.join("shop.toml"), mapping).unwrap();
    let settings = dir.path().join("t.toml");
    let lines = format!(
        "[kafka]\ngruop = \"x\"\n[pipeline]\nbatch_age_ms = 0\n[schemas]\ndir = {schemas:?}\n"
    );
    std::fs::write(&settings, lines).unwrap();
    let output = trailhouse(&["check", "--config", settings.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    let told = text(&output.stderr);
    for wanted in [
        "t.toml:2: kafka.gruop: is unknown; did you mean `group`?",
        "shop.toml:5: event.actoin: is no event field; did you mean `action`?",
        "shop.toml:6: event.verb: `made` is none of create, read",
    ] {
        assert!(told.contains(wanted), "{wanted}\nin\n{told}");
    }
}

#[test]
fn misuse_ends_with_2_and_success_with_0() {
    assert_eq!(trailhouse(&["serf"]).status.code(), Some(2));
    assert_eq!(trailhouse(&["produce"]).status.code(), Some(2));
    let output = trailhouse(&["mappings", "test"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("9 mappings"), "{}", text(&output.stdout));
}

#[test]
fn a_record_is_tried_and_what_stayed_unmapped_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("one.json");
    let record = r#"{"source":"iam","action":"project.create","actor":{"id":"ann"},"context":{"ticket":"T-1"}}"#;
    std::fs::write(&file, record).unwrap();
    let file = file.to_str().unwrap();
    let output =
        trailhouse(&["mappings", "try", file, "--schema", "frontier", "--header", "tenant=acme"]);
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    for wanted in ["actor.id                 ann", "unmapped", "context.ticket           T-1"] {
        assert!(shown.contains(wanted), "{wanted}\nin\n{shown}");
    }
    std::fs::write(file, "{\"source\":").unwrap();
    let output = trailhouse(&["mappings", "try", file, "--schema", "frontier"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("QUARANTINED truncated"), "{}", text(&output.stdout));
}

#[test]
fn the_demo_ends_by_itself_with_its_last_line_and_a_second_start_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let mode = if std::env::var("TRAILHOUSE_REQUIRE_KAFKA").is_ok() { "apache" } else { "auto" };
    for kafka in ["in-process", mode, mode] {
        let arguments = ["demo", "--for", "4", "--rate", "300", "--listen", "127.0.0.1:0"];
        let more = ["--kafka", kafka, "--dir", path];
        let output = trailhouse(&[&arguments[..], &more[..]].concat());
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
        let last = out.lines().last().unwrap_or_default();
        let numbers: Vec<u64> = last.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [produced, stored, quarantined, lost, duplicated] = numbers[..] else {
            panic!("{last}");
        };
        assert!(produced > 500, "{last}");
        assert!(quarantined > 0, "{last}");
        assert_eq!((stored + quarantined, lost, duplicated), (produced, 0, 0), "{last}");
        assert_eq!(out.matches("curl -s").count(), 3);
    }
    // Every engine was started in this folder; one that is left would have it in its arguments.
    let left = Command::new("pgrep").args(["-f", path]).output().unwrap();
    assert_eq!(text(&left.stdout), "", "a process is left");
}
