//! Primary keys: how they are declared, and how DataFusion learns of them.

use std::collections::BTreeSet;

use cayenne_format::{Error, Result, TableName, TableOptions};
use cayenne_table::Table;
use datafusion::common::{Constraint, Constraints};

/// Returns the primary key of a table as a DataFusion constraint.
pub(crate) fn constraints_of(table: &Table) -> Option<Constraints> {
    // If the table does not check for key conflicts, a key may occur more than once.
    let key = &table.options().primary_key;
    if !table.options().finds_conflicts() {
        return None;
    }
    let places: Option<Vec<usize>> = key.iter().map(|column| table.schema().index_of(column).ok()).collect();
    Some(Constraints::new_unverified(vec![Constraint::PrimaryKey(places?)]))
}

/// Returns the columns of the declared primary key, in the order of the key; empty if no key is declared.
///
/// `columns` are the names of all columns of the table. Constraints that would not be enforced are rejected.
///
/// # Errors
///
/// `Invalid` for two primary keys; `Unsupported` for a unique constraint on columns other than those of the key.
pub(crate) fn declared_key(table: &TableName, columns: &[&str], constraints: &Constraints) -> Result<Vec<String>> {
    let mut keys = constraints.iter().filter_map(|constraint| match constraint {
        Constraint::PrimaryKey(places) => Some(places),
        Constraint::Unique(_) => None,
    });
    let key = keys.next();
    if keys.next().is_some() {
        return Err(Error::invalid("a table has only one primary key").code("two-keys").with("table", table));
    }
    let set = |places: &[usize]| places.iter().copied().collect::<BTreeSet<_>>();
    let is_other = |constraint: &&Constraint| match constraint {
        Constraint::PrimaryKey(_) => false,
        Constraint::Unique(places) => key.is_none_or(|key| set(key) != set(places)),
    };
    if constraints.iter().any(|constraint| is_other(&constraint)) {
        return Err(Error::unsupported("unique constraints besides the primary key are not supported yet")
            .code("unsupported-sql")
            .with("table", table)
            .help("leave the constraint out, or declare it as PRIMARY KEY"));
    }
    let name = |place: &usize| {
        let name = columns.get(*place).ok_or_else(|| Error::internal("a key names a column that is not there"))?;
        Ok((*name).to_owned())
    };
    key.into_iter().flatten().map(name).collect()
}

/// Sets the primary key of a new table. A declared key replaces the key in the options.
pub(crate) fn set_key(options: &mut TableOptions, declared: Vec<String>) {
    if !declared.is_empty() {
        options.primary_key = declared;
    }
}

/// Checks that an existing table has the declared primary key, if one is declared.
///
/// # Errors
///
/// `Invalid` if a key is declared and the table has another key or none.
pub(crate) fn same_key(table: &Table, declared: &[String]) -> Result<()> {
    let key = &table.options().primary_key;
    if declared.is_empty() || declared == key.as_slice() {
        return Ok(());
    }
    let list = |columns: &[String]| if columns.is_empty() { "none".to_owned() } else { columns.join(", ") };
    Err(Error::invalid("the table exists with another primary key")
        .code("other-key")
        .with("table", table.name())
        .with("declared", list(declared))
        .with("found", list(key))
        .help("leave the key out to use the table as it is, or choose another name"))
}
