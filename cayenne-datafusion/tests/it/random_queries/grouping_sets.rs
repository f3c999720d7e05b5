//! ROLLUP, CUBE and GROUPING SETS. SQLite supports none of them; its query has one SELECT for each set.

use super::scope::{Generator, Scope};
use super::tree::{Dialect, Sort, Tree, Type, node};

/// A column of the output: the number of a key, or an aggregate.
enum Item {
    Key(usize),
    Aggregate,
}

impl Generator<'_> {
    pub(super) fn grouping_sets(&mut self, types: &[Type], depth: usize) -> Tree {
        let (source, atoms) = self.source(depth);
        let rows = Scope::of_rows(&atoms).without_subqueries();
        let mut parts = vec![source, self.filter(&rows, depth)];
        let mut keys = Vec::new();
        let mut items = Vec::new();
        for of in types {
            let key = if keys.len() < 3 && !self.chance(3) { self.atom(*of, &atoms) } else { None };
            let key =
                key.filter(|key| !parts.iter().any(|part| part.text(Dialect::Cayenne) == key.text(Dialect::Cayenne)));
            items.push(if key.is_some() { Item::Key(keys.len()) } else { Item::Aggregate });
            keys.extend(key.is_some().then_some(parts.len()));
            parts.push(key.unwrap_or_else(|| self.aggregate(*of, &rows).kept()));
        }
        // A key that is no column of the output is one all the same.
        if keys.is_empty() {
            let of = self.some_type();
            let Some(key) = self.atom(of, &atoms) else { return self.query(types, depth) };
            keys.push(parts.len());
            parts.push(key);
        }
        let (by, sets) = self.sets(&keys);
        let items_of = |set: Option<&Vec<usize>>| columns(&items, set);
        let form = format!("SELECT {} FROM {{0}}{{1}} GROUP BY {by}", items_of(None));
        let of_set = |set: &Vec<usize>| {
            let by: Vec<String> = set.iter().map(|key| format!("{{{}}}", keys[*key])).collect();
            let columns = items_of(Some(set));
            if !by.is_empty() {
                return format!("SELECT {columns} FROM {{0}}{{1}} GROUP BY {}", by.join(", "));
            }
            // Without a key and an aggregate there would be a row for each row.
            if items.iter().all(|item| matches!(item, Item::Key(_))) {
                return format!("SELECT {columns} FROM (SELECT count(*) FROM {{0}}{{1}})");
            }
            format!("SELECT {columns} FROM {{0}}{{1}}")
        };
        let sqlite: Vec<String> = sets.iter().map(of_set).collect();
        node(Sort::Query(types.to_vec()), form, parts).sqlite(sqlite.join(" UNION ALL "))
    }

    /// How the sets are written, and which they are, as numbers of keys.
    fn sets(&mut self, keys: &[usize]) -> (String, Vec<Vec<usize>>) {
        let list = |set: &[usize]| set.iter().map(|key| format!("{{{}}}", keys[*key])).collect::<Vec<_>>().join(", ");
        let all: Vec<usize> = (0..keys.len()).collect();
        let subset = |bits: usize| all.iter().copied().filter(|key| bits >> key & 1 == 1).collect::<Vec<_>>();
        match self.numbers.below(3) {
            0 => (format!("ROLLUP ({})", list(&all)), (0..=keys.len()).map(|end| all[..end].to_vec()).collect()),
            1 => (format!("CUBE ({})", list(&all)), (0..1 << keys.len()).map(subset).collect()),
            _ => {
                let count = 1 + self.numbers.below(3);
                let some = (1..count).map(|_| subset(self.numbers.below(1 << keys.len())));
                // A column that is in no set is no key.
                let sets: Vec<Vec<usize>> = std::iter::once(all.clone()).chain(some).collect();
                let written: Vec<String> = sets.iter().map(|set| format!("({})", list(set))).collect();
                (format!("GROUPING SETS ({})", written.join(", ")), sets)
            }
        }
    }
}

/// The output; a key that is not in the set is NULL.
fn columns(items: &[Item], set: Option<&Vec<usize>>) -> String {
    let column = |(at, item): (usize, &Item)| match item {
        Item::Key(key) if set.is_some_and(|set| !set.contains(key)) => format!("NULL AS c{at}"),
        _ => format!("{{{}}} AS c{at}", at + 2),
    };
    items.iter().enumerate().map(column).collect::<Vec<_>>().join(", ")
}
