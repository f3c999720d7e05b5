//! A query as a tree. Its nodes know how each engine spells them, and how to become smaller.

use std::collections::VecDeque;

/// The engine for which a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Cayenne,
    Sqlite,
    Duckdb,
}

/// The types of values: one name for all SQL types whose values may be compared and mixed as the engines agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Int,
    /// Decimals that are multiples of a quarter, so that a reference that calculates in floats is exact.
    Quarter,
    /// Decimals that floats cannot represent: compared, but never used in arithmetic.
    Price,
    Text,
    Date,
    Bool,
}

/// What a node may be replaced by: another of the same sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Value(Type),
    Query(Vec<Type>),
    Source,
    /// Stays as it is, though its parts may not.
    Kept,
    /// A clause that may be removed.
    Clause,
    Statement,
}

#[derive(Clone, Debug)]
pub(super) struct Tree {
    sort: Sort,
    parts: Vec<Tree>,
    form: String,
    sqlite: Option<String>,
    duckdb: Option<String>,
}

/// Makes a node; `{0}` in `form` stands for the first part, and a part may stand there several times.
pub(super) fn node(sort: Sort, form: impl Into<String>, parts: Vec<Tree>) -> Tree {
    Tree { sort, parts, form: form.into(), sqlite: None, duckdb: None }
}

pub(super) fn value(of: Type, form: impl Into<String>, parts: Vec<Tree>) -> Tree {
    node(Sort::Value(of), form, parts)
}

pub(super) fn condition(form: impl Into<String>, parts: Vec<Tree>) -> Tree {
    value(Type::Bool, form, parts)
}

/// Makes a clause that a smaller query may lack.
pub(super) fn clause(form: impl Into<String>, parts: Vec<Tree>) -> Tree {
    node(Sort::Clause, form, parts)
}

pub(super) fn nothing() -> Tree {
    clause("", Vec::new())
}

impl Tree {
    pub(super) fn sqlite(self, form: impl Into<String>) -> Self {
        Self { sqlite: Some(form.into()), ..self }
    }

    pub(super) fn duckdb(self, form: impl Into<String>) -> Self {
        Self { duckdb: Some(form.into()), ..self }
    }

    pub(super) fn text(&self, dialect: Dialect) -> String {
        let own = match dialect {
            Dialect::Cayenne => None,
            Dialect::Sqlite => self.sqlite.as_ref(),
            Dialect::Duckdb => self.duckdb.as_ref(),
        };
        let mut text = String::new();
        let mut rest = own.unwrap_or(&self.form).as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (place, tail) = after.split_once('}').unwrap();
            text.push_str(before);
            text.push_str(&self.parts[place.parse::<usize>().unwrap()].text(dialect));
            rest = tail;
        }
        text + rest
    }

    /// The node itself stays when the tree becomes smaller.
    pub(super) fn kept(self) -> Self {
        Self { sort: Sort::Kept, ..self }
    }

    /// A join in parentheses, anything else as it is.
    pub(super) fn in_parentheses(self) -> Self {
        if self.form.starts_with("{0} ") && self.form.contains(" JOIN ") {
            node(Sort::Source, "({0})", vec![self])
        } else {
            self
        }
    }

    /// Whether the order of the rows is part of the answer.
    pub(super) fn is_ordered(&self) -> bool {
        self.form.starts_with("{0} ORDER BY")
    }

    pub(super) fn size(&self) -> usize {
        1 + self.parts.iter().map(Tree::size).sum::<usize>()
    }

    /// Returns whole trees with one node made smaller; those that shrink most come first.
    pub(super) fn smaller(&self) -> Vec<Tree> {
        let mut found = self.replacements();
        for (place, part) in self.parts.iter().enumerate() {
            found.extend(part.smaller().into_iter().map(|part| self.with_part(place, part)));
        }
        found.sort_by_key(Tree::size);
        found
    }

    fn with_part(&self, place: usize, part: Tree) -> Tree {
        let mut tree = self.clone();
        tree.parts[place] = part;
        tree
    }

    /// Returns the replacements of this node.
    fn replacements(&self) -> Vec<Tree> {
        let mut found = match &self.sort {
            Sort::Clause if !self.form.is_empty() => vec![nothing()],
            Sort::Value(of) if !self.parts.is_empty() => leaves(*of),
            _ => Vec::new(),
        };
        let mut below: VecDeque<&Tree> = self.parts.iter().collect();
        while let Some(tree) = below.pop_front() {
            if tree.sort == self.sort && !matches!(self.sort, Sort::Clause | Sort::Kept) {
                found.push(tree.clone());
            } else {
                below.extend(&tree.parts);
            }
        }
        found
    }
}

/// The smallest values of a type.
fn leaves(of: Type) -> Vec<Tree> {
    let leaf = |form: &str| value(of, form, Vec::new());
    let leaves: &[&str] = match of {
        Type::Int => &["1", "CAST(NULL AS BIGINT)"],
        Type::Quarter => &["0.25", "CAST(NULL AS DECIMAL(12, 2))"],
        Type::Price => &["0.10", "CAST(NULL AS DECIMAL(12, 2))"],
        Type::Text => &["'a'", "CAST(NULL AS VARCHAR)"],
        Type::Date => return vec![leaf("DATE '2024-01-01'").sqlite("'2024-01-01'"), null(Type::Date)],
        Type::Bool => &["TRUE", "FALSE", "CAST(NULL AS BOOLEAN)"],
    };
    leaves.iter().map(|form| leaf(form)).collect()
}

/// NULL with a type of its own.
pub(super) fn null(of: Type) -> Tree {
    let form = |name: &str| format!("CAST(NULL AS {name})");
    match of {
        Type::Int => value(of, form("BIGINT"), Vec::new()),
        Type::Quarter | Type::Price => value(of, form("DECIMAL(12, 2)"), Vec::new()),
        Type::Text => value(of, form("VARCHAR"), Vec::new()),
        Type::Date => value(of, form("DATE"), Vec::new()).sqlite("NULL"),
        Type::Bool => value(of, form("BOOLEAN"), Vec::new()),
    }
}
