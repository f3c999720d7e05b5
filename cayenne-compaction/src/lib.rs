#![doc = include_str!("../README.md")]

mod decide;
mod file;
mod pick;
mod reason;
mod schedule;

pub use decide::{Decision, Finding, decide, next, why};
pub use file::{CompactionLimits, File, Tier};
pub use pick::{Pick, pick};
pub use reason::Reason;
pub use schedule::Schedule;
