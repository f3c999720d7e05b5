//! Creates tables whose manifests name data files that were never written, for measurements that need many files and
//! read none.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use cayenne_format::{
    Bound, Change, ColumnStats, CommitId, DataFile, Environment, FileDigester, FileId, FileStats, Location,
    NewDataFile, Operation, Sequence, TableCommit, TableName, TableOptions, Value, path,
};
use cayenne_metastore::{Metastore, SqliteMetastore, Writer};
use cayenne_table::{Database, Table};

use crate::Result;

/// The number of rows of a file. The ids ascend from file to file and do not overlap.
pub(crate) const FILE_ROWS: usize = 1_000;

/// The length of a file in bytes. It is shorter than a block, so that one checksum covers it.
const FILE_BYTES: u64 = 40_000;

/// Large enough for few commits, small enough that a compaction could make such a commit.
const FILES_PER_COMMIT: usize = 1_000;

/// Creates the tables, each with `files` files.
///
/// The commits go to the metastore directly through a second connection, because the connection of the database is
/// private.
pub(super) async fn fabricate(database: &Database, tables: &[String], files: usize) -> Result<()> {
    let environment = Environment::default();
    let path = database.root().join(path::METADATA_FOLDER).join(path::METASTORE_FILE);
    let settings = database.settings().metastore.clone();
    let metastore = SqliteMetastore::open(path, settings, Arc::clone(&environment.steps)).await?;
    for table in tables {
        let table =
            database.create_table(&TableName::try_from(table.as_str())?, &schema(), TableOptions::default()).await?;
        fill(&metastore, &environment, &table, files).await?;
    }
    metastore.close().await?;
    Ok(())
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("happened_at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("price", DataType::Float64, true),
    ])
}

async fn fill(metastore: &SqliteMetastore, environment: &Environment, table: &Table, files: usize) -> Result<()> {
    let writer = Writer { host: "bench".to_owned(), process: std::process::id(), since: environment.clock.now() };
    let epoch = metastore.begin_writer(table.id(), &writer).await?;
    for begin in (0..files).step_by(FILES_PER_COMMIT) {
        let end = files.min(begin + FILES_PER_COMMIT);
        let commit = TableCommit {
            id: CommitId::draw(environment.ids.as_ref()),
            table: table.id(),
            epoch,
            operation: Operation::Append,
            made_at: environment.clock.now(),
            requires: Vec::new(),
            changes: (begin..end).map(|number| file(environment, number)).collect::<Result<_>>()?,
            source: None,
            expiry: None,
        };
        metastore.commit(&[commit]).await?;
    }
    Ok(())
}

fn file(environment: &Environment, number: usize) -> Result<Change> {
    let id = FileId::draw(environment.ids.as_ref());
    let mut digester = FileDigester::default();
    digester.feed(id.to_string().as_bytes());
    let digest = digester.finish();
    let file = DataFile {
        id,
        location: Location::Path(path::data_file(id, &[])),
        rows: FILE_ROWS as u64,
        bytes: FILE_BYTES,
        hash: digest.hash,
        partition: Vec::new(),
        stats: stats(i64::try_from(number * FILE_ROWS)?)?,
        added_at: Sequence::ZERO,
    };
    Ok(Change::AddFile(Box::new(NewDataFile { file, blocks: digest.blocks })))
}

/// Returns the column stats of a file whose first id is `first`.
fn stats(first: i64) -> Result<FileStats> {
    let last = first + i64::try_from(FILE_ROWS)? - 1;
    let name = |id: i64| Value::Text(format!("customer-{id:012}"));
    let moment = |id: i64| Value::Int(1_767_225_600_000_000 + id * 40_000);
    Ok(FileStats::new(&[
        between(Value::Int(first), Value::Int(last), 0),
        between(name(first), name(last), 0),
        between(moment(first), moment(last), 0),
        between(Value::Float(0.25), Value::Float(999.75), 17),
    ]))
}

fn between(min: Value, max: Value, nulls: u64) -> ColumnStats {
    let exact = |value| Some(Bound { value, exact: true });
    ColumnStats { min: exact(min), max: exact(max), null_count: Some(nulls), nan_count: Some(0) }
}
