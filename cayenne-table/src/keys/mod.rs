//! Rows by key: the key index of each data file, finding rows by their keys, and key conflicts.

mod conflict;
mod find;
mod index;
mod pages;
mod write;

use cayenne_deletes::KeepRule;
use cayenne_format::{Error, OnConflict, Operation, Result, TableOptions};

pub(crate) use write::index_rows;

use crate::Table;

/// What a write does about key conflicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRule {
    /// Keys are not checked: the table has no key, its source promises to send each key once, or the rows are copies of
    /// rows of the table.
    Unchecked,
    /// New rows replace the rows that have their keys. Of several new rows with one key, the last one stays.
    Upsert,
    /// New rows whose keys exist are left out. Of several new rows with one key, the first one stays.
    Drop,
    /// A key that exists is an error.
    Refuse,
}

impl KeyRule {
    /// Returns the rule for an operation in a table with these options.
    pub(crate) fn of(options: &TableOptions, operation: Operation) -> Self {
        if !options.finds_conflicts() {
            return Self::Unchecked;
        }
        match operation {
            Operation::Append | Operation::Overwrite => match options.on_conflict {
                OnConflict::Upsert => Self::Upsert,
                OnConflict::Drop => Self::Drop,
                OnConflict::Error => Self::Refuse,
            },
            // Rows that replace others must not have keys of further rows, or the statement is wrong.
            Operation::Upsert => Self::Refuse,
            _ => Self::Unchecked,
        }
    }

    /// Returns which of several new rows with one key stays.
    pub(crate) fn keeps(self) -> KeepRule {
        match self {
            Self::Drop => KeepRule::First,
            Self::Unchecked | Self::Upsert | Self::Refuse => KeepRule::Last,
        }
    }

    /// Returns an error if a table cannot be written by this rule.
    pub(crate) fn require_key(self, table: &Table) -> Result<()> {
        if self == Self::Unchecked || table.options().finds_conflicts() {
            return Ok(());
        }
        let error = Error::invalid("rows can only take the place of others in a table that looks at their keys");
        Err(error.code("no-primary-key").with("table", table.name()).help(if table.options().has_key() {
            "the table has cayenne_pk_conflict_detection 'none'; INSERT INTO adds the rows beside those that are there"
        } else {
            "make the table with a PRIMARY KEY, or use INSERT INTO"
        }))
    }
}
