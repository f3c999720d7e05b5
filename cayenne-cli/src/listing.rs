//! The findings of a command as a table, one row for each item.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use cayenne_format::Error;

use crate::exit::Failure;
use crate::output;
use crate::terminal::Terminal;

/// Builds the columns of a table of items, one column at a time.
pub(crate) struct Listing<'a, T> {
    things: &'a [T],
    columns: Vec<(&'static str, ArrayRef, bool)>,
}

impl<'a, T> Listing<'a, T> {
    pub(crate) fn of(things: &'a [T]) -> Self {
        Self { things, columns: Vec::new() }
    }

    /// Adds a text column.
    pub(crate) fn text(mut self, name: &'static str, text: impl Fn(&T) -> String) -> Self {
        let values = StringArray::from_iter_values(self.things.iter().map(text));
        self.columns.push((name, Arc::new(values), false));
        self
    }

    /// Adds a text column with nulls for unknown values.
    pub(crate) fn text_if_known(mut self, name: &'static str, text: impl Fn(&T) -> Option<String>) -> Self {
        let values: StringArray = self.things.iter().map(text).collect();
        self.columns.push((name, Arc::new(values), true));
        self
    }

    /// Adds a number column.
    pub(crate) fn number(mut self, name: &'static str, number: impl Fn(&T) -> u64) -> Self {
        let values = UInt64Array::from_iter_values(self.things.iter().map(number));
        self.columns.push((name, Arc::new(values), false));
        self
    }

    /// Adds a number column with nulls for unknown values.
    pub(crate) fn number_if_known(mut self, name: &'static str, number: impl Fn(&T) -> Option<u64>) -> Self {
        let values: UInt64Array = self.things.iter().map(number).collect();
        self.columns.push((name, Arc::new(values), true));
        self
    }

    pub(crate) fn print(self, terminal: &mut Terminal) -> Result<(), Failure> {
        let batch = RecordBatch::try_from_iter_with_nullable(self.columns)
            .map_err(|error| Error::internal("a list has no shape").because(error))?;
        output::print_batch(batch, terminal)
    }
}
