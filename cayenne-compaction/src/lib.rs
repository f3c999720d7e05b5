#![doc = include_str!("../README.md")]

mod file;
mod pick;
mod reason;
mod schedule;

pub use file::{CompactionLimits, File, Tier};
pub use pick::{Pick, pick};
pub use reason::{Decision, Finding, Reason, decide, next, why};
pub use schedule::Schedule;
