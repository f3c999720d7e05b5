//! The sources of a query: tables, joins, and queries in place of tables.

use super::scope::{Atom, Generator, Relation, Scope};
use super::tree::{Dialect, Sort, Tree, Type, clause, condition, node, nothing};

impl Generator<'_> {
    /// Returns the source and the columns that it offers.
    pub(super) fn source(&mut self, depth: usize) -> (Tree, Vec<Atom>) {
        if depth == 0 {
            return self.table();
        }
        match self.numbers.below(10) {
            0 => self.derived(depth - 1),
            9 => self.using_join(),
            1 => self.filtering_join(depth - 1),
            2 if self.reference == Dialect::Duckdb => self.lateral(depth - 1),
            2..=5 => self.join(depth - 1),
            _ => self.table(),
        }
    }

    fn table(&mut self) -> (Tree, Vec<Atom>) {
        let relation = self.some_relation();
        let alias = self.name();
        let atoms = relation.atoms(&alias);
        (node(Sort::Source, format!("{} AS {alias}", relation.name), Vec::new()), atoms)
    }

    fn some_relation(&mut self) -> Relation {
        if !self.named.is_empty() && self.chance(2) {
            let at = self.numbers.below(self.named.len());
            return self.named[at].clone();
        }
        let table = self.numbers.pick_one(&self.world.tables);
        let columns = table.columns.iter().map(|column| (column.name.to_owned(), column.of)).collect();
        Relation { name: table.name.to_owned(), columns }
    }

    pub(super) fn some_types(&mut self, most: usize) -> Vec<Type> {
        (0..=self.numbers.below(most)).map(|_| self.some_type()).collect()
    }

    /// The relation that a query of such columns is under that name, and the text of the query that makes it one: its
    /// columns get names that nothing else has.
    pub(super) fn relation(&mut self, name: &str, types: &[Type]) -> (Relation, String) {
        let columns: Vec<(String, Type)> =
            types.iter().enumerate().map(|(at, of)| (format!("{name}_{at}"), *of)).collect();
        let renamed: Vec<String> =
            columns.iter().enumerate().map(|(at, (name, _))| format!("c{at} AS {name}")).collect();
        let form = format!("SELECT {} FROM ({{0}}) AS {}", renamed.join(", "), self.name());
        (Relation { name: name.to_owned(), columns }, form)
    }

    fn derived(&mut self, depth: usize) -> (Tree, Vec<Atom>) {
        let types = self.some_types(3);
        let query = self.query(&types, depth);
        let alias = self.name();
        let (relation, form) = self.relation(&alias, &types);
        (node(Sort::Source, format!("({form}) AS {alias}"), vec![query]), relation.atoms(&alias))
    }

    fn join(&mut self, depth: usize) -> (Tree, Vec<Atom>) {
        let (left, left_atoms) = self.source(depth);
        let (right, right_atoms) = self.source(depth.saturating_sub(1));
        let both = [left_atoms.clone(), right_atoms.clone()].concat();
        if self.chance(8) {
            return (node(Sort::Source, "{0} CROSS JOIN {1}", vec![left, right]), both);
        }
        let word = self.numbers.pick(&["JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let (on, more) = self.on(&left_atoms, &right_atoms, word != "FULL JOIN");
        let right = right.in_parentheses();
        (node(Sort::Source, format!("{{0}} {word} {{1}} ON {{2}}{{3}}"), vec![left, right, on, more]), both)
    }

    /// A join of two tables by a column that both have, which then stands for both.
    fn using_join(&mut self) -> (Tree, Vec<Atom>) {
        let word = self.numbers.pick(&["LEFT", "RIGHT", "FULL", "INNER"]);
        let (left, right, alias) = (self.name(), self.name(), self.name());
        let [first, second] = [(); 2].map(|()| self.numbers.pick_one(&self.world.tables).name);
        let columns = &self.world.tables[0].columns;
        let [key, other, another] = [(); 3].map(|()| *self.numbers.pick_one(columns));
        let names = [key, other, another].into_iter().enumerate();
        let columns = names.map(|(at, column)| (format!("{alias}_{at}"), column.of)).collect();
        let (key, other, another) = (key.name, other.name, another.name);
        let sides = format!("{first} AS {left} {word} JOIN {second} AS {right} USING ({key})");
        let items = format!("{key} AS {alias}_0, {left}.{other} AS {alias}_1, {right}.{another} AS {alias}_2");
        let form = format!("(SELECT {items} FROM {sides}) AS {alias}");
        (node(Sort::Source, form, Vec::new()), Relation { name: alias.clone(), columns }.atoms(&alias))
    }

    /// The condition of a join: mostly equal columns, and often one on either side.
    fn on(&mut self, left: &[Atom], right: &[Atom], free: bool) -> (Tree, Tree) {
        let link = self.link(left, right, !free);
        let rows = Scope::of_rows(&[left, right].concat()).without_subqueries();
        let on = match link {
            Some(link) if !free || !self.chance(6) => link,
            _ if free => self.condition(&rows, 1),
            _ => condition("TRUE", Vec::new()),
        };
        let side = match self.numbers.below(5) {
            0 => Scope { atoms: left.to_vec(), ..rows },
            1 => Scope { atoms: right.to_vec(), ..rows },
            2 => rows,
            _ => return (on, nothing()),
        };
        (on, clause(" AND {0}", vec![self.condition(&side, 1)]))
    }

    /// Generates a semi or an anti join, which offers only the columns of its left side.
    fn filtering_join(&mut self, depth: usize) -> (Tree, Vec<Atom>) {
        let (left, atoms) = self.table();
        let (right, right_atoms) = self.source(depth.min(1));
        let right = right.in_parentheses();
        let (on, more) = self.on(&atoms, &right_atoms, true);
        let (alias, inner) = (self.name(), left.text(Dialect::Cayenne));
        let inner = inner.rsplit(' ').next().unwrap().to_owned();
        let (ours, theirs, exists) = self
            .numbers
            .pick_one(&[("LEFT SEMI JOIN", "SEMI JOIN", "EXISTS"), ("LEFT ANTI JOIN", "ANTI JOIN", "NOT EXISTS")]);
        let columns: Vec<(String, Type)> = atoms.iter().map(|atom| (column_of(atom), atom.of)).collect();
        let join = |word: &str| format!("(SELECT {inner}.* FROM {{0}} {word} {{1}} ON {{2}}{{3}}) AS {alias}");
        let tree = node(Sort::Source, join(ours), vec![left, right, on, more]).duckdb(join(theirs)).sqlite(format!(
            "(SELECT {inner}.* FROM {{0}} WHERE {exists} (SELECT 1 FROM {{1}} WHERE {{2}}{{3}})) AS {alias}"
        ));
        (tree, Relation { name: alias.clone(), columns }.atoms(&alias))
    }

    /// Generates a lateral query, which is evaluated for each row of the sources before it.
    fn lateral(&mut self, depth: usize) -> (Tree, Vec<Atom>) {
        let (left, atoms) = self.table();
        let types = self.some_types(2);
        let query = self.correlated_query(&types, &atoms, depth.min(1));
        let alias = self.name();
        let (found, form) = self.relation(&alias, &types);
        let query = node(Sort::Query(types), form, vec![query]);
        let word = self.numbers.pick(&["CROSS JOIN", "JOIN", "LEFT JOIN"]);
        let on = if word == "CROSS JOIN" { "" } else { " ON TRUE" };
        let tree = node(Sort::Source, format!("{{0}} {word} LATERAL ({{1}}) AS {alias}{on}"), vec![left, query]);
        (tree, [atoms, found.atoms(&alias)].concat())
    }
}

fn column_of(atom: &Atom) -> String {
    atom.tree.text(Dialect::Cayenne).rsplit('.').next().unwrap().to_owned()
}
