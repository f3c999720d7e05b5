//! Random operations on a table with a primary key and on a map: after each of them, both have the same content.
//!
//! The operations are mixed with flushes, compactions, folds of deletion files, reopening, collecting, losing the
//! metastore and failures at every step of a commit. What is acknowledged is there, what failed is not, and every kind
//! of read returns the same. `CAYENNE_MODEL_CASES` is the number of series that each test tries.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use cayenne_deletes::hide_positions;
use cayenne_format::{
    CompactionOptions, Environment, InlineOptions, OnConflict, RetentionOptions, Sequence, SourcePosition, TableOptions,
};
use cayenne_table::{
    ChangeKind, CheckDepth, Database, DatabaseSettings, ImportOptions, PinnedView, RowChange, RowChanges, RowPositions,
    SeenRows, StagedWrite, Table,
};
use cayenne_testkit::{LastSteps, stream_of};
use futures::TryStreamExt;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::fixture::{existing, name, settings};
use crate::model_operations::{Choices, Content, KEYS, Operation, choices, on_model, operation};
use crate::model_rows::{KeyType, Rows, batch, decode, lookup, schema};

/// Rows that were found in a view.
struct Remembered {
    view: PinnedView,
    positions: RowPositions,
    rows: Rows,
}

struct Run {
    folder: TempDir,
    database: Arc<Database>,
    table: Arc<Table>,
    choices: Choices,
    content: Content,
    /// An earlier view, with the content that it has to show.
    earlier: Option<(PinnedView, Content)>,
    remembered: Option<Remembered>,
    staged: Option<(StagedWrite, Rows)>,
    /// The content of the table at each sequence.
    history: BTreeMap<u64, Content>,
}

fn settings_of(choices: Choices) -> DatabaseSettings {
    let bytes = choices.cache_bytes;
    let has_upkeep = choices.looks_after_itself;
    DatabaseSettings { key_index_cache_bytes: bytes, deletion_cache_bytes: bytes, has_upkeep, ..settings() }
}

async fn open(folder: &TempDir, choices: Choices) -> Arc<Database> {
    Database::builder(folder.path()).settings(settings_of(choices)).open().await.unwrap()
}

/// Opens the database in a process that ends after `steps` steps.
async fn open_until(folder: &TempDir, choices: Choices, steps: usize) -> Arc<Database> {
    let environment = Environment { steps: Arc::new(LastSteps::after(steps)), ..Environment::default() };
    Database::builder(folder.path()).settings(settings_of(choices)).environment(environment).open().await.unwrap()
}

/// Options by which few files and few hidden rows begin a pass.
fn eager() -> CompactionOptions {
    CompactionOptions {
        trigger_files: 2,
        trigger_layers: 2,
        max_files_per_pick: 3,
        background_interval_ms: 10,
        ..CompactionOptions::default()
    }
}

impl Run {
    async fn begin(choices: Choices) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder, choices).await;
        let options = TableOptions {
            primary_key: choices.key.columns(),
            on_conflict: choices.on_conflict,
            deletion_mode: choices.deletion_mode,
            inline: InlineOptions { max_rows: choices.inline_rows, ..InlineOptions::default() },
            retention: RetentionOptions { count: choices.kept_snapshots, seconds: 0 },
            compaction: eager(),
            ..TableOptions::default()
        };
        let table = database.create_table(&name("t"), &schema(), options).await.unwrap();
        Self {
            folder,
            database,
            table,
            choices,
            content: Content::new(),
            earlier: None,
            remembered: None,
            staged: None,
            history: BTreeMap::new(),
        }
    }

    /// Drops what belongs to this process.
    fn forget(&mut self) {
        (self.earlier, self.remembered) = (None, None);
    }

    async fn reopen(&mut self) {
        self.forget();
        let staged = self.staged.take().map(|(_, rows)| rows);
        self.database.close().await.unwrap();
        self.database = open(&self.folder, self.choices).await;
        self.table = existing(&self.database, "t").await;
        // Becoming the writer publishes what was staged, unless a key of it exists.
        self.table.append(vec![]).await.unwrap();
        if let Some(rows) = staged {
            let published = on_model(&Operation::Stage(rows, true), self.choices.on_conflict, &self.content);
            assert_eq!(self.table.recovery().rejected.len(), usize::from(published.is_none()));
            self.content = published.unwrap_or_else(|| self.content.clone());
        }
    }

    async fn recover(&mut self) {
        self.discard().await;
        self.forget();
        self.history.clear();
        // A process that was cut off has written no manifest. This one changes something, so that it writes one.
        let taken =
            SourcePosition { stream: "stream".into(), position: self.table.view().await.unwrap().sequence().number() };
        self.table.apply(vec![], Some(taken)).await.unwrap();
        self.database.close().await.unwrap();
        std::fs::remove_dir_all(self.folder.path().join("metadata")).unwrap();
        crate::rebuild::recover(self.folder.path()).await;
        self.database = open(&self.folder, self.choices).await;
        self.table = existing(&self.database, "t").await;
    }

    async fn slice(&mut self) {
        self.discard().await;
        self.forget();
        self.history.clear();
        let slice = tempfile::tempdir().unwrap();
        self.table.export(slice.path()).await.unwrap();
        let import = ImportOptions { name: None, replace: true };
        self.table = self.database.import(slice.path(), import).await.unwrap().0;
    }

    async fn discard(&mut self) {
        if let Some((staged, _)) = self.staged.take() {
            staged.discard().await.unwrap();
        }
    }

    async fn stage(&mut self, rows: &Rows) {
        self.discard().await;
        if !rows.is_empty() {
            self.staged =
                Some((self.table.stage(vec![stream_of(vec![batch(rows)])], None).await.unwrap(), rows.clone()));
        }
    }

    async fn publish(&mut self) {
        let Some((staged, rows)) = self.staged.take() else { return };
        let expected = on_model(&Operation::Stage(rows, true), self.choices.on_conflict, &self.content);
        let published = staged.publish().await;
        assert_eq!(published.is_ok(), expected.is_some(), "{published:?}");
        self.content = expected.unwrap_or_else(|| self.content.clone());
    }

    async fn remember(&mut self, keys: &[u32]) {
        let view = self.table.view().await.unwrap();
        let positions = positions(&self.table, &view, keys, self.choices.key).await;
        let rows = rows_at(&self.table, &view, &positions).await;
        self.remembered = Some(Remembered { view, positions, rows });
    }

    async fn change_remembered(&mut self, new: Option<u32>) {
        let Some(Remembered { view, positions, rows }) = self.remembered.take() else { return };
        let still: Rows = rows.iter().copied().filter(|(key, value)| self.content.get(key) == Some(value)).collect();
        let changed = change(&self.table, view, &positions, &rows, new).await;
        if new.is_some() && !rows.is_empty() && still.len() < rows.len() {
            assert_eq!(changed.unwrap_err().stable_code(), "row-changed");
            return;
        }
        changed.unwrap();
        for (key, _) in still {
            match new {
                Some(value) => self.content.insert(key, value),
                None => self.content.remove(&key),
            };
        }
    }

    async fn step(&mut self, operation: &Operation) {
        match operation {
            Operation::Reopen => self.reopen().await,
            Operation::Recover => self.recover().await,
            Operation::Slice => self.slice().await,
            Operation::Remember(keys) => self.remember(keys).await,
            Operation::ChangeRemembered(new) => self.change_remembered(*new).await,
            Operation::StageForLater(rows) => self.stage(rows).await,
            Operation::Publish => self.publish().await,
            Operation::Crash(step, inner) => self.crash(*step, inner).await,
            operation => {
                let expected = on_model(operation, self.choices.on_conflict, &self.content);
                let done = perform(&self.database, &self.table, operation, self.choices.key).await;
                assert_eq!(done.is_ok(), expected.is_some(), "{operation:?}: {done:?}");
                if let Err(error) = done {
                    assert_eq!(error.stable_code(), "duplicate-key", "{operation:?}");
                }
                self.content = expected.unwrap_or_else(|| self.content.clone());
            }
        }
        self.compare().await;
        let view = self.table.view().await.unwrap();
        if let Some((view, content)) = self.earlier.replace((view, self.content.clone())) {
            assert_eq!(read(&self.table, &view).await, content, "a view of an earlier moment has changed");
        }
    }

    /// Performs an operation in a process that ends after some steps. Afterwards, the operation was done completely or
    /// not at all.
    async fn crash(&mut self, at: u8, operation: &Operation) {
        let expected = on_model(operation, self.choices.on_conflict, &self.content);
        self.discard().await;
        self.forget();
        self.database.close().await.unwrap();
        let database = open_until(&self.folder, self.choices, usize::from(at)).await;
        let table = existing(&database, "t").await;
        let done = perform(&database, &table, operation, self.choices.key).await;
        if self.choices.looks_after_itself {
            // Background work ends with the process.
            database.close().await.ok();
        }
        drop((table, database));
        self.database = open(&self.folder, self.choices).await;
        self.table = existing(&self.database, "t").await;
        // Becoming the writer publishes what was staged.
        self.table.append(vec![]).await.unwrap();
        let found = read(&self.table, &self.table.view().await.unwrap()).await;
        let staged = match operation {
            Operation::Stage(rows, false) => {
                on_model(&Operation::Stage(rows.clone(), true), self.choices.on_conflict, &self.content)
            }
            _ => None,
        };
        let may_be = [expected, staged].into_iter().flatten().find(|may_be| *may_be == found);
        assert!(may_be.is_some() || found == self.content, "{operation:?} ended after {at} steps: {done:?}");
        self.content = found;
    }

    async fn compare(&mut self) {
        let view = self.table.view().await.unwrap();
        assert_eq!(read(&self.table, &view).await, self.content);
        let counted = self.table.visible_rows(&view).await.unwrap();
        assert_eq!(counted, self.content.len() as u64, "the exact count equals a scan");
        let asked: Vec<u32> = (0..KEYS + 3).collect();
        let found = positions(&self.table, &view, &asked, self.choices.key).await;
        let found: Content = rows_at(&self.table, &view, &found).await.into_iter().collect();
        assert_eq!(found, self.content, "every key is found, and no other");
        let sequence = view.sequence().number();
        self.history.insert(sequence, self.content.clone());
        let earlier = sequence.saturating_sub(2 + u64::from(self.content.len().is_multiple_of(2)));
        if let (Some(then), true) = (self.history.get(&earlier), earlier > 0)
            && let Ok(view) = self.table.view_at(Sequence::new(earlier).unwrap()).await
        {
            assert_eq!(read(&self.table, &view).await, *then, "the past has changed");
        }
    }
}

/// Reads the visible rows of a view.
async fn read(table: &Table, view: &PinnedView) -> Content {
    let mut content = Content::new();
    for file in view.files() {
        let batches: Vec<RecordBatch> = table.read(file).await.unwrap().try_collect().await.unwrap();
        let rows = concat_batches(table.schema(), &batches).unwrap();
        let rows = match table.hidden(view, file).await.unwrap() {
            None => rows,
            Some(hidden) => hide_positions(&rows, 0, &hidden).unwrap(),
        };
        for (key, value) in decode(&rows) {
            assert!(content.insert(key, value).is_none(), "key {key} is visible twice");
        }
    }
    content
}

async fn positions(table: &Table, view: &PinnedView, keys: &[u32], key: KeyType) -> RowPositions {
    let spelling = u32::try_from(view.sequence().number()).unwrap();
    table.find(view, &lookup(keys, key, spelling)).await.unwrap()
}

async fn rows_at(table: &Table, view: &PinnedView, positions: &RowPositions) -> Rows {
    let mut found = Vec::new();
    for (file, rows) in positions.files() {
        let file = view.snapshot().file(file).unwrap();
        let batches: Vec<RecordBatch> = table.read(file).await.unwrap().try_collect().await.unwrap();
        let all = decode(&concat_batches(table.schema(), &batches).unwrap());
        found.extend(rows.positions().map(|position| all[usize::try_from(position).unwrap()]));
    }
    // Reading them one by one returns the same rows.
    let columns: Vec<usize> = (0..table.schema().fields().len()).rev().collect();
    let single = table.rows_at(view, positions, &columns).await.unwrap();
    assert_eq!(single.iter().flat_map(decode).collect::<Rows>(), found);
    found
}

async fn perform(
    database: &Database,
    table: &Arc<Table>,
    operation: &Operation,
    key: KeyType,
) -> cayenne_format::Result<()> {
    let stream = |rows: &Rows| stream_of(vec![batch(rows)]);
    match operation {
        Operation::Append(first, second) => table.append(vec![stream(first), stream(second)]).await.map(drop),
        Operation::Upsert(rows) => table.upsert(vec![stream(rows)]).await.map(drop),
        Operation::Overwrite(rows) => table.overwrite(vec![stream(rows)]).await.map(drop),
        Operation::Apply(changes) => {
            let kind = |is_upsert| if is_upsert { ChangeKind::Upsert } else { ChangeKind::Delete };
            let halves = changes.split_at(changes.len() / 2);
            let batches = [halves.0, halves.1].map(|half| RowChanges {
                kinds: half.iter().map(|(is_upsert, ..)| kind(*is_upsert)).collect(),
                rows: batch(&half.iter().map(|(_, key, value)| (*key, *value)).collect::<Rows>()),
            });
            table.apply(batches.into(), None).await.map(drop)
        }
        Operation::Delete(keys) => find_and_change(table, keys, None, key).await,
        Operation::Update(keys, value) => find_and_change(table, keys, Some(*value), key).await,
        Operation::Truncate => table.truncate().await.map(drop),
        Operation::Flush => table.flush().await.map(drop),
        Operation::Compact(max_files) => table.compact(Some(*max_files)).await.map(drop),
        Operation::Collect => {
            database.collect(true).await?;
            let problems = database.check(CheckDepth::Deep).await?.problems;
            assert!(problems.is_empty(), "{problems:?}");
            Ok(())
        }
        Operation::Stage(rows, publishes) if !rows.is_empty() => {
            let staged = table.stage(vec![stream(rows)], None).await?;
            if *publishes { staged.publish().await.map(drop) } else { staged.discard().await }
        }
        _ => Ok(()),
    }
}

/// Does what a statement does that has found rows by a scan.
async fn find_and_change(
    table: &Arc<Table>,
    keys: &[u32],
    value: Option<u32>,
    key: KeyType,
) -> cayenne_format::Result<()> {
    let view = table.view().await?;
    let found = positions(table, &view, keys, key).await;
    let old = rows_at(table, &view, &found).await;
    change(table, view, &found, &old, value).await
}

async fn change(
    table: &Arc<Table>,
    view: PinnedView,
    found: &RowPositions,
    old: &Rows,
    value: Option<u32>,
) -> cayenne_format::Result<()> {
    let hidden = SeenRows::default();
    for (file, rows) in found.files() {
        hidden.add(file, rows.positions());
    }
    let rows = value.map(|value| {
        let new: Rows = old.iter().map(|(key, _)| (*key, value)).collect();
        stream_of(vec![batch(&new)])
    });
    table.change(RowChange { view: Arc::new(view), hidden, rows: rows.into_iter().collect() }).await.map(drop)
}

/// The number of series of one test. With some thirty operations each, all tests together try ten thousand operations.
fn config() -> ProptestConfig {
    let cases = std::env::var("CAYENNE_MODEL_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(cases.unwrap_or(56))
}

fn run(choices: Choices, operations: Vec<Operation>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::begin(choices).await;
        for (operation, stamp) in operations.into_iter().zip(1..) {
            run.step(&operation.stamped(stamp)).await;
        }
        run.reopen().await;
        run.compare().await;
    });
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operation(), 1..60)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_operations_equal_a_map(choices in choices(), operations in operations()) {
        run(choices, operations);
    }

    #[test]
    fn random_operations_on_inline_rows_equal_a_map(choices in choices(), operations in operations()) {
        run(Choices { inline_rows: 1_000, ..choices }, operations);
    }

    #[test]
    fn random_operations_on_files_equal_a_map(choices in choices(), operations in operations()) {
        run(Choices { inline_rows: 0, ..choices }, operations);
    }

    #[test]
    fn random_upserts_of_files_and_inline_rows_equal_a_map(choices in choices(), operations in operations()) {
        run(Choices { inline_rows: 8, on_conflict: OnConflict::Upsert, ..choices }, operations);
    }

    #[test]
    fn random_writes_that_leave_known_keys_out_equal_a_map(choices in choices(), operations in operations()) {
        run(Choices { on_conflict: OnConflict::Drop, ..choices }, operations);
    }

    #[test]
    fn random_writes_that_refuse_known_keys_equal_a_map(choices in choices(), operations in operations()) {
        run(Choices { on_conflict: OnConflict::Error, ..choices }, operations);
    }
}
