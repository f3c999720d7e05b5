//! Behaviour of Cayenne tables in a DataFusion session.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests reach files directly, and a panic is how a test fails"
)]

mod catalog;
mod changes;
mod column_defaults;
mod column_types;
mod cost;
mod damage;
mod dml_guard;
mod dynamic_filters;
mod explain;
mod files;
mod fixture;
mod functions;
mod hidden;
mod inline;
mod key_types;
mod keys;
mod memory;
mod merge;
mod model;
mod prepared;
mod pruning;
mod random_queries;
mod refused_definitions;
mod slt;
mod statements;
mod stored_text;
mod views;
