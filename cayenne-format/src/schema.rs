//! The stored type of each Arrow type, and the stored form of a schema.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Arc;

use arrow_ipc::convert::{IpcSchemaEncoder, fb_to_schema};
use arrow_ipc::root_as_schema;
use arrow_ipc::writer::DictionaryTracker;
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::frame::{self, FrameKind};
use crate::{Error, Result};

/// What is done with a column whose type cannot be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnsupportedTypeAction {
    /// The table is not created. The default.
    #[default]
    Error,
    /// The column becomes text.
    String,
    /// The column stays; a write that carries a value for it fails.
    Warn,
    /// The column is left out of the table.
    Ignore,
}

impl FromStr for UnsupportedTypeAction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "error" => Ok(Self::Error),
            "string" => Ok(Self::String),
            "warn" => Ok(Self::Warn),
            "ignore" => Ok(Self::Ignore),
            _ => Err(Error::invalid("unknown action for unsupported types")
                .with("found", text)
                .help("use 'error', 'string', 'warn' or 'ignore'")),
        }
    }
}

impl fmt::Display for UnsupportedTypeAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::String => "string",
            Self::Warn => "warn",
            Self::Ignore => "ignore",
        })
    }
}

/// How columns of a type are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeRule {
    /// As declared: the file format restores the declared type.
    Kept,
    /// As another type, which is then also the type in the table.
    Stored(DataType),
    /// Not at all, unless the options of the table say what to do instead.
    Unsupported,
}

/// Returns how columns of `data_type` are stored. A nested type follows its worst member.
#[must_use]
pub fn type_rule(data_type: &DataType) -> TypeRule {
    match data_type {
        DataType::Float16 => TypeRule::Stored(DataType::Float32),
        DataType::Interval(_)
        | DataType::Duration(_)
        | DataType::FixedSizeBinary(_)
        | DataType::Union(..)
        | DataType::RunEndEncoded(..) => TypeRule::Unsupported,
        DataType::List(field) => nested(field, DataType::List),
        DataType::LargeList(field) => nested(field, DataType::LargeList),
        DataType::ListView(field) => nested(field, DataType::ListView),
        DataType::LargeListView(field) => nested(field, DataType::LargeListView),
        DataType::FixedSizeList(field, size) => nested(field, |field| DataType::FixedSizeList(field, *size)),
        DataType::Map(field, sorted) => nested(field, |field| DataType::Map(field, *sorted)),
        DataType::Struct(fields) => {
            let rules: Vec<TypeRule> = fields.iter().map(|field| type_rule(field.data_type())).collect();
            if rules.contains(&TypeRule::Unsupported) {
                return TypeRule::Unsupported;
            }
            if rules.iter().all(|rule| *rule == TypeRule::Kept) {
                return TypeRule::Kept;
            }
            let stored = fields.iter().zip(rules).map(|(field, rule)| with_rule(field, rule)).collect();
            TypeRule::Stored(DataType::Struct(stored))
        }
        DataType::Dictionary(_, values) => match type_rule(values) {
            TypeRule::Kept => TypeRule::Stored((**values).clone()),
            other => other,
        },
        _ => TypeRule::Kept,
    }
}

fn nested(field: &FieldRef, wrap: impl Fn(FieldRef) -> DataType) -> TypeRule {
    match type_rule(field.data_type()) {
        TypeRule::Kept => TypeRule::Kept,
        TypeRule::Unsupported => TypeRule::Unsupported,
        rule @ TypeRule::Stored(_) => TypeRule::Stored(wrap(with_rule(field, rule))),
    }
}

fn with_rule(field: &FieldRef, rule: TypeRule) -> FieldRef {
    match rule {
        TypeRule::Stored(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type)),
        TypeRule::Kept | TypeRule::Unsupported => Arc::clone(field),
    }
}

/// Returns the schema of a table whose rows come with `schema`.
///
/// # Errors
///
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a schema without columns or with two columns of one name;
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a type that cannot be stored, if `action` requires an
/// error.
pub fn stored_schema(schema: &Schema, action: UnsupportedTypeAction) -> Result<SchemaRef> {
    let mut fields: Vec<FieldRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        if fields.iter().any(|earlier| earlier.name() == field.name()) {
            return Err(Error::invalid("two columns have one name").with("column", field.name()));
        }
        fields.extend(stored_field(field, action)?);
    }
    if fields.is_empty() {
        return Err(Error::invalid("a table needs at least one column"));
    }
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

fn stored_field(field: &FieldRef, action: UnsupportedTypeAction) -> Result<Option<FieldRef>> {
    match (type_rule(field.data_type()), action) {
        (TypeRule::Unsupported, UnsupportedTypeAction::Error) => Err(Error::unsupported(
            "column has a type that Cayenne cannot store",
        )
        .code("unsupported-type")
        .with("column", field.name())
        .with("type", field.data_type())
        .help(
            "cast it at the source, or create the table with cayenne_unsupported_type_action 'string', 'warn' or \
                     'ignore': an option of load --option, and in OPTIONS of CREATE EXTERNAL TABLE",
        )),
        (TypeRule::Unsupported, UnsupportedTypeAction::Ignore) => Ok(None),
        (TypeRule::Unsupported, UnsupportedTypeAction::String) => {
            Ok(Some(Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable()))))
        }
        (TypeRule::Unsupported, UnsupportedTypeAction::Warn) => {
            Ok(Some(Arc::new(field.as_ref().clone().with_nullable(true))))
        }
        (rule, _) => Ok(Some(with_rule(field, rule))),
    }
}

/// Returns the stored form of a schema: an Arrow IPC schema (the flatbuffer table `Schema`), in a frame.
#[must_use]
pub fn encode_schema(schema: &Schema) -> Bytes {
    // Without a tracker the encoder panics on a dictionary.
    let mut dictionaries = DictionaryTracker::new(true);
    let message = IpcSchemaEncoder::new().with_dictionary_tracker(&mut dictionaries).schema_to_fb(schema);
    frame::seal(FrameKind::Schema, message.finished_data())
}

/// Reads the stored form.
///
/// # Errors
///
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if a byte is not what was written.
pub fn decode_schema(bytes: &Bytes) -> Result<SchemaRef> {
    // The decoder needs aligned bytes. A slice of a frame is not aligned; a copy is.
    let message = frame::open(FrameKind::Schema, bytes)?.to_vec();
    let schema = root_as_schema(&message)
        .map_err(|error| Error::corrupt("stored schema cannot be read").because(error.to_string()))?;
    // The decoder panics on types that no Arrow library writes. The checksum detects damage, but not a forged value
    // with a recomputed checksum.
    let decoded = catch_unwind(AssertUnwindSafe(|| fb_to_schema(schema)));
    decoded.map(Arc::new).map_err(|_| Error::corrupt("stored schema has a type that Arrow does not know"))
}
