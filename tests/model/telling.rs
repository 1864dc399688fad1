//! A counterexample as a story.
//!
//! In: an [`Action`]. Out: one line for whoever reads the trace.
//!
//! # Invariants
//! - Every action has a line of its own.
//!
//! Deliberately unknown here: why it could happen.

use std::fmt::{Display, Formatter, Result};

use super::action::{Action, Does, Fault, Works};
use super::state::{Commit, Insert};

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Action::Worker(worker, does) => {
                let does = match does {
                    Does::Sync => "learns generation and assignment",
                    Does::Wake => "wakes",
                    Does::Rejoin => "learns that it was expelled, and joins anew",
                    Does::Restart => "starts and joins",
                    Does::Expire => "is expelled",
                };
                write!(f, "worker {worker} {does}")
            }
            Action::Lane(worker, partition, works) => {
                write!(f, "worker {worker}, partition {partition}: ")?;
                match works {
                    Works::Start => write!(f, "takes it"),
                    Works::GiveUp => write!(f, "gives it up"),
                    Works::Announce { last } => write!(f, "closes a batch at {last}, commits it"),
                    Works::AnnounceAgain { last } => write!(f, "commits again, up to {last}"),
                    Works::Insert => write!(f, "inserts"),
                    Works::ReadBack => write!(f, "reads back and sends what is missing"),
                    Works::Complete => write!(f, "commits what is settled"),
                }
            }
            Action::Deliver(commit) => {
                let fate = if commit.current { "taken" } else { "of an old generation" };
                write!(f, "{commit} arrives, {fate}")
            }
            Action::Apply(insert, part) => write!(f, "{insert}: month {part} is applied"),
            Action::Fault(fault) => {
                write!(f, "FAULT: ")?;
                match fault {
                    Fault::Crash(worker) => write!(f, "worker {worker} is killed"),
                    Fault::Stop(worker) => write!(f, "worker {worker} is frozen"),
                    Fault::Rebalance { partition, to } => {
                        write!(f, "partition {partition} is to move to worker {to}")
                    }
                    Fault::CommitLost(commit) => write!(f, "{commit} is lost"),
                    Fault::CommitUnanswered(commit) => {
                        write!(f, "{commit} arrives, its reply is lost")
                    }
                    Fault::CommitLate(commit) => write!(f, "{commit} is late"),
                    Fault::InsertLost(insert) => write!(f, "{insert} fails"),
                    Fault::InsertUnanswered(insert, part) => {
                        write!(f, "{insert}: month {part} is applied, the reply is lost")
                    }
                    Fault::InsertLate(insert) => write!(f, "{insert} is late"),
                    Fault::Rewind { partition, next_offset } => {
                        write!(f, "partition {partition} is rewound to {next_offset}")
                    }
                    Fault::ChangeMapping => write!(f, "the mapping changes"),
                    Fault::ForgetTokens { partition } => {
                        write!(f, "the tokens of partition {partition} are forgotten")
                    }
                }
            }
        }
    }
}

impl Display for Commit {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "worker {}'s commit of {}", self.worker, self.next_offset)?;
        match self.intent {
            Some(last) => write!(f, " with intent {last}"),
            None => Ok(()),
        }
    }
}

impl Display for Insert {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let token = self.token;
        write!(f, "worker {}'s insert {}-{}", self.worker, token.first, token.last)?;
        match token.repair {
            Some(n) => write!(f, "/r{n}"),
            None => Ok(()),
        }
    }
}
