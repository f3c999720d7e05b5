//! Statements: the ones that DataFusion does not plan as Cayenne means them, and the way of all others to it.

pub(crate) mod checks;
pub(crate) mod create_table;
pub(crate) mod key_select;
pub(crate) mod on_conflict;
pub(crate) mod prepared;
pub(crate) mod run;
pub(crate) mod session_tables;
pub(crate) mod views;
