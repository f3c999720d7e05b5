//! The columns of a load: reconciles the columns of the files with those of the table, or infers those of a new table.
//!
//! Pure functions on schemas; no file is read.

use std::path::Path;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use cayenne_datafusion::FileKind;
use cayenne_format::{Error, Result};

/// A file and the columns found in it.
#[derive(Clone, Debug)]
pub(crate) struct FileColumns<'a> {
    pub(crate) path: &'a Path,
    pub(crate) schema: SchemaRef,
}

/// Returns the columns of a table created from these files.
///
/// Parquet and Arrow files declare their types and must agree on them. The types of CSV and NDJSON files are inferred
/// from their rows, so they are widened until they fit all files. Only NDJSON files may lack a column.
pub(crate) fn merged(kind: FileKind, files: &[FileColumns<'_>]) -> Result<SchemaRef> {
    let Some((first, others)) = files.split_first() else {
        return Err(Error::invalid("the columns of a new table cannot be inferred from empty files")
            .code("empty-source")
            .help("CREATE TABLE it first, or load a file with rows"));
    };
    let mut fields: Vec<Field> = first.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    for other in others {
        merge(kind, &mut fields, first, other)?;
    }
    let fields: Vec<Field> = match kind {
        FileKind::Parquet | FileKind::Arrow => fields,
        FileKind::Csv | FileKind::Tsv | FileKind::Ndjson => fields.into_iter().map(settled).collect(),
    };
    Ok(Arc::new(Schema::new_with_metadata(fields, first.schema.metadata().clone())))
}

fn merge(kind: FileKind, fields: &mut Vec<Field>, first: &FileColumns<'_>, other: &FileColumns<'_>) -> Result<()> {
    for field in fields.iter_mut() {
        match other.schema.field_with_name(field.name()) {
            Ok(same) => {
                let data_type = widened(kind, field.data_type(), same.data_type())
                    .ok_or_else(|| disagreement("the sources differ in the type of a column", field, first, other))?;
                let nullable = field.is_nullable() || same.is_nullable();
                *field = field.clone().with_data_type(data_type).with_nullable(nullable);
            }
            Err(_) if kind == FileKind::Ndjson => {}
            Err(_) => return Err(disagreement("a column is missing in one of the sources", field, first, other)),
        }
    }
    for field in other.schema.fields() {
        if fields.iter().any(|known| known.name() == field.name()) {
            continue;
        }
        if kind != FileKind::Ndjson {
            return Err(disagreement("a column is missing in one of the sources", field, other, first));
        }
        fields.push(field.as_ref().clone());
    }
    Ok(())
}

fn disagreement(message: &'static str, field: &Field, file: &FileColumns<'_>, other: &FileColumns<'_>) -> Error {
    Error::invalid(message)
        .code("mixed-sources")
        .with("column", field.name())
        .with("file", file.path.display())
        .with("other_file", other.path.display())
        .help("load them with separate commands: the first into a new table, the others with --append")
}

fn widened(kind: FileKind, a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Float64, Int64, Null, Utf8};
    match (kind, a, b) {
        _ if a == b => Some(a.clone()),
        (FileKind::Parquet | FileKind::Arrow, ..) => None,
        (_, Null, other) | (_, other, Null) => Some(other.clone()),
        (_, Int64, Float64) | (_, Float64, Int64) => Some(Float64),
        // Every field of a CSV file can be read as text; a JSON value that is not a string cannot.
        (FileKind::Csv | FileKind::Tsv, ..) => Some(Utf8),
        (FileKind::Ndjson, ..) => None,
    }
}

/// Replaces inferred types that carry little information by text, and text types by the one that is fastest to query.
fn settled(field: Field) -> Field {
    let data_type = settled_type(field.data_type());
    field.with_data_type(data_type)
}

fn settled_type(data_type: &DataType) -> DataType {
    let member = |field: &FieldRef| Arc::new(settled(field.as_ref().clone()));
    match data_type {
        DataType::Null | DataType::Utf8 => DataType::Utf8View,
        DataType::List(field) => DataType::List(member(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(member).collect()),
        other => other.clone(),
    }
}

/// Returns the columns to read a file with, so that its rows are as close to `table` as the reader permits.
///
/// The columns of a CSV file are those of its header, in header order.
///
/// # Errors
///
/// `Invalid` if the file has a column that the table does not have.
pub(crate) fn reading_schema(kind: FileKind, file: &FileColumns<'_>, table: &Schema) -> Result<SchemaRef> {
    let declared = matches!(kind, FileKind::Parquet | FileKind::Arrow);
    let mut fields = Vec::with_capacity(file.schema.fields().len());
    for field in file.schema.fields() {
        let Ok(column) = table.field_with_name(field.name()) else {
            return Err(Error::invalid("the file has a column that the table does not have")
                .code("unknown-column")
                .with("column", field.name())
                .with("file", file.path.display())
                .help("the columns of files and table are matched by name, byte for byte"));
        };
        let data_type = match kind {
            _ if is_parsed(kind, column.data_type()) => column.data_type().clone(),
            FileKind::Csv | FileKind::Tsv => DataType::Utf8View,
            _ => settled_type(field.data_type()),
        };
        // The table decides whether a column may hold nulls, and names the column in its error.
        fields.push(if declared { Arc::clone(field) } else { Arc::new(Field::new(field.name(), data_type, true)) });
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Names the columns of a file without a header after the columns of its table, in their order.
pub(crate) fn named_by_place(path: &Path, file: &Schema, table: &Schema) -> Result<SchemaRef> {
    if file.fields().len() != table.fields().len() {
        return Err(Error::invalid("the file has no header, and its number of columns differs from the table")
            .code("mixed-columns")
            .with("file", path.display())
            .with("file_columns", file.fields().len())
            .with("table_columns", table.fields().len())
            .help("list its columns with --columns, or add --header if the first line names them"));
    }
    let fields = file.fields().iter().zip(table.fields());
    let fields: Vec<Field> = fields.map(|(field, named)| field.as_ref().clone().with_name(named.name())).collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// Returns whether the reader of this kind can parse text to this type by itself.
fn is_parsed(kind: FileKind, data_type: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, Date64, Decimal32, Decimal64, Decimal128, Decimal256, Dictionary,
        Duration, FixedSizeBinary, Interval, LargeBinary, RunEndEncoded, Time32, Time64, Timestamp, Union, Utf8,
        Utf8View,
    };
    match kind {
        FileKind::Parquet | FileKind::Arrow => false,
        FileKind::Ndjson => !matches!(
            data_type,
            Binary
                | LargeBinary
                | BinaryView
                | FixedSizeBinary(_)
                | Union(..)
                | Dictionary(..)
                | RunEndEncoded(..)
                | Interval(_)
                | Duration(_)
        ),
        FileKind::Csv | FileKind::Tsv => match data_type {
            Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => true,
            other => {
                let plain = matches!(other, Boolean | Utf8 | Utf8View | Date32 | Date64 | Timestamp(..));
                plain || other.is_integer() || other.is_floating() || matches!(other, Time32(_) | Time64(_))
            }
        },
    }
}

/// Fails if the file lacks a column that the table requires.
pub(crate) fn refuse_missing_columns(file: &FileColumns<'_>, table: &Schema) -> Result<()> {
    let missing = |field: &&FieldRef| !field.is_nullable() && file.schema.field_with_name(field.name()).is_err();
    match table.fields().iter().find(missing) {
        None => Ok(()),
        Some(field) => Err(Error::invalid("the file lacks a NOT NULL column")
            .code("missing-column")
            .with("column", field.name())
            .with("file", file.path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file<'a>(path: &'a str, columns: &[(&str, DataType)]) -> FileColumns<'a> {
        let fields: Vec<_> = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
        FileColumns { path: Path::new(path), schema: Arc::new(Schema::new(fields)) }
    }

    #[test]
    fn guessed_types_are_widened_until_every_file_fits() {
        let a = file("a.csv", &[("n", DataType::Int64), ("x", DataType::Null), ("t", DataType::Boolean)]);
        let b = file("b.csv", &[("n", DataType::Float64), ("x", DataType::Date32), ("t", DataType::Int64)]);
        let merged = merged(FileKind::Csv, &[a, b]).unwrap();
        let types: Vec<_> = merged.fields().iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(types, [DataType::Float64, DataType::Date32, DataType::Utf8View]);
    }

    #[test]
    fn columns_without_values_become_text() {
        let header_only = file("a.csv", &[("n", DataType::Null)]);
        assert_eq!(*merged(FileKind::Csv, &[header_only]).unwrap().field(0).data_type(), DataType::Utf8View);
    }

    #[test]
    fn declared_types_must_agree_and_both_files_are_named() {
        let a = file("a.parquet", &[("n", DataType::Int64)]);
        let b = file("b.parquet", &[("n", DataType::Int32)]);
        let error = merged(FileKind::Parquet, &[a.clone(), b]).unwrap_err();
        assert_eq!(error.stable_code(), "mixed-sources");
        assert!(error.to_string().contains("a.parquet") && error.to_string().contains("b.parquet"), "{error}");
        let more = file("c.parquet", &[("n", DataType::Int64), ("m", DataType::Int64)]);
        assert!(merged(FileKind::Parquet, &[a, more]).is_err());
    }

    #[test]
    fn objects_may_lack_keys() {
        let a = file("a.json", &[("n", DataType::Int64)]);
        let b = file("b.json", &[("m", DataType::Int64)]);
        assert_eq!(merged(FileKind::Ndjson, &[a, b]).unwrap().fields().len(), 2);
    }

    #[test]
    fn a_file_is_read_by_the_types_of_its_table() {
        let table = file("", &[("n", DataType::Int8), ("list", DataType::new_list(DataType::Int64, true))]).schema;
        let columns = file("a.csv", &[("list", DataType::Utf8), ("n", DataType::Int64)]);
        let schema = reading_schema(FileKind::Csv, &columns, &table).unwrap();
        assert_eq!(
            schema.fields().iter().map(|field| field.data_type()).collect::<Vec<_>>(),
            [&DataType::Utf8View, &DataType::Int8]
        );
        let unknown = file("a.csv", &[("N", DataType::Int64)]);
        assert_eq!(reading_schema(FileKind::Csv, &unknown, &table).unwrap_err().stable_code(), "unknown-column");
    }
}
