//! The SQL text of all backends, and nothing else: migrations, and one constant for each statement.

mod migrations;
pub(crate) mod statements;

pub(crate) use migrations::MIGRATIONS;
