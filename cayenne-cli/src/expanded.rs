//! Rows in expanded form, one line for each value: for rows that are wider than the terminal.

use std::fmt::Write as _;

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::ArrowError;

use crate::escape::escaped;

/// Returns the rows of a batch in expanded form. Their numbers begin after `before`.
pub(crate) fn records(batch: &RecordBatch, before: u64) -> Result<String, ArrowError> {
    let options = FormatOptions::new().with_null("NULL").with_display_error(true);
    let values = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let schema = batch.schema();
    let names: Vec<_> = schema.fields().iter().map(|field| escaped(field.name())).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        let number = before.saturating_add(row as u64).saturating_add(1);
        // Writing to a String cannot fail.
        writeln!(text, "-[ row {number} ]-").ok();
        for (name, values) in names.iter().zip(&values) {
            let value = values.value(row).to_string();
            writeln!(text, "{name:width$} | {}", escaped(&value)).ok();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn each_value_has_a_line() {
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef),
            ("näme", Arc::new(StringArray::from(vec!["a\nb", "\u{1b}[31m"])) as ArrayRef),
        ])
        .unwrap();
        let text = records(&batch, 7).unwrap();
        assert_eq!(text, "-[ row 8 ]-\nid   | 1\nnäme | a\\nb\n-[ row 9 ]-\nid   | NULL\nnäme | \\u{1b}[31m\n");
    }
}
