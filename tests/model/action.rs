//! Everything that can happen next.
//!
//! In: a [`State`]. Out: its [`Action`]s: what the parts do by themselves, and what goes wrong.
//!
//! # Invariants
//! - Every fault takes one from the budget; steps alone lead to rest, whatever their order.
//!
//! Deliberately unknown here: what an action changes.

use super::state::{Commit, Condition, Insert, Phase, State, TABLE_PARTITIONS, WORKERS};
use super::{Delivery, Without};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// What a worker does.
    Worker(u8, Does),
    /// What a worker does about one partition.
    Lane(u8, u8, Works),
    /// The coordinator gets a commit; it may be fenced.
    Deliver(Commit),
    /// ClickHouse applies an insert's share of one table partition.
    Apply(Insert, u8),
    Fault(Fault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Learns generation and assignment.
    Sync,
    /// Goes on after SIGSTOP, as if nothing had been.
    Wake,
    /// Learns that it was expelled; forgets its lanes and joins anew.
    Rejoin,
    /// Is started and joins.
    Restart,
    /// Is expelled, its session having expired.
    Expire,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Works {
    /// Takes the partition: committed offset, intent and the highest position stored.
    Start,
    /// Gives it up, a batch in flight being abandoned.
    GiveUp,
    /// Closes a batch that ends here and commits the intent.
    Announce { last: u8 },
    /// The intent's outcome is unknown: the same one again.
    AnnounceAgain { last: u8 },
    /// Sends the batch.
    Insert,
    /// Looks what is there and sends what is not, or is done.
    ReadBack,
    /// Commits the end of what is settled, without an intent.
    Complete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Crash(u8),
    Stop(u8),
    Rebalance { partition: u8, to: u8 },
    CommitLost(Commit),
    CommitUnanswered(Commit),
    CommitLate(Commit),
    InsertLost(Insert),
    InsertUnanswered(Insert, u8),
    InsertLate(Insert),
    Rewind { partition: u8, next_offset: u8 },
    ChangeMapping,
    ForgetTokens { partition: u8 },
}

impl Delivery {
    /// What the parts do by themselves.
    pub fn steps(&self, state: &State, actions: &mut Vec<Action>) {
        for worker in 0..WORKERS as u8 {
            self.worker_steps(state, worker, actions);
        }
        for (at, commit) in state.commits.iter().enumerate() {
            let mut earlier = state.commits[..at].iter().filter(|it| it.same_lane(commit));
            if earlier.all(|earlier| earlier.overtaken < self.overtaking) {
                actions.push(Action::Deliver(*commit));
            }
        }
        for (at, insert) in state.inserts.iter().enumerate() {
            if at > 0 && state.inserts[at - 1] == *insert {
                continue;
            }
            for part in 0..TABLE_PARTITIONS as u8 {
                if insert.rows[usize::from(part)] != 0 {
                    actions.push(Action::Apply(*insert, part));
                }
            }
        }
    }

    fn worker_steps(&self, state: &State, number: u8, actions: &mut Vec<Action>) {
        let worker = &state.workers[usize::from(number)];
        let mut does = |does| actions.push(Action::Worker(number, does));
        match worker.condition {
            Condition::Crashed if worker.member => does(Does::Expire),
            Condition::Crashed => does(Does::Restart),
            Condition::Stopped => {
                does(Does::Wake);
                if worker.member {
                    does(Does::Expire);
                }
            }
            Condition::Running => {
                if !worker.member {
                    does(Does::Rejoin);
                } else if !worker.synced {
                    does(Does::Sync);
                }
                for partition in 0..self.partitions as u8 {
                    self.lane_steps(state, number, partition, actions);
                }
            }
        }
    }

    fn lane_steps(&self, state: &State, number: u8, partition: u8, actions: &mut Vec<Action>) {
        let worker = &state.workers[usize::from(number)];
        let lane = &worker.lanes[usize::from(partition)];
        let owned = &state.group[usize::from(partition)];
        let mut works = |works| actions.push(Action::Lane(number, partition, works));

        if worker.synced {
            let mine = owned.owner == Some(number);
            let free = owned.owner.is_none() && owned.target == Some(number);
            let waits = matches!(lane.phase, Phase::Announcing | Phase::Completing)
                && self.without != Without::WaitBeforeUnassigning;
            let idle = matches!(lane.phase, Phase::NotMine | Phase::Fenced);
            if idle && (free || mine) {
                works(Works::Start);
            }
            if mine && owned.target != Some(number) && !waits {
                works(Works::GiveUp);
            }
        }
        match lane.phase {
            Phase::NotMine | Phase::Fenced => {}
            Phase::Announcing | Phase::Inserting | Phase::Completing => {}
            Phase::Filling => {
                for last in lane.first..self.end.min(lane.first + self.longest) {
                    works(Works::Announce { last });
                }
                if !lane.completed {
                    works(Works::Complete);
                }
            }
            Phase::AnnouncedPerhaps => {
                works(Works::AnnounceAgain { last: lane.last });
                if self.without == Without::SameIntent {
                    for last in lane.first..self.end.min(lane.first + self.longest) {
                        if last != lane.last {
                            works(Works::AnnounceAgain { last });
                        }
                    }
                }
            }
            Phase::Announced if lane.rebuilt => works(Works::ReadBack),
            Phase::Announced => works(Works::Insert),
            Phase::InsertedPerhaps => works(Works::ReadBack),
            Phase::CompletedPerhaps => works(Works::Complete),
        }
    }

    /// What goes wrong.
    pub fn faults(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        let mut fault = |fault| actions.push(Action::Fault(fault));
        for number in 0..WORKERS as u8 {
            if state.workers[usize::from(number)].condition == Condition::Running {
                if left.crashes > 0 {
                    fault(Fault::Crash(number));
                }
                if left.stops > 0 {
                    fault(Fault::Stop(number));
                }
            }
        }
        if left.rebalances > 0 {
            for (partition, owned) in (0..).zip(&state.group[..self.partitions]) {
                let Some(owner) = owned.owner else { continue };
                let to = 1 - owner;
                if owned.target == Some(owner) && state.workers[usize::from(to)].member {
                    fault(Fault::Rebalance { partition, to });
                }
            }
        }
        if left.commits > 0 {
            for commit in state.commits.iter().filter(|commit| commit.awaited) {
                fault(Fault::CommitLost(*commit));
                if self.accepts(state, commit) {
                    fault(Fault::CommitUnanswered(*commit));
                    fault(Fault::CommitLate(*commit));
                }
            }
        }
        for insert in state.inserts.iter().filter(|insert| insert.awaited) {
            if left.inserts > 0 {
                fault(Fault::InsertLost(*insert));
                for part in 0..TABLE_PARTITIONS as u8 {
                    let others = insert.rows[usize::from(1 - part)];
                    if others == 0 {
                        fault(Fault::InsertUnanswered(*insert, part));
                    }
                }
            }
            if left.late_inserts > 0 {
                fault(Fault::InsertLate(*insert));
            }
        }
        self.operations(state, actions);
    }

    /// What an operator, or time, does to what is stored elsewhere.
    fn operations(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        let under_way = !state.inserts.is_empty();
        let expelled = state.workers.iter().all(|worker| !worker.member);
        let down = state.workers.iter().all(|worker| worker.condition == Condition::Crashed);
        let mut fault = |fault| actions.push(Action::Fault(fault));
        if left.rewinds > 0 && expelled && (self.impatient || (down && !under_way)) {
            for (partition, owned) in (0..).zip(&state.group[..self.partitions]) {
                for next_offset in 0..=owned.next_offset {
                    fault(Fault::Rewind { partition, next_offset });
                }
            }
        }
        if left.mapping_changes > 0 && expelled && down && (self.impatient || !under_way) {
            fault(Fault::ChangeMapping);
        }
        if left.expiries > 0 {
            for (partition, stored) in (0..).zip(&state.stored) {
                let old = under_way || state.outlived(partition);
                if !stored.tokens.is_empty() && (self.impatient || !old) {
                    fault(Fault::ForgetTokens { partition });
                }
            }
        }
    }
}
