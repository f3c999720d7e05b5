//! End-to-end tests of the command: every test runs the real binary on a database of its own.
#![expect(clippy::disallowed_methods, reason = "tests look at files and processes themselves")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "seeds and skipped tests are shown where the test runner shows them")]

mod bad_sources;
mod damage;
mod database;
mod defaults;
mod errors;
mod fencing;
mod formats;
mod keyed;
mod keyed_acts;
mod keyed_kills;
mod kills;
mod load;
mod looking_after;
mod power_cut;
mod processes;
mod random;
mod recovery;
mod reference;
mod script;
mod shell;
mod signals;
mod slices;
mod text;
mod views;
mod writers;
