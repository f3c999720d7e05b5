//! The behaviour of the crate through its public interface.

mod choosing;
mod growing;
