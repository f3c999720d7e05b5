//! The target of a write: the table, and the operation.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema, SchemaRef};
use cayenne_format::{Error, Result as CayenneResult, TableName, TableOptions};
use cayenne_storage::{RowStream, Storage};
use cayenne_table::{Database, Table};
use datafusion::error::Result;

use crate::error::external;

/// The target of a write.
#[derive(Clone, Debug)]
pub enum WriteTarget {
    /// Appends the rows to a table.
    Append(Arc<Table>),
    /// Upserts the rows into a table with a primary key: they replace the rows with the same keys.
    Upsert(Arc<Table>),
    /// Overwrites a table: the rows replace all of its rows.
    Overwrite(Arc<Table>),
    /// Truncates a table: removes all of its rows, and writes none.
    Truncate(Arc<Table>),
    /// Creates a table. It becomes visible together with the rows.
    Create {
        /// The database of the table.
        database: Arc<Database>,
        /// The name of the table.
        name: TableName,
        /// The options of the table.
        options: TableOptions,
        /// Which of its columns are nullable.
        columns: NewColumns,
    },
    /// Replaces a table with a new one, which becomes visible together with the rows.
    Replace {
        /// The database of both tables.
        database: Arc<Database>,
        /// The table to replace. The new table gets its name.
        table: Arc<Table>,
        /// The options of the new table.
        options: TableOptions,
        /// Which columns of the new table are nullable.
        columns: NewColumns,
    },
}

/// Which columns of a new table are nullable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewColumns {
    /// Those that are nullable in the schema of the rows. For columns that the statement declares.
    AsDeclared,
    /// All columns. For columns of a query, whose NOT NULL is only the planner's inference.
    Nullable,
}

impl NewColumns {
    /// Returns the schema of the new table.
    pub(crate) fn of(self, schema: &Schema) -> Schema {
        match self {
            Self::AsDeclared => schema.clone(),
            Self::Nullable => {
                let nullable = |field: &FieldRef| field.as_ref().clone().with_nullable(true);
                let fields: Vec<Field> = schema.fields().iter().map(nullable).collect();
                Schema::new_with_metadata(fields, schema.metadata().clone())
            }
        }
    }
}

impl fmt::Display for WriteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(table) => write!(f, "append to {}", table.name()),
            Self::Upsert(table) => write!(f, "upsert {}", table.name()),
            Self::Overwrite(table) => write!(f, "overwrite {}", table.name()),
            Self::Truncate(table) => write!(f, "truncate {}", table.name()),
            Self::Create { name, .. } => write!(f, "create {name}"),
            Self::Replace { table, .. } => write!(f, "replace {}", table.name()),
        }
    }
}

impl WriteTarget {
    /// Returns the storage to which the rows are written.
    pub(crate) fn storage(&self) -> &Storage {
        match self {
            Self::Append(table) | Self::Upsert(table) | Self::Overwrite(table) | Self::Truncate(table) => {
                table.storage()
            }
            Self::Create { database, .. } | Self::Replace { database, .. } => database.storage(),
        }
    }

    /// Returns an error if the target cannot be written, whatever the rows are.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Upsert(table) if !table.options().finds_conflicts() => {
                Err(external(no_primary_key(table, "REPLACE INTO")))
            }
            _ => Ok(()),
        }
    }

    /// Says whether the order in which rows arrive decides which of them are kept.
    pub(crate) fn keeps_arrival_order(&self) -> bool {
        match self {
            Self::Append(table) | Self::Upsert(table) | Self::Overwrite(table) => table.options().finds_conflicts(),
            Self::Create { options, .. } | Self::Replace { options, .. } => options.finds_conflicts(),
            Self::Truncate(_) => false,
        }
    }

    /// Writes the rows and returns their number; for a truncation, the number of rows removed.
    pub(crate) async fn write(self, schema: Option<SchemaRef>, rows: Vec<RowStream>) -> CayenneResult<u64> {
        match self {
            Self::Append(table) => Ok(table.append(rows).await?.rows),
            Self::Upsert(table) => Ok(table.upsert(rows).await?.rows),
            Self::Overwrite(table) => Ok(table.overwrite(rows).await?.rows),
            Self::Truncate(table) => Ok(table.truncate().await?.rows_removed),
            Self::Create { database, name, options, columns } => {
                let schema = columns.of(&*schema.ok_or_else(no_input)?);
                rows_of(&*database.create_table_with(&name, &schema, options, rows).await?).await
            }
            Self::Replace { database, table, options, columns } => {
                let schema = columns.of(&*schema.ok_or_else(no_input)?);
                rows_of(&*database.replace_table_with(&table, &schema, options, rows).await?).await
            }
        }
    }
}

fn no_input() -> Error {
    Error::internal("a new table has no input")
}

async fn rows_of(table: &Table) -> CayenneResult<u64> {
    let view = table.view().await?;
    table.visible_rows(&view).await
}

/// Returns the error for a statement that needs a primary key to identify equal rows.
pub(crate) fn no_primary_key(table: &Table, statement: &'static str) -> Error {
    Error::invalid("the statement needs a table with a primary key")
        .code("no-primary-key")
        .with("statement", statement)
        .with("table", table.name())
        .help("declare it when the table is created: CREATE TABLE … (id BIGINT PRIMARY KEY, …)")
}
