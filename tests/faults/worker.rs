//! The program under test: the real binary, in a process that can be killed and frozen.
//!
//! In: a configuration, `FAILPOINTS`. Out: a process, its end, its log.
//!
//! # Invariants
//! - A worker ends with its [`Worker`], and with this process however that ends (Linux).
//! - The binary is the one there was when the tests began: a build beside them does not exchange it.
//! - When a test fails, the ends of its workers' logs are printed.
//!
//! Deliberately unknown here: Kafka, ClickHouse.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use trailhouse::config::Config;
use trailhouse::demo::spawn;

use crate::harness::{self, DEADLINE};

const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How much of a log a failed test shows, bytes.
const SHOWN_BYTES: usize = 6_000;
const SIGKILL: i32 = 9;

/// What a worker is started with beside its configuration.
#[derive(Debug, Clone, Default)]
pub struct Launch<'l> {
    /// `FAILPOINTS`, as the crate `fail` reads it.
    pub failpoints: &'l str,
    /// Further arguments, such as `--accept-gap`.
    pub arguments: &'l [&'l str],
    /// Another program than the one under test: an older one.
    pub program: Option<PathBuf>,
}

/// A process that consumes.
pub struct Worker {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Worker {
    /// Starts `serve --role ingest` with this configuration; its files go into `dir`.
    pub fn start(dir: &Path, config: &Config, launch: &Launch<'_>) -> Worker {
        let name = harness::unique("worker");
        let file = dir.join(format!("{name}.toml"));
        fs::write(&file, settings(config)).unwrap();
        let log = dir.join(format!("{name}.log"));
        let output = File::create(&log).unwrap();
        let program = launch.program.as_deref().unwrap_or_else(|| program());
        let mut command = Command::new(program);
        // By the launcher of engines, which asks the kernel to end it with this process.
        command
            .args(["engine", &std::process::id().to_string(), "exec"])
            .arg(program)
            .args(["serve", "--role", "ingest", "--config"])
            .arg(&file)
            .args(launch.arguments)
            .env("FAILPOINTS", launch.failpoints)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0);
        Worker { child: spawn(command).unwrap(), name, log }
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Freezes it.
    pub fn stop(&self) {
        self.signal("STOP");
        self.await_stopped();
    }

    /// Lets a frozen one go on.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    /// Asks it to end and waits until it has; its status.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.await_exit()
    }

    /// Waits until it has ended by itself.
    pub fn await_exit(&mut self) -> ExitStatus {
        let ended = |worker: &mut Worker| worker.child.try_wait().unwrap();
        self.until("end", ended)
    }

    /// Waits until it has killed itself at a place.
    pub fn await_kill(&mut self) {
        let status = self.await_exit();
        assert_eq!(status.signal(), Some(SIGKILL), "{} ended otherwise: {status}", self.name);
    }

    /// Waits until it has frozen itself at a place, or has been frozen.
    pub fn await_stopped(&self) {
        let deadline = Instant::now() + DEADLINE;
        while !self.is_stopped() {
            assert!(Instant::now() < deadline, "{} did not stop within {DEADLINE:?}", self.name);
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Whether it is frozen.
    pub fn is_stopped(&self) -> bool {
        self.state() == Some('T')
    }

    /// What it has logged.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The sum of a metric over its labels; `None` while it does not answer.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics")?;
        let is_its = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
        };
        let values = text.lines().filter(is_its).filter_map(|line| line.rsplit(' ').next());
        Some(values.filter_map(|value| value.parse::<f64>().ok()).sum())
    }

    /// What it has taken at most, by the kernel's word (Linux).
    pub fn most_resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        most.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    /// What it answers at a path, whatever the status; `None` while it does not.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let log = self.log_text();
        let line = log.lines().find(|line| line.contains(" serving "))?;
        let address = line.split_once("address=")?.1.split(' ').next()?;
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(2)))
            .http_status_as_error(false)
            .build()
            .into();
        let mut answer = agent.get(format!("http://{address}{path}")).call().ok()?;
        Some((answer.status().as_u16(), answer.body_mut().read_to_string().ok()?))
    }

    fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Worker) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(answer) = done(self) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{} did not {what} within {DEADLINE:?}", self.name);
            thread::sleep(LOOK_EVERY);
        }
    }

    /// By the shell, whose `kill` is built in. The child is not reaped, so the id is its.
    fn signal(&self, signal: &str) {
        let script = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success(), "{script}");
    }

    /// The kernel's letter for what it does: R, S, T, Z.
    fn state(&self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The name before it is in brackets and may hold anything.
        stat.rsplit_once(") ")?.1.chars().next()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let text = self.log_text();
            let begin = text.len().saturating_sub(SHOWN_BYTES);
            let begin = (begin..).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            eprintln!("--- the log of {} ends:\n{}", self.name, &text[begin..]);
        }
    }
}

/// What differs from the defaults, as an operator writes it: an older program knows no newer setting.
fn settings(config: &Config) -> String {
    fn strip(table: &mut toml::Table, defaults: &toml::Table) {
        table.retain(|name, value| match (value, defaults.get(name)) {
            (toml::Value::Table(own), Some(toml::Value::Table(defaults))) => {
                strip(own, defaults);
                !own.is_empty()
            }
            (value, default) => default != Some(value),
        });
    }
    let mut table = toml::Table::try_from(config).unwrap();
    strip(&mut table, &toml::Table::try_from(Config::default()).unwrap());
    table.to_string()
}

/// A copy of the binary, made once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<(PathBuf, TempDir)> = OnceLock::new();
    let (program, _) = PROGRAM.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("trailhouse");
        // A link suffices, and is a copy where the folders are on two file systems.
        if fs::hard_link(harness::exe(), &program).is_err() {
            fs::copy(harness::exe(), &program).unwrap();
        }
        (program, dir)
    });
    program
}
