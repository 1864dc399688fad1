//! The program under test, as a process that is asked to end.
//!
//! In: a configuration. Out: its answers, its log, its exit code.
//!
//! # Invariants
//! - It is killed when a test fails, and its log is shown.
//!
//! Deliberately unknown here: spans.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Instant;

use tempfile::TempDir;
use trailhouse::config::Config;

use crate::harness::{DEADLINE, exe, free_address};

/// `serve`, with a settings file of its own.
pub struct Program {
    child: Child,
    listen: String,
    dir: TempDir,
}

impl Program {
    /// Starts it.
    pub fn serve(config: &Config) -> Program {
        let (mut config, dir) = (config.clone(), tempfile::tempdir().unwrap());
        config.api.listen = free_address();
        let file = dir.path().join("t.toml");
        std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new(exe());
        command.args(["serve", "--config"]).arg(file);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Program { child, listen: config.api.listen, dir }
    }

    /// The status of an answer, to a request that is a part of a trace; 0 where there is none.
    pub async fn get(&self, path: &str, traceparent: Option<&str>) -> u16 {
        let (url, traceparent) =
            (format!("http://{}{path}", self.listen), traceparent.map(str::to_owned));
        let asked = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent =
                ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let mut request = agent.get(&url);
            if let Some(traceparent) = traceparent {
                request = request.header("traceparent", traceparent);
            }
            request.call().map_or(0, |answer| answer.status().as_u16())
        });
        asked.await.unwrap()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        let log: PathBuf = self.dir.path().join("log");
        String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned()
    }

    /// Asks it to end and waits until it has; its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it goes on:\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- its log:\n{}", self.log());
        }
    }
}
