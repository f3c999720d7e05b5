//! Encoding rows for Vortex: the schema of files, and their compression.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use cayenne_format::{Compression, TypeRule, type_rule};
use vortex::array::ArrayRef as VortexArray;
use vortex::arrow::ArrowSessionExt as _;
use vortex::compressor::BtrBlocksCompressorBuilder;
use vortex::dtype::{DType, FieldName, FieldPath};
use vortex::error::VortexResult;
use vortex::file::{VortexWriteOptions, WriteOptionsSessionExt as _, WriteStrategyBuilder};
use vortex::layout::LayoutStrategy;
use vortex::session::VortexSession;

use crate::write::stats::STATISTICS;
use crate::write::text_compressor::{TextChoices, TextCompressor, TextEncoders};
use crate::write::wide::{retype, wide_type};

/// Returns the schema of the data files of a table with this stored schema.
///
/// It has the same columns in the same places, without metadata. A column that is kept although its type cannot be
/// stored (`unsupported_type_action = 'warn'`) never has a value, and has type null in the file.
///
/// If a file has a time that Vortex cannot represent (after the year 9999, or in an unknown time zone), that column
/// holds the underlying integers instead; a cast to the declared type restores the times.
#[must_use]
pub fn file_schema(stored: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = stored
        .fields()
        .iter()
        .map(|field| plain_field(&Arc::new(field.as_ref().clone().with_data_type(file_type(field.data_type())))))
        .collect();
    Arc::new(Schema::new(fields))
}

/// Returns the type that a column of a stored schema has in files.
pub(crate) fn file_type(stored: &DataType) -> DataType {
    match type_rule(stored) {
        TypeRule::Unsupported => DataType::Null,
        TypeRule::Kept | TypeRule::Stored(_) => stored.clone(),
    }
}

/// Drops metadata, which may name extension types that Vortex would store in ways of its own.
fn plain_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), plain_type(field.data_type()), field.is_nullable()))
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(field) => DataType::List(plain_field(field)),
        DataType::LargeList(field) => DataType::LargeList(plain_field(field)),
        DataType::ListView(field) => DataType::ListView(plain_field(field)),
        DataType::LargeListView(field) => DataType::LargeListView(plain_field(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(plain_field(field), *size),
        DataType::Map(field, sorted) => DataType::Map(plain_field(field), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect::<Fields>()),
        other => other.clone(),
    }
}

/// The schema of one file, as Arrow and as Vortex express it.
pub(crate) struct Shape {
    schema: SchemaRef,
    pub(crate) dtype: DType,
}

impl Shape {
    /// Returns the shape of a file of a table with this stored schema, some of whose columns are wide.
    pub(crate) fn new(session: &VortexSession, stored: &Schema, wide: &[bool]) -> VortexResult<Self> {
        let ordinary = file_schema(stored);
        let fields = ordinary.fields().iter().zip(wide).map(|(field, is_wide)| match is_wide {
            true => Arc::new(field.as_ref().clone().with_data_type(wide_type(field.data_type()))),
            false => Arc::clone(field),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Fields>()));
        let dtype = session.arrow().from_arrow_schema(&schema)?;
        Ok(Self { schema, dtype })
    }

    /// Converts rows of the stored schema to a Vortex array.
    pub(crate) fn to_vortex(&self, session: &VortexSession, rows: &RecordBatch) -> VortexResult<VortexArray> {
        let columns = rows.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| to_file_column(column, field)).collect::<VortexResult<Vec<_>>>()?;
        // Vortex takes the columns of the batch and the fields of the schema that it is given; it ignores the fields of
        // the batch.
        let fields = columns.iter().map(|column| Field::new("", column.data_type().clone(), true));
        let any = Arc::new(Schema::new(fields.collect::<Fields>()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(any, columns, &options)?;
        session.arrow().from_arrow_record_batch(rows, &self.schema)
    }
}

fn to_file_column(column: &ArrayRef, field: &Field) -> VortexResult<ArrayRef> {
    if field.data_type().is_null() {
        return Ok(new_null_array(&DataType::Null, column.len()));
    }
    // Types may also differ in the metadata of nested fields, which Vortex ignores.
    if holds_integers(column.data_type(), field.data_type()) {
        return Ok(retype(column, field.data_type())?);
    }
    Ok(Arc::clone(column))
}

/// Says whether a file stores integers for a column of times.
fn holds_integers(column: &DataType, file: &DataType) -> bool {
    let wide = wide_type(column);
    &wide != column && plain_type(&wide) == *file
}

/// Returns the Vortex options for one file of the table in a folder.
pub(crate) fn write_options(
    session: &VortexSession,
    compression: Compression,
    shape: &Shape,
    (table, choices): (&Path, &TextChoices),
) -> VortexWriteOptions {
    let builder = WriteStrategyBuilder::from_session(session);
    let usual = BtrBlocksCompressorBuilder::from_session(session);
    let builder = match compression {
        Compression::Zstd => builder.with_btrblocks_builder(usual.with_compact()),
        Compression::BtrBlocks => {
            let encoders = Arc::new(TextEncoders::new(session));
            text_columns(&shape.dtype).into_iter().fold(builder, |builder, name| {
                let compressor = TextCompressor::new(Arc::clone(&encoders), choices.of(table, &name));
                builder.with_field_writer(FieldPath::from_name(name), text_strategy(session, compressor))
            })
        }
    };
    session.write_options().with_strategy(builder.build()).with_file_statistics(STATISTICS.to_vec())
}

fn text_columns(dtype: &DType) -> Vec<FieldName> {
    let Some(fields) = dtype.as_struct_fields_opt() else { return vec![] };
    let named = fields.names().iter().cloned().zip(fields.fields());
    named.filter(|(_, dtype)| dtype.is_utf8()).map(|(name, _)| name).collect()
}

/// The strategy of other columns, except for the compression of text blocks.
fn text_strategy(session: &VortexSession, compressor: TextCompressor) -> Arc<dyn LayoutStrategy> {
    // The usual compressor decides whether a column becomes a dictionary.
    WriteStrategyBuilder::from_session(session)
        .with_probe_compressor(BtrBlocksCompressorBuilder::from_session(session).build())
        .with_compressor(compressor)
        .build()
}
