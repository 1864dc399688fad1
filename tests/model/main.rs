//! A model of delivery, checked over every order in which things can happen.
//!
//! `docs/DELIVERY.md` describes the protocol; `tests/faults` tries it on the real program where a test
//! can reach. Here two workers, a group's coordinator, a network and ClickHouse are small
//! enough that `stateright` visits *all* their histories within a budget of faults.
//!
//! In: the protocol's rules, as [`action`] (what can happen) and [`change`] (what it does) say them.
//! Out: in [`holds`], that no history breaks a promise; in [`breaks`], the shortest history that does,
//! for the protocol without one of its parts, and for the protocol as it is in worlds it does not
//! promise to survive.
//!
//! # What is modelled
//! - A partition is offsets `0..end`, a batch one to `longest` of them; where it ends is free, as it is
//!   where age closes it. Even offsets fall into one table partition ("month"), odd ones into another.
//! - The coordinator knows members, one generation, and for each partition the owner, the committed
//!   offset and the intent's `last`. It takes a commit whose generation is the group's, **whoever owns
//!   the partition**. It hands a partition over when its owner gave it up or was expelled.
//! - Commits and inserts are under way for as long as they like, also after their sender has died. One
//!   may be lost, its reply may be lost, the sender may stop waiting for it. A lane's commits arrive
//!   in order, except that one may be overtaken by the next (`overtaking`).
//! - ClickHouse applies an insert's months one by one and in either order, each whole, swallows a month
//!   whose token it has logged, and answers OK all the same.
//! - A worker runs, is frozen (and wakes, expelled or not, as if nothing had been) or is dead. Its lane
//!   announces, inserts, reads back, repairs, completes as in DELIVERY.md. Start rule: the committed
//!   offset; an intent there is rebuilt exactly and without a second commit; up to the highest
//!   position stored, batches are rebuilt under ends of their own. What is missing is sent under the
//!   original token, then, looked at again, under `/r<n>`: `n` is the job's, the same after an unclear
//!   outcome, another after an OK that left rows missing. A completion carries no `last`.
//!
//! # Invariants
//! - Held in every state: no position is stored twice; what is before the committed offset is stored;
//!   where no step is left but faults, everything is stored, committed, and no intent stands. As no
//!   history goes round in circles (a test), each one ends there.
//!
//! # Bounds
//! Two workers; one partition or two; two to six offsets in each; of each kind of fault one, of
//! crashes up to two. Each test names its budget and prints its counts (`--nocapture`); the largest
//! visits two million states.
//!
//! # What it does not cover
//! - What ends in a retry (REBALANCE_IN_PROGRESS, refusals) and what ends the process (fatal errors);
//!   static membership; the poison search, gaps, compaction, `quarantine` and `batches` as tables of
//!   their own (each is one more part of an insert that is applied by itself); replicas, DROP
//!   PARTITION, ALTER DELETE.
//! - Error 216, by which ClickHouse refuses a query id that still runs: the protocol is safe without.
//! - The worlds of [`breaks`] named there as not covered: an intent taken away, a mapping changed or a
//!   token forgotten while an insert is under way; a commit overtaken by the next batch's; a late
//!   `/r<n>` of a worker that lost the partition.
//!
//! Deliberately unknown here: the crate. The rules are said a second time, on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod action;
mod breaks;
mod change;
mod holds;
mod state;
mod telling;

use action::Action;
use state::{Condition, Faults, Insert, Lane, Owned, Phase, State, Worker, range};
use stateright::{Model, Property};

/// The part of the protocol that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Batches are not announced: only what is settled is committed.
    Intent,
    /// What is committed before the insert is the batch's end.
    StoredFirst,
    /// An intent whose outcome is unknown may be followed by one with another `last`.
    SameIntent,
    /// Commits of an old generation are taken.
    Fence,
    /// A worker commits though its assignment is lost. librdkafka may then write generation -1, which
    /// a group without members takes.
    LostCheck,
    /// A worker goes on with a partition that it has given up.
    OwnershipCheck,
    /// A partition is given up while a commit of it is still to be sent.
    WaitBeforeUnassigning,
    /// What was perhaps inserted is inserted again, unseen; so is a batch that is rebuilt.
    ReadBack,
    /// What was sent for a rebuilt batch is not looked at again.
    SecondReadBack,
    /// Only the intent's batch is rebuilt, not all that is stored behind it.
    HighestStored,
    /// What is missing goes under the repair token at once.
    Planting,
    /// A repair whose outcome is unknown is sent again under another number.
    SameRepair,
}

/// Where the `n` of `/r<n>` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repairs {
    /// Each job in each process begins with one that nobody else has.
    PerProcess,
    /// Each job begins with the same one.
    FromOne,
}

/// A protocol in a world.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    partitions: usize,
    /// Offsets in each partition.
    end: u8,
    /// Offsets in a batch, at most.
    longest: u8,
    faults: Faults,
    /// How many later commits of its lane may arrive before a commit does.
    overtaking: u8,
    /// Operators act, and tokens expire, while inserts are under way.
    impatient: bool,
    repairs: Repairs,
    without: Without,
}

/// Two or three batches, nothing wrong.
const CALM: Delivery = Delivery {
    partitions: 1,
    end: 3,
    longest: 2,
    faults: Faults {
        crashes: 0,
        stops: 0,
        rebalances: 0,
        commits: 0,
        inserts: 0,
        late_inserts: 0,
        rewinds: 0,
        mapping_changes: 0,
        expiries: 0,
    },
    overtaking: 1,
    impatient: false,
    repairs: Repairs::PerProcess,
    without: Without::Nothing,
};

/// No faults; a budget names those it has.
const NONE: Faults = CALM.faults;

const ONCE: &str = "no position is stored twice";
const STORED: &str = "what is before the committed offset is stored";
const WHOLE: &str = "where nothing is left to do, everything is stored and committed";

const SWALLOWED: &str = "an insert that nobody waits for is swallowed";
const FOUND: &str = "a read-back finds rows";
const FENCED: &str = "a commit is fenced";
const REPAIRED: &str = "an insert goes under a repair token";

impl Model for Delivery {
    type State = State;
    type Action = Action;

    /// Both are members, and partition n is worker n's.
    fn init_states(&self) -> Vec<State> {
        let nobody = Owned { owner: None, target: None, next_offset: 0, intent: None };
        let member = Worker {
            condition: Condition::Running,
            member: true,
            synced: true,
            lanes: Default::default(),
        };
        let mut state = State {
            workers: [member, member],
            group: [nobody, nobody],
            commits: Vec::new(),
            inserts: Vec::new(),
            stored: Default::default(),
            mapping: 0,
            next_repair: 0,
            left: self.faults,
        };
        for number in 0..self.partitions as u8 {
            let owned = &mut state.group[usize::from(number)];
            (owned.owner, owned.target) = (Some(number), Some(number));
            let lane = Lane { phase: Phase::Filling, completed: true, ..Lane::default() };
            *state.lane(number, number) = lane;
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if is_once(self, state) {
            self.steps(state, actions);
            self.faults(state, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.change(&mut state, action);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONCE, is_once),
            Property::always(STORED, is_stored),
            Property::always(WHOLE, is_whole),
            Property::sometimes(SWALLOWED, |_, state: &State| {
                state.inserts.iter().any(|insert| !insert.awaited && is_known(state, insert))
            }),
            Property::sometimes(FOUND, |_, state| {
                lanes(state).any(|(partition, lane)| {
                    let reads = matches!(lane.phase, Phase::Announced | Phase::InsertedPerhaps);
                    let there = range(lane.first, lane.last) & state.stored[partition].once;
                    reads && lane.rebuilt && there != 0
                })
            }),
            Property::sometimes(FENCED, |_, state| {
                lanes(state).any(|(_, lane)| lane.phase == Phase::Fenced)
            }),
            Property::sometimes(REPAIRED, |_, state: &State| {
                state.inserts.iter().any(|insert| insert.token.repair.is_some())
            }),
        ]
    }
}

fn is_once(_: &Delivery, state: &State) -> bool {
    state.stored.iter().all(|stored| stored.twice == 0)
}

fn is_stored(_: &Delivery, state: &State) -> bool {
    state.group.iter().zip(&state.stored).all(|(owned, stored)| {
        let before = (0..owned.next_offset).fold(0, |all, offset| all | 1 << offset);
        before & !stored.once == 0
    })
}

fn is_whole(model: &Delivery, state: &State) -> bool {
    let mut partitions = state.group.iter().zip(&state.stored).take(model.partitions);
    let whole = partitions.all(|(owned, stored)| {
        stored.once == range(0, model.end - 1)
            && (owned.next_offset, owned.intent) == (model.end, None)
    });
    whole || {
        let mut steps = Vec::new();
        model.steps(state, &mut steps);
        !steps.is_empty()
    }
}

/// A share of it is in the deduplication log.
fn is_known(state: &State, insert: &Insert) -> bool {
    let log = &state.stored[usize::from(insert.partition)].tokens;
    (0..).zip(insert.rows).any(|(part, rows)| rows != 0 && log.contains(&(part, insert.token)))
}

fn lanes(state: &State) -> impl Iterator<Item = (usize, &Lane)> {
    state.workers.iter().flat_map(|worker| worker.lanes.iter().enumerate())
}
