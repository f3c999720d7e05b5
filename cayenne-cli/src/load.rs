//! `cayenne load`: loads the rows of files into a table, in one commit.

use std::sync::Arc;

use cayenne_datafusion::{NewColumns, WriteTarget, write_plan};
use cayenne_format::{Error, Result, Sequence, TableName, TableOptions};
use cayenne_table::Table;

use crate::args::{Existing, LoadArgs};
use crate::engine::Engine;
use crate::escape::escaped;
use crate::exit::{self, Failure};
use crate::figures::{counted, duration, rate, size};
use crate::progress::Progress;
use crate::source_help::with_options;
use crate::source_reader::read_sources;
use crate::sources::Sources;
use crate::sql::written_rows;
use crate::stopwatch::Stopwatch;
use crate::terminal::Terminal;

/// Loads the files and prints a summary.
pub(crate) async fn run(engine: &Engine, args: &LoadArgs, terminal: &mut Terminal) -> Result<u8, Failure> {
    let time = Stopwatch::start();
    let name = TableName::try_from(args.into.as_str())?;
    let existing = engine.database.table(&name).await?;
    let target = target(engine, args, &name, existing.as_ref())?;
    let before = match &existing {
        Some(table) => table.view().await?.sequence(),
        None => Sequence::ZERO,
    };
    let sources = Sources::find(&engine.session, &args.sources, args.input_format.map(Into::into)).await;
    let sources = sources.map_err(with_options)?;
    let text = args.text.options(sources.kind, &engine.session)?;
    let schema = existing.as_ref().map(|table| Arc::clone(table.schema()));
    let read = read_sources(&engine.session, &sources, schema, &text).await;
    let read = read.map_err(|error| sources.named(error))?;
    for note in &read.notes {
        terminal.note(note);
    }
    let plan = write_plan(read.rows, target).await?;
    let progress = Progress::begin(&escaped(name.as_str()), terminal);
    let written = progress.watch(&plan, engine.session.task_ctx()).await;
    let rows = written_rows(&written.map_err(|error| sources.named(cayenne_datafusion::error_of(error)))?);
    let stored = stored_bytes(engine, &name, before).await?;
    let time = time.elapsed();
    terminal.note(&format!(
        "loaded {} into {name} in {} ({} on disk, {})",
        counted(rows, "row"),
        duration(time),
        size(stored),
        rate(rows, time),
    ));
    Ok(exit::OK)
}

fn target(engine: &Engine, args: &LoadArgs, name: &TableName, existing: Option<&Arc<Table>>) -> Result<WriteTarget> {
    let Some(table) = existing else {
        let mut options = engine.database.settings().table_options.clone();
        args.options.iter().try_for_each(|(name, value)| options.set(name, value))?;
        if let Some(columns) = &args.primary_key {
            options.set("primary_key", columns)?;
        }
        if args.existing.upsert {
            refuse_without_key(&options, name, "give the columns of its key with --primary-key")?;
        }
        return Ok(WriteTarget::Create {
            database: Arc::clone(&engine.database),
            name: name.clone(),
            options,
            columns: NewColumns::AsDeclared,
        });
    };
    if let Some((option, _)) = args.options.first() {
        return Err(Error::invalid("options can only be set when a table is created")
            .code("table-exists")
            .with("table", name)
            .with("option", option)
            .help("leave --option out, or use DROP TABLE first"));
    }
    if let Some(columns) = &args.primary_key {
        refuse_other_key(table, columns)?;
    }
    if args.existing.upsert {
        refuse_without_key(table.options(), name, "use --append, or load into a new table with --primary-key")?;
    }
    match args.existing {
        Existing { append: true, .. } => Ok(WriteTarget::Append(Arc::clone(table))),
        Existing { upsert: true, .. } => Ok(WriteTarget::Upsert(Arc::clone(table))),
        Existing { replace: true, .. } => Ok(WriteTarget::Overwrite(Arc::clone(table))),
        Existing { .. } => Err(Error::already_exists("the table already exists")
            .code("table-exists")
            .with("table", name)
            .help("add --append to keep its rows, --upsert to replace those with the same keys, or --replace to replace all")),
    }
}

/// Fails if the table does not compare keys, so that new rows cannot replace those with the same key.
fn refuse_without_key(options: &TableOptions, name: &TableName, help: &'static str) -> Result<()> {
    if options.finds_conflicts() {
        return Ok(());
    }
    let problem = if options.has_key() {
        "the table has cayenne_pk_conflict_detection 'none' and does not look at keys"
    } else {
        "the table has no primary key"
    };
    Err(Error::invalid(problem).code("no-primary-key").with("table", name).help(help))
}

fn refuse_other_key(table: &Table, columns: &str) -> Result<()> {
    let mut declared = table.options().clone();
    declared.set("primary_key", columns)?;
    let found = &table.options().primary_key;
    if declared.primary_key == *found {
        return Ok(());
    }
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    Err(Error::invalid("the table exists with another primary key")
        .code("other-key")
        .with("table", table.name())
        .with("declared", declared.primary_key.join(", "))
        .with("found", found)
        .help("leave --primary-key out to use the table as it is, or choose another name"))
}

/// Returns the total length in bytes of the data files that were added after the sequence `before`.
async fn stored_bytes(engine: &Engine, name: &TableName, before: Sequence) -> Result<u64> {
    let Some(table) = engine.database.table(name).await? else { return Ok(0) };
    let view = table.view().await?;
    Ok(view.files().filter(|file| file.added_at > before).map(|file| file.bytes).sum())
}
