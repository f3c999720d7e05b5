//! What an engine must support to serve as a reference.

use super::answer::Answer;
use super::statements::{CHANGED, Statement};
use super::tree::Dialect;
use super::world::World;

pub(super) trait Reference {
    const DIALECT: Dialect;

    /// Opens the engine with the tables of a world.
    fn open(world: &World) -> Self;

    fn query(&mut self, text: &str) -> Result<Answer, String>;

    /// Runs a statement, returns the rows of the table that it changed, and rolls it back.
    fn change(&mut self, text: &str) -> Result<Answer, String>;

    fn answer(&mut self, statement: &Statement) -> Result<Answer, String> {
        let text = statement.text(Self::DIALECT);
        if statement.changes { self.change(&text) } else { self.query(&text) }
    }
}

/// The statements that create the tables, for an engine without layouts.
pub(super) fn statements(world: &World, dialect: Dialect) -> Vec<String> {
    let mut statements = Vec::new();
    let changed = [(&world.tables[0], CHANGED)];
    for (table, name) in world.tables.iter().map(|table| (table, table.name)).chain(changed) {
        statements.push(table.create(name, dialect));
        statements.extend(table.insert(name, &table.rows, dialect));
    }
    statements
}
