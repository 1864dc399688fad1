//! What a process takes, and its end.
//!
//! In: a process's number. Out: its CPU time and peak memory, from `/proc`.
//!
//! # Invariants
//! - A [`Worker`] does not outlive its run, whichever way that ends.
//!
//! Deliberately unknown here: what the process does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::process::{Child, Command};

/// A child that is ended with the run.
pub struct Worker(pub Child);

impl Worker {
    /// Ask it to stop, and wait until it has.
    pub fn stop(mut self) {
        let ended = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(ended.success() && self.0.wait().unwrap().success(), "the worker did not drain");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// User and system time of a process, seconds (fields 14 and 15 of `stat`, in ticks of 10 ms).
pub fn cpu_seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

/// The most memory a process has held, or has held since [`forget_peak`], bytes.
pub fn peak_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Count a process's peak memory anew (`clear_refs`, 5).
pub fn forget_peak(process: u32) {
    fs::write(format!("/proc/{process}/clear_refs"), "5").unwrap();
}
