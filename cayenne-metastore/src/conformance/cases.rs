//! The cases of the suite, one for each sentence of the contract. Each starts with a metastore without tables.

mod commits;
mod snapshots;
mod staging;
mod tables;
mod views;

pub(super) use commits::*;
pub(super) use snapshots::*;
pub(super) use staging::*;
pub(super) use tables::*;
pub(super) use views::*;

use cayenne_format::{Change, Error, ErrorKind, NewDataFile, Result, TableId, WriterEpoch};

use super::sample::Samples;
use crate::Metastore;

/// Creates a table and becomes its writer.
async fn table(metastore: &dyn Metastore, samples: &Samples, name: &str) -> (TableId, WriterEpoch) {
    let record = metastore.create_table(&samples.table(name)).await.expect("create");
    let epoch = metastore.begin_writer(record.id, &samples.writer()).await.expect("become the writer");
    (record.id, epoch)
}

/// Appends one file in a commit of its own, and returns it.
async fn append(metastore: &dyn Metastore, samples: &Samples, of: (TableId, WriterEpoch)) -> NewDataFile {
    let new = samples.data_file();
    let commit = samples.commit(of.0, of.1, vec![add(&new)]);
    metastore.commit(&[commit]).await.expect("append");
    new
}

fn add(new: &NewDataFile) -> Change {
    Change::AddFile(Box::new(new.clone()))
}

/// Asserts that the call was refused with this kind of error.
fn refused<T>(result: Result<T>, kind: ErrorKind) -> Error {
    let error = result.map(|_| ()).expect_err("this should have been refused");
    assert_eq!(error.kind(), kind, "refused for another reason: {error:?}");
    error
}
