//! Which lane may grow its batch, and which may close it.
//!
//! In: all lanes, the [`Limits`], the clock. Out: a [`Turn`] for each lane.
//!
//! While ClickHouse keeps up, a batch closes when it is old enough, and this changes nothing. Where
//! it does not, or many partitions are far behind, closing more batches would only make them
//! smaller: so no more of them are on their way than are being stored and one, and meanwhile the
//! lane whose turn is next grows, alone, to a full batch. Memory for one full batch does for all.
//!
//! # Invariants
//! - Turns go by age, the oldest batch first: no lane waits for another twice.
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

/// Give every lane its turn; whether another batch may still be on its way.
pub fn give<'l>(lanes: impl Iterator<Item = &'l mut Lane>, limits: Limits, now: Instant) -> bool {
    let (mut room, mut filling, mut asking) = (limits.sending, 0, Vec::new());
    for lane in lanes {
        lane.turn = Turn::Waits;
        room = room.saturating_sub(usize::from(lane.is_sending()));
        let Some(batch) = lane.cut_by_limits() else { continue };
        filling += batch.bytes();
        let is_old = now.duration_since(batch.opened) >= limits.age;
        let is_ready = is_old || limits.closes(batch).is_some();
        if is_ready || batch.bytes() >= limits.share {
            asking.push((batch.opened, is_ready && lane.may_send(), lane));
        }
    }
    asking.sort_by_key(|(opened, ..)| *opened);
    // Batches that grew before an older one asked are still held.
    let mut grows = filling < 2 * limits.bytes;
    for (_, may_close, lane) in asking {
        if may_close && room > 0 {
            room -= 1;
            lane.turn = Turn::Closes;
        } else if grows {
            grows = false;
            lane.turn = Turn::Grows;
        }
    }
    room > 0
}
