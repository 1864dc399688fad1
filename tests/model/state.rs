//! What a moment of the model is made of: Kafka's coordinator, the network, ClickHouse, the workers.
//!
//! In: nothing. Out: [`State`], and what ClickHouse and the coordinator do with a message.
//!
//! # Invariants
//! - Two moments that behave alike are equal: generations are kept only as "still the group's",
//!   messages in one order, tokens in one order.
//!
//! Deliberately unknown here: what a worker does next.

/// Workers in the group.
pub const WORKERS: usize = 2;
/// Partitions of the topic; a model may use the first only.
pub const PARTITIONS: usize = 2;
/// Partitions of the table, for instance two months.
pub const TABLE_PARTITIONS: usize = 2;

/// A set of offsets of one partition, bit by bit.
pub type Offsets = u8;

/// The offsets `first..=last`.
pub fn range(first: u8, last: u8) -> Offsets {
    (first..=last).fold(0, |offsets, offset| offsets | 1 << offset)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub workers: [Worker; WORKERS],
    /// What the coordinator knows of each partition.
    pub group: [Owned; PARTITIONS],
    /// Sent and not yet at the coordinator, in the order sent by each worker for each partition.
    pub commits: Vec<Commit>,
    /// Sent, and neither wholly applied nor lost.
    pub inserts: Vec<Insert>,
    /// What ClickHouse holds of each partition.
    pub stored: [Stored; PARTITIONS],
    /// The mapping version that running workers have.
    pub mapping: u8,
    /// The next `n` of a token's `/r<n>`.
    pub next_repair: u8,
    /// What may still go wrong.
    pub left: Faults,
}

/// How often each thing may go wrong in one history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// SIGKILL.
    pub crashes: u8,
    /// SIGSTOP.
    pub stops: u8,
    /// A partition is to move though its owner is well.
    pub rebalances: u8,
    /// A commit's request or its reply is lost, or the client stops waiting for it.
    pub commits: u8,
    /// An insert fails, wholly or after its first table partition, or its reply is lost.
    pub inserts: u8,
    /// The worker stops waiting for an insert that is still under way.
    pub late_inserts: u8,
    /// An operator sets the committed offset back, which also removes the intent.
    pub rewinds: u8,
    /// Both workers come back with another mapping, which puts offset 1 into another table partition.
    pub mapping_changes: u8,
    /// ClickHouse forgets its tokens: the deduplication window has passed.
    pub expiries: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    pub condition: Condition,
    /// The coordinator counts it as a member.
    pub member: bool,
    /// It knows the group's generation and assignment. What it commits otherwise is fenced.
    pub synced: bool,
    pub lanes: [Lane; PARTITIONS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    Running,
    Stopped,
    Crashed,
}

/// A worker's work on one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lane {
    pub phase: Phase,
    /// Of the batch; while filling, of the next one.
    pub first: u8,
    pub last: u8,
    /// Batches that begin before this offset are rebuilt: read back before anything is inserted.
    pub rebuild_before: u8,
    /// The outcome of this batch's first insert is not known for certain.
    pub rebuilt: bool,
    /// An insert under the original token was answered with OK since then.
    pub planted: bool,
    /// The `n` of this job's `/r<n>`.
    pub repair: Option<u8>,
    /// An insert under that token was answered with OK.
    pub repaired: bool,
    /// The committed offset says all that is settled.
    pub completed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    #[default]
    NotMine,
    Filling,
    Announcing,
    AnnouncedPerhaps,
    Announced,
    Inserting,
    InsertedPerhaps,
    Completing,
    CompletedPerhaps,
    Fenced,
}

/// A partition, as the coordinator knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owned {
    pub owner: Option<u8>,
    /// Who is to own it; another than the owner while it moves.
    pub target: Option<u8>,
    /// The committed offset.
    pub next_offset: u8,
    /// The intent in its metadata: the last offset of the batch.
    pub intent: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Commit {
    pub worker: u8,
    pub partition: u8,
    pub next_offset: u8,
    pub intent: Option<u8>,
    /// Its generation is the group's.
    pub current: bool,
    /// The worker waits for the reply.
    pub awaited: bool,
    /// How many that this worker sent later for this partition have arrived before it.
    pub overtaken: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Insert {
    pub worker: u8,
    pub partition: u8,
    pub token: Token,
    /// The rows still to be applied, by table partition.
    pub rows: [Offsets; TABLE_PARTITIONS],
    /// The worker waits for the reply.
    pub awaited: bool,
}

/// `<first>-<last>`, or with `/r<n>` behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    pub first: u8,
    pub last: u8,
    pub repair: Option<u8>,
}

/// What ClickHouse holds of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stored {
    pub once: Offsets,
    pub twice: Offsets,
    /// The deduplication log.
    pub tokens: Vec<(u8, Token)>,
}

impl Stored {
    /// One table partition's share of an insert, which is atomic.
    pub fn apply(&mut self, table_partition: u8, token: Token, rows: Offsets) {
        if let Err(at) = self.tokens.binary_search(&(table_partition, token)) {
            self.tokens.insert(at, (table_partition, token));
            self.twice |= self.once & rows;
            self.once |= rows;
        }
    }

    /// The highest position stored, and one.
    pub fn end(&self) -> u8 {
        8 - u8::try_from(self.once.leading_zeros()).unwrap()
    }
}

impl Commit {
    pub fn same_lane(&self, other: &Commit) -> bool {
        (self.worker, self.partition) == (other.worker, other.partition)
    }
}

impl State {
    /// Somebody who lost this partition still means to send a batch of it.
    pub fn outlived(&self, partition: u8) -> bool {
        let owner = self.group[usize::from(partition)].owner;
        (0..).zip(&self.workers).any(|(number, worker)| {
            let phase = worker.lanes[usize::from(partition)].phase;
            let sends = matches!(phase, Phase::Announced | Phase::InsertedPerhaps);
            sends && owner != Some(number)
        })
    }

    /// A member came, went or gave something up: what carries the old generation is fenced. A member
    /// without work learns of it at once; when it does makes no difference.
    pub fn new_generation(&mut self) {
        for (number, worker) in (0..).zip(&mut self.workers) {
            let idle = worker.lanes.iter().all(|lane| lane.phase == Phase::NotMine)
                && self.commits.iter().all(|commit| commit.worker != number);
            worker.synced = idle && worker.member && worker.condition == Condition::Running;
        }
        for commit in &mut self.commits {
            commit.current = false;
        }
    }

    /// What this worker has not sent yet will carry the group's generation.
    pub fn restamp(&mut self, worker: u8) {
        for commit in self.commits.iter_mut().filter(|commit| commit.worker == worker) {
            commit.current = true;
        }
    }

    pub fn accept(&mut self, commit: Commit) {
        let partition = &mut self.group[usize::from(commit.partition)];
        partition.next_offset = commit.next_offset;
        partition.intent = commit.intent;
    }

    pub fn send_commit(&mut self, commit: Commit) {
        let key = (commit.worker, commit.partition);
        let at = self.commits.partition_point(|other| (other.worker, other.partition) <= key);
        self.commits.insert(at, commit);
    }

    pub fn send_insert(&mut self, insert: Insert) {
        self.inserts.push(insert);
        self.inserts.sort_unstable();
    }

    /// Nobody at this worker waits for replies about this partition any more.
    pub fn stop_waiting(&mut self, worker: u8, partition: u8) {
        for commit in &mut self.commits {
            commit.awaited &= (commit.worker, commit.partition) != (worker, partition);
        }
        for insert in &mut self.inserts {
            insert.awaited &= (insert.worker, insert.partition) != (worker, partition);
        }
        self.inserts.sort_unstable();
    }

    pub fn lane(&mut self, worker: u8, partition: u8) -> &mut Lane {
        &mut self.workers[usize::from(worker)].lanes[usize::from(partition)]
    }
}
