//! Records that become many times their size, and which of them are not let.
//!
//! In: bytes of a batch, and how much larger its records' rows are. Out: the batch's bound, and the
//! records that must be kept whole for it.
//!
//! A record is bounded by itself already (`docs/SCHEMAS.md`, Limits), but what it may become then is
//! several times what ordinary records do. A batch of such would fill the memory, and, with large
//! batches, a column beyond the 2 GiB that Arrow's offsets reach.
//!
//! # Invariants
//! - The same batch and mappings choose the same records, whatever of them is stored already.
//! - A batch of ordinary records is never touched.
//!
//! Deliberately unknown here: what a record holds.

use rustc_hash::FxHashSet;

use crate::event::RawRecord;

/// What a batch of so many bytes may become. Ordinary records become two to four times their bytes.
pub fn most_bytes(batch: usize) -> usize {
    const ROOM: usize = 16 << 20;
    ROOM.saturating_add(batch.saturating_mul(16)).min(1 << 30)
}

/// What a record becomes.
pub struct Size {
    /// Its offset.
    pub offset: i64,
    /// Its own bytes.
    pub record: usize,
    /// Those of its rows.
    pub rows: usize,
}

impl Size {
    /// One more row of a record, of so many bytes. Records come in turn, each with all its rows.
    pub fn grow(sizes: &mut Vec<Size>, record: &RawRecord<'_>, row: usize) {
        match sizes.last_mut() {
            Some(size) if size.offset == record.offset => size.rows += row,
            _ => sizes.push(Size { offset: record.offset, record: record.bytes(), rows: row }),
        }
    }

    /// How much larger its rows are than itself, bytes.
    fn excess(&self) -> usize {
        self.rows.saturating_sub(self.record)
    }
}

/// As few records as make a batch so many bytes smaller: those first that swell most.
pub fn swollen(mut sizes: Vec<Size>, mut too_many: usize) -> FxHashSet<i64> {
    sizes.sort_by_key(|size| (std::cmp::Reverse(size.excess()), size.offset));
    let mut swollen = FxHashSet::default();
    for size in sizes {
        if too_many == 0 || size.excess() == 0 {
            break;
        }
        too_many = too_many.saturating_sub(size.excess());
        swollen.insert(size.offset);
    }
    swollen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_swell_most_are_chosen_and_no_more_than_must_be() {
        let sizes = || [5, 0, 900, 40, 900].into_iter().zip(0..);
        let sizes = || sizes().map(|(rows, offset)| Size { offset, record: 0, rows }).collect();
        let chosen = |too_many| {
            let mut chosen: Vec<i64> = swollen(sizes(), too_many).into_iter().collect();
            chosen.sort_unstable();
            chosen
        };
        assert!(chosen(0).is_empty());
        assert_eq!(chosen(1), [2]);
        assert_eq!(chosen(901), [2, 4]);
        assert_eq!(chosen(1_801), [2, 3, 4]);
        assert_eq!(chosen(usize::MAX), [0, 2, 3, 4], "one that does not swell gives no room");
    }
}
