//! Random statements on small tables full of NULLs and duplicates, executed by Cayenne and by a reference.
//!
//! `CAYENNE_QUERIES` is the number of statements, `CAYENNE_SEED` the first seed.

mod aggregates;
mod answer;
mod cayenne;
mod conditions;
mod duckdb;
mod grouping_sets;
mod numbers;
mod queries;
mod reference;
mod run;
mod scope;
mod sources;
mod sqlite;
mod statements;
mod subqueries;
mod tree;
mod values;
mod world;

/// The number of statements in CI.
const QUERIES: u64 = 2_000;

#[test]
fn sqlite_answers_the_same() {
    run::compare::<sqlite::Sqlite>(QUERIES);
}

#[test]
#[expect(clippy::print_stderr, reason = "a run without it must be seen")]
fn duckdb_answers_the_same() {
    if duckdb::python().is_none() {
        eprintln!("SKIPPED: no Python that imports duckdb; `cargo xtask test` installs one");
        return;
    }
    run::compare::<duckdb::Duckdb>(QUERIES);
}
