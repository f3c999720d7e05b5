//! `CREATE TABLE`, `CREATE TABLE … AS` and `CREATE OR REPLACE TABLE`. All checks run before anything is created.

use crate::statements::checks::unique_names;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use cayenne_format::{Error, TableName, TableOptions};
use cayenne_table::{Database, Table, TableDefinition};
use datafusion::error::Result;
use datafusion::logical_expr::{CreateExternalTable, CreateMemoryTable, LogicalPlan};
use datafusion::prelude::{DataFrame, SessionContext};

use crate::catalog::find::{database_of, tables_of};
use crate::columns::defaults::DefaultReader;
use crate::error::external;
use crate::keys::declared::{declared_key, set_key};
use crate::statements::checks::refuse_view;
use crate::write::plan::logical_write;
use crate::write::target::{NewColumns, WriteTarget};

/// Creates a table, unless it exists and the statement has `IF NOT EXISTS`. Returns the number of rows that its query
/// wrote.
pub(crate) async fn create_table(
    ctx: &SessionContext,
    database: Arc<Database>,
    command: CreateMemoryTable,
) -> Result<Option<Vec<RecordBatch>>> {
    let name = TableName::try_from(command.name.table()).map_err(external)?;
    refuse_clauses(&name, &command)?;
    unique_names(command.input.schema())?;
    if let Some(tables) = tables_of(ctx, &command.name) {
        refuse_view(&tables, &name, "CREATE TABLE").await?;
    }
    let known = database.table(&name).await.map_err(external)?;
    let replaced = match (known, command.if_not_exists, command.or_replace) {
        (Some(_), true, false) => return Ok(None),
        (Some(table), false, true) => Some(table),
        (None, ..) => None,
        (Some(_), ..) => {
            return Err(external(
                Error::already_exists("a table of this name exists").code("table-exists").with("table", name),
            ));
        }
    };
    let columns = columns_of(&command.input);
    let mut options = database.settings().table_options.clone();
    if let Some(table) = &replaced {
        keep_how_it_is_stored(&mut options, table.options());
    }
    let definition = define(&name, columns, &mut options, &command).await?;
    let target = match replaced {
        None => WriteTarget::Create { database, name, options, columns },
        Some(table) if is_same(&table, &definition) => WriteTarget::Overwrite(table),
        Some(table) => WriteTarget::Replace { database, table, options, columns },
    };
    let has_query = !matches!(*command.input, LogicalPlan::EmptyRelation(_));
    let plan = logical_write(Arc::unwrap_or_clone(command.input), target)?;
    let written = DataFrame::new(ctx.state(), plan).collect().await?;
    Ok(has_query.then_some(written))
}

/// Returns an error if `CREATE OR REPLACE EXTERNAL TABLE` would replace a Cayenne table: DataFusion drops the table
/// before it checks the statement.
pub(crate) async fn refuse_to_drop_for(ctx: &SessionContext, command: &CreateExternalTable) -> Result<()> {
    let Some(database) = database_of(ctx, &command.name).filter(|_| command.or_replace) else { return Ok(()) };
    let Ok(name) = TableName::try_from(command.name.table()) else { return Ok(()) };
    match database.table(&name).await.map_err(external)? {
        None => Ok(()),
        Some(_) => Err(external(
            Error::unsupported("a Cayenne table is not replaced by an external table")
                .code("unsupported-sql")
                .with("clause", "OR REPLACE")
                .with("table", name)
                .help("use DROP TABLE first, or choose another name"),
        )),
    }
}

/// Returns the stored definition of the table, and adds the declarations of the statement to its options.
async fn define(
    name: &TableName,
    columns: NewColumns,
    options: &mut TableOptions,
    command: &CreateMemoryTable,
) -> Result<TableDefinition> {
    let declared: Schema = columns.of(command.input.schema().inner());
    let names: Vec<_> = declared.fields().iter().map(|field| field.name().as_str()).collect();
    set_key(options, declared_key(name, &names, &command.constraints).map_err(external)?);
    let definition = TableDefinition::new(name, &declared, options.clone()).map_err(external)?;
    let reader = DefaultReader::default();
    let texts = reader.texts(name, definition.schema(), &command.column_defaults).await;
    options.column_defaults = texts.map_err(external)?;
    TableDefinition::new(name, &declared, options.clone()).map_err(external)
}

/// Says where the columns come from: `CREATE TABLE t (a INT NOT NULL)` declares them, `CREATE TABLE t AS SELECT …` does
/// not.
fn columns_of(input: &LogicalPlan) -> NewColumns {
    if matches!(input, LogicalPlan::EmptyRelation(_)) { NewColumns::AsDeclared } else { NewColumns::Nullable }
}

/// Copies the storage options of the table that is replaced. The columns, the primary key, and the options of the key
/// come from the statement.
fn keep_how_it_is_stored(options: &mut TableOptions, of: &TableOptions) {
    options.target_file_size_mb = of.target_file_size_mb;
    options.compression = of.compression;
    options.unsupported_type_action = of.unsupported_type_action;
    options.inline = of.inline;
    options.retention = of.retention;
    options.compaction = of.compaction;
}

/// Says whether a table has the definition that would replace it. Then only its rows are replaced, and its history
/// continues.
fn is_same(table: &Table, new: &TableDefinition) -> bool {
    let columns = |schema: &Schema| -> Vec<_> {
        let fields = schema.fields().iter();
        fields.map(|field| (field.name().clone(), field.data_type().clone(), field.is_nullable())).collect()
    };
    columns(table.schema()) == columns(new.schema()) && table.options() == new.options()
}

fn refuse_clauses(name: &TableName, command: &CreateMemoryTable) -> Result<()> {
    if !command.temporary {
        return Ok(());
    }
    Err(external(
        Error::unsupported("the clause is not supported yet on Cayenne tables")
            .code("unsupported-sql")
            .with("clause", "TEMPORARY")
            .with("table", name),
    ))
}
