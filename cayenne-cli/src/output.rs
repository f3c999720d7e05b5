//! The output of rows: a text table, CSV, JSON, NDJSON or Arrow.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_cast::pretty::pretty_format_batches;
use arrow_ipc::writer::StreamWriter;
use arrow_json::writer::{JsonArray, LineDelimited, Writer as JsonWriter, WriterBuilder as JsonBuilder};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use cayenne_format::Error;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use crate::args::Format;
use crate::escape::{escaped, escaped_lines};
use crate::exit::Failure;
use crate::expanded::records;
use crate::terminal::Terminal;

/// After this many rows a text table is printed and the next one begins, so that no result has to fit into memory.
const SECTION_ROWS: usize = 8_192;

/// Prints the rows of a result as they arrive, and returns their number. A result without columns prints nothing.
pub(crate) async fn print(mut rows: SendableRecordBatchStream, terminal: &mut Terminal) -> Result<u64, Failure> {
    let schema = rows.schema();
    let silent = schema.fields().is_empty();
    let mut encoder = Encoder::of(terminal, schema)?;
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows() as u64;
        if !silent {
            terminal.write(&encoder.encode(batch)?)?;
        }
    }
    if !silent {
        terminal.write(&encoder.finish()?)?;
    }
    terminal.flush()?;
    Ok(count)
}

/// Prints rows that are already complete.
pub(crate) fn print_batch(batch: RecordBatch, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut encoder = Encoder::of(terminal, batch.schema())?;
    terminal.write(&encoder.encode(batch)?)?;
    terminal.write(&encoder.finish()?)?;
    terminal.flush()
}

/// Encodes batches as bytes, one after the other.
enum Encoder {
    Table { schema: SchemaRef, pending: Vec<RecordBatch>, printed: bool },
    Expanded { rows: u64 },
    Csv { schema: SchemaRef, header: bool },
    Json(JsonWriter<Vec<u8>, JsonArray>),
    Ndjson(JsonWriter<Vec<u8>, LineDelimited>),
    Arrow(StreamWriter<Vec<u8>>),
}

impl Encoder {
    fn of(terminal: &Terminal, schema: SchemaRef) -> Result<Self, Failure> {
        match terminal.format {
            Format::Table if terminal.is_expanded => Ok(Self::Expanded { rows: 0 }),
            format => Self::new(format, schema),
        }
    }

    fn new(format: Format, schema: SchemaRef) -> Result<Self, Failure> {
        // Explicit nulls give every row every key.
        let json = JsonBuilder::new().with_explicit_nulls(true);
        Ok(match format {
            Format::Table => Self::Table { schema, pending: Vec::new(), printed: false },
            Format::Csv => Self::Csv { schema, header: true },
            Format::Json => Self::Json(json.build(Vec::new())),
            Format::Ndjson => Self::Ndjson(json.build(Vec::new())),
            Format::Arrow => Self::Arrow(StreamWriter::try_new(Vec::new(), &schema).map_err(cannot_print)?),
        })
    }

    fn encode(&mut self, batch: RecordBatch) -> Result<Vec<u8>, Failure> {
        let written = match self {
            Self::Table { pending, printed, .. } => {
                pending.push(batch);
                if pending.iter().map(RecordBatch::num_rows).sum::<usize>() < SECTION_ROWS {
                    return Ok(Vec::new());
                }
                *printed = true;
                section(&std::mem::take(pending))
            }
            Self::Expanded { rows } => {
                let before = *rows;
                *rows = before.saturating_add(batch.num_rows() as u64);
                records(&batch, before).map(String::into_bytes)
            }
            Self::Csv { header, .. } => csv(&batch, std::mem::take(header)),
            Self::Json(writer) => writer.write(&batch).map(|()| std::mem::take(writer.get_mut())),
            Self::Ndjson(writer) => writer.write(&batch).map(|()| std::mem::take(writer.get_mut())),
            Self::Arrow(writer) => writer.write(&batch).map(|()| std::mem::take(writer.get_mut())),
        };
        written.map_err(cannot_print)
    }

    fn finish(&mut self) -> Result<Vec<u8>, Failure> {
        let written = match self {
            Self::Table { pending, printed: true, .. } if pending.is_empty() => Ok(Vec::new()),
            Self::Table { schema, pending, .. } => {
                pending.push(RecordBatch::new_empty(Arc::clone(schema)));
                section(&std::mem::take(pending))
            }
            Self::Csv { schema, header: true } => csv(&RecordBatch::new_empty(Arc::clone(schema)), true),
            Self::Csv { .. } | Self::Expanded { .. } => Ok(Vec::new()),
            Self::Json(writer) => writer.finish().map(|()| {
                let mut bytes = std::mem::take(writer.get_mut());
                bytes.push(b'\n');
                bytes
            }),
            Self::Ndjson(writer) => writer.finish().map(|()| std::mem::take(writer.get_mut())),
            Self::Arrow(writer) => writer.finish().map(|()| std::mem::take(writer.get_mut())),
        };
        written.map_err(cannot_print)
    }
}

fn cannot_print(error: ArrowError) -> Failure {
    Failure::Error(
        Error::unsupported("the rows cannot be printed in this format")
            .code("unprintable")
            .help("choose another --format, or cast the column in the query")
            .because(error),
    )
}

fn csv(batch: &RecordBatch, header: bool) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    // CSV has no lists or structs: they are written as text.
    let flat = map_columns(batch, |field, column| {
        let nested = field.data_type().is_nested();
        let values = if nested { texts(column, "", str::to_owned)? } else { Arc::clone(column) };
        Ok((field.name().clone(), values))
    })?;
    arrow_csv::WriterBuilder::new().with_header(header).build(&mut bytes).write(&flat)?;
    Ok(bytes)
}

fn section(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let printable = |batch: &RecordBatch| {
        map_columns(batch, |field, column| {
            let name = escaped(field.name()).into_owned();
            Ok((name, texts(column, "NULL", |text| escaped_lines(text).into_owned())?))
        })
    };
    let batches = batches.iter().map(printable).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("{}\n", pretty_format_batches(&batches)?).into_bytes())
}

fn map_columns(
    batch: &RecordBatch,
    map: impl Fn(&Field, &ArrayRef) -> Result<(String, ArrayRef), ArrowError>,
) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let mapped = schema.fields().iter().zip(batch.columns()).map(|(field, column)| map(field, column));
    let mapped = mapped.collect::<Result<Vec<_>, _>>()?;
    let fields: Vec<Field> =
        mapped.iter().map(|(name, column)| Field::new(name, column.data_type().clone(), true)).collect();
    let columns = mapped.into_iter().map(|(_, column)| column).collect();
    let rows = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
}

/// Returns the values of a column as text, formatted by Arrow.
fn texts(column: &ArrayRef, null: &str, map: impl Fn(&str) -> String) -> Result<ArrayRef, ArrowError> {
    if *column.data_type() == DataType::Null {
        return Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(null, column.len()))));
    }
    let options = FormatOptions::new().with_null(null).with_display_error(true);
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let values = (0..column.len()).map(|row| map(&formatter.value(row).to_string()));
    Ok(Arc::new(StringArray::from_iter_values(values)))
}

#[cfg(test)]
mod tests {
    use arrow_array::types::Int32Type;
    use arrow_array::{Int64Array, ListArray};

    use super::*;

    fn batch() -> RecordBatch {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
        let columns: [(&str, ArrayRef); 3] = [
            ("a\u{1b}", Arc::new(Int64Array::from(vec![Some(1), None]))),
            ("b", Arc::new(StringArray::from(vec![Some("x\u{7},\ny"), None]))),
            ("c", Arc::new(list)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn encoded(format: Format, batches: Vec<RecordBatch>) -> String {
        let mut encoder = Encoder::new(format, batch().schema()).unwrap();
        let mut bytes = Vec::new();
        for batch in batches {
            bytes.extend(encoder.encode(batch).unwrap());
        }
        bytes.extend(encoder.finish().unwrap());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn a_table_escapes_controls_in_names_and_values() {
        let text = encoded(Format::Table, vec![batch()]);
        assert!(text.contains("| a\\u{1b} |"), "{text}");
        assert!(text.contains("x\\u{7},"), "{text}");
        assert!(text.contains("NULL"), "{text}");
        assert!(text.lines().all(|line| line.starts_with(['|', '+'])), "{text}");
    }

    #[test]
    fn every_format_of_no_rows_is_complete() {
        assert!(encoded(Format::Table, vec![]).contains("| b |"));
        assert_eq!(encoded(Format::Csv, vec![]), "a\u{1b},b,c\n");
        assert_eq!(encoded(Format::Json, vec![]), "[]\n");
        assert_eq!(encoded(Format::Ndjson, vec![]), "");
    }

    #[test]
    fn programs_get_the_values_as_they_are() {
        let csv = encoded(Format::Csv, vec![batch(), batch()]);
        assert_eq!(csv, "a\u{1b},b,c\n1,\"x\u{7},\ny\",\"[1, ]\"\n,,\n1,\"x\u{7},\ny\",\"[1, ]\"\n,,\n");
        let json = encoded(Format::Ndjson, vec![batch()]);
        assert_eq!(json.lines().nth(1).unwrap(), r#"{"a\u001b":null,"b":null,"c":null}"#);
        assert!(encoded(Format::Json, vec![batch(), batch()]).ends_with("}]\n"));
    }

    #[test]
    fn a_long_table_is_printed_in_sections() {
        let long = RecordBatch::try_from_iter([(
            "n",
            Arc::new(Int64Array::from_iter_values(0..i64::try_from(SECTION_ROWS).unwrap())) as ArrayRef,
        )])
        .unwrap();
        let mut encoder = Encoder::new(Format::Table, long.schema()).unwrap();
        assert!(!encoder.encode(long.clone()).unwrap().is_empty());
        assert!(encoder.finish().unwrap().is_empty());
    }
}
