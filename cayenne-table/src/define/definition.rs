//! The definition of a table, checked before anything is created.

use cayenne_format::TypeRule;
use cayenne_format::UnsupportedTypeAction;
use cayenne_format::type_rule;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use cayenne_format::{Error, Result, TableId, TableName, TableOptions, stored_schema};

use crate::state::key_codec::codec_of;

/// The definition of a table that is to be created. It is checked: only its name can still be refused.
#[derive(Debug)]
pub struct TableDefinition {
    pub(crate) name: TableName,
    pub(crate) schema: SchemaRef,
    pub(crate) options: TableOptions,
}

impl TableDefinition {
    /// Checks the columns and options of a table, and returns the definition that it is stored with. Does not touch the
    /// disk.
    ///
    /// # Errors
    ///
    /// `Unsupported` or `Invalid` for a schema that cannot be stored, or for a primary key or a default that names no
    /// column of it; `Invalid` for options that contradict each other.
    pub fn new(name: &TableName, schema: &Schema, mut options: TableOptions) -> Result<Self> {
        options.validate()?;
        if let Some(column) = options.column_defaults.keys().find(|column| schema.index_of(column).is_err()) {
            return Err(Error::invalid("a default is for a column that the table does not have")
                .code("unknown-column")
                .with("table", name)
                .with("column", column));
        }
        let schema = stored_schema(schema, options.unsupported_type_action)?;
        // Any id will do: no key is encoded.
        codec_of(&schema, &options, TableId::from_bytes([0; 16])).map_err(|error| error.with("table", name))?;
        let schema = without_null_keys(&schema, &options);
        options.column_defaults.retain(|column, _| schema.index_of(column).is_ok());
        Ok(Self { name: name.clone(), schema, options })
    }

    /// Returns the columns as they are stored.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the options.
    #[must_use]
    pub fn options(&self) -> &TableOptions {
        &self.options
    }
}

/// Makes the columns of the primary key non-nullable, whatever `schema` declares.
fn without_null_keys(schema: &SchemaRef, options: &TableOptions) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let is_key = options.primary_key.contains(field.name());
        if is_key { Arc::new(field.as_ref().clone().with_nullable(false)) } else { Arc::clone(field) }
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

pub(crate) fn name_taken(name: &TableName) -> Error {
    Error::already_exists("a table of this name exists").code("table-exists").with("table", name)
}

/// Logs once for a table which of its columns cannot be stored, and what happens to them.
pub(crate) fn warn_of_unsupported(name: &TableName, declared: &Schema, action: UnsupportedTypeAction) {
    let what = match action {
        UnsupportedTypeAction::Warn => "columns have a type that cannot be stored: only nulls can be written to them",
        UnsupportedTypeAction::Ignore => "columns have a type that cannot be stored: they are left out of the table",
        UnsupportedTypeAction::Error | UnsupportedTypeAction::String => return,
    };
    let columns = declared.fields().iter().filter(|field| type_rule(field.data_type()) == TypeRule::Unsupported);
    let columns: Vec<&str> = columns.map(|field| field.name().as_str()).collect();
    if !columns.is_empty() {
        tracing::warn!(table = %name, columns = columns.join(", "), "{what}");
    }
}
