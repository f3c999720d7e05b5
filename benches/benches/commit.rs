//! How long does a durable commit take, alone and concurrently with others?
//!
//! Each commit adds the record of one data file to a SQLite metastore and waits until it is on stable storage. Sixteen
//! concurrent commits share a transaction. Target: 0.1 ms for one commit on a quiet local disk, which is one flush.

#![expect(clippy::expect_used, reason = "a benchmark that fails has nothing to measure")]

use std::hint::black_box;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use cayenne_format::{
    Change, ColumnStats, CommitId, DataFile, Environment, FileDigester, FileId, FileStats, Location, NewDataFile,
    Operation, Sequence, TableCommit, TableId, TableName, TableOptions, WriterEpoch, path,
};
use cayenne_metastore::{Beginning, Metastore as _, NewTable, SqliteMetastore, SqliteSettings, Writer};
use criterion::{Criterion, Throughput};
use futures::future::join_all;
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let runtime = Runtime::new().expect("a runtime starts");
    commit(&mut criterion, &runtime);
    criterion.final_summary();
}

fn commit(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("commit");
    for at_once in [1, 16] {
        // Each case has its own metastore, so that neither pays for the history of the other.
        let target = runtime.block_on(Target::new());
        group.throughput(Throughput::Elements(at_once));
        group.bench_function(format!("{at_once} at once"), |bencher| {
            bencher.to_async(runtime).iter(|| async {
                black_box(join_all((0..at_once).map(|_| target.commit())).await);
            });
        });
        runtime.block_on(target.metastore.close()).expect("the metastore closes");
    }
    group.finish();
}

/// A metastore with one table that this process writes.
struct Target {
    metastore: SqliteMetastore,
    environment: Environment,
    table: TableId,
    epoch: WriterEpoch,
    _folder: TempDir,
}

impl Target {
    async fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the metastore");
        let environment = Environment::default();
        let steps = Arc::clone(&environment.steps);
        let opened = SqliteMetastore::open(folder.path().join("metastore.db"), SqliteSettings::default(), steps).await;
        let metastore = opened.expect("the metastore opens");
        let table = TableId::draw(environment.ids.as_ref());
        let new = NewTable {
            id: table,
            name: TableName::try_from("events").expect("a plain name"),
            location: "events".to_owned(),
            schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)])),
            options: TableOptions::default(),
            made_at: environment.clock.now(),
            begins: Beginning::Empty,
            replaces: None,
        };
        metastore.create_table(&new).await.expect("the table is made");
        let writer = Writer { host: "bench".to_owned(), process: std::process::id(), since: environment.clock.now() };
        let epoch = metastore.begin_writer(table, &writer).await.expect("this process writes the table");
        Self { metastore, environment, table, epoch, _folder: folder }
    }

    async fn commit(&self) -> Vec<Sequence> {
        self.metastore.commit(&[self.append_of_one_file()]).await.expect("the commit is durable")
    }

    fn append_of_one_file(&self) -> TableCommit {
        let ids = self.environment.ids.as_ref();
        let id = FileId::draw(ids);
        let mut digester = FileDigester::default();
        digester.feed(id.to_string().as_bytes());
        let digest = digester.finish();
        let file = DataFile {
            id,
            location: Location::Path(path::data_file(id, &[])),
            rows: 1_000,
            bytes: digest.bytes,
            hash: digest.hash,
            partition: vec![],
            stats: FileStats::new(&[ColumnStats::default()]),
            added_at: Sequence::ZERO,
        };
        TableCommit {
            id: CommitId::draw(ids),
            table: self.table,
            epoch: self.epoch,
            operation: Operation::Append,
            made_at: self.environment.clock.now(),
            requires: vec![],
            changes: vec![Change::AddFile(Box::new(NewDataFile { file, blocks: digest.blocks }))],
            source: None,
            expiry: None,
        }
    }
}
