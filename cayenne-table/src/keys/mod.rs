//! Rows by their keys: the key index of each data file, where rows with given keys are, and what becomes of rows whose key
//! exists already.

mod conflict;
mod find;
mod index;
mod pages;
mod write;

use cayenne_deletes::KeepRule;
use cayenne_format::{Error, OnConflict, Operation, Result, TableOptions};

pub(crate) use write::index_rows;

use crate::Table;

/// How the keys of new rows meet those of rows that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRule {
    /// Nobody looks: the table has no key, its source promises to send each once, or the rows are copies of its own.
    Unchecked,
    /// New rows take the place of those that have their keys; of several new ones with one key the last stays.
    Upsert,
    /// New rows whose key exists are left out; of several with one key the first stays.
    Drop,
    /// A key that exists is an error.
    Refuse,
}

impl KeyRule {
    /// Returns how the rows of an operation meet others in a table with these options.
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
            // Rows that take the place of others keep their keys apart, or the statement is wrong.
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

    /// Says that a table can be written by this rule.
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
