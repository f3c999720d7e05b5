//! Behaviour of the crate as its users see it.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod filter;
mod fold;
mod index;
mod key;
mod rewrite;
mod small_index;
mod tombstone;
mod vector;
