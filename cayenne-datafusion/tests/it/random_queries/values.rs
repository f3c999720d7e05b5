//! Expressions of every type.

use super::scope::{Generator, Scope};
use super::tree::{Tree, Type, value};

impl Generator<'_> {
    pub(super) fn value(&mut self, of: Type, scope: &Scope, depth: usize) -> Tree {
        if depth == 0 || self.chance(3) {
            return self.leaf(of, scope);
        }
        let depth = depth - 1;
        match self.numbers.below(9) {
            0 => self.case(of, scope, depth),
            1 => {
                let parts = vec![self.value(of, scope, depth), self.value(of, scope, depth)];
                value(of, "coalesce({0}, {1})", parts)
            }
            2 => {
                let parts = vec![self.value(of, scope, depth), self.leaf(of, scope)];
                value(of, "nullif({0}, {1})", parts)
            }
            3 | 4 if scope.has_subqueries => self.scalar_subquery(of, scope, depth),
            _ => self.value_of_its_type(of, scope, depth),
        }
    }

    pub(super) fn case(&mut self, of: Type, scope: &Scope, depth: usize) -> Tree {
        let (first, second) = (self.condition(scope, depth), self.leaf(of, scope));
        match self.numbers.below(3) {
            0 => value(of, "CASE WHEN {0} THEN {1} END", vec![first, second]),
            1 => {
                let parts = vec![first, second, self.value(of, scope, depth)];
                value(of, "CASE WHEN {0} THEN {1} ELSE {2} END", parts)
            }
            _ => {
                let by = self.some_type();
                let operand = self.value(by, scope, depth);
                let whens = [self.leaf(by, scope), self.leaf(by, scope)];
                let [when, then] = whens;
                let parts = vec![operand, when, second, then, self.leaf(of, scope), self.leaf(of, scope)];
                value(of, "CASE {0} WHEN {1} THEN {2} WHEN {3} THEN {4} ELSE {5} END", parts)
            }
        }
    }

    fn value_of_its_type(&mut self, of: Type, scope: &Scope, depth: usize) -> Tree {
        match of {
            Type::Int => self.int(scope, depth),
            Type::Quarter => self.quarter(scope, depth),
            Type::Text => self.text(scope, depth),
            Type::Bool => self.condition(scope, depth),
            Type::Price | Type::Date => self.leaf(of, scope),
        }
    }

    fn int(&mut self, scope: &Scope, depth: usize) -> Tree {
        let of = Type::Int;
        match self.numbers.below(6) {
            0 => value(of, "length({0})", vec![self.value(Type::Text, scope, depth)]),
            1 => value(of, "abs({0})", vec![self.value(of, scope, depth)]),
            2 => {
                let form = "CAST(extract(year FROM {0}) AS BIGINT)";
                value(of, form, vec![self.value(Type::Date, scope, depth)])
                    .sqlite("CAST(strftime('%Y', {0}) AS INTEGER)")
            }
            _ => {
                let operator = self.numbers.pick(&["+", "-", "*"]);
                let parts = vec![self.value(of, scope, depth), self.leaf(of, scope)];
                value(of, format!("({{0}} {operator} {{1}})"), parts)
            }
        }
    }

    fn quarter(&mut self, scope: &Scope, depth: usize) -> Tree {
        let of = Type::Quarter;
        if self.chance(4) {
            let part = self.value(Type::Int, scope, depth);
            return value(of, "CAST({0} AS DECIMAL(12, 2))", vec![part]).sqlite("CAST({0} AS REAL)");
        }
        let operator = self.numbers.pick(&["+", "-"]);
        let parts = vec![self.value(of, scope, depth), self.leaf(of, scope)];
        value(of, format!("({{0}} {operator} {{1}})"), parts)
    }

    fn text(&mut self, scope: &Scope, depth: usize) -> Tree {
        let of = Type::Text;
        let part = self.value(of, scope, depth);
        match self.numbers.below(4) {
            0 => value(of, "substr({0}, 1, 1)", vec![part]),
            1 => value(of, "replace({0}, 'a', 'b')", vec![part]),
            2 => {
                let form = "CAST({0} AS VARCHAR)";
                value(of, form, vec![self.value(Type::Int, scope, depth)])
            }
            _ => value(of, "({0} || {1})", vec![part, self.leaf(of, scope)]),
        }
    }
}
