//! Converting incoming rows to the stored types of a table, or refusing them with the name of the column.
//!
//! The conversion is lossless: it only exchanges the forms of one type for each other. A caller that wants real casts
//! does them before.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use cayenne_format::{Error, Result, TypeRule, UnsupportedTypeAction, type_rule};

use crate::text::to_text;

/// Converts `batch`, whose columns are those of `declared`, to the stored schema of a table.
///
/// Columns are matched by position. `action` says what is done with columns whose type cannot be stored: under `ignore`
/// they are dropped, under `string` they become text, under `warn` they must be null.
///
/// # Errors
///
/// [`ErrorKind::Invalid`](cayenne_format::ErrorKind::Invalid), naming the column: for a null in a column that is not
/// nullable, a type that is not another form of the stored one, or a value in a column kept by `warn`; also for the
/// wrong number of columns.
pub fn normalise(
    batch: RecordBatch,
    declared: &Schema,
    stored: &SchemaRef,
    action: UnsupportedTypeAction,
) -> Result<RecordBatch> {
    let is_ignored = |field: &Field| {
        action == UnsupportedTypeAction::Ignore && type_rule(field.data_type()) == TypeRule::Unsupported
    };
    let (_, columns, rows) = batch.into_parts();
    let found = columns.len();
    let kept = columns.into_iter().zip(declared.fields()).filter(|(_, field)| !is_ignored(field));
    let kept: Vec<ArrayRef> = kept.map(|(column, _)| column).collect();
    if found != declared.fields().len() || kept.len() != stored.fields().len() {
        return Err(Error::invalid("rows have the wrong number of columns")
            .code("wrong-columns")
            .with("expected", stored.fields().len())
            .with("found", kept.len()));
    }
    let columns = kept.into_iter().zip(stored.fields()).map(|(column, field)| normal_column(column, field, action));
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(stored), columns, &options)
        .map_err(|error| Error::invalid("rows do not fit the schema of the table").because(error))
}

fn normal_column(column: ArrayRef, field: &FieldRef, action: UnsupportedTypeAction) -> Result<ArrayRef> {
    let facts = |error: Error| error.with("column", field.name());
    if !field.is_nullable() && column.logical_null_count() > 0 {
        return Err(facts(Error::invalid("NULL in a NOT NULL column").code("null-in-column"))
            .with("nulls", column.logical_null_count())
            .help("give the column a value in every row, or make the table with a DEFAULT for it"));
    }
    if type_rule(field.data_type()) == TypeRule::Unsupported {
        return only_nulls(&column, field).map_err(facts);
    }
    if column.data_type() == field.data_type() {
        return Ok(column);
    }
    let becomes_text = action == UnsupportedTypeAction::String && field.data_type() == &DataType::Utf8;
    if becomes_text && type_rule(column.data_type()) == TypeRule::Unsupported {
        return to_text(&column).map_err(facts);
    }
    if !is_same(column.data_type(), field.data_type()) {
        return Err(facts(Error::invalid("a column has another type than the table").code("wrong-type"))
            .with("expected", field.data_type())
            .with("found", column.data_type()));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&column, field.data_type(), &options).map_err(|error| {
        facts(Error::invalid("a value does not fit the type of its column").code("wrong-type"))
            .with("expected", field.data_type())
            .with("found", column.data_type())
            .because(error)
    })
}

/// Columns that `warn` keeps although their type cannot be stored.
fn only_nulls(column: &ArrayRef, field: &FieldRef) -> Result<ArrayRef> {
    if column.logical_null_count() < column.len() {
        return Err(Error::invalid("a column whose type cannot be stored has a value")
            .code("unsupported-type")
            .with("type", field.data_type())
            .help("write nulls, or cast the column at the source"));
    }
    Ok(new_null_array(field.data_type(), column.len()))
}

/// Says whether `from` is another form of the type `to`.
fn is_same(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Dictionary, FixedSizeList, Float16, Float32, LargeBinary, LargeList, LargeListView,
        LargeUtf8, List, ListView, Map, Null, Struct, Utf8, Utf8View,
    };
    match (from, to) {
        (Dictionary(_, values), to) => is_same(values, to),
        (Null, _)
        | (Float16, Float32)
        | (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View)
        | (Binary | LargeBinary | BinaryView, Binary | LargeBinary | BinaryView) => true,
        (
            List(from) | LargeList(from) | ListView(from) | LargeListView(from),
            List(to) | LargeList(to) | ListView(to) | LargeListView(to),
        ) => is_same_field(from, to),
        (FixedSizeList(from, size), FixedSizeList(to, wanted)) => size == wanted && is_same_field(from, to),
        (Map(from, _), Map(to, _)) => match (from.data_type(), to.data_type()) {
            // The names of the parts of a map have no meaning.
            (Struct(from), Struct(to)) => from.iter().zip(to).all(|(from, to)| is_same_field(from, to)),
            _ => false,
        },
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| from.name() == to.name() && is_same_field(from, to))
        }
        (from, to) => from == to,
    }
}

fn is_same_field(from: &Field, to: &Field) -> bool {
    is_same(from.data_type(), to.data_type())
}
