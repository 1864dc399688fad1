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

fn text_of(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_subcommand_has_help_with_an_example() {
    for command in [
        "demo",
        "serve",
        "produce",
        "ingest",
        "migrate",
        "mappings",
        "quarantine",
        "key",
        "check",
        "config",
        "verify",
        "receipt",
    ] {
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
fn the_version_names_the_source_and_the_target_it_was_built_of() {
    let output = trailhouse(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    let (told, target) = (text(&output.stdout), std::env::consts::ARCH);
    assert!(told.starts_with(concat!("trailhouse ", env!("CARGO_PKG_VERSION"), " (")), "{told}");
    assert!(told.contains(&format!(", {target}-")) && told.ends_with(")\n"), "{told}");
}

/// The build script by itself, as a release build runs it: in a clone, in a tarball's folder, told.
#[test]
fn a_release_knows_its_commit_or_says_that_it_does_not() {
    let root = env!("CARGO_MANIFEST_DIR");
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("build");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let compile = ["--edition", "2024", "-o", script.to_str().unwrap(), "build.rs"];
    assert!(Command::new(rustc).current_dir(root).args(compile).status().unwrap().success());
    let commit = |folder: &std::path::Path, profile: &str, told: &str| {
        let mut script = Command::new(&script);
        script.current_dir(folder).env("PROFILE", profile).env("TARGET", "t");
        let told = text(&script.env("TRAILHOUSE_COMMIT", told).output().unwrap().stdout);
        let mut lines = told.lines();
        lines
            .find_map(|line| line.strip_prefix("cargo::rustc-env=TRAILHOUSE_COMMIT="))
            .map(str::to_owned)
    };
    let shown = Command::new("git").current_dir(root).args(["rev-parse", "HEAD"]).output().unwrap();
    let cloned = commit(std::path::Path::new(root), "release", "").unwrap();
    let (hash, date) = cloned.split_once(' ').unwrap();
    assert!(hash.len() >= 12 && text(&shown.stdout).starts_with(hash), "{cloned}");
    assert!(date.len() == 10 && date.starts_with("20"), "{cloned}");
    let without = |profile, told| commit(dir.path(), profile, told).unwrap();
    assert_eq!(without("release", ""), "unknown commit");
    assert_eq!(without("release", "5f0c9ae2b1d3 2026-11-21"), "5f0c9ae2b1d3 2026-11-21");
    assert_eq!(without("debug", ""), "development build");
}

#[test]
fn misuse_ends_with_2_and_success_with_0() {
    assert_eq!(trailhouse(&["serf"]).status.code(), Some(2));
    assert_eq!(trailhouse(&["produce"]).status.code(), Some(2));
    let output = trailhouse(&["mappings", "test"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("10 mappings"), "{}", text(&output.stdout));
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
fn a_topic_of_the_configuration_is_tried_as_the_pipeline_would_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let (file, settings) = (dir.path().join("one.json"), dir.path().join("t.toml"));
    let record = r#"{"source":"iam","action":"project.create","actor":{"id":"ann"}}"#;
    std::fs::write(&file, record).unwrap();
    let text = "[pipeline]\nmax_record_bytes = 1024\n[[kafka.topics]]\nname = \"iam\"\n\
                schema = \"frontier\"\ntenant = \"ACC-1\"\n[[tenant]]\nid = \"acme\"\n\
                aliases = [\"ACC-1\"]\n";
    std::fs::write(&settings, text).unwrap();
    let (file, settings) = (file.to_str().unwrap(), settings.to_str().unwrap());
    let known = ["mappings", "try", file, "--config", settings, "--topic", "iam"];
    let output = trailhouse(&known);
    let shown = text_of(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(
        shown.contains("frontier v") && shown.contains("tenant                   acme"),
        "{shown}"
    );
    // One that a pattern finds, too, and another not.
    let pattern = text.replace("\"iam\"", "\"^team[.]\"");
    std::fs::write(settings, pattern).unwrap();
    let of = |topic| {
        text_of(&trailhouse(&["mappings", "try", file, "--config", settings, "--topic", topic]))
    };
    assert!(of("team.iam").contains("tenant                   acme"), "{}", of("team.iam"));
    assert!(!of("iam").contains("tenant                   acme"), "{}", of("iam"));
    std::fs::write(settings, text).unwrap();
    // What is asked for on the command line goes before.
    let shown = text_of(&trailhouse(&[&known[..], &["--schema", "pace"]].concat()));
    assert!(!shown.contains("frontier v"), "{shown}");
    let long = format!("{}{record}", " ".repeat(1024));
    std::fs::write(file, long).unwrap();
    let shown = text_of(&trailhouse(&known));
    assert!(shown.contains("QUARANTINED too_large"), "{shown}");
}

#[test]
fn a_reader_that_has_left_is_no_failure_and_no_panic() {
    for command in [&["mappings", "test"][..], &["check"], &["mappings", "try", "Cargo.toml"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let root = env!("CARGO_MANIFEST_DIR");
        let program = &mut Command::new(exe());
        let output = program.current_dir(root).args(command).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{command:?}");
    }
    // The same for what is wrong.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let nowhere = ["check", "--config", "/nowhere.toml"];
    let status = Command::new(exe()).args(nowhere).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(78));
}

#[test]
fn what_is_wrong_with_the_arguments_is_told_before_anybody_is_asked() {
    // Nobody listens at port 1: whoever were asked would be the error.
    let command = ["produce", "--generate", "nope", "--brokers", "127.0.0.1:1"];
    let output = trailhouse(&command);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains("no generator for `nope`; there are") && told.lines().count() == 1,
        "{told}"
    );
    let ingest = ["ingest", "--file", "/nowhere.ndjson", "--schema", "cockpit"];
    let program = &mut Command::new(exe());
    let output =
        program.args(ingest).env("TRAILHOUSE__CLICKHOUSE__URL", "http://127.0.0.1:1").output();
    let told = text(&output.unwrap().stderr);
    assert!(told.contains("/nowhere.ndjson: No such file"), "{told}");
}

#[test]
fn a_broker_that_is_not_there_is_one_line_with_its_address_and_the_cause() {
    for more in [&[][..], &["--create", "3"]] {
        let command = ["produce", "--generate", "cockpit", "--brokers", "127.0.0.1:1"];
        let output = trailhouse(&[&command[..], more].concat());
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains("no Kafka broker answers at 127.0.0.1:1"), "{told}");
        assert!(told.contains("Connection refused"), "{told}");
    }
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
