//! The hidden subcommand `trailhouse engine`: this binary, turned into an engine of its own demo.
//!
//! In: `engine PARENT clickhouse LIBRARY PORT ARGS...`, which runs libchdb's `clickhouse local`
//! inside this process, or `engine PARENT exec PROGRAM ARGS...`, which becomes another program.
//! Out: the engine's exit code.
//!
//! # Invariants
//! - An engine does not outlive the process that started it, not even when that one is killed
//!   (Linux; elsewhere only `stop` and `Drop` end it).
//! - SIGTERM and SIGINT end ClickHouse cleanly. The library by itself would die at once, so they
//!   are blocked in every thread and one thread waits for them.
//!
//! Deliberately unknown here: where the library comes from, what the engine is for.

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use libloading::Library;

use super::{clickhouse, http};

/// The hidden subcommand's name.
pub const SUBCOMMAND: &str = "engine";

/// Runs the engine that `args` (a whole command line, the program's name first) asks for; `None`
/// where they ask for something else. To be called first in `main`, while there is one thread:
/// the threads of the engine inherit its signal mask.
pub fn dispatch(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.into_iter().skip(1);
    if args.next()? != SUBCOMMAND {
        return None;
    }
    Some(match run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("trailhouse {SUBCOMMAND}: {error:#}");
            ExitCode::FAILURE
        }
    })
}

fn run(mut args: impl Iterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    const USAGE: &str = "this subcommand is for trailhouse itself; use `trailhouse demo`";
    let mut next = || args.next().context(USAGE);
    let parent = next()?.to_str().and_then(|pid| pid.parse().ok()).context(USAGE)?;
    die_with(parent)?;
    let mode = next()?;
    match mode.to_str() {
        Some("exec") => {
            let program = next()?;
            let error = Command::new(&program).args(args).exec();
            Err(error).with_context(|| format!("cannot run {}", program.display()))
        }
        Some("clickhouse") => {
            let library = next()?;
            let port = next()?.to_str().and_then(|port| port.parse().ok()).context(USAGE)?;
            run_clickhouse(Path::new(&library), port, args.collect())
        }
        _ => bail!(USAGE),
    }
}

/// Has the kernel kill this process, and what it becomes by exec, when the thread that spawned it
/// ends; see `process::spawn` for that thread.
#[cfg(target_os = "linux")]
fn die_with(parent: u32) -> anyhow::Result<()> {
    // SAFETY: this option takes one integer and touches no memory.
    let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    ensure!(set == 0, "cannot tie this engine to its parent: {}", io::Error::last_os_error());
    // The parent may have ended before the line above; then nobody would ever end this process.
    ensure!(parent_id() == parent, "the process that started this engine (pid {parent}) is gone");
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with(parent: u32) -> anyhow::Result<()> {
    ensure!(parent_id() == parent, "the process that started this engine (pid {parent}) is gone");
    Ok(())
}

/// Whether a signal has asked the engine to end.
static STOPPING: AtomicBool = AtomicBool::new(false);

fn run_clickhouse(library: &Path, port: u16, args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    type Main = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
    type ErrorOf = unsafe extern "C" fn(*mut c_void) -> *const c_char;

    stop_on_signal(port)?;
    let args: Vec<CString> = [OsString::from("clickhouse-local")]
        .into_iter()
        .chain(args)
        .map(|arg| CString::new(arg.into_vec()))
        .collect::<Result<_, _>>()
        .context("an argument of the engine holds a zero byte")?;
    let mut argv: Vec<*mut c_char> = args.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
    let argc = c_int::try_from(argv.len())?;
    argv.push(std::ptr::null_mut());

    // SAFETY: the file is the pinned, verified libchdb, whose initialisers expect no more than a
    // process with one thread that matters; nothing else of this binary runs here.
    let library = unsafe { Library::new(library) }
        .with_context(|| format!("cannot load ClickHouse from {}", library.display()))?;
    // Its threads may run on past its main function: the library stays loaded.
    let library = std::mem::ManuallyDrop::new(library);
    // SAFETY: `chdb_result *chdb_query_cmdline(int, char **)` and
    // `const char *chdb_result_error(chdb_result *)`, as chdb.h declares them.
    let (main, error_of) = unsafe {
        (
            library.get::<Main>(b"chdb_query_cmdline\0")?,
            library.get::<ErrorOf>(b"chdb_result_error\0")?,
        )
    };
    // SAFETY: argv holds argc strings, ends with a null, and both outlive the call.
    let result = unsafe { main(argc, argv.as_mut_ptr()) };
    if STOPPING.load(Ordering::SeqCst) {
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(!result.is_null(), "ClickHouse ended without a result");
    // SAFETY: the result is not null and not freed; it ends with the process.
    let error = unsafe { error_of(result) };
    ensure!(!error.is_null(), "ClickHouse ended though nobody asked it to");
    // SAFETY: a C string owned by the result.
    let error = unsafe { CStr::from_ptr(error) };
    bail!("ClickHouse ended: {}", error.to_string_lossy())
}

/// Blocks SIGTERM and SIGINT here and in all threads to come, and has one thread wait for them.
fn stop_on_signal(port: u16) -> anyhow::Result<()> {
    // SAFETY: an all-zero sigset_t is a valid value, and sigemptyset initialises it anyway; the
    // calls write to that local set alone, and the mask they set is this thread's.
    let signals = unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut signals);
        libc::sigaddset(&mut signals, libc::SIGTERM);
        libc::sigaddset(&mut signals, libc::SIGINT);
        let failed = libc::pthread_sigmask(libc::SIG_BLOCK, &signals, std::ptr::null_mut());
        ensure!(failed == 0, "cannot block SIGTERM: {}", io::Error::from_raw_os_error(failed));
        signals
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut signal = 0;
        // SAFETY: both arguments are locals of this thread.
        while unsafe { libc::sigwait(&signals, &mut signal) } != 0 {}
        STOPPING.store(true, Ordering::SeqCst);
        // The statement that keeps the server up is killed, and the engine ends as after any other.
        let kill = "KILL QUERY WHERE query LIKE '%sleepEachRow%' AND user = ''";
        let path = format!("/?user={}", clickhouse::USER);
        match http::status(port, "POST", &path, kill, Duration::from_secs(5)) {
            Ok(200) => {}
            // It has the request and is busy; the one who sent the signal has a deadline.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It does not listen yet, or no more: there is no acknowledged write to finish.
            _ => std::process::exit(1),
        }
    })?;
    Ok(())
}

/// Asks a process to end. The caller holds its [`std::process::Child`] unreaped, so the id is its.
pub(super) fn terminate(pid: u32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: a signal to another process touches no memory of this one.
    unsafe { libc::kill(pid, libc::SIGTERM) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn another_command_line_is_left_to_the_command_line_parser() {
        assert!(dispatch(args("trailhouse demo")).is_none());
        assert!(dispatch(args("trailhouse")).is_none());
    }

    #[test]
    fn a_user_who_finds_the_subcommand_is_sent_to_demo() {
        // No number: it would tie the test process itself to a parent.
        for line in [vec![], args("clickhouse"), args("x exec true")] {
            let error = run(line.into_iter()).unwrap_err();
            assert!(error.to_string().contains("trailhouse demo"), "{error}");
        }
    }
}
