//! Behaviour of the engine as its users see it.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests reach files directly, and a panic is how a test fails"
)]

mod apply;
mod backend;
mod cancel;
mod collect;
mod compact;
mod cost;
mod deletion_files;
mod expire;
mod failure;
mod fixture;
mod forgeries;
mod history;
mod hooked_fs;
mod hostile_slice;
mod inline;
mod key_index;
mod key_mode;
mod key_types;
mod keyed;
mod keyed_concurrent;
mod keyed_cost;
mod keyed_failure;
mod keyed_moves;
mod keyed_stage;
mod life;
mod lingering;
mod lookup;
mod maintain;
mod manifest;
mod marker;
mod model;
mod model_operations;
mod model_rows;
mod processes;
mod readers;
mod rebuild;
mod rebuild_broken_off;
mod removal;
mod repair;
mod replace;
mod ruins;
mod slice;
mod stage;
mod together;
mod tree;
