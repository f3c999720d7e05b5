//! A metastore with some contents, and steps that fail or wait.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use cayenne_format::{
    BlockChecksums, Change, CommitRecord, Error, Expiry, FileId, NoSteps, Result, Sequence, Snapshot, SourcePosition,
    Step, Steps, TableCommit, TableId, WriterEpoch,
};
use cayenne_metastore::conformance::Samples;
use cayenne_metastore::{Metastore, SqlView, SqliteMetastore, SqliteSettings, Synchronous, TableRecord};
use rusqlite::Connection;

/// Settings without a flush for each commit. Other tests kill processes and cut power.
pub(crate) fn settings() -> SqliteSettings {
    SqliteSettings { synchronous: Synchronous::Normal, ..SqliteSettings::default() }
}

pub(crate) async fn open(path: impl AsRef<Path>) -> SqliteMetastore {
    try_open(path).await.unwrap()
}

pub(crate) async fn try_open(path: impl AsRef<Path>) -> Result<SqliteMetastore> {
    SqliteMetastore::open(path, settings(), Arc::new(NoSteps)).await
}

pub(crate) async fn open_with(path: impl AsRef<Path>, steps: Arc<dyn Steps>) -> SqliteMetastore {
    SqliteMetastore::open(path, settings(), steps).await.unwrap()
}

pub(crate) async fn open_read_only(path: impl AsRef<Path>) -> Result<SqliteMetastore> {
    SqliteMetastore::open_read_only(path, settings()).await
}

pub(crate) async fn table(metastore: &dyn Metastore, samples: &Samples, name: &str) -> (TableId, WriterEpoch) {
    let record = metastore.create_table(&samples.table(name)).await.unwrap();
    (record.id, metastore.begin_writer(record.id, &samples.writer()).await.unwrap())
}

/// A commit that adds one file.
pub(crate) fn append(samples: &Samples, of: (TableId, WriterEpoch)) -> TableCommit {
    samples.commit(of.0, of.1, vec![Change::AddFile(Box::new(samples.data_file()))])
}

/// Creates two tables with some history, and two views.
pub(crate) async fn fill(metastore: &dyn Metastore, samples: &Samples) {
    for name in ["one", "other"] {
        let of = table(metastore, samples, name).await;
        for round in 0..12 {
            let base = metastore.load_snapshot(of.0, None).await.unwrap();
            let mut changes = vec![Change::AddFile(Box::new(samples.data_file()))];
            changes.extend(base.files().next().map(|file| Change::AddDeletion(samples.deletion(file.id))));
            changes.push(Change::AddTombstones(samples.tombstones()));
            if round % 3 == 1 {
                changes.extend(base.deletions().next().map(|deletion| Change::RemoveDeletion(deletion.id)));
            }
            if round % 3 == 2 {
                changes.extend(base.files().next().map(|file| Change::RemoveFile(file.id)));
                changes.extend(base.tombstones().next().map(|file| Change::RemoveTombstones(file.id)));
            }
            metastore.commit(&[samples.commit(of.0, of.1, changes)]).await.unwrap();
        }
        let mut last = append(samples, of);
        last.source = Some(samples.source());
        last.expiry = Some(Expiry { keep_from: Sequence::new(1).unwrap(), forget_before: Sequence::ZERO });
        metastore.commit(&[last]).await.unwrap();
        metastore.stage(&append(samples, of)).await.unwrap();
    }
    let views = ["a view", "view"].map(|name| SqlView { default_catalog: Some(name.to_owned()), ..samples.view(name) });
    for view in views {
        metastore.create_view(&view, false).await.unwrap();
    }
}

/// Everything that a metastore returns.
#[derive(Debug, PartialEq)]
pub(crate) struct Contents {
    pub(crate) tables: Vec<TableRecord>,
    pub(crate) logs: Vec<Vec<CommitRecord>>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) blocks: BTreeMap<FileId, BlockChecksums>,
    pub(crate) sources: Vec<Vec<SourcePosition>>,
    pub(crate) staged: Vec<TableCommit>,
    pub(crate) views: Vec<SqlView>,
}

pub(crate) async fn contents(metastore: &dyn Metastore) -> Result<Contents> {
    let mut all = Contents {
        tables: metastore.list_tables().await?,
        logs: Vec::new(),
        snapshots: Vec::new(),
        blocks: BTreeMap::new(),
        sources: Vec::new(),
        staged: Vec::new(),
        views: metastore.list_views().await?,
    };
    for table in &all.tables {
        all.snapshots.push(metastore.load_snapshot(table.id, None).await?);
        all.logs.push(metastore.load_log(table.id).await?);
        all.sources.push(metastore.load_sources(table.id).await?);
        for staged in metastore.load_staged(table.id).await? {
            all.staged.push(staged.commit?);
        }
        for sequence in std::iter::once(0).chain(table.history.kept_from.number()..=table.sequence.number()) {
            let snapshot = metastore.load_snapshot(table.id, Some(Sequence::new(sequence).unwrap())).await?;
            for file in snapshot.files() {
                all.blocks.insert(file.id, metastore.load_blocks(table.id, file.id).await?);
            }
            all.snapshots.push(snapshot);
        }
    }
    Ok(all)
}

/// Damages the page of `cayenne_table` in a closed metastore, so that it appears to hold one table less.
pub(crate) fn hide_a_table(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let root: u32 = connection
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'cayenne_table'", [], |row| row.get(0))
        .unwrap();
    let page_bytes: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    drop(connection);
    let mut bytes = fs::read(path).unwrap();
    let cells_at = usize::try_from((root - 1) * page_bytes + 4).unwrap();
    let cells = bytes.get_mut(cells_at).unwrap();
    assert_eq!(*cells, 2, "the page has one cell for each table");
    *cells = 1;
    fs::write(path, bytes).unwrap();
}

/// Fails one step while armed.
#[derive(Debug)]
pub(crate) struct FailsAt {
    pub(crate) step: Step,
    pub(crate) armed: AtomicBool,
}

impl Steps for FailsAt {
    fn before(&self, step: Step) -> Result<()> {
        if step == self.step && self.armed.load(Ordering::SeqCst) {
            return Err(Error::unavailable("failpoint").code("failpoint"));
        }
        Ok(())
    }
}

/// Stops the writer before one step while it is shut.
#[derive(Debug)]
pub(crate) struct Gate {
    step: Step,
    /// Whether it is shut, and whether the writer waits at it.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn open_at(step: Step) -> Arc<Self> {
        Arc::new(Self { step, state: Mutex::new((false, false)), changed: Condvar::new() })
    }

    pub(crate) fn shut(&self) {
        *self.state.lock().unwrap() = (true, false);
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.changed.notify_all();
    }

    /// Waits until the writer waits at the gate.
    pub(crate) fn wait_for_writer(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |(_, waits)| !*waits).unwrap());
    }
}

impl Steps for Gate {
    fn before(&self, step: Step) -> Result<()> {
        if step == self.step {
            let mut state = self.state.lock().unwrap();
            state.1 = true;
            self.changed.notify_all();
            drop(self.changed.wait_while(state, |(shut, _)| *shut).unwrap());
        }
        Ok(())
    }
}
