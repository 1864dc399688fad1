//! `trailhouse produce` onto brokers that ask who comes.
//!
//! In: the program, a settings file with `[kafka.security]`. Out: what it says, and what is in Kafka.
//!
//! # Invariants
//! - What was produced is asked of the broker.
//!
//! Deliberately unknown here: what becomes of the records.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;
use trailhouse::demo::watermarks;

use super::broker;
use crate::harness::{exe, unique};

fn settings(dir: &TempDir, password: &str) -> PathBuf {
    let path = dir.path().join("trailhouse.toml");
    let brokers = broker().guarded_bootstrap();
    let text = format!(
        "[kafka]\nbrokers = \"{brokers}\"\n[kafka.security]\nprotocol = \"sasl_plaintext\"\n\
         mechanism = \"SCRAM-SHA-512\"\nusername = \"trailhouse\"\npassword = \"{password}\"\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn produce(arguments: &[&str]) -> (Output, String, String) {
    let output = Command::new(exe()).arg("produce").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

fn in_topic(topic: &str) -> i64 {
    let marks = watermarks(&broker().bootstrap(), &[topic]).unwrap();
    marks.iter().map(|mark| mark.end - mark.start).sum()
}

#[test]
fn records_are_produced_and_a_topic_is_made_as_the_settings_file_says_who_we_are() {
    let (dir, topic) = (tempfile::tempdir().unwrap(), unique("produced"));
    let config = settings(&dir, "right");
    let config = config.to_str().unwrap();
    let made = ["--generate", "pace", "--count", "20", "--create", "2", "--topic", &topic];
    let (output, out, err) = produce(&[&made[..], &["--config", config]].concat());
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert_eq!(out, format!("produced 20 records to {topic}\n"));

    let file = dir.path().join("events.ndjson");
    std::fs::write(&file, "{\"a\":1}\n\n{\"a\":2}\n").unwrap();
    let file = ["--file", file.to_str().unwrap(), "--topic", &topic, "--config", config];
    assert_eq!(produce(&file).0.status.code(), Some(0));

    // An address alone is for brokers that ask nobody.
    let brokers = broker().bootstrap();
    let plain = ["--generate", "pace", "--count", "5", "--topic", &topic, "--brokers", &brokers];
    assert_eq!(produce(&plain).0.status.code(), Some(0));
    assert_eq!(in_topic(&topic), 27);
}

#[test]
fn a_password_that_the_brokers_refuse_is_told_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let config = settings(&dir, "hunter2");
    let arguments = ["--generate", "pace", "--config", config.to_str().unwrap()];
    let (output, _, err) = produce(&arguments);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("uthentication failed") && err.contains("[kafka.security]"), "{err}");
    assert!(!err.contains("hunter2"), "{err}");
}

#[test]
fn where_kafka_is_is_said_once() {
    let both = ["--generate", "pace", "--config", "trailhouse.toml", "--brokers", "127.0.0.1:1"];
    let (output, _, err) = produce(&both);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("--config") && err.contains("--brokers"), "{err}");
    // Said by neither, the environment counts.
    let mut program = Command::new(exe());
    program
        .args(["produce", "--generate", "pace"])
        .env("TRAILHOUSE__KAFKA__BROKERS", "127.0.0.1:1");
    let output = program.output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("no Kafka broker answers at 127.0.0.1:1"), "{err}");
}
