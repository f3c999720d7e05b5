#![doc = include_str!("../README.md")]

mod counting;
mod rows;
mod steps;

pub use counting::{CountingFs, CountingMetastore};
pub use rows::{files_only, numbers, numbers_schema, stream_of, sum_of};
pub use steps::{FailingStep, LastSteps, SeenSteps, StoppingStep};
