//! The behaviour of the crate through its public interface, on a real disk.
#![expect(clippy::disallowed_methods, reason = "tests look at files and start tasks themselves")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod beside;
mod caching;
mod cancelling;
mod copying;
mod damage;
mod disk;
mod failing;
mod fault_fs;
mod folders;
mod inline;
mod manifests;
mod memory;
mod normalising;
mod round_trip;
mod single_rows;
mod sizes;
mod statistics;
