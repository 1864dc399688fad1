//! What an action changes.
//!
//! In: a [`State`] and an [`Action`] that is possible in it. Out: the next [`State`].
//!
//! # Invariants
//! - One action is one step of one part: a message is sent in one and arrives in another, and an
//!   insert's table partitions are applied one by one.
//!
//! Deliberately unknown here: which actions are possible.

use super::action::{Action, Does, Fault, Works};
use super::state::{Commit, Condition, Insert, Lane, Phase, State, Token, range};
use super::{Delivery, Repairs, Without};

impl Delivery {
    /// The coordinator looks at the generation, not at who owns the partition.
    pub fn accepts(&self, state: &State, commit: &Commit) -> bool {
        let empty = || state.workers.iter().all(|worker| !worker.member);
        commit.current
            || self.without == Without::Fence
            || (self.without == Without::LostCheck && empty())
    }

    pub fn change(&self, state: &mut State, action: Action) {
        match action {
            Action::Worker(worker, does) => self.worker_does(state, worker, does),
            Action::Lane(worker, partition, works) => {
                self.lane_works(state, worker, partition, works);
            }
            Action::Deliver(commit) => {
                let at = take(&mut state.commits, &commit);
                for earlier in state.commits[..at].iter_mut().filter(|it| it.same_lane(&commit)) {
                    earlier.overtaken += 1;
                }
                let accepted = self.accepts(state, &commit);
                if accepted {
                    state.accept(commit);
                }
                if commit.awaited {
                    committed(state.lane(commit.worker, commit.partition), accepted);
                }
            }
            Action::Apply(insert, part) => {
                if self.apply(state, insert, part) && insert.awaited {
                    self.inserted(state.lane(insert.worker, insert.partition), insert.token);
                }
            }
            Action::Fault(fault) => self.goes_wrong(state, fault),
        }
        // A commit that will be refused and that nobody waits for changes nothing.
        if !matches!(self.without, Without::WaitBeforeUnassigning | Without::LostCheck) {
            let mut commits = std::mem::take(&mut state.commits);
            commits.retain(|commit| commit.awaited || self.accepts(state, commit));
            state.commits = commits;
        }
    }

    fn worker_does(&self, state: &mut State, number: u8, does: Does) {
        let worker = &mut state.workers[usize::from(number)];
        match does {
            Does::Wake => worker.condition = Condition::Running,
            Does::Sync => {
                worker.synced = true;
                if self.without == Without::WaitBeforeUnassigning {
                    // librdkafka writes the generation when it sends, not when it is asked to.
                    state.restamp(number);
                }
            }
            Does::Rejoin | Does::Restart => {
                worker.condition = Condition::Running;
                worker.member = true;
                worker.lanes = Default::default();
                for partition in 0..state.group.len() as u8 {
                    state.stop_waiting(number, partition);
                }
                // Sticky: what has an owner stays there, unless the other has everything.
                let all = state.group.iter().all(|owned| owned.target == Some(1 - number));
                for (partition, owned) in state.group[..self.partitions].iter_mut().enumerate() {
                    let share = all && self.partitions == 2 && partition == usize::from(number);
                    if owned.target.is_none() || share {
                        owned.target = Some(number);
                    }
                }
                state.new_generation();
            }
            Does::Expire => {
                worker.member = false;
                let other = state.workers[usize::from(1 - number)].member.then_some(1 - number);
                for owned in &mut state.group {
                    if owned.owner == Some(number) {
                        owned.owner = None;
                    }
                    if owned.target == Some(number) {
                        owned.target = other;
                    }
                }
                state.new_generation();
            }
        }
    }

    fn lane_works(&self, state: &mut State, worker: u8, partition: u8, works: Works) {
        let lane = *state.lane(worker, partition);
        let begin = |state: &mut State, phase| state.lane(worker, partition).phase = phase;
        match works {
            Works::Start => self.start(state, worker, partition),
            Works::GiveUp => {
                state.group[usize::from(partition)].owner = None;
                if self.without != Without::OwnershipCheck {
                    *state.lane(worker, partition) = Lane::default();
                    state.stop_waiting(worker, partition);
                }
                state.new_generation();
            }
            Works::Announce { last } => {
                *state.lane(worker, partition) = Lane {
                    last,
                    rebuilt: lane.first < lane.rebuild_before,
                    planted: false,
                    repair: None,
                    repaired: false,
                    completed: false,
                    ..lane
                };
                if self.without == Without::Intent {
                    begin(state, Phase::Announced);
                } else {
                    begin(state, Phase::Announcing);
                    self.commit(state, worker, partition, Some(last));
                }
            }
            Works::AnnounceAgain { last } => {
                state.lane(worker, partition).last = last;
                begin(state, Phase::Announcing);
                self.commit(state, worker, partition, Some(last));
            }
            Works::Complete => {
                begin(state, Phase::Completing);
                self.commit(state, worker, partition, None);
            }
            Works::Insert => self.insert(state, worker, partition, range(lane.first, lane.last)),
            Works::ReadBack => {
                let stored = state.stored[usize::from(partition)].once;
                let batch = range(lane.first, lane.last);
                if self.without == Without::ReadBack {
                    state.lane(worker, partition).rebuilt = false;
                    self.insert(state, worker, partition, batch);
                } else if batch & !stored == 0 {
                    settle(state.lane(worker, partition));
                } else {
                    state.lane(worker, partition).rebuilt = true;
                    self.insert(state, worker, partition, batch & !stored);
                }
            }
        }
    }

    /// The committed offset, the intent and the highest position stored say where to begin.
    fn start(&self, state: &mut State, worker: u8, partition: u8) {
        let stored_end = match self.without {
            Without::HighestStored | Without::ReadBack => 0,
            _ => state.stored[usize::from(partition)].end(),
        };
        let owned = &mut state.group[usize::from(partition)];
        owned.owner = Some(worker);
        let (first, intent) = (owned.next_offset, owned.intent);
        *state.lane(worker, partition) = Lane {
            phase: if intent.is_some() { Phase::Announced } else { Phase::Filling },
            first,
            last: intent.unwrap_or(first),
            rebuild_before: stored_end.max(intent.map_or(0, |last| last + 1)),
            rebuilt: intent.is_some(),
            completed: intent.is_none(),
            ..Lane::default()
        };
    }

    fn commit(&self, state: &mut State, worker: u8, partition: u8, intent: Option<u8>) {
        let current = state.workers[usize::from(worker)].synced;
        let mut next_offset = state.lane(worker, partition).first;
        let mut intent = intent;
        if self.without == Without::StoredFirst {
            next_offset = intent.take().map_or(next_offset, |last| last + 1);
        }
        let commit =
            Commit { worker, partition, next_offset, intent, current, awaited: true, overtaken: 0 };
        state.send_commit(commit);
    }

    fn insert(&self, state: &mut State, worker: u8, partition: u8, rows: u8) {
        let fresh = state.next_repair;
        let lane = state.lane(worker, partition);
        let mut repair = None;
        if lane.planted || (lane.rebuilt && self.without == Without::Planting) {
            let anew = lane.repaired || self.without == Without::SameRepair;
            if anew || lane.repair.is_none() {
                lane.repair = Some(match lane.repair {
                    _ if self.repairs == Repairs::PerProcess => fresh,
                    None => 0,
                    Some(number) => number + 1,
                });
                lane.repaired = false;
            }
            repair = lane.repair;
        }
        lane.phase = Phase::Inserting;
        let token = Token { first: lane.first, last: lane.last, repair };
        if repair == Some(fresh) && self.repairs == Repairs::PerProcess {
            state.next_repair += 1;
        }
        let mut by_month = [0; 2];
        for offset in 0..8 {
            by_month[month(offset, state.mapping)] |= rows & (1 << offset);
        }
        state.send_insert(Insert { worker, partition, token, rows: by_month, awaited: true });
    }

    /// True when nothing of the insert is left to do.
    fn apply(&self, state: &mut State, insert: Insert, part: u8) -> bool {
        take(&mut state.inserts, &insert);
        let mut rest = insert;
        let rows = std::mem::take(&mut rest.rows[usize::from(part)]);
        state.stored[usize::from(insert.partition)].apply(part, insert.token, rows);
        let done = rest.rows == [0; 2];
        if !done {
            state.send_insert(rest);
        }
        done
    }

    /// An insert was answered with OK.
    fn inserted(&self, lane: &mut Lane, token: Token) {
        lane.planted |= token.repair.is_none();
        lane.repaired |= token.repair.is_some();
        if lane.rebuilt && self.without != Without::SecondReadBack {
            lane.phase = Phase::InsertedPerhaps;
        } else {
            settle(lane);
        }
    }

    fn goes_wrong(&self, state: &mut State, fault: Fault) {
        let left = &mut state.left;
        match fault {
            Fault::Crash(number) => {
                left.crashes -= 1;
                state.workers[usize::from(number)].condition = Condition::Crashed;
                state.workers[usize::from(number)].lanes = Default::default();
                for partition in 0..state.group.len() as u8 {
                    state.stop_waiting(number, partition);
                }
            }
            Fault::Stop(number) => {
                left.stops -= 1;
                state.workers[usize::from(number)].condition = Condition::Stopped;
            }
            Fault::Rebalance { partition, to } => {
                left.rebalances -= 1;
                state.group[usize::from(partition)].target = Some(to);
                state.new_generation();
            }
            Fault::CommitLost(commit)
            | Fault::CommitUnanswered(commit)
            | Fault::CommitLate(commit) => {
                left.commits -= 1;
                let at = take(&mut state.commits, &commit);
                match fault {
                    Fault::CommitUnanswered(_) => state.accept(commit),
                    Fault::CommitLate(_) => {
                        state.commits.insert(at, Commit { awaited: false, ..commit });
                    }
                    _ => {}
                }
                let lane = state.lane(commit.worker, commit.partition);
                lane.phase = match lane.phase {
                    Phase::Announcing => Phase::AnnouncedPerhaps,
                    _ => Phase::CompletedPerhaps,
                };
            }
            Fault::InsertLost(insert) => {
                left.inserts -= 1;
                take(&mut state.inserts, &insert);
                state.lane(insert.worker, insert.partition).phase = Phase::InsertedPerhaps;
            }
            Fault::InsertUnanswered(insert, part) => {
                left.inserts -= 1;
                self.apply(state, insert, part);
                state.lane(insert.worker, insert.partition).phase = Phase::InsertedPerhaps;
            }
            Fault::InsertLate(insert) => {
                left.late_inserts -= 1;
                take(&mut state.inserts, &insert);
                state.send_insert(Insert { awaited: false, ..insert });
                state.lane(insert.worker, insert.partition).phase = Phase::InsertedPerhaps;
            }
            Fault::Rewind { partition, next_offset } => {
                left.rewinds -= 1;
                let owned = &mut state.group[usize::from(partition)];
                owned.next_offset = next_offset;
                owned.intent = None;
            }
            Fault::ChangeMapping => {
                left.mapping_changes -= 1;
                state.mapping = 1 - state.mapping;
            }
            Fault::ForgetTokens { partition } => {
                left.expiries -= 1;
                state.stored[usize::from(partition)].tokens.clear();
            }
        }
    }
}

/// The table partition of an offset's row: even and odd, and under mapping 1 all in the first.
fn month(offset: u8, mapping: u8) -> usize {
    if mapping == 0 { usize::from(offset % 2) } else { 0 }
}

fn take<T: PartialEq>(messages: &mut Vec<T>, message: &T) -> usize {
    let at = messages.iter().position(|other| other == message).expect("it is under way");
    messages.remove(at);
    at
}

/// A commit was answered.
fn committed(lane: &mut Lane, accepted: bool) {
    lane.phase = match lane.phase {
        _ if !accepted => Phase::Fenced,
        Phase::Announcing => Phase::Announced,
        _ => {
            lane.completed = true;
            Phase::Filling
        }
    };
}

fn settle(lane: &mut Lane) {
    *lane = Lane {
        phase: Phase::Filling,
        first: lane.last + 1,
        rebuild_before: lane.rebuild_before,
        ..Lane::default()
    };
}
