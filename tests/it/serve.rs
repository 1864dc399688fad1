//! `serve` when something else is not as it should be: a port, ClickHouse, a supervisor's patience.
//!
//! In: the program, a settings file, a ClickHouse that comes late. Out: exit codes, readiness.
//!
//! # Invariants
//! - Nothing here needs Kafka to answer.
//!
//! Deliberately unknown here: what is stored when all is well.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;
use trailhouse::warehouse::ClickHouseConfig;

use crate::harness::{DEADLINE, clickhouse_config, exe, unique, until_now};

/// A settings file, and the log of what runs with it.
struct Settings {
    dir: TempDir,
    listen: String,
}

impl Settings {
    fn of(listen: &str, clickhouse: &ClickHouseConfig, brokers: &str, topic: &str) -> Settings {
        let dir = tempfile::tempdir().unwrap();
        let ClickHouseConfig { url, database, user, .. } = clickhouse;
        let text = format!(
            "[kafka]\nbrokers = {brokers:?}\ngroup = {:?}\ncluster = \"test\"\n\
             [[kafka.topics]]\nname = {topic:?}\nschema = \"pace\"\n\
             [clickhouse]\nurl = {url:?}\ndatabase = {database:?}\nuser = {user:?}\n\
             [pipeline]\nbatch_age_ms = 100\n[api]\nlisten = {listen:?}\n",
            unique("group")
        );
        std::fs::write(dir.path().join("t.toml"), text).unwrap();
        Settings { dir, listen: listen.to_owned() }
    }

    fn command(&self, command: &[&str]) -> Command {
        let mut program = Command::new(exe());
        program.args(command).arg("--config").arg(self.dir.path().join("t.toml"));
        program
    }

    fn run(&self, command: &[&str]) -> Output {
        self.command(command).output().unwrap()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn serve(&self, role: &str) -> Serving {
        let log = File::create(self.log()).unwrap();
        let mut command = self.command(&["serve", "--role", role]);
        Serving(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    /// The status and the body of an answer; 0 where there is none.
    fn get(&self, path: &str) -> (u16, String) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        match agent.get(format!("http://{}{path}", self.listen)).call() {
            Ok(mut answer) => {
                (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
            }
            Err(error) => (0, error.to_string()),
        }
    }
}

/// A process that serves; killed when a test fails.
struct Serving(Child);

impl Serving {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it goes on");
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail only where it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn nowhere() -> ClickHouseConfig {
    ClickHouseConfig { url: format!("http://{}", free_address()), ..ClickHouseConfig::default() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A way to ClickHouse that can be cut: what comes then is held for ever.
#[derive(Default)]
struct Way {
    cut: AtomicBool,
    held: AtomicBool,
}

impl Way {
    /// Pass connections to an address on to ClickHouse, from now on.
    fn open(address: &str, url: &str) -> Arc<Way> {
        let way = Arc::new(Way::default());
        let (listener, to) = (TcpListener::bind(address).unwrap(), url.replace("http://", ""));
        let shared = Arc::clone(&way);
        thread::spawn(move || {
            for from in listener.incoming().flatten() {
                let to = TcpStream::connect(&to).unwrap();
                let back = (to.try_clone().unwrap(), from.try_clone().unwrap());
                for (from, to) in [(from, to), back] {
                    let way = Arc::clone(&shared);
                    thread::spawn(move || way.pass(from, to));
                }
            }
        });
        way
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            while self.cut.load(Ordering::SeqCst) {
                self.held.store(true, Ordering::SeqCst);
                thread::park();
            }
            if to.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}

#[test]
fn a_port_that_is_taken_is_found_out_before_anything_is_asked_or_consumed() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    // A ClickHouse that is not there would be waited for: the port comes first.
    let settings = Settings::of(&listen, &nowhere(), "127.0.0.1:1", "t");
    let mut serving = settings.serve("all");
    assert_eq!(serving.ended(), Some(1));
    let said = std::fs::read_to_string(settings.log()).unwrap();
    assert!(said.contains(&format!("listening on {listen}")), "{said}");
    assert!(said.contains("api.listen"), "{said}");
}

#[test]
fn a_clickhouse_that_comes_late_is_waited_for_and_readiness_names_it() {
    let late = free_address();
    let there = clickhouse_config();
    let config = ClickHouseConfig { url: format!("http://{late}"), ..there.clone() };
    let settings = Settings::of(&free_address(), &config, "127.0.0.1:1", "t");
    let mut serving = settings.serve("api");
    let why = || {
        let (status, body) = settings.get("/readyz");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let part = body["failing"].as_array()?.iter().find(|part| part["part"] == "clickhouse")?;
        Some((status, part["reason"].to_string()))
    };
    until_now(|| why().is_some_and(|(_, why)| why.contains("no ClickHouse answers")));
    assert_eq!(settings.get("/livez").0, 200);
    let (status, body) = settings.get("/startupz");
    assert!(status == 503 && body.contains("clickhouse"), "{status} {body}");
    let (status, why) = why().unwrap();
    assert_eq!((status, why.matches(&config.url).count()), (503, 1), "{why}");

    let direct = Settings::of("127.0.0.1:0", &there, "127.0.0.1:1", "t");
    assert!(direct.run(&["migrate", "up"]).status.success());
    let _way = Way::open(&late, &there.url);
    until_now(|| settings.get("/readyz").0 == 200);
    assert_eq!(settings.get("/startupz").0, 200);
    serving.signal("-TERM");
    assert_eq!(serving.ended(), Some(0));
    let log = std::fs::read_to_string(settings.log()).unwrap();
    let first = log.lines().next().unwrap_or_default();
    for told in ["starting", "version=", "config=", &config.url, &config.database] {
        assert!(first.contains(told), "{told} in {first}");
    }
    let waited = log.lines().filter(|line| line.contains("waiting for ClickHouse")).count();
    assert!(waited <= 3, "told once, and again after half a minute: {log}");
}

#[test]
fn a_signal_while_clickhouse_is_waited_for_ends_serve() {
    let settings = Settings::of(&free_address(), &nowhere(), "127.0.0.1:1", "t");
    let mut serving = settings.serve("all");
    until_now(|| settings.get("/livez").0 == 200);
    serving.signal("-TERM");
    assert_eq!(serving.ended(), Some(0), "{}", std::fs::read_to_string(settings.log()).unwrap());
}

#[test]
fn what_waiting_cannot_mend_ends_serve_at_once_with_what_to_do() {
    let pending = clickhouse_config();
    let stranger = ClickHouseConfig { user: "stranger".into(), ..clickhouse_config() };
    for (config, wanted) in [
        (pending, "lacks migration 0001_events; run `trailhouse migrate up`"),
        (stranger, "does not let `stranger` in"),
    ] {
        let settings = Settings::of("127.0.0.1:0", &config, "127.0.0.1:1", "t");
        let mut serving = settings.serve("all");
        assert_eq!(serving.ended(), Some(1));
        let said = std::fs::read_to_string(settings.log()).unwrap();
        assert!(said.contains(wanted), "{said}");
        assert!(!said.contains("waiting for"), "{said}");
    }
}

#[test]
fn a_clickhouse_that_is_not_there_is_named_once_with_its_cause_and_the_fix() {
    let config = nowhere();
    let settings = Settings::of("127.0.0.1:0", &config, "127.0.0.1:1", "t");
    for command in [&["migrate", "status"][..], &["migrate", "up"]] {
        let output = settings.run(command);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        for once in [config.url.as_str(), "Connection refused", "set clickhouse.url"] {
            assert_eq!(said.matches(once).count(), 1, "{once} in {said}");
        }
    }
}

#[test]
fn a_second_signal_ends_serve_at_once() {
    let (address, there) = (free_address(), clickhouse_config());
    let way = Way::open(&address, &there.url);
    let config = ClickHouseConfig { url: format!("http://{address}"), ..there };
    let settings = Settings::of(&free_address(), &config, "127.0.0.1:1", "t");
    assert!(settings.run(&["migrate", "up"]).status.success());
    let mut serving = settings.serve("api");
    until_now(|| settings.get("/readyz").0 == 200);
    way.cut.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        // A request that had begun is waited for, ten seconds.
        scope.spawn(|| settings.get("/v1/events"));
        until_now(|| way.held.load(Ordering::SeqCst));
        serving.signal("-TERM");
        // The port is given up at once.
        until_now(|| TcpStream::connect(&settings.listen).is_err());
        serving.signal("-INT");
        assert_eq!(serving.ended(), Some(130));
    });
    assert!(std::fs::read_to_string(settings.log()).unwrap().contains("second signal"));
}
