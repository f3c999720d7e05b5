//! Reading a table: the plan of a scan, pruning, statistics, and the streams that read data files.
//!
//! Dynamic filters, which arrive while a scan runs, are in `dynamic_filter`.

pub(crate) mod converter;
pub(crate) mod direct;
pub(crate) mod identity;
pub(crate) mod kept;
pub(crate) mod lookup;
pub(crate) mod pieces;
pub(crate) mod plan;
pub(crate) mod positions;
pub(crate) mod prune;
pub(crate) mod reader;
pub(crate) mod scanned;
pub(crate) mod source;
pub(crate) mod statistics;
pub(crate) mod turns;
