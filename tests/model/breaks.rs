//! What breaks, and by what history: the protocol without one of its parts, and as it is where it
//! promises nothing.
//!
//! In: a budget of faults. Out: pass when a history that breaks the promise is found; it is printed
//! (`--nocapture`), the shortest there is.
//!
//! # Invariants
//! - The budget of a test without a part is one that the whole protocol survives, here or in `holds`.
//!
//! Deliberately unknown here: how to repair what is not covered; DELIVERY.md says what to do instead.

use stateright::{Checker as _, HasDiscoveries, Model as _};

use super::action::Action;
use super::state::Faults;
use super::{CALM, Delivery, NONE, ONCE, Repairs, STORED, WHOLE, Without};

/// The shortest history that breaks a promise.
fn counterexample(model: Delivery, promise: &'static str) -> Option<Vec<Action>> {
    let mut shortest: Option<Vec<Action>> = None;
    loop {
        let when = HasDiscoveries::AnyOf([promise].into());
        let mut search = model.checker().finish_when(when);
        if let Some(known) = &shortest {
            search = search.target_max_depth(known.len() + 1);
        }
        // The search answers with the last it met before it looked whether to stop.
        match search.spawn_bfs().join().discovery(promise) {
            Some(history) => shortest = Some(history.into_actions()),
            None => return shortest,
        }
    }
}

fn breaks(model: Delivery, promise: &'static str) {
    let history = counterexample(model, promise);
    let history = history.unwrap_or_else(|| panic!("always so after all: {promise}"));
    println!("not so: {promise}");
    history.iter().for_each(|action| println!("    {action}"));
}

/// Without a part the promise is broken, with all parts it is kept.
fn needs(without: Without, model: Delivery, promise: &'static str) {
    assert!(counterexample(model, promise).is_none(), "broken with all its parts: {promise}");
    println!("without {without:?}");
    breaks(Delivery { without, ..model }, promise);
}

#[test]
fn without_the_intent_a_batch_is_cut_differently_and_stored_twice() {
    let faults = Faults { crashes: 1, ..NONE };
    needs(Without::Intent, Delivery { faults, ..CALM }, ONCE);
}

#[test]
fn with_the_end_committed_before_the_insert_a_batch_is_lost() {
    let faults = Faults { crashes: 1, inserts: 1, ..NONE };
    needs(Without::StoredFirst, Delivery { faults, ..CALM }, STORED);
    needs(Without::StoredFirst, Delivery { faults, ..CALM }, WHOLE);
}

#[test]
fn with_another_last_after_an_unclear_intent_the_batch_is_stored_twice() {
    let faults = Faults { crashes: 1, commits: 1, ..NONE };
    needs(Without::SameIntent, Delivery { faults, ..CALM }, ONCE);
}

#[test]
fn without_the_fence_a_woken_worker_stores_twice() {
    let faults = Faults { stops: 1, ..NONE };
    needs(Without::Fence, Delivery { faults, ..CALM }, ONCE);
}

#[test]
fn without_the_check_for_a_lost_assignment_an_empty_group_takes_an_old_intent() {
    let faults = Faults { crashes: 1, stops: 1, ..NONE };
    needs(Without::LostCheck, Delivery { faults, ..CALM }, ONCE);
}

#[test]
fn without_the_ownership_check_the_old_owner_stores_twice() {
    let faults = Faults { rebalances: 1, ..NONE };
    needs(Without::OwnershipCheck, Delivery { faults, ..CALM }, ONCE);
}

#[test]
fn without_waiting_for_a_commit_before_unassigning_it_overwrites_the_new_owners_intent() {
    let faults = Faults { stops: 1, rebalances: 1, ..NONE };
    needs(Without::WaitBeforeUnassigning, Delivery { faults, ..CALM }, ONCE);
}

#[test]
fn without_the_read_back_an_outage_longer_than_the_window_stores_twice() {
    let faults = Faults { inserts: 1, expiries: 1, ..NONE };
    needs(Without::ReadBack, Delivery { faults, ..CALM }, ONCE);
}

#[test]
fn without_the_read_back_rewound_offsets_store_twice() {
    let faults = Faults { crashes: 2, rewinds: 1, ..NONE };
    needs(Without::ReadBack, Delivery { faults, ..CALM }, ONCE);
    needs(Without::HighestStored, Delivery { faults, ..CALM }, ONCE);
}

#[test]
fn without_the_second_read_back_a_row_that_a_new_mapping_moved_is_lost() {
    let faults = Faults { crashes: 2, mapping_changes: 1, inserts: 1, ..NONE };
    needs(Without::SecondReadBack, Delivery { faults, ..CALM }, STORED);
}

#[test]
fn without_planting_the_original_token_a_late_original_stores_twice() {
    let faults = Faults { late_inserts: 1, ..NONE };
    needs(Without::Planting, Delivery { faults, ..CALM }, ONCE);
}

#[test]
fn with_another_number_after_an_unclear_repair_the_row_is_stored_twice() {
    let faults = Faults { crashes: 2, mapping_changes: 1, inserts: 1, late_inserts: 1, ..NONE };
    needs(Without::SameRepair, Delivery { end: 2, faults, ..CALM }, ONCE);
}

#[test]
fn not_covered_offsets_rewound_while_an_insert_is_under_way() {
    let faults = Faults { crashes: 2, rewinds: 1, ..NONE };
    breaks(Delivery { faults, impatient: true, ..CALM }, ONCE);
}

#[test]
fn not_covered_a_mapping_changed_while_an_insert_is_under_way() {
    let faults = Faults { crashes: 2, mapping_changes: 1, ..NONE };
    breaks(Delivery { faults, impatient: true, ..CALM }, ONCE);
}

#[test]
fn not_covered_a_worker_or_an_insert_that_sleeps_longer_than_the_window() {
    let faults = Faults { stops: 1, expiries: 1, ..NONE };
    breaks(Delivery { faults, impatient: true, ..CALM }, ONCE);
}

#[test]
fn not_covered_a_commit_that_the_next_batchs_intent_overtakes() {
    let faults = Faults { crashes: 1, commits: 1, ..NONE };
    breaks(Delivery { faults, overtaking: 2, ..CALM }, ONCE);
}

#[test]
fn not_covered_a_late_repair_when_each_process_numbers_its_own() {
    let faults = Faults { crashes: 2, stops: 1, mapping_changes: 1, inserts: 1, ..NONE };
    let model = Delivery { end: 2, faults, ..CALM };
    breaks(Delivery { repairs: Repairs::PerProcess, ..model }, ONCE);
}
