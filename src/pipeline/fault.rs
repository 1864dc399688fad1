//! Places where a fault test may kill, stop or change this process.
//!
//! In: the name of a place, and `FAILPOINTS` of the environment. Out: nothing; or the process ends
//! there, as by `kill -9`, or freezes, as by `kill -STOP`.
//!
//! `FAILPOINTS="insert::after_events=2*off->return"` kills at the third passage,
//! `return(stop)` stops instead. Only builds with the feature `failpoints`, which every `cargo test`
//! has and no release, look at all.
//!
//! # Invariants
//! - Without the feature a place is an empty function and a switch is off.
//! - A process that kills itself here passes no further place and runs no destructor.
//!
//! Deliberately unknown here: which places there are.

/// Keeps the places armed; to be held for as long as the process runs.
#[must_use]
pub struct Faults {
    #[cfg(feature = "failpoints")]
    _scenario: fail::FailScenario<'static>,
}

/// Reads `FAILPOINTS`. To be called once, at the start of the process.
pub fn setup() -> Faults {
    Faults {
        #[cfg(feature = "failpoints")]
        _scenario: fail::FailScenario::setup(),
    }
}

/// A place. Does nothing unless a fault test has named it.
pub fn point(name: &'static str) {
    if let Some(word) = told(name) {
        signal_myself(if word == "stop" { "STOP" } else { "KILL" });
    }
}

/// Whether a fault test has switched this on.
pub fn is_on(name: &'static str) -> bool {
    told(name).is_some()
}

#[cfg(feature = "failpoints")]
fn told(name: &'static str) -> Option<String> {
    fail::fail_point!(name, |word| Some(word.unwrap_or_default()));
    None
}

#[cfg(not(feature = "failpoints"))]
fn told(_: &'static str) -> Option<String> {
    None
}

/// By the shell, whose `kill` is built in: `raise` would need `unsafe`. Returns when a stopped
/// process has been continued; never from a kill.
fn signal_myself(signal: &str) {
    let script = format!("kill -{signal} {}", std::process::id());
    let sent = std::process::Command::new("sh").args(["-c", &script]).status();
    if signal == "KILL" || !sent.is_ok_and(|status| status.success()) {
        // The signal is on its way, or the test must see that there was none.
        std::process::abort();
    }
}
