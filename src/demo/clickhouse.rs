//! A real ClickHouse for a laptop and for the tests, in a child process.
//!
//! In: a folder for its data. Out: the URL of its HTTP interface.
//!
//! # Invariants
//! - It listens on 127.0.0.1 alone, HTTP alone (a native client that dies mid-query aborts the
//!   library's server); only shards of one cluster have a native port, for each other.
//! - What was acknowledged is there after `stop`, after a kill, and after a start over the same
//!   folder; not after a power loss.
//! - Requests come as [`USER`], without a password and with every right. A request without a user
//!   is the `default` user, who can do no more than keep the server up.
//!
//! The engine is the pinned library where there is one for this platform; else, and where it
//! cannot be fetched, a `clickhouse` on `PATH`.
//!
//! Deliberately unknown here: tables, and who asks.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::fetch::{self, Cache};
use super::http;
use super::process::{self, Engine};
use crate::app::output::tell;

/// The user of the HTTP interface; it has no password.
pub const USER: &str = "trailhouse";

/// The cluster of servers that were started together.
pub const CLUSTER: &str = "shards";

/// A start takes half a second, and longer with many parts to load on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// Running merges are waited for.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// 1 is how the library ends when, five seconds after its last query, a connection is still open:
/// without its destructors, but with every acknowledged write on the disk.
const CLEAN_EXITS: [i32; 2] = [0, 1];

/// Opens the HTTP interface, then runs for ever: `clickhouse local` ends with its last statement.
const SERVE: &str = "SYSTEM START LISTEN HTTP; \
     SELECT sleepEachRow(0.2) FROM system.numbers \
     SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0, log_queries = 0 \
     FORMAT Null";

/// A running ClickHouse. Dropping it kills it.
#[derive(Debug)]
pub struct ClickHouseServer {
    engine: Engine,
    port: u16,
}

impl ClickHouseServer {
    /// Starts ClickHouse over `dir` (made where it is not there) and waits until it answers.
    /// `launcher_exe` is the `trailhouse` binary: this one's path, or the one under test.
    /// Blocks, the first time for as long as fetching takes.
    pub fn start(dir: &Path, launcher_exe: &Path) -> anyhow::Result<Self> {
        Self::start_among(dir, launcher_exe, &[], 0)
    }

    /// Starts one over each of some folders; each knows all of them as the shards of [`CLUSTER`], in
    /// this order. They speak to each other by the native protocol.
    pub fn start_shards(dirs: &[&Path], launcher_exe: &Path) -> anyhow::Result<Vec<Self>> {
        let ports: Vec<u16> =
            dirs.iter().map(|_| process::free_port()).collect::<std::io::Result<_>>()?;
        let start = |(at, dir): (usize, &&Path)| Self::start_among(dir, launcher_exe, &ports, at);
        dirs.iter().enumerate().map(start).collect()
    }

    /// `peers` are the native ports of all shards, `at` says which is this one's.
    fn start_among(
        dir: &Path,
        launcher_exe: &Path,
        peers: &[u16],
        at: usize,
    ) -> anyhow::Result<Self> {
        let program = program()?;
        let dir = std::path::absolute(dir)?;
        let data = dir.join("data");
        fs::create_dir_all(&data)
            .with_context(|| format!("cannot make the data folder {}", data.display()))?;
        // The system tables' own logs: of no use after a restart, and they would only grow.
        fetch::remove_folder(&data.join("data/system"))?;
        let port = process::free_port()?;
        let (logger, args) = match program {
            Program::Library(library) => {
                ("", library_args(library, port, &data, !peers.is_empty()))
            }
            Program::Binary(binary) => (LOG_TO_CONSOLE, binary_args(binary)),
        };
        let more = format!("{logger}{}", shards_xml(peers, at));
        fs::write(dir.join("server.xml"), server_xml(&dir, port, &more))?;
        fs::write(dir.join("users.xml"), USERS_XML)?;
        let mut engine = Engine::start("clickhouse", &dir, launcher_exe, args)?;
        engine.wait_until(STARTS_WITHIN, || {
            let status = http::status(port, "GET", "/ping", "", Duration::from_secs(1));
            status.is_ok_and(|status| status == 200).then_some(())
        })?;
        Ok(Self { engine, port })
    }

    /// Where it answers HTTP; see [`USER`].
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The engine's process.
    pub fn pid(&self) -> u32 {
        self.engine.pid()
    }

    /// Ends it cleanly. Blocks for a fifth of a second, or up to five where a client still keeps a
    /// connection open: drop clients first.
    pub fn stop(self) -> anyhow::Result<()> {
        self.engine.stop(STOPS_WITHIN, &CLEAN_EXITS)
    }
}

/// What can be a server.
enum Program {
    Library(PathBuf),
    Binary(PathBuf),
}

fn program() -> anyhow::Result<Program> {
    let error = match Cache::of_user().and_then(|cache| fetch::clickhouse_library(&cache)) {
        Ok(library) => return Ok(Program::Library(library)),
        Err(error) => error,
    };
    process::still_wanted()?;
    let Some(binary) = fetch::on_path("clickhouse") else { return Err(error) };
    tell(format_args!("{error:#}\nusing {} instead", binary.display()));
    Ok(Program::Binary(binary))
}

fn library_args(library: PathBuf, port: u16, data: &Path, has_peers: bool) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["clickhouse".into(), library.into()];
    args.push(port.to_string().into());
    args.extend(["--config-file", "server.xml", "--path"].map(OsString::from));
    args.push(data.into());
    args.extend(["--http_port".into(), port.to_string().into()]);
    args.extend(["--logger.level", "warning", "--query"].map(OsString::from));
    args.push(
        if has_peers { format!("SYSTEM START LISTEN TCP; {SERVE}") } else { SERVE.into() }.into(),
    );
    args
}

fn binary_args(binary: PathBuf) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["exec".into(), binary.into()];
    args.extend(["server", "--config-file", "server.xml"].map(OsString::from));
    args
}

/// The library logs all or nothing, whatever level it is told: nothing, its errors come with the
/// answers. Idle connections delay its end, and the
/// `clickhouse` crate counts on three seconds, so that is how long they are kept.
fn server_xml(dir: &Path, port: u16, more: &str) -> String {
    let dir = escape(&dir.to_string_lossy());
    format!(
        "<clickhouse>
    {more}
    <listen_host>127.0.0.1</listen_host>
    <http_port>{port}</http_port>
    <keep_alive_timeout>3</keep_alive_timeout>
    <path>{dir}/data/</path>
    <tmp_path>{dir}/data/tmp/</tmp_path>
    <backups><allowed_path>{dir}/data/backups/</allowed_path></backups>
    <user_directories><users_xml><path>{dir}/users.xml</path></users_xml></user_directories>
    <default_profile>default</default_profile>
    <default_database>default</default_database>
    <mark_cache_size>268435456</mark_cache_size>
</clickhouse>
"
    )
}

/// The native port of one among some shards, and where all of them are. With a secret a server asks
/// another in the name of whoever has asked it.
fn shards_xml(ports: &[u16], at: usize) -> String {
    let Some(own) = ports.get(at) else { return String::new() };
    let shard = |port: &u16| {
        format!("<shard><replica><host>127.0.0.1</host><port>{port}</port></replica></shard>")
    };
    let shards: String = ports.iter().map(shard).collect();
    format!(
        "<tcp_port>{own}</tcp_port>
    <remote_servers><{CLUSTER}><secret>between shards</secret>{shards}</{CLUSTER}></remote_servers>"
    )
}

/// The logger of a `clickhouse server`, which otherwise writes to files of its own.
const LOG_TO_CONSOLE: &str = "<logger><level>warning</level><console>1</console></logger>";

/// `default` is the user of the statement that keeps the library's server up.
const USERS_XML: &str = "<clickhouse>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users>
        <default>
            <no_password/>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SYSTEM LISTEN ON *.*</query>
                <query>GRANT SELECT ON system.numbers</query>
            </grants>
        </default>
        <trailhouse>
            <no_password/>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
        </trailhouse>
    </users>
</clickhouse>
";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_markup_character_does_not_break_the_configuration() {
        let xml = server_xml(Path::new("/tmp/a&b<c>"), 8123, LOG_TO_CONSOLE);
        assert!(xml.contains("<path>/tmp/a&amp;b&lt;c&gt;/data/</path>"), "{xml}");
        assert!(xml.contains("<http_port>8123</http_port>"), "{xml}");
    }

    #[test]
    fn the_user_we_tell_of_is_the_one_we_make() {
        assert!(USERS_XML.contains(&format!("<{USER}>")));
        assert!(USERS_XML.contains(&format!("</{USER}>")));
    }
}
