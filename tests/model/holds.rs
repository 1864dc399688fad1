//! What the protocol promises, over every history within a budget of faults.
//!
//! In: a budget. Out: pass, with the number of states, or the history that breaks a promise.
//!
//! # Invariants
//! - A test says what its histories contain (a fenced commit, a swallowed insert), and what not: one
//!   that stopped short would fail.
//!
//! Deliberately unknown here: what becomes of a protocol that lacks a part.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use stateright::{Checker as _, Model as _};

use super::state::{Faults, State};
use super::{CALM, Delivery, FENCED, FOUND, NONE, REPAIRED, Repairs, SWALLOWED};

/// Every promise holds, and the histories contain exactly this.
fn holds(model: Delivery, contain: &[&str]) {
    let begun = Instant::now();
    let checker = model.checker().spawn_dfs().join();
    let (unique, all) = (checker.unique_state_count(), checker.state_count());
    println!("{unique} states, {all} steps, {:.1?}: {:?}", begun.elapsed(), model.faults);
    let mut found = BTreeSet::new();
    for (property, history) in checker.discoveries() {
        let broken = checker.discovery_classification(property).to_string() == "counterexample";
        let told: Vec<String> =
            history.into_actions().iter().map(|action| format!("    {action}")).collect();
        assert!(!broken, "not so: {property}\n{}", told.join("\n"));
        found.insert(property);
    }
    assert_eq!(found, contain.iter().copied().collect());
}

#[test]
fn without_faults_nothing_is_fenced_swallowed_or_read_back() {
    holds(CALM, &[]);
}

#[test]
fn one_fault_of_every_kind_in_any_order_loses_and_repeats_nothing() {
    let faults = Faults {
        crashes: 1,
        stops: 1,
        rebalances: 1,
        commits: 1,
        inserts: 1,
        late_inserts: 1,
        ..NONE
    };
    holds(Delivery { end: 2, faults, ..CALM }, &[FENCED, FOUND, SWALLOWED]);
}

#[test]
fn a_crash_a_frozen_worker_a_lost_and_a_late_insert_over_three_batches() {
    let faults = Faults { crashes: 1, stops: 1, inserts: 1, late_inserts: 1, ..NONE };
    holds(Delivery { faults, ..CALM }, &[FENCED, FOUND, SWALLOWED]);
}

#[test]
fn a_crash_a_frozen_worker_a_rebalance_and_an_unclear_commit_over_three_batches() {
    let faults = Faults { crashes: 1, stops: 1, rebalances: 1, commits: 1, ..NONE };
    holds(Delivery { faults, ..CALM }, &[FENCED, FOUND, SWALLOWED]);
}

#[test]
fn a_crash_and_a_frozen_worker_over_six_offsets() {
    let faults = Faults { crashes: 1, stops: 1, ..NONE };
    holds(Delivery { end: 6, faults, ..CALM }, &[FENCED, FOUND, SWALLOWED]);
}

#[test]
fn a_crash_moves_one_of_two_partitions_and_back() {
    let faults = Faults { crashes: 1, ..NONE };
    holds(Delivery { partitions: 2, faults, ..CALM }, &[FENCED, FOUND, SWALLOWED]);
}

#[test]
fn a_frozen_worker_loses_one_of_two_partitions_and_wakes() {
    let faults = Faults { stops: 1, ..NONE };
    let model = Delivery { partitions: 2, longest: 1, faults, ..CALM };
    holds(model, &[FENCED, FOUND, SWALLOWED]);
}

#[test]
fn offsets_rewound_once_no_insert_is_under_way_repeat_nothing() {
    let faults = Faults { crashes: 2, rewinds: 1, inserts: 1, ..NONE };
    holds(Delivery { faults, ..CALM }, &[FENCED, FOUND, SWALLOWED]);
}

#[test]
fn a_mapping_changed_once_no_insert_is_under_way_needs_repairs_and_repeats_nothing() {
    let faults = Faults { crashes: 2, mapping_changes: 1, inserts: 1, ..NONE };
    holds(Delivery { faults, ..CALM }, &[FENCED, FOUND, SWALLOWED, REPAIRED]);
}

#[test]
fn tokens_forgotten_once_no_insert_of_theirs_can_come_repeat_nothing() {
    let faults = Faults { crashes: 1, stops: 1, inserts: 1, expiries: 1, ..NONE };
    holds(Delivery { faults, ..CALM }, &[FENCED, FOUND, SWALLOWED]);
}

#[test]
fn repairs_that_begin_with_the_same_number_survive_a_frozen_worker() {
    let faults =
        Faults { crashes: 2, stops: 1, mapping_changes: 1, inserts: 1, late_inserts: 1, ..NONE };
    let model = Delivery { end: 2, faults, repairs: Repairs::FromOne, ..CALM };
    holds(model, &[FENCED, FOUND, SWALLOWED, REPAIRED]);
}

#[test]
fn no_history_goes_round_in_circles() {
    fn goes_round(model: &Delivery, state: State, open: &mut HashMap<State, bool>) -> bool {
        if let Some(is_open) = open.get(&state) {
            return *is_open;
        }
        open.insert(state.clone(), true);
        let mut next = model.next_states(&state).into_iter();
        let round = next.any(|next| goes_round(model, next, open));
        open.insert(state, false);
        round
    }
    let faults = Faults { crashes: 1, stops: 1, commits: 1, late_inserts: 1, ..NONE };
    let model = Delivery { end: 2, faults, ..CALM };
    let start = model.init_states().remove(0);
    let mut open = HashMap::new();
    assert!(!goes_round(&model, start, &mut open));
    assert!(open.len() > 10_000, "{}", open.len());
}
