//! Tests of the promises of the backends, through their public interface.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test says what is wrong by panicking")]
#![expect(clippy::disallowed_methods, reason = "tests damage files, start tasks and look at the clock themselves")]

mod close;
mod concurrent;
mod conforms;
mod damage;
mod failpoint;
mod fixture;
mod forget;
mod identity;
mod read_only;
mod scale;
mod turso;
mod versions;
