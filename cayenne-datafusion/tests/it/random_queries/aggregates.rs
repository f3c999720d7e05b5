//! Aggregates and window functions whose results do not depend on the order of the rows.

use super::scope::{Atom, Generator, Scope};
use super::tree::{Sort, Tree, Type, clause, node, nothing, value};

/// Whether a column of a query already tells equal rows apart, by the order in which an engine happens to take them. Two such
/// columns have no right answer: each engine may pair their values in another way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ties {
    Free,
    Told,
}

impl Generator<'_> {
    pub(super) fn aggregate(&mut self, of: Type, rows: &Scope) -> Tree {
        let filter =
            if self.chance(6) { clause(" FILTER (WHERE {0})", vec![self.condition(rows, 1)]) } else { nothing() };
        let own = self.value(of, rows, 1);
        match of {
            Type::Int => {
                let any = self.some_type();
                let other = self.value(any, rows, 1);
                match self.numbers.below(7) {
                    0 => value(of, "count(*){0}", vec![filter]),
                    1 => value(of, "count({0}){1}", vec![other, filter]),
                    2 => value(of, "count(DISTINCT {0}){1}", vec![other, filter]),
                    3 => value(of, "sum(DISTINCT {0}){1}", vec![own, filter]),
                    4 => value(of, "sum({0}){1}", vec![own, filter]),
                    5 => value(of, "min({0}){1}", vec![own, filter]),
                    _ => value(of, "max({0}){1}", vec![own, filter]),
                }
            }
            Type::Bool => self.bool_aggregate(own, filter, rows),
            Type::Quarter if self.chance(2) => value(of, "sum({0}){1}", vec![own, filter]),
            _ => {
                let name = self.numbers.pick(&["min", "max"]);
                value(of, format!("{name}({{0}}){{1}}"), vec![own, filter])
            }
        }
    }

    fn bool_aggregate(&mut self, own: Tree, filter: Tree, rows: &Scope) -> Tree {
        let of = Type::Bool;
        match self.numbers.below(3) {
            0 => value(of, "bool_and({0}){1}", vec![own, filter]).sqlite("min({0}){1}"),
            1 => value(of, "bool_or({0}){1}", vec![own, filter]).sqlite("max({0}){1}"),
            _ => {
                let of_number = self.numbers.pick(&[&Type::Int, &Type::Quarter]);
                let number = self.value(*of_number, rows, 1);
                value(of, "(avg({0}){1} > 1)", vec![number, filter])
            }
        }
    }

    /// A window function over the rows of a source; ties of its order are rows that are the same in every column.
    pub(super) fn window(&mut self, of: Type, rows: &Scope, ties: &mut Ties) -> Tree {
        let own = self.value(of, rows, 1);
        let by = self.some_type();
        let partition = match self.atom(by, &rows.atoms) {
            Some(column) if self.chance(2) => clause("PARTITION BY {0} ", vec![column]),
            _ => nothing(),
        };
        let total = self.total_order(&rows.atoms);
        let direction = self.direction();
        let partial = match self.atom(by, &rows.atoms) {
            Some(column) => node(Sort::Kept, format!("{{0}} {direction}"), vec![column]),
            None => total.clone(),
        };
        let functions: &[&str] = match of {
            Type::Int => &["row_number() T", "rank() P", "dense_rank() P", "count(*) A", "sum({0}) A", "count({0}) A"],
            Type::Quarter => &["sum({0}) A"],
            _ => &[],
        };
        let for_all =
            ["lag({0}) T", "lead({0}, 2) T", "first_value({0}) T", "last_value({0}) T", "min({0}) A", "max({0}) A"];
        let for_all = if of == Type::Bool { &for_all[..4] } else { &for_all[..] };
        let may_be_used = |function: &&str| *ties == Ties::Free || !function.ends_with('T');
        let all: Vec<&str> = functions.iter().chain(for_all).copied().filter(may_be_used).collect();
        if all.is_empty() {
            return own;
        }
        let (function, order) = self.numbers.pick(&all).rsplit_once(' ').unwrap();
        if order == "T" {
            *ties = Ties::Told;
        }
        match order {
            "T" => value(of, format!("{function} OVER ({{1}}ORDER BY {{2}})"), vec![own, partition, total]),
            "P" => value(of, format!("{function} OVER ({{1}}ORDER BY {{2}})"), vec![own, partition, partial]),
            _ => self.framed(of, function, vec![own, partition, total, partial], ties),
        }
    }

    /// An aggregate over a frame; one of rows needs a total order, one of peers does not.
    fn framed(&mut self, of: Type, function: &str, parts: Vec<Tree>, ties: &mut Ties) -> Tree {
        let frame = self.numbers.below(if *ties == Ties::Free { 7 } else { 4 });
        if frame > 3 {
            *ties = Ties::Told;
        }
        let window = match frame {
            0 => "{1}",
            1 => "{1}ORDER BY {3}",
            2 => "{1}ORDER BY {3} RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
            3 => "{1}ORDER BY {3} GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
            4 => "{1}ORDER BY {2} ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING",
            5 => "{1}ORDER BY {2} ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING",
            _ => "{1}ORDER BY {2} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        };
        value(of, format!("{function} OVER ({window})"), parts)
    }

    fn direction(&mut self) -> &'static str {
        self.numbers.pick(&["ASC NULLS FIRST", "DESC NULLS LAST", "ASC NULLS LAST", "DESC NULLS FIRST"])
    }

    /// All columns, so that rows that tie are the same rows.
    fn total_order(&mut self, atoms: &[Atom]) -> Tree {
        let mut form = Vec::new();
        for at in 0..atoms.len() {
            form.push(format!("{{{at}}} {}", self.direction()));
        }
        let parts = atoms.iter().map(|atom| atom.tree.clone()).collect();
        node(Sort::Kept, form.join(", "), parts)
    }

    /// The order of the output, over all of its columns.
    pub(super) fn output_order(&mut self, width: usize) -> String {
        let keys: Vec<String> = (0..width).map(|at| format!("c{at} {}", self.direction())).collect();
        keys.join(", ")
    }
}
