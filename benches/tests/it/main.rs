//! Tests of the benchmark as a command.

#![expect(clippy::disallowed_methods, reason = "a report is a plain file")]

mod memory;
mod smoke;
