//! The conformance suite that every backend must pass: one case for each sentence of the contract of [`Metastore`], and
//! long random histories that are compared after each step with
//! [`TableCommit::apply`](cayenne_format::TableCommit::apply).
//!
//! A backend runs the whole suite with one line in its tests. A slow backend can run the random histories one by one,
//! in parallel. A failing case panics and names what it expected. A failing random history also names its seed and
//! step; the same seed reproduces the same history.
//!
//! ```
//! use std::sync::Arc;
//! use cayenne_metastore::{MemoryMetastore, Metastore, conformance};
//!
//! let make = async || Arc::new(MemoryMetastore::default()) as Arc<dyn Metastore>;
//! futures::executor::block_on(conformance::run(make));
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a suite says what is wrong by panicking"
)]

mod cases;
mod history;
mod model;
mod sample;

use std::sync::Arc;

pub use self::sample::Samples;
use crate::Metastore;

/// The number of random histories that are run, and the length of each in steps.
const HISTORIES: u64 = 4;
const HISTORY_STEPS: u32 = 1_000;

macro_rules! run_each {
    ($make:ident: $($case:ident),* $(,)?) => {
        $({
            let metastore = $make().await;
            cases::$case(metastore.as_ref(), &Samples::new(1)).await;
            metastore.close().await.expect(concat!("close after ", stringify!($case)));
        })*
    };
}

/// Runs the whole suite. `make` returns a new metastore without tables at each call.
pub async fn run(make: impl AsyncFn() -> Arc<dyn Metastore>) {
    run_cases(&make).await;
    for seed in 1..=HISTORIES {
        run_history(seed, HISTORY_STEPS, &make).await;
    }
}

/// Runs a random history that closes and reopens the metastore now and then. `open` opens the same metastore at each
/// call; it has no tables at first.
pub async fn run_reopening(open: impl AsyncFn() -> Arc<dyn Metastore>) {
    run_history_reopening(HISTORIES + 1, HISTORY_STEPS, open).await;
}

/// Runs one case for each sentence of the contract. `make` returns a new metastore without tables at each call.
pub async fn run_cases(make: impl AsyncFn() -> Arc<dyn Metastore>) {
    run_each!(make:
        new_table_is_empty_and_listed,
        record_is_kept_exactly,
        names_and_ids_are_unique,
        first_rows_come_with_the_table_or_not_at_all,
        restored_table_goes_on_from_where_it_was,
        table_takes_the_place_of_another_or_nothing_changes,
        dropped_table_is_gone_and_its_name_is_free,
        missing_table_is_not_found,
        each_writer_fences_those_before_it_for_ever,
        same_commit_twice_has_the_effect_of_once,
        tables_commit_together_or_not_at_all,
        commits_of_one_table_in_one_call_build_on_each_other,
        requirements_are_checked,
        contradictions_are_refused,
        refused_commit_leaves_no_trace,
        removed_file_takes_its_deletions_along,
        file_can_be_removed_and_added_again,
        what_one_commit_adds_and_removes_was_never_there,
        every_earlier_snapshot_stays_as_it_was,
        blocks_of_removed_files_are_kept,
        log_tells_each_commit,
        staged_commit_is_invisible_until_it_is_applied,
        only_the_latest_writer_stages_and_discards,
        position_of_a_stream_is_taken_in_once,
        history_is_given_up_in_two_steps,
        table_is_found_by_id_and_by_name,
        extreme_values_are_kept,
        hostile_names_are_only_names,
        dropped_future_is_done_or_not_begun,
        closed_metastore_refuses_everything,
        view_is_kept_exactly,
        view_is_replaced_only_if_that_is_asked,
        dropped_view_is_gone_and_its_name_is_free,
        table_and_view_never_share_a_name,
        closed_metastore_refuses_views,
    );
}

/// Runs one random history, with a comparison after each step. `make` returns a metastore without tables.
pub async fn run_history(seed: u64, steps: u32, make: impl AsyncFn() -> Arc<dyn Metastore>) {
    let metastore = make().await;
    history::run(seed, steps, &mut history::Stays(metastore)).await;
}

/// Runs one random history that closes and reopens the metastore, as [`run_reopening`] does.
pub async fn run_history_reopening(seed: u64, steps: u32, open: impl AsyncFn() -> Arc<dyn Metastore>) {
    let metastore = open().await;
    history::run(seed, steps, &mut history::Reopens { metastore, open }).await;
}
