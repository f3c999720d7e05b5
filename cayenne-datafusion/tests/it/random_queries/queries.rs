//! Queries whose columns are `c0`, `c1` and so on, so that any query can replace any other with the same types.

use super::aggregates::Ties;
use super::scope::{Atom, Generator, Scope};
use super::tree::{Dialect, Sort, Tree, Type, clause, node, nothing};

impl Generator<'_> {
    /// Generates a query that names no outer columns.
    pub(super) fn query(&mut self, types: &[Type], depth: usize) -> Tree {
        let query = match self.numbers.below(if depth == 0 { 6 } else { 13 }) {
            5 | 6 => self.grouped(types, depth),
            7 | 8 => self.set_operation(types, depth - 1),
            9 => self.windowed(types, depth - 1),
            10 => self.with(types, depth - 1),
            11 => self.grouping_sets(types, depth - 1),
            // 0 to 4 and 12.
            _ => self.plain(types, depth),
        };
        if self.chance(6) { self.limited(query, types) } else { query }
    }

    /// The first of a total order.
    fn limited(&mut self, query: Tree, types: &[Type]) -> Tree {
        if query.is_ordered() {
            return query;
        }
        let order = self.output_order(types.len());
        let offset = if self.chance(2) { format!(" OFFSET {}", self.numbers.below(4)) } else { String::new() };
        let form = format!("{{0}} ORDER BY {order} LIMIT {}{offset}", self.numbers.below(6));
        node(Sort::Query(types.to_vec()), form, vec![query])
    }

    pub(super) fn filter(&mut self, rows: &Scope, depth: usize) -> Tree {
        if self.chance(3) {
            return nothing();
        }
        clause(" WHERE {0}", vec![self.condition(rows, depth + 1)])
    }

    /// Generates a correlated query: its WHERE names the outer row.
    pub(super) fn correlated_query(&mut self, types: &[Type], outer: &[Atom], depth: usize) -> Tree {
        let (source, atoms) = self.source(depth.min(1));
        let rows = Scope::of_rows(&atoms).without_subqueries();
        let link = self.link(&atoms, outer, false).unwrap_or_else(|| super::tree::condition("TRUE", Vec::new()));
        let more = match self.numbers.below(4) {
            0 => clause(" AND {0}", vec![self.condition(&Scope { outer: outer.to_vec(), ..rows.clone() }, 1)]),
            1 | 2 => clause(" AND {0}", vec![self.condition(&rows, 1)]),
            _ => nothing(),
        };
        let items = types.iter().map(|of| self.value(*of, &rows, 1)).collect();
        let filter = clause(" WHERE {0}{1}", vec![link, more]);
        select("SELECT ", types, items, vec![source, filter])
    }

    fn plain(&mut self, types: &[Type], depth: usize) -> Tree {
        let (source, atoms) = self.source(depth);
        let rows = Scope::of_rows(&atoms);
        let items = types.iter().map(|of| self.value(*of, &rows, depth.min(2))).collect();
        let filter = self.filter(&rows, depth);
        let word = if self.chance(4) { "SELECT DISTINCT " } else { "SELECT " };
        select(word, types, items, vec![source, filter])
    }

    fn windowed(&mut self, types: &[Type], depth: usize) -> Tree {
        let (source, atoms) = self.source(depth);
        let rows = Scope::of_rows(&atoms).without_subqueries();
        let (mut items, mut ties) = (Vec::new(), Ties::Free);
        for of in types {
            items.push(if self.chance(3) { self.value(*of, &rows, 1) } else { self.window(*of, &rows, &mut ties) });
        }
        let filter = self.filter(&rows, depth);
        select("SELECT ", types, items, vec![source, filter])
    }

    fn grouped(&mut self, types: &[Type], depth: usize) -> Tree {
        let (source, atoms) = self.source(depth);
        let rows = Scope::of_rows(&atoms);
        let simple = rows.without_subqueries();
        let filter = self.filter(&rows, depth.min(1));
        let keys = self.keys(&simple);
        let mut groups = keys.clone();
        for of in super::scope::TYPES {
            groups.push(Atom { of, tree: self.aggregate(of, &simple) });
        }
        let of_groups = Scope { atoms: groups, ..Scope::default() };
        let mut items = Vec::new();
        for of in types {
            let key = if self.chance(2) { self.atom(*of, &keys) } else { None };
            items.push(key.unwrap_or_else(|| self.value(*of, &of_groups, 1)));
        }
        let by = match keys.len() {
            0 => nothing(),
            1 => clause(" GROUP BY {0}", vec![keys[0].tree.clone()]),
            _ => clause(" GROUP BY {0}, {1}", vec![keys[0].tree.clone(), keys[1].tree.clone()]),
        };
        let having = if keys.is_empty() || self.chance(2) {
            nothing()
        } else {
            let scope = Scope { has_subqueries: depth > 0, ..of_groups };
            clause(" HAVING {0}", vec![self.condition(&scope, 1)])
        };
        if keys.is_empty() && !items.iter().any(has_aggregate) {
            items[0] = self.aggregate(types[0], &simple).kept();
        }
        select("SELECT ", types, items, vec![source, filter, by, having])
    }

    /// Generates no, one or two grouping keys: columns, or expressions on columns.
    fn keys(&mut self, rows: &Scope) -> Vec<Atom> {
        let mut keys = Vec::new();
        for _ in 0..self.numbers.below(3) {
            let of = self.some_type();
            let Some(column) = self.atom(of, &rows.atoms) else { continue };
            let tree = match self.numbers.below(5) {
                0 => super::tree::value(of, "coalesce({0}, {1})", vec![column, self.leaf(of, rows)]),
                1 => super::tree::value(of, "CASE WHEN {0} THEN {1} END", vec![self.condition(rows, 0), column]),
                _ => column,
            };
            keys.push(Atom { of, tree });
        }
        keys
    }

    /// SQLite has INTERSECT and EXCEPT only without ALL. Its query numbers the duplicates of each row instead.
    fn set_operation(&mut self, types: &[Type], depth: usize) -> Tree {
        let word = self.numbers.pick(&["UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL"]);
        let parts = vec![self.query(types, depth), self.query(types, depth)];
        let (left, right) = (self.name(), self.name());
        let form = format!("SELECT * FROM ({{0}}) AS {left} {word} SELECT * FROM ({{1}}) AS {right}");
        let tree = node(Sort::Query(types.to_vec()), form, parts);
        let Some(set) = word.strip_suffix(" ALL").filter(|set| *set != "UNION") else { return tree };
        let columns = (0..types.len()).map(|at| format!("c{at}")).collect::<Vec<_>>().join(", ");
        let number = format!("row_number() OVER (PARTITION BY {columns}) AS number");
        tree.sqlite(format!(
            "SELECT {columns} FROM (SELECT {columns}, {number} FROM ({{0}}) AS {left} {set} \
             SELECT {columns}, {number} FROM ({{1}}) AS {right})"
        ))
    }

    fn with(&mut self, types: &[Type], depth: usize) -> Tree {
        let columns = self.some_types(3);
        let named = self.query(&columns, depth);
        let name = self.name();
        let (relation, renamed) = self.relation(&name, &columns);
        self.named.push(relation);
        let body = self.query(types, depth + 1);
        self.named.pop();
        let alias = self.name();
        let form = format!("WITH {name} AS ({renamed}) SELECT * FROM ({{1}}) AS {alias}");
        node(Sort::Query(types.to_vec()), form, vec![named, body])
    }
}

fn has_aggregate(item: &Tree) -> bool {
    let text = item.text(Dialect::Cayenne);
    ["sum(", "min(", "max(", "count(", "avg(", "bool_"].iter().any(|name| text.contains(name))
}

/// `word items FROM source clauses`.
fn select(word: &str, types: &[Type], items: Vec<Tree>, clauses: Vec<Tree>) -> Tree {
    let named: Vec<String> = (0..items.len()).map(|at| format!("{{{at}}} AS c{at}")).collect();
    let rest: Vec<String> = (items.len()..items.len() + clauses.len()).map(|at| format!("{{{at}}}")).collect();
    let form = format!("{word}{} FROM {}", named.join(", "), rest.concat());
    node(Sort::Query(types.to_vec()), form, [items, clauses].concat())
}
