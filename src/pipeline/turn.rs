//! Which lane may grow its batch, which may close it, and how much all of them may take.
//!
//! In: all lanes, the [`Limits`], the clock. Out: a [`Turn`] for each lane, the [`Room`] for all.
//!
//! While ClickHouse keeps up, a batch closes when it is old enough, and this changes nothing. Where
//! it does not, or many partitions are far behind, closing more batches would only make them
//! smaller: so no more of them are on their way than are being stored and one, and meanwhile the
//! lane whose turn is next grows, alone, to a full batch. Memory for one full batch does for all.
//!
//! So it is after a crash, when every partition has a batch to make again: they fill their shares at
//! the same time, and what is larger is read to its end one after the other.
//!
//! # Invariants
//! - All lanes together hold no more than [`Limits::held`], and one record. But a batch that is made
//!   again has the size it had: where it alone is larger than that, and nothing on its way will make
//!   room, it is read nevertheless, for else its partition would stand still.
//! - Turns go by age, the oldest batch first: no lane waits for another twice.
//! - Partitions whose batches cannot be stored, or that deliver nothing, hold up no others: a batch
//!   whose try has failed is not counted among those on their way, and a lane that takes nothing
//!   passes its turn on. What such partitions hold is held all the same: it is a share each, and the
//!   batch that fails; when these fill the memory, the others wait.
//! - A lane that holds its share takes nothing while another grows; what it does not take stays
//!   with the source.
//!
//! Deliberately unknown here: what a batch holds, how it is stored.

use std::time::Instant;

use super::lane::Lane;
use super::limits::Limits;

/// What a lane may do with the batch that is filling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Fill it to the lane's share.
    Waits,
    /// Fill it.
    Grows,
    /// Announce it.
    Closes,
}

/// What all lanes together may do until turns are given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Another batch may be on its way.
    pub sends: bool,
    /// Bytes that all lanes may take.
    pub bytes: usize,
    /// Of these, such as lanes may take that do not grow.
    pub shares: usize,
    /// The lane that grows goes on whatever there is: nothing on its way will make room.
    pub is_forced: bool,
}

impl Room {
    /// Nobody holds anything.
    pub fn of(limits: Limits) -> Room {
        Room { sends: true, bytes: limits.held, shares: limits.bytes, is_forced: false }
    }

    /// Whether a lane may take one more record.
    pub fn lets(&self, turn: Turn) -> bool {
        match turn {
            Turn::Grows => self.bytes > 0 || self.is_forced,
            Turn::Waits | Turn::Closes => self.bytes > 0 && self.shares > 0,
        }
    }

    /// A lane takes so many bytes.
    pub fn take(&mut self, turn: Turn, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if turn != Turn::Grows {
            self.shares = self.shares.saturating_sub(bytes);
        }
    }
}

/// Give every lane its turn; what all of them may take.
pub fn give<'l>(lanes: impl Iterator<Item = &'l mut Lane>, limits: Limits, now: Instant) -> Room {
    let (mut sending, mut sent, mut held, mut shared) = (0, 0, 0, 0);
    let mut asking = Vec::new();
    for lane in lanes {
        let grew = lane.end_turn(now);
        sending += usize::from(lane.is_sending());
        sent += usize::from(lane.has_sent());
        held += lane.held();
        shared += lane.shared(limits);
        if lane.asks(limits, now) {
            asking.push((lane.place(), grew, lane));
        }
    }
    asking.sort_by_key(|(place, ..)| *place);
    let (mut slots, mut grows) = (limits.sending.saturating_sub(sending), true);
    let bytes = limits.held.saturating_sub(held);
    let mut is_stuck = bytes == 0 && sent == 0;
    for (_, grew, lane) in asking {
        if slots > 0 && lane.is_ready(limits, now) && lane.may_send() {
            slots -= 1;
            is_stuck = false;
            lane.turn = Turn::Closes;
            shared -= lane.shared(limits);
        } else if grows && lane.can_grow(limits) {
            grows = false;
            lane.grows(grew, now);
            shared -= lane.shared(limits);
        }
    }
    Room {
        sends: slots > 0,
        bytes,
        shares: limits.bytes.saturating_sub(shared),
        is_forced: is_stuck,
    }
}
