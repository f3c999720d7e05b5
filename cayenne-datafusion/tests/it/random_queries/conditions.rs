//! Conditions: expressions that are true, false or unknown.

use super::scope::{Generator, Scope};
use super::tree::{Tree, Type, clause, condition};

const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];
const PATTERNS: [&str; 8] = ["'a%'", "'%b'", "'_'", "'%'", "''", "'a_'", "'%b%'", "'ab'"];

impl Generator<'_> {
    pub(super) fn condition(&mut self, scope: &Scope, depth: usize) -> Tree {
        if depth == 0 {
            return self.simple_condition(scope, 0);
        }
        let below = depth - 1;
        match self.numbers.below(16) {
            0 | 1 => self.joined(scope, below),
            2 | 3 => condition("(NOT {0})", vec![self.condition(scope, below)]),
            4 => self.case(Type::Bool, scope, below),
            5 => {
                let form = self.numbers.pick(&["({0} IS NULL)", "({0} IS NOT NULL)"]);
                condition(form, vec![self.condition(scope, below)])
            }
            6 => {
                let word = self.numbers.pick(&["TRUE", "NOT TRUE", "FALSE", "NOT FALSE"]);
                condition(format!("({{0}} IS {word})"), vec![self.condition(scope, below)])
            }
            7 => {
                let value = self.numbers.pick(&["TRUE", "FALSE"]);
                condition(format!("coalesce({{0}}, {value})"), vec![self.condition(scope, below)])
            }
            8..=11 if scope.has_subqueries => self.condition_on_subquery(scope, below),
            _ => self.simple_condition(scope, depth),
        }
    }

    fn joined(&mut self, scope: &Scope, depth: usize) -> Tree {
        let word = self.numbers.pick(&["AND", "OR"]);
        let parts = vec![self.condition(scope, depth), self.condition(scope, depth)];
        condition(format!("({{0}} {word} {{1}})"), parts)
    }

    /// A comparison, a list or a pattern: it contains no condition, unless a value does.
    fn simple_condition(&mut self, scope: &Scope, depth: usize) -> Tree {
        let of = self.some_type();
        let depth = depth.saturating_sub(1);
        match self.numbers.below(12) {
            0 | 1 => {
                let form = self.numbers.pick(&["({0} IS NULL)", "({0} IS NOT NULL)"]);
                condition(form, vec![self.value(of, scope, depth)])
            }
            2 => {
                let word = self.numbers.pick(&["IS DISTINCT FROM", "IS NOT DISTINCT FROM"]);
                let parts = vec![self.value(of, scope, depth), self.leaf(of, scope)];
                condition(format!("({{0}} {word} {{1}})"), parts)
            }
            3 => {
                let word = self.numbers.pick(&["BETWEEN", "NOT BETWEEN"]);
                let parts = vec![self.value(of, scope, depth), self.leaf(of, scope), self.leaf(of, scope)];
                condition(format!("({{0}} {word} {{1}} AND {{2}})"), parts)
            }
            4..=6 => self.list(of, scope, depth),
            7 => self.pattern(scope, depth),
            _ => self.comparison(of, scope, depth),
        }
    }

    fn comparison(&mut self, of: Type, scope: &Scope, depth: usize) -> Tree {
        let operator = self.numbers.pick(&COMPARISONS);
        let other = match of {
            Type::Int if self.chance(4) => Type::Quarter,
            Type::Quarter if self.chance(4) => Type::Int,
            _ => of,
        };
        let parts = vec![self.value(of, scope, depth), self.value(other, scope, depth)];
        condition(format!("({{0}} {operator} {{1}})"), parts)
    }

    fn list(&mut self, of: Type, scope: &Scope, depth: usize) -> Tree {
        let mut parts = vec![self.value(of, scope, depth), self.leaf(of, scope)];
        let mut form = format!("({{0}} {} ({{1}}", self.numbers.pick(&["IN", "NOT IN"]));
        for at in 2..2 + self.numbers.below(5) {
            parts.push(clause(", {0}", vec![self.member(of, scope)]));
            form.extend(["{", &at.to_string(), "}"]);
        }
        condition(form + "))", parts)
    }

    /// An element of a list: mostly a literal, because optimizers turn lists of literals into sets.
    fn member(&mut self, of: Type, scope: &Scope) -> Tree {
        if self.chance(3) { self.leaf(of, scope) } else { self.literal(of) }
    }

    fn pattern(&mut self, scope: &Scope, depth: usize) -> Tree {
        let word = self.numbers.pick(&["LIKE", "NOT LIKE"]);
        let part = self.value(Type::Text, scope, depth);
        if self.chance(4) {
            return condition(format!("({{0}} {word} {{1}})"), vec![part, self.leaf(Type::Text, scope)]);
        }
        let pattern = self.numbers.pick(&PATTERNS);
        condition(format!("({{0}} {word} {pattern})"), vec![part])
    }

    pub(super) fn comparison_word(&mut self) -> &'static str {
        self.numbers.pick(&COMPARISONS)
    }
}
