//! Random histories. The backend and the model run each step, and must agree on whether it is accepted, on why it is
//! refused, and on every snapshot.

use std::sync::Arc;

use cayenne_format::{
    Change, ErrorKind, Expiry, FileId, Requirement, Result, Sequence, Snapshot, SourcePosition, TableCommit, TableId,
    WriterEpoch,
};

use super::model::{Model, ModelTable};
use super::sample::Samples;
use crate::{Beginning, Metastore, TableKey};

/// The most tables at a time, so that each gets a history.
const TABLES_MAX: usize = 3;

/// The backend that a history runs on.
pub(super) trait Backend {
    fn metastore(&self) -> &dyn Metastore;

    /// Closes and reopens the metastore, if it can be reopened.
    async fn reopen(&mut self);
}

/// A backend that stays open for the whole history.
pub(super) struct Stays(pub(super) Arc<dyn Metastore>);

impl Backend for Stays {
    fn metastore(&self) -> &dyn Metastore {
        self.0.as_ref()
    }

    async fn reopen(&mut self) {}
}

/// A backend that is closed and reopened.
pub(super) struct Reopens<F> {
    pub(super) metastore: Arc<dyn Metastore>,
    pub(super) open: F,
}

impl<F: AsyncFn() -> Arc<dyn Metastore>> Backend for Reopens<F> {
    fn metastore(&self) -> &dyn Metastore {
        self.metastore.as_ref()
    }

    async fn reopen(&mut self) {
        self.metastore.close().await.expect("close");
        self.metastore = (self.open)().await;
    }
}

/// Runs one history.
pub(super) async fn run(seed: u64, steps: u32, backend: &mut impl Backend) {
    let mut history = History { samples: Samples::new(seed), model: Model::default(), names: 0 };
    for step in 0..steps {
        let place = format!("seed {seed}, step {step}");
        if history.samples.percent(1) {
            backend.reopen().await;
        }
        history.step(backend.metastore(), &place).await;
    }
    history.compare_all(backend.metastore(), &format!("seed {seed}, at the end")).await;
    backend.metastore().close().await.expect("close");
}

struct History {
    samples: Samples,
    model: Model,
    names: u32,
}

impl History {
    async fn step(&mut self, metastore: &dyn Metastore, place: &str) {
        match self.samples.below(100) {
            0..5 => self.create(metastore, place).await,
            5 => self.drop(metastore, place).await,
            6..10 => self.begin_writer(metastore, place).await,
            10..22 => self.look_back(metastore, place).await,
            22..24 => self.compare_all(metastore, place).await,
            24..28 => self.stage(metastore, place).await,
            28..30 => self.discard_staged(metastore, place).await,
            30..33 => self.expire(metastore, place).await,
            33..36 => self.change_views(metastore, place).await,
            _ => self.commit(metastore, place).await,
        }
    }

    async fn create(&mut self, metastore: &dyn Metastore, place: &str) {
        if self.model.tables.len() >= TABLES_MAX {
            return;
        }
        // Some names are already in use.
        self.names += u32::from(self.samples.percent(80));
        let mut new = self.samples.table(&format!("t{}", self.names));
        if self.samples.percent(10) {
            new.id = self.some_table();
        }
        new.begins = self.some_beginning(new.id);
        if self.samples.percent(10) {
            let replaced = self.some_table();
            new.replaces = Some((replaced, self.some_epoch(replaced)));
        }
        let expected = self.model.create(&new);
        let found = metastore.create_table(&new).await;
        agree(&expected, &found.map(|_| ()), place);
    }

    /// Creates, replaces or drops a view. Sometimes its name is that of a table.
    async fn change_views(&mut self, metastore: &dyn Metastore, place: &str) {
        let tables: Vec<_> = self.model.tables.values().map(|table| table.name.to_string()).collect();
        let of_table = self.samples.one_of(&tables).filter(|_| self.samples.percent(20)).cloned();
        let name = of_table.unwrap_or_else(|| format!("t{}", u64::from(self.names) + self.samples.below(4)));
        let view = self.samples.view(&name);
        if self.samples.percent(40) {
            let expected = Ok(self.model.views.remove(&view.name).is_some());
            agree(&expected, &metastore.drop_view(&view.name).await, place);
        } else {
            let replace = self.samples.percent(50);
            let expected = self.model.create_view(&view, replace);
            agree(&expected, &metastore.create_view(&view, replace).await, place);
        }
        let found = metastore.find_view(&view.name).await.expect(place);
        assert_eq!(found.as_ref(), self.model.views.get(&view.name), "{place}");
    }

    fn some_beginning(&mut self, id: TableId) -> Beginning {
        match self.samples.below(10) {
            0..5 => {
                let changes = changes(&self.samples, &Snapshot::empty(id), None);
                Beginning::FirstRows(Box::new(self.samples.commit(id, WriterEpoch::NONE, changes)))
            }
            5..8 => {
                let of = self.some_table();
                let mut state = self.model.tables.get(&of).map(ModelTable::state).unwrap_or_default();
                if self.samples.percent(10) {
                    state.sequence = Sequence::new(self.samples.below(9)).expect("small");
                }
                Beginning::Restored(Box::new(self.samples.restored(state)))
            }
            _ => Beginning::Empty,
        }
    }

    async fn drop(&mut self, metastore: &dyn Metastore, place: &str) {
        let table = self.some_table();
        let epoch = self.some_epoch(table);
        let expected = self.model.drop(table, epoch);
        agree(&expected, &metastore.drop_table(table, epoch).await, place);
    }

    async fn begin_writer(&mut self, metastore: &dyn Metastore, place: &str) {
        let table = self.some_table();
        let expected = self.model.table(table).map(|table| {
            table.epoch = WriterEpoch::new(table.epoch.number() + 1);
            table.epoch
        });
        agree(&expected, &metastore.begin_writer(table, &self.samples.writer()).await, place);
    }

    async fn commit(&mut self, metastore: &dyn Metastore, place: &str) {
        let tables = if self.samples.percent(80) { 1 } else { 1 + self.samples.below(3) };
        let commits: Vec<_> = (0..tables).map(|_| self.some_commit()).collect();
        let expected = self.model.commit(&commits);
        agree(&expected, &metastore.commit(&commits).await, place);
        for commit in &commits {
            self.compare_latest(metastore, commit.table, place).await;
        }
    }

    async fn expire(&mut self, metastore: &dyn Metastore, place: &str) {
        let table = self.some_table();
        let epoch = self.some_epoch(table);
        let nothing = Expiry { keep_from: Sequence::ZERO, forget_before: Sequence::ZERO };
        let expiry = self.model.tables.get(&table).map_or(nothing, |table| expiry(&self.samples, table));
        let expected = self.model.table(table).and_then(|table| table.expire(epoch, &expiry));
        agree(&expected, &metastore.expire(table, epoch, &expiry).await, place);
    }

    async fn stage(&mut self, metastore: &dyn Metastore, place: &str) {
        let commit = self.some_commit();
        let expected = self.model.stage(&commit);
        agree(&expected, &metastore.stage(&commit).await, place);
        self.compare_staged(metastore, commit.table, place).await;
    }

    async fn discard_staged(&mut self, metastore: &dyn Metastore, place: &str) {
        let table = self.some_table();
        let epoch = self.some_epoch(table);
        let staged = self.some_staged(table).map(|commit| commit.id);
        let commit = staged.unwrap_or_else(|| self.some_commit().id);
        let expected = self.model.discard_staged(table, epoch, commit);
        agree(&expected, &metastore.discard_staged(table, epoch, commit).await, place);
        self.compare_staged(metastore, table, place).await;
    }

    async fn compare_staged(&mut self, metastore: &dyn Metastore, table: TableId, place: &str) {
        let expected: Result<Vec<TableCommit>> =
            self.model.table(table).map(|table| table.staged.values().cloned().collect());
        let found = metastore.load_staged(table).await;
        let found = found.and_then(|staged| staged.into_iter().map(|staged| staged.commit).collect());
        agree(&expected, &found, place);
    }

    async fn look_back(&mut self, metastore: &dyn Metastore, place: &str) {
        let table = self.some_table();
        let latest = self.model.table(table).map(|table| table.latest().sequence().number()).unwrap_or_default();
        let at = Sequence::new(self.samples.below(latest + 3)).expect("small");
        let expected = self.model.table(table).and_then(|table| table.at(at));
        agree(&expected, &metastore.load_snapshot(table, Some(at)).await, place);
    }

    async fn compare_latest(&mut self, metastore: &dyn Metastore, table: TableId, place: &str) {
        let expected = self.model.table(table).map(|table| table.latest().clone());
        agree(&expected, &metastore.load_snapshot(table, None).await, place);
    }

    /// Compares everything: the list of tables, every log, and the checksums of every file.
    async fn compare_all(&mut self, metastore: &dyn Metastore, place: &str) {
        let records = metastore.list_tables().await.expect(place);
        let found: Vec<_> = records
            .iter()
            .map(|record| (record.name.clone(), record.id, record.sequence, record.epoch, record.history))
            .collect();
        let mut expected: Vec<_> = self
            .model
            .tables
            .iter()
            .map(|(id, table)| (table.name.clone(), *id, table.latest().sequence(), table.epoch, table.history))
            .collect();
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(found, expected, "the list of tables, {place}");
        let views: Vec<_> = self.model.views.values().cloned().collect();
        assert_eq!(metastore.list_views().await.expect(place), views, "the list of views, {place}");
        for record in records {
            for key in [TableKey::Id(record.id), TableKey::Name(record.name.clone())] {
                assert_eq!(metastore.find_table(&key).await.expect(place).as_ref(), Some(&record), "{key:?}, {place}");
            }
            self.compare_staged(metastore, record.id, place).await;
        }
        for (id, table) in &self.model.tables {
            assert_eq!(metastore.load_log(*id).await.expect(place), table.kept_log(), "the log of {id}, {place}");
            let expected = table
                .sources
                .iter()
                .map(|(stream, (position, _))| SourcePosition { stream: stream.clone(), position: *position });
            assert_eq!(
                metastore.load_sources(*id).await.expect(place),
                expected.collect::<Vec<_>>(),
                "the sources of {id}, {place}"
            );
            compare_blocks(metastore, *id, table, place).await;
            compare_deletions(metastore, *id, table, place).await;
        }
    }

    fn some_table(&mut self) -> TableId {
        let tables: Vec<_> = self.model.tables.keys().copied().collect();
        let table = if self.samples.percent(98) { self.samples.one_of(&tables) } else { None };
        let gone = self.samples.one_of(&self.model.dropped).copied();
        table.copied().or(gone).unwrap_or_else(|| self.samples.table_id())
    }

    fn some_epoch(&mut self, table: TableId) -> WriterEpoch {
        let epoch = self.model.table(table).map(|table| table.epoch.number()).unwrap_or_default();
        let epoch = if self.samples.percent(95) { epoch } else { self.samples.below(epoch + 2) };
        WriterEpoch::new(epoch)
    }

    fn some_staged(&self, table: TableId) -> Option<&TableCommit> {
        self.model.tables.get(&table).and_then(|table| table.staged.values().next())
    }

    fn some_commit(&mut self) -> TableCommit {
        let id = self.some_table();
        let epoch = self.some_epoch(id);
        let Some(table) = self.model.tables.get(&id) else {
            return self.samples.commit(id, epoch, Vec::new());
        };
        let changes = changes(&self.samples, table.latest(), Some(table));
        let mut commit = self.samples.commit(id, epoch, changes);
        commit.requires = requirements(&self.samples, table);
        commit.source = self.samples.percent(15).then(|| self.samples.source());
        commit.expiry = self.samples.percent(10).then(|| expiry(&self.samples, table));
        if let Some(staged) = self.some_staged(id).filter(|_| self.samples.percent(10)) {
            // The staged commit is published, sometimes with another content than was staged. It is no longer staged
            // either way.
            commit.id = staged.id;
        }
        if let Some(earlier) = self.samples.one_of(&table.log).filter(|_| self.samples.percent(5)) {
            commit.id = earlier.id;
        }
        commit
    }
}

async fn compare_blocks(metastore: &dyn Metastore, id: TableId, table: &ModelTable, place: &str) {
    for (file, blocks) in &table.files {
        let found = metastore.load_blocks(id, *file).await;
        assert_eq!(found.as_ref().ok(), blocks.as_ref(), "the checksums of {file}, {place}");
        assert!(found.is_ok() || found.is_err_and(|error| error.kind() == ErrorKind::NotFound), "{place}");
    }
}

/// Checks that each deletion and tombstone file is known exactly as long as a snapshot that is not forgotten has it.
async fn compare_deletions(metastore: &dyn Metastore, id: TableId, table: &ModelTable, place: &str) {
    for file in &table.deletions {
        let known = table.snapshots.iter().any(|snapshot| {
            snapshot.deletion(*file).is_some() || snapshot.tombstones().any(|tombstones| tombstones.id == *file)
        });
        assert_eq!(metastore.knows_deletion(id, *file).await.expect(place), known, "deletion file {file}, {place}");
    }
}

/// Returns an expiry that mostly goes no further than permitted, and sometimes a little further.
fn expiry(samples: &Samples, table: &ModelTable) -> Expiry {
    let up_to = |end: u64| Sequence::new(samples.below(end)).expect("small");
    Expiry {
        keep_from: up_to(table.latest().sequence().number() + 3),
        forget_before: up_to(table.history.kept_from.number() + 1 + u64::from(samples.percent(5))),
    }
}

fn requirements(samples: &Samples, table: &ModelTable) -> Vec<Requirement> {
    let latest = table.latest();
    match samples.below(10) {
        0..2 => vec![Requirement::SnapshotIs(latest.sequence())],
        2 => {
            vec![Requirement::SnapshotIs(Sequence::new(samples.below(latest.sequence().number() + 2)).expect("small"))]
        }
        3..5 => vec![Requirement::FilesLive(latest.files().take(3).map(|file| file.id).collect())],
        5 => {
            let known: Vec<_> = table.files.keys().copied().collect();
            vec![Requirement::FilesLive(samples.one_of(&known).copied().into_iter().collect())]
        }
        _ => Vec::new(),
    }
}

/// Returns up to six changes that mostly fit `base`, and sometimes do not.
fn changes(samples: &Samples, base: &Snapshot, table: Option<&ModelTable>) -> Vec<Change> {
    let known: Vec<FileId> = table.map(|table| table.files.keys().copied().collect()).unwrap_or_default();
    let mut changes: Vec<Change> = Vec::new();
    for _ in 0..samples.below(7) {
        let added: Vec<FileId> = changes
            .iter()
            .filter_map(|change| match change {
                Change::AddFile(new) => Some(new.file.id),
                _ => None,
            })
            .collect();
        let pool = match samples.below(40) {
            0 => known.clone(),
            1..5 => added,
            _ => base.files().map(|file| file.id).collect(),
        };
        let file = samples.one_of(&pool).copied().unwrap_or_else(|| samples.file_id());
        changes.push(change(samples, base, file));
    }
    changes
}

fn change(samples: &Samples, base: &Snapshot, file: FileId) -> Change {
    let deletions: Vec<_> = base.deletions().map(|deletion| deletion.id).collect();
    let tombstones: Vec<_> = base.tombstones().map(|tombstone| tombstone.id).collect();
    match samples.below(20) {
        0..7 => Change::AddFile(Box::new(samples.data_file())),
        7 if samples.percent(30) => {
            // Adds a file that the table has or had before.
            let mut new = samples.data_file();
            new.file.id = file;
            Change::AddFile(Box::new(new))
        }
        8..11 => Change::RemoveFile(file),
        11..15 => {
            let mut deletion = samples.deletion(file);
            if samples.percent(5) {
                deletion.id = samples.one_of(&deletions).copied().unwrap_or(deletion.id);
            }
            Change::AddDeletion(deletion)
        }
        15 if !deletions.is_empty() || samples.percent(10) => {
            Change::RemoveDeletion(samples.one_of(&deletions).copied().unwrap_or(file))
        }
        16 if !deletions.is_empty() && samples.percent(60) => {
            let drawn = |_| samples.one_of(&deletions).copied().unwrap_or(file);
            let of: Vec<_> = (0..samples.below(3)).map(drawn).collect();
            // Mostly on the data file of the folded deletions, as a writer folds them.
            let same = of.first().and_then(|id| base.deletion(*id)).map(|deletion| deletion.data_file);
            let file = if samples.percent(90) { same.unwrap_or(file) } else { file };
            Change::FoldDeletions { into: samples.deletion(file), of }
        }
        16 if !tombstones.is_empty() || samples.percent(10) => {
            Change::RemoveTombstones(samples.one_of(&tombstones).copied().unwrap_or(file))
        }
        _ => {
            let mut new = samples.tombstones();
            if samples.percent(5) {
                new.id = samples.one_of(&tombstones).copied().unwrap_or(new.id);
            }
            Change::AddTombstones(new)
        }
    }
}

/// Asserts that both accepted with the same result, or that both refused for the same reason.
fn agree<T: PartialEq + std::fmt::Debug>(expected: &Result<T>, found: &Result<T>, place: &str) {
    match (expected, found) {
        (Ok(expected), Ok(found)) => assert!(expected == found, "{place}: expected {expected:#?}, found {found:#?}"),
        (Err(expected), Err(found)) => {
            assert_eq!(expected.kind(), found.kind(), "{place}: expected {expected:?}, found {found:?}");
            let fenced = [expected, found].map(|error| error.stable_code() == "fenced");
            assert_eq!(fenced[0], fenced[1], "{place}: expected {expected:?}, found {found:?}");
        }
        _ => assert!(expected.is_ok() == found.is_ok(), "{place}: expected {expected:?}, found {found:?}"),
    }
}
