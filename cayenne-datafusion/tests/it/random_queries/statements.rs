//! The statements under test: queries, and statements that change a copy of a table.

use super::scope::{Generator, Relation, Scope};
use super::tree::{Dialect, Sort, Tree, Type, clause, node};

/// The copy of the first table that statements change.
pub(super) const CHANGED: &str = "changed";

#[derive(Clone)]
pub(super) struct Statement {
    pub(super) tree: Tree,
    /// Whether `tree` changes the copy, whose rows are then compared.
    pub(super) changes: bool,
}

impl Generator<'_> {
    pub(super) fn statement(&mut self) -> Statement {
        if self.chance(12) {
            return Statement { tree: self.change(), changes: true };
        }
        let types = self.some_types(4);
        Statement { tree: self.query(&types, 3), changes: false }
    }

    fn change(&mut self) -> Tree {
        let table = &self.world.tables[0];
        let columns: Vec<(String, Type)> =
            table.columns.iter().map(|column| (column.name.to_owned(), column.of)).collect();
        let relation = Relation { name: CHANGED.to_owned(), columns };
        let rows = Scope::of_rows(&relation.atoms(CHANGED));
        let filter = clause(" WHERE {0}", vec![self.condition(&rows, 3)]);
        if self.chance(2) {
            return node(Sort::Statement, format!("DELETE FROM {CHANGED}{{0}}"), vec![filter]);
        }
        let at = 1 + self.numbers.below(relation.columns.len() - 1);
        let (name, of) = relation.columns[at].clone();
        let new = self.value(of, &rows.without_subqueries(), 2);
        node(Sort::Statement, format!("UPDATE {CHANGED} SET {name} = {{0}}{{1}}"), vec![new, filter])
    }
}

impl Statement {
    pub(super) fn text(&self, dialect: Dialect) -> String {
        self.tree.text(dialect)
    }

    pub(super) fn smaller(&self) -> Vec<Self> {
        self.tree.smaller().into_iter().map(|tree| Self { tree, ..self.clone() }).collect()
    }
}
