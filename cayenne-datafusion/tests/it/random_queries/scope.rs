//! What an expression may name, and the generator, whose methods generate all parts of a query.

use super::numbers::Numbers;
use super::tree::{Dialect, Tree, Type, null, value};
use super::world::{World, literal, literals};

/// A building block of expressions with a known type: a column, a grouping key or an aggregate.
#[derive(Clone)]
pub(super) struct Atom {
    pub(super) of: Type,
    pub(super) tree: Tree,
}

/// The columns of a source, by the source's name in the query.
#[derive(Clone)]
pub(super) struct Relation {
    pub(super) name: String,
    pub(super) columns: Vec<(String, Type)>,
}

impl Relation {
    pub(super) fn atoms(&self, alias: &str) -> Vec<Atom> {
        let atom =
            |(name, of): &(String, Type)| Atom { of: *of, tree: value(*of, format!("{alias}.{name}"), Vec::new()) };
        self.columns.iter().map(atom).collect()
    }
}

/// What an expression may name, and whether it may contain a subquery.
#[derive(Clone, Default)]
pub(super) struct Scope {
    pub(super) atoms: Vec<Atom>,
    /// Columns of the outer query.
    pub(super) outer: Vec<Atom>,
    pub(super) has_subqueries: bool,
    /// Whether a subquery may name `atoms` as outer columns.
    pub(super) is_of_rows: bool,
}

impl Scope {
    /// The scope of a source's rows, in a clause that allows subqueries.
    pub(super) fn of_rows(atoms: &[Atom]) -> Self {
        Self { atoms: atoms.to_vec(), outer: Vec::new(), has_subqueries: true, is_of_rows: true }
    }

    pub(super) fn without_subqueries(&self) -> Self {
        Self { has_subqueries: false, ..self.clone() }
    }
}

pub(super) const TYPES: [Type; 6] = [Type::Int, Type::Quarter, Type::Price, Type::Text, Type::Date, Type::Bool];

/// Generates the statements of one seed.
pub(super) struct Generator<'a> {
    pub(super) numbers: Numbers,
    pub(super) world: &'a World,
    /// The reference engine; what it does not support is not generated.
    pub(super) reference: Dialect,
    /// The `WITH` queries that may be read here.
    pub(super) named: Vec<Relation>,
    names: usize,
}

impl<'a> Generator<'a> {
    pub(super) fn new(seed: u64, world: &'a World, reference: Dialect) -> Self {
        Self { numbers: Numbers::new(seed), world, reference, named: Vec::new(), names: 0 }
    }

    /// Returns a name that is not used in the statement yet.
    pub(super) fn name(&mut self) -> String {
        self.names += 1;
        format!("r{}", self.names)
    }

    pub(super) fn chance(&mut self, count: usize) -> bool {
        self.numbers.one_in(count)
    }

    /// Picks a type: most often integer or text, so that both sides of a comparison often have the same type.
    pub(super) fn some_type(&mut self) -> Type {
        match self.numbers.below(10) {
            0..=3 => Type::Int,
            4 | 5 => Type::Text,
            at => TYPES[at - 4],
        }
    }

    pub(super) fn literal(&mut self, of: Type) -> Tree {
        let text = self.numbers.pick(literals(of));
        value(of, literal(of, text, Dialect::Cayenne), Vec::new()).sqlite(literal(of, text, Dialect::Sqlite))
    }

    /// Picks a column of the type if there is one, and sometimes a literal or NULL.
    pub(super) fn leaf(&mut self, of: Type, scope: &Scope) -> Tree {
        if self.chance(10) {
            return null(of);
        }
        let column = if self.chance(5) { None } else { self.column(of, scope) };
        column.unwrap_or_else(|| self.literal(of))
    }

    fn column(&mut self, of: Type, scope: &Scope) -> Option<Tree> {
        let atoms = if !scope.outer.is_empty() && self.chance(4) { &scope.outer } else { &scope.atoms };
        self.atom(of, atoms)
    }

    pub(super) fn atom(&mut self, of: Type, atoms: &[Atom]) -> Option<Tree> {
        let fitting: Vec<&Atom> = atoms.iter().filter(|atom| atom.of == of).collect();
        if fitting.is_empty() { None } else { Some(self.numbers.pick(&fitting).tree.clone()) }
    }
}
