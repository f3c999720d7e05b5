//! Subqueries in expressions: IN, EXISTS, ANY, ALL, and scalar ones.

use super::scope::{Atom, Generator, Scope};
use super::tree::{Dialect, Tree, Type, clause, condition, value};

impl Generator<'_> {
    pub(super) fn condition_on_subquery(&mut self, scope: &Scope, depth: usize) -> Tree {
        let of = self.some_type();
        let inner = scope.without_subqueries();
        match self.numbers.below(9) {
            0..=3 => {
                let word = self.numbers.pick(&["IN", "NOT IN"]);
                let parts = vec![self.value(of, &inner, 1), self.subquery(&[of], scope, depth)];
                condition(format!("({{0}} {word} ({{1}}))"), parts)
            }
            4 | 5 => {
                let word = self.numbers.pick(&["EXISTS", "NOT EXISTS"]);
                // SQLite ignores a DISTINCT directly below EXISTS, which changes the effect of an OFFSET.
                condition(format!("({word} ({{0}}))"), vec![self.subquery(&[of], scope, depth)])
                    .sqlite(format!("({word} (SELECT 1 FROM ({{0}})))"))
            }
            6 if scope.is_of_rows => self.quantified(of, scope, depth),
            7 if scope.is_of_rows => self.row_in_subquery(scope, depth),
            _ => {
                let operator = self.comparison_word();
                let parts = vec![self.value(of, &inner, 1), self.scalar_subquery(of, scope, depth)];
                condition(format!("({{0}} {operator} {{1}})"), parts)
            }
        }
    }

    /// The outer columns that a subquery may name; every second subquery may name them.
    fn outer_of(&mut self, scope: &Scope) -> Vec<Atom> {
        if scope.is_of_rows && self.chance(2) { scope.atoms.clone() } else { Vec::new() }
    }

    fn subquery(&mut self, types: &[Type], scope: &Scope, depth: usize) -> Tree {
        let outer = self.outer_of(scope);
        if outer.is_empty() { self.query(types, depth) } else { self.correlated_query(types, &outer, depth) }
    }

    /// SQLite has no ANY and ALL; its query has an equivalent expression.
    fn quantified(&mut self, of: Type, scope: &Scope, depth: usize) -> Tree {
        let operator = self.comparison_word();
        let all = self.chance(2);
        let word = if all { "ALL" } else { "ANY" };
        let parts = vec![self.value(of, &scope.without_subqueries(), 1), self.subquery(&[of], scope, depth)];
        let name = self.name();
        let found = format!("{{0}} {operator} {name}.c0");
        let (decided, by) = if all { ("FALSE", "NOT") } else { ("TRUE", "") };
        let meant = format!(
            "(SELECT CASE WHEN count(*) FILTER (WHERE {by} ({found})) > 0 THEN {decided} \
             WHEN count(*) > count({found}) THEN NULL ELSE NOT {decided} END FROM ({{1}}) AS {name})"
        );
        condition(format!("({{0}} {operator} {word} ({{1}}))"), parts).sqlite(meant)
    }

    fn row_in_subquery(&mut self, scope: &Scope, depth: usize) -> Tree {
        let types = [self.some_type(), self.some_type()];
        let word = self.numbers.pick(&["IN", "NOT IN"]);
        let inner = scope.without_subqueries();
        let mut parts = vec![self.value(types[0], &inner, 0), self.value(types[1], &inner, 0)];
        // DuckDB has no correlated ones.
        let correlated = if self.reference == Dialect::Duckdb { &Scope::default() } else { scope };
        parts.push(self.subquery(&types, correlated, depth));
        condition(format!("(({{0}}, {{1}}) {word} ({{2}}))"), parts)
    }

    /// Generates a query of one row: an aggregate of all rows.
    pub(super) fn scalar_subquery(&mut self, of: Type, scope: &Scope, depth: usize) -> Tree {
        let outer = self.outer_of(scope);
        let (source, atoms) = self.source(depth.min(1));
        let rows = Scope::of_rows(&atoms);
        let column = self.aggregate(of, &rows.without_subqueries());
        let filter = match self.link(&atoms, &outer, true) {
            Some(link) if self.chance(2) => clause(" WHERE {0}", vec![link]),
            Some(link) => clause(" WHERE {0} AND {1}", vec![link, self.condition(&rows.without_subqueries(), 1)]),
            None => self.filter(&rows, depth.min(1)),
        };
        value(of, "(SELECT {0} AS c0 FROM {1}{2})", vec![column, source, filter])
    }

    /// Generates a condition that correlates rows with the outer row.
    pub(super) fn link(&mut self, inner: &[Atom], outer: &[Atom], equal: bool) -> Option<Tree> {
        let shared: Vec<&Atom> = outer.iter().filter(|atom| inner.iter().any(|other| other.of == atom.of)).collect();
        if shared.is_empty() {
            return None;
        }
        let theirs = *self.numbers.pick_one(&shared);
        let ours = self.atom(theirs.of, inner)?;
        let operator = if equal || !self.chance(3) { "=" } else { self.comparison_word() };
        Some(condition(format!("({{0}} {operator} {{1}})"), vec![ours, theirs.tree.clone()]))
    }
}
