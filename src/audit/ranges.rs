//! Sets of offsets as ascending ranges.
//!
//! In: ranges. Out: their union, difference, intersection.
//!
//! # Invariants
//! - Ranges are ascending, apart from each other by at least one offset, with both ends included.
//!
//! Deliberately unknown here: what the offsets are of.

use crate::event::OffsetRange;

/// A set of offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// The union of ranges that ascend by their first offset.
    pub fn ascending(ranges: impl IntoIterator<Item = (i64, i64)>) -> Ranges {
        let mut union: Vec<(i64, i64)> = Vec::new();
        for (first, last) in ranges {
            match union.last_mut() {
                _ if last < first => {}
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => union.push((first, last)),
            }
        }
        Ranges(union)
    }

    /// All from one offset to another; nothing where they are the wrong way round.
    pub fn one(first: i64, last: i64) -> Ranges {
        Ranges::ascending([(first, last)])
    }

    /// How many offsets there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(first, last)| (last - first + 1) as u64).sum()
    }

    /// The ranges.
    pub fn iter(&self) -> impl Iterator<Item = OffsetRange> {
        self.0.iter().map(|(first, last)| OffsetRange { first: *first, last: *last })
    }

    /// What is in this or the other.
    pub fn or(&self, other: &Ranges) -> Ranges {
        let mut all: Vec<(i64, i64)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        Ranges::ascending(all)
    }

    /// What is in both.
    pub fn and(&self, other: &Ranges) -> Ranges {
        let mut both = Vec::new();
        let mut others = other.0.iter().peekable();
        for (first, last) in &self.0 {
            while let Some((other_first, other_last)) = others.peek() {
                if *other_first > *last {
                    break;
                }
                let (from, to) = (*first.max(other_first), *last.min(other_last));
                if from <= to {
                    both.push((from, to));
                }
                if *other_last > *last {
                    break;
                }
                others.next();
            }
        }
        Ranges(both)
    }

    /// What is in this and not in the other.
    pub fn without(&self, other: &Ranges) -> Ranges {
        let mut left = Vec::new();
        let mut others = other.0.iter().peekable();
        for (first, last) in &self.0 {
            let mut next = *first;
            while let Some((other_first, other_last)) = others.peek() {
                if *other_first > *last {
                    break;
                }
                if *other_first > next {
                    left.push((next, other_first - 1));
                }
                next = next.max(other_last + 1);
                if *other_last > *last {
                    break;
                }
                others.next();
            }
            if next <= *last {
                left.push((next, *last));
            }
        }
        Ranges(left)
    }

    /// How many offsets of a range are in this.
    pub fn count_within(&self, range: OffsetRange) -> u64 {
        let from = self.0.partition_point(|(_, last)| *last < range.first);
        let within = self.0[from..].iter().take_while(|(first, _)| *first <= range.last);
        let length =
            |(first, last): &(i64, i64)| last.min(&range.last) - first.max(&range.first) + 1;
        within.map(|both| length(both) as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &Ranges) -> BTreeSet<i64> {
        ranges.iter().flat_map(|range| range.first..=range.last).collect()
    }

    fn ranges() -> impl Strategy<Value = Ranges> {
        proptest::collection::vec((0_i64..60, 0_i64..6), 0..8).prop_map(|mut pairs| {
            pairs.sort_unstable();
            Ranges::ascending(pairs.into_iter().map(|(first, more)| (first, first + more)))
        })
    }

    proptest! {
        #[test]
        fn ranges_are_sets_of_offsets(a in ranges(), b in ranges(), first in 0_i64..60, more in 0_i64..20) {
            let (x, y) = (set(&a), set(&b));
            prop_assert_eq!(a.len(), x.len() as u64);
            prop_assert_eq!(set(&a.or(&b)), &x | &y);
            prop_assert_eq!(set(&a.and(&b)), &x & &y);
            prop_assert_eq!(set(&a.without(&b)), &x - &y);
            let last = first + more;
            let within = x.range(first..=last).count() as u64;
            prop_assert_eq!(a.count_within(OffsetRange { first, last }), within);
        }
    }
}
