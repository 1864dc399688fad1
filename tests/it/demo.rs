//! The demo when it is disturbed: a second one over its folder, and signals while it starts.
//!
//! In: the program, signals, programs that stand in for npm and ClickHouse. Out: what is left.
//!
//! # Invariants
//! - A stand-in writes its process id and then waits: what is ended is known to have begun.
//!
//! Deliberately unknown here: what the demo shows when it is left alone.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::Instant;

use trailhouse::demo::Broker;

use crate::harness::{DEADLINE, broker, exe, until_now};

/// A demo in the background, its output in a file; killed when a test fails.
struct Demo {
    child: Child,
    output: std::path::PathBuf,
}

impl Demo {
    fn start(dir: &Path, configure: impl FnOnce(&mut Command)) -> Demo {
        let output = dir.join("output");
        let file = File::create(&output).unwrap();
        let mut command = Command::new(exe());
        command.args(["demo", "--kafka", "in-process", "--listen", "127.0.0.1:0", "--rate", "50"]);
        command.args(["--dir".as_ref(), dir.join("data").as_os_str()]);
        command.stdout(file.try_clone().unwrap()).stderr(file);
        configure(&mut command);
        Demo { child: command.spawn().unwrap(), output }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// The exit code; fails when there is none in time.
    fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it goes on:\n{}", self.said());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Both fail only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

fn is_running(pid: &str) -> bool {
    Command::new("kill").args(["-0", pid]).output().unwrap().status.success()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A program that notes its process id in a file beside it, then does as the script says.
fn stand_in(dir: &Path, name: &str, script: &str) -> std::path::PathBuf {
    let file = dir.join(name);
    let noted = dir.join(format!("{name}.pid"));
    fs::write(&file, format!("#!/bin/sh\necho $$ > '{}'\n{script}\n", noted.display())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    noted
}

fn path_with(dir: &Path) -> String {
    format!("{}:{}", dir.display(), std::env::var("PATH").unwrap())
}

#[test]
fn a_demo_over_the_folder_of_a_running_one_is_refused_and_takes_nothing_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Demo::start(dir.path(), |_| ());
    until_now(|| running.said().contains("Worth trying"));
    let data = dir.path().join("data");
    for more in [&["--reset"][..], &[]] {
        let mut second = Command::new(exe());
        second.args(["demo", "--kafka", "in-process", "--listen", "127.0.0.1:0", "--for", "1"]);
        let Output { status, stderr, .. } =
            second.arg("--dir").arg(&data).args(more).output().unwrap();
        let said = text(&stderr);
        assert_eq!(status.code(), Some(1), "{said}");
        let wanted = format!("another demo runs over {}: end it, or give", data.display());
        assert!(said.contains(&wanted), "{said}");
    }
    assert!(data.join("clickhouse/data").exists());
    running.signal("-INT");
    assert_eq!(running.ended(), Some(0), "{}", running.said());
    assert!(running.said().contains(" lost 0 duplicated 0"), "{}", running.said());
}

#[test]
fn a_second_demo_at_somebody_elses_broker_counts_its_own_records_alone() {
    // librdkafka's broker has no cluster id, and is nobody else's.
    let Broker::Apache(kafka) = broker() else { return };
    let bootstrap = kafka.bootstrap();
    for round in 1..=2 {
        let mut command = Command::new(exe());
        command.args(["demo", "--kafka", &bootstrap, "--listen", "127.0.0.1:0"]);
        let output = command.args(["--for", "2", "--rate", "200"]).output().unwrap();
        let said = text(&output.stdout);
        let last = said.lines().last().unwrap_or_default();
        let numbers: Vec<u64> = last.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [produced, stored, quarantined, lost, duplicated] = numbers[..] else {
            panic!("round {round}: {said}{}", text(&output.stderr));
        };
        assert!((100..1_000).contains(&produced), "round {round}: {last}");
        assert_eq!((stored + quarantined, lost, duplicated), (produced, 0, 0), "round {round}");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn a_signal_while_an_engine_is_fetched_ends_the_demo_and_the_registrys_client() {
    let dir = tempfile::tempdir().unwrap();
    let noted = stand_in(dir.path(), "npm", "exec sleep 600");
    let mut demo = Demo::start(dir.path(), |command| {
        command
            .env("PATH", path_with(dir.path()))
            .env("TRAILHOUSE_CACHE", dir.path().join("cache"));
    });
    until_now(|| fs::read_to_string(&noted).is_ok_and(|pid| pid.ends_with('\n')));
    demo.signal("-INT");
    assert_eq!(demo.ended(), Some(1));
    assert!(demo.said().contains("interrupted while starting"), "{}", demo.said());
    assert!(!is_running(fs::read_to_string(noted).unwrap().trim()), "npm goes on");
}

#[test]
fn a_signal_while_an_engine_starts_ends_the_demo_and_the_engine() {
    let dir = tempfile::tempdir().unwrap();
    stand_in(dir.path(), "npm", "exit 1");
    let noted = stand_in(dir.path(), "clickhouse", "exec sleep 600");
    let mut demo = Demo::start(dir.path(), |command| {
        command
            .env("PATH", path_with(dir.path()))
            .env("TRAILHOUSE_CACHE", dir.path().join("cache"));
    });
    until_now(|| fs::read_to_string(&noted).is_ok_and(|pid| pid.ends_with('\n')));
    demo.signal("-TERM");
    assert_eq!(demo.ended(), Some(1));
    assert!(demo.said().contains("interrupted while starting"), "{}", demo.said());
    assert!(!is_running(fs::read_to_string(noted).unwrap().trim()), "the engine goes on");
}
