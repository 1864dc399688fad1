//! Pages by offset over a store that is walked by place.
//!
//! In: a query, an offset, who asks. Out: the page behind that many events.
//!
//! # Invariants
//! - A page that goes on where one ended within [`KEPT`] costs as little as a cursor, and repeats
//!   nothing: it begins behind the last event of that page, in the window of the walk's first.
//! - An offset that nobody led to is counted off, up to [`FARTHEST`], and refused beyond: never cut.
//! - What is remembered is the caller's own, of one question; at most [`MOST`] ends of pages.
//!
//! Deliberately unknown here: what a contract calls its offset and limit.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::access::Caller;
use crate::api::refusal::Refusal;
use crate::event::Micros;
use crate::query::{EventReader, Order, Page, Place, Query, Start, Window};

/// How long the end of a page is remembered: ten minutes, in microseconds.
const KEPT: Micros = 600_000_000;

/// The farthest offset that is counted off.
pub(super) const FARTHEST: u64 = 1_000_000;

/// The most events of one page.
pub(super) const LONGEST: u32 = 100_000;

/// Ends of pages that are remembered, of all callers together: some megabytes.
const MOST: usize = 20_000;

/// Where pages ended.
#[derive(Debug, Default)]
pub(super) struct Walks {
    ends: Mutex<Ends>,
}

/// What tells one walk from another.
pub(super) struct Walk<'a> {
    /// Who walks.
    pub caller: &'a Caller,
    /// What the client said of time, in its own words: two walks with different bounds are two, and
    /// one without bounds stays one while the clock goes on.
    pub time: &'a str,
    /// Now.
    pub now: Micros,
}

#[derive(Debug, Default)]
struct Ends {
    known: HashMap<Key, End>,
    /// The oldest first, each with when it is forgotten.
    order: VecDeque<(Micros, Key)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    caller: String,
    question: u64,
    time: String,
    next_offset: u64,
}

#[derive(Debug, Clone, Copy)]
struct End {
    forgotten_at: Micros,
    /// Where the order can be walked by place.
    after: Option<Place>,
    window: Window,
}

impl Walks {
    /// The page behind so many events, and the window it is of. The name is the contract's for an
    /// offset.
    pub(super) async fn page(
        &self,
        reader: &dyn EventReader,
        walk: Walk<'_>,
        query: &mut Query,
        (name, offset): (&str, u64),
    ) -> Result<Page, Refusal> {
        let key = |next_offset| Key {
            caller: walk.caller.id.clone(),
            question: query.digest(),
            time: walk.time.to_owned(),
            next_offset,
        };
        let here = key(offset);
        let known = self.known(&here, walk.now).filter(|_| offset > 0);
        query.start = match known {
            Some(End { after: Some(place), .. }) => Start::After(place),
            Some(_) => Start::Offset(offset),
            None if offset == 0 => Start::First,
            None if offset > FARTHEST => {
                let detail = format!(
                    "{name} is {offset}; beyond {FARTHEST} it must go on from a page just read"
                );
                return Err(Refusal::parameter(name, detail));
            }
            None => Start::Offset(offset),
        };
        if let Some(end) = known {
            query.selection.window = end.window;
        }
        let page = reader.page(query).await?;
        let after = match (page.events.last(), &query.order) {
            (Some(last), Order::Time(by, _)) => Some(Place::of(last, *by)),
            (Some(_), Order::Fields(_)) => None,
            (None, _) => match known {
                Some(end) => end.after,
                None => return Ok(page),
            },
        };
        let forgotten_at = walk.now.saturating_add(KEPT);
        let end = End { forgotten_at, after, window: query.selection.window };
        let (told, asked) = (page.events.len() as u64, u64::from(query.limit));
        // The last page's end too: a client that walks until a page is empty asks behind it, and one
        // that counts pages asks a whole page behind where the last began.
        for passed in BTreeSet::from([told, asked]).into_iter().filter(|passed| *passed > 0) {
            self.remember(Key { next_offset: offset + passed, ..here.clone() }, end);
        }
        Ok(page)
    }

    fn known(&self, key: &Key, now: Micros) -> Option<End> {
        self.ends().known.get(key).copied().filter(|end| now < end.forgotten_at)
    }

    fn remember(&self, key: Key, end: End) {
        let mut ends = self.ends();
        ends.order.push_back((end.forgotten_at, key.clone()));
        ends.known.insert(key, end);
        let now = end.forgotten_at - KEPT;
        while let Some((forgotten_at, _)) = ends.order.front() {
            if *forgotten_at > now && ends.order.len() <= MOST {
                break;
            }
            let Some((forgotten_at, key)) = ends.order.pop_front() else { break };
            // It may have been walked again since.
            if ends.known.get(&key).is_some_and(|end| end.forgotten_at == forgotten_at) {
                ends.known.remove(&key);
            }
        }
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::fixture::event;
    use crate::query::memory::MemoryReader;
    use crate::query::{Selection, TenantScope};

    fn query(limit: u32) -> Query {
        let window = Window { from: 0, to: 1_000 };
        Query::new(Selection::new(TenantScope::All, window), limit)
    }

    fn page(
        walks: &Walks,
        reader: &MemoryReader,
        caller: &Caller,
        now: Micros,
        offset: u64,
    ) -> Result<Vec<u128>, Refusal> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let walk = Walk { caller, time: "", now };
        let mut query = query(10);
        let page = walks.page(reader, walk, &mut query, ("skip", offset));
        let page = runtime.block_on(page)?;
        Ok(page.events.iter().map(|event| event.id.as_u128()).collect())
    }

    #[test]
    fn a_walk_repeats_nothing_while_events_come_and_leaves_none_out() {
        let mut events: Vec<_> = (1..=25).map(|n| event(n, 100 + n as i64)).collect();
        let (walks, caller) = (Walks::default(), Caller::anyone());
        let (mut seen, mut offset) = (Vec::new(), 0);
        loop {
            let reader = MemoryReader { events: events.clone() };
            let found = page(&walks, &reader, &caller, 0, offset).unwrap();
            if found.is_empty() {
                break;
            }
            offset += found.len() as u64;
            seen.extend(found);
            // Newer than all: an offset that is counted off would meet some again.
            events.extend((0..5).map(|n| event(1_000 + offset as u128 + n, 500)));
        }
        let expected: Vec<u128> = (1..=25).rev().collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_walk_by_whole_pages_ends_with_its_last_event_while_events_come() {
        let mut events: Vec<_> = (1..=25).map(|n| event(n, 100 + n as i64)).collect();
        let (walks, caller) = (Walks::default(), Caller::anyone());
        let mut told = Vec::new();
        for offset in [0, 10, 20, 30, 40] {
            let reader = MemoryReader { events: events.clone() };
            told.push(page(&walks, &reader, &caller, 0, offset).unwrap().len());
            events.extend((0..20).map(|n| event(1_000 + u128::from(offset) + n, 500)));
        }
        assert_eq!(told, [10, 10, 5, 0, 0]);
    }

    #[test]
    fn an_offset_far_away_is_refused_unless_a_page_led_to_it() {
        let reader = MemoryReader { events: Vec::new() };
        let (walks, caller) = (Walks::default(), Caller::anyone());
        assert_eq!(page(&walks, &reader, &caller, 0, FARTHEST), Ok(vec![]));
        let refused = page(&walks, &reader, &caller, 0, FARTHEST + 1).unwrap_err();
        assert!(refused.detail().contains("skip"), "{}", refused.detail());
        let key = Key {
            caller: caller.id.clone(),
            question: query(10).digest(),
            time: String::new(),
            next_offset: FARTHEST + 1,
        };
        let end = End { forgotten_at: KEPT, after: None, window: Window { from: 0, to: 9 } };
        walks.remember(key, end);
        assert_eq!(page(&walks, &reader, &caller, 0, FARTHEST + 1), Ok(vec![]));
        let other = Caller { id: "other".into(), ..Caller::anyone() };
        assert!(page(&walks, &reader, &other, 0, FARTHEST + 1).is_err());
        assert!(page(&walks, &reader, &caller, KEPT, FARTHEST + 1).is_err(), "ten minutes later");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let walks = Walks::default();
        let window = Window { from: 0, to: 1 };
        for number in 0..MOST as u64 + 10 {
            let key = Key { caller: "a".into(), question: 0, time: "".into(), next_offset: number };
            walks.remember(key, End { forgotten_at: KEPT, after: None, window });
        }
        assert_eq!(walks.ends().known.len(), MOST);
        let key = Key { caller: "a".into(), question: 0, time: "".into(), next_offset: 1 };
        walks.remember(key, End { forgotten_at: 3 * KEPT, after: None, window });
        assert_eq!(walks.ends().known.len(), 1);
        assert_eq!(walks.ends().order.len(), 1);
    }
}
