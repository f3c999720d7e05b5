//! Statements: the entry point for all SQL, and the statements that DataFusion does not plan as Cayenne needs them.

pub(crate) mod checks;
pub(crate) mod create_table;
pub(crate) mod key_select;
pub(crate) mod on_conflict;
pub(crate) mod prepared;
pub(crate) mod run;
pub(crate) mod session_tables;
pub(crate) mod views;
