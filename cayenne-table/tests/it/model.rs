//! Random operations on a table with a primary key, and on a map: after each they contain the same.
//!
//! The operations come in any order with flushes, folds of deletion files, reopening, collecting and failures at every
//! step of a commit. What is acknowledged is there, what failed is not, and every way of asking gives the same answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use cayenne_deletes::hide_positions;
use cayenne_format::{InlineOptions, OnConflict, TableOptions};
use cayenne_table::{
    ChangeKind, CheckDepth, Database, PinnedView, RowChange, RowChanges, RowPositions, SeenRows, Table,
};
use cayenne_testkit::{LastSteps, stream_of};
use futures::TryStreamExt;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::fixture::{existing, name, open, open_with_steps};

/// Few keys, so that they meet often.
const KEYS: u32 = 40;

/// What kind of key a table has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum KeyType {
    Integer,
    Text,
    Both,
}

impl KeyType {
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Integer => &["number"],
            Self::Text => &["text"],
            Self::Both => &["text", "number"],
        }
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("number", DataType::Int64, false),
        Field::new("value", DataType::UInt32, true),
        Field::new("text", DataType::Utf8, false),
    ]))
}

/// A key is one number in the model, and all of its columns are made of that.
fn numbers_of(key: u32) -> (i64, String) {
    (i64::from(key) * 1_000_003 - 20_000_000, format!("key\0{key}"))
}

type Rows = Vec<(u32, u32)>;

fn batch(rows: &[(u32, u32)]) -> RecordBatch {
    let numbers: Int64Array = rows.iter().map(|(key, _)| Some(numbers_of(*key).0)).collect();
    let values: UInt32Array = rows.iter().map(|(_, value)| value.is_multiple_of(5).then_some(*value)).collect();
    let texts: StringArray = rows.iter().map(|(key, _)| Some(numbers_of(*key).1)).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(numbers), Arc::new(values), Arc::new(texts)]).unwrap()
}

/// Values that are null in the table are 1 in the model.
fn stored(value: u32) -> u32 {
    if value.is_multiple_of(5) { value } else { 1 }
}

#[derive(Clone, Debug)]
enum Operation {
    /// What `on_conflict` says, in one or two streams.
    Append(Rows, Rows),
    Upsert(Rows),
    Overwrite(Rows),
    Apply(Vec<(bool, u32, u32)>),
    /// Takes rows away by where they are.
    Delete(Vec<u32>),
    /// Takes rows away by where they are, and adds them with another value.
    Update(Vec<u32>, u32),
    Truncate,
    Flush,
    Reopen,
    Collect,
    Stage(Rows, bool),
    /// The process ends after some steps of the operation.
    Crash(u8, Box<Operation>),
}

fn rows(max: usize) -> impl Strategy<Value = Rows> {
    prop::collection::vec((0..KEYS, 0_u32..100), 0..max)
}

fn operation() -> impl Strategy<Value = Operation> {
    let keys = || prop::collection::vec(0..KEYS, 0..12);
    let changes = prop::collection::vec((any::<bool>(), 0..KEYS, 0_u32..100), 0..20);
    let simple = prop_oneof![
        5 => (rows(20), rows(6)).prop_map(|(first, second)| Operation::Append(first, second)),
        3 => rows(20).prop_map(Operation::Upsert),
        1 => rows(20).prop_map(Operation::Overwrite),
        4 => changes.prop_map(Operation::Apply),
        4 => keys().prop_map(Operation::Delete),
        3 => (keys(), 0_u32..100).prop_map(|(keys, value)| Operation::Update(keys, value)),
        3 => Just(Operation::Flush),
        1 => Just(Operation::Truncate),
        1 => Just(Operation::Collect),
        1 => (rows(10), any::<bool>()).prop_map(|(rows, publishes)| Operation::Stage(rows, publishes)),
    ];
    prop_oneof![
        10 => simple.clone(),
        2 => Just(Operation::Reopen),
        2 => (0_u8..20, simple).prop_map(|(step, operation)| Operation::Crash(step, Box::new(operation))),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Choices {
    key: KeyType,
    on_conflict: OnConflict,
    /// A write with more rows becomes a file.
    inline_rows: u64,
}

fn choices() -> impl Strategy<Value = Choices> {
    let key = prop_oneof![Just(KeyType::Integer), Just(KeyType::Text), Just(KeyType::Both)];
    let rule = prop_oneof![2 => Just(OnConflict::Upsert), 1 => Just(OnConflict::Drop), 1 => Just(OnConflict::Error)];
    (key, rule, prop_oneof![Just(0_u64), Just(8), Just(1_000)]).prop_map(|(key, on_conflict, inline_rows)| Choices {
        key,
        on_conflict,
        inline_rows,
    })
}

type Content = BTreeMap<u32, u32>;

/// What an operation makes of the content; `None` if it has to fail.
fn on_model(operation: &Operation, on_conflict: OnConflict, before: &Content) -> Option<Content> {
    let mut after = before.clone();
    let mut take_in = |rows: &mut dyn Iterator<Item = &(u32, u32)>, rule: OnConflict| {
        let mut seen = BTreeMap::new();
        for (key, value) in rows {
            match rule {
                OnConflict::Upsert => drop(after.insert(*key, stored(*value))),
                OnConflict::Drop => drop(after.entry(*key).or_insert(stored(*value))),
                OnConflict::Error => {
                    if after.insert(*key, stored(*value)).is_some() || seen.insert(*key, ()).is_some() {
                        return None;
                    }
                }
            }
        }
        Some(())
    };
    match operation {
        Operation::Append(first, second) => take_in(&mut first.iter().chain(second), on_conflict)?,
        Operation::Upsert(rows) => take_in(&mut rows.iter(), OnConflict::Upsert)?,
        Operation::Stage(rows, true) => take_in(&mut rows.iter(), on_conflict)?,
        Operation::Overwrite(rows) => {
            after.clear();
            let empty = Operation::Append(rows.clone(), Vec::new());
            return on_model(&empty, on_conflict, &after);
        }
        Operation::Apply(changes) => {
            for (is_upsert, key, value) in changes {
                if *is_upsert {
                    after.insert(*key, stored(*value))
                } else {
                    after.remove(key)
                };
            }
        }
        Operation::Delete(keys) => after.retain(|key, _| !keys.contains(key)),
        Operation::Update(keys, new) => {
            after.iter_mut().filter(|(key, _)| keys.contains(key)).for_each(|(_, value)| *value = stored(*new));
        }
        Operation::Truncate => after.clear(),
        Operation::Flush | Operation::Reopen | Operation::Collect | Operation::Stage(_, false) => {}
        Operation::Crash(_, inner) => return on_model(inner, on_conflict, before),
    }
    Some(after)
}

struct Run {
    folder: TempDir,
    database: Arc<Database>,
    table: Arc<Table>,
    choices: Choices,
    content: Content,
    /// A view of an earlier moment, with what it has to show.
    earlier: Option<(PinnedView, Content)>,
}

impl Run {
    async fn begin(choices: Choices) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = open(folder.path()).await;
        let options = TableOptions {
            primary_key: choices.key.columns().iter().map(|column| (*column).to_owned()).collect(),
            on_conflict: choices.on_conflict,
            inline: InlineOptions { max_rows: choices.inline_rows, ..InlineOptions::default() },
            ..TableOptions::default()
        };
        let table = database.create_table(&name("t"), &schema(), options).await.unwrap();
        Self { folder, database, table, choices, content: Content::new(), earlier: None }
    }

    async fn reopen(&mut self) {
        self.earlier = None;
        self.database.close().await.unwrap();
        self.database = open(self.folder.path()).await;
        self.table = existing(&self.database, "t").await;
    }

    async fn step(&mut self, operation: &Operation) {
        let expected = on_model(operation, self.choices.on_conflict, &self.content);
        match operation {
            Operation::Reopen => self.reopen().await,
            Operation::Crash(step, inner) => return self.crash(*step, inner, expected).await,
            operation => {
                let done = perform(&self.database, &self.table, operation, self.choices.key).await;
                assert_eq!(done.is_ok(), expected.is_some(), "{operation:?}: {done:?}");
                if let Err(error) = done {
                    assert_eq!(error.stable_code(), "duplicate-key", "{operation:?}");
                }
            }
        }
        self.content = expected.unwrap_or_else(|| self.content.clone());
        self.compare().await;
        let view = self.table.view().await.unwrap();
        if let Some((view, content)) = self.earlier.replace((view, self.content.clone())) {
            assert_eq!(read(&self.table, &view).await, content, "a view of an earlier moment has changed");
        }
    }

    /// Performs an operation in a process that ends after some steps; afterwards it was done wholly or not at all.
    async fn crash(&mut self, at: u8, operation: &Operation, expected: Option<Content>) {
        self.earlier = None;
        self.database.close().await.unwrap();
        let database = open_with_steps(self.folder.path(), Arc::new(LastSteps::after(usize::from(at)))).await;
        let table = existing(&database, "t").await;
        let done = perform(&database, &table, operation, self.choices.key).await;
        drop((table, database));
        self.database = open(self.folder.path()).await;
        self.table = existing(&self.database, "t").await;
        // Becoming the writer publishes what was staged.
        self.table.append(vec![]).await.unwrap();
        let found = read(&self.table, &self.table.view().await.unwrap()).await;
        match expected {
            Some(expected) if found == expected => self.content = expected,
            _ => assert_eq!(found, self.content, "{operation:?} ended after {at} steps: {done:?}"),
        }
        if let (Ok(()), Operation::Stage(_, false)) = (&done, operation) {
            return;
        }
        self.compare().await;
    }

    async fn compare(&self) {
        let view = self.table.view().await.unwrap();
        assert_eq!(read(&self.table, &view).await, self.content);
        assert_eq!(view.snapshot().visible_rows(), Some(self.content.len() as u64), "the exact count equals a scan");
        let asked: Vec<u32> = (0..KEYS + 3).collect();
        let found = find(&self.table, &view, &asked, self.choices.key).await;
        let expected: Vec<u32> = self.content.keys().copied().collect();
        assert_eq!(found, expected, "every key is found, and no other");
    }
}

/// Reads the visible rows of a view.
async fn read(table: &Table, view: &PinnedView) -> Content {
    let mut content = Content::new();
    for file in view.files() {
        let batches: Vec<RecordBatch> = table.read(file).await.unwrap().try_collect().await.unwrap();
        let rows = concat_batches(&schema(), &batches).unwrap();
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

fn decode(rows: &RecordBatch) -> Vec<(u32, u32)> {
    let numbers = rows.column(0).as_primitive::<Int64Type>().values().iter();
    let values = rows.column(1).as_primitive::<UInt32Type>().iter();
    let key = |number: i64| u32::try_from((number + 20_000_000) / 1_000_003).unwrap();
    numbers.zip(values).map(|(number, value)| (key(*number), value.unwrap_or(1))).collect()
}

async fn positions(table: &Table, view: &PinnedView, keys: &[u32], key: KeyType) -> RowPositions {
    let rows: Rows = keys.iter().map(|key| (*key, 0)).collect();
    let rows = batch(&rows);
    let columns: Vec<ArrayRef> = key.columns().iter().map(|name| rows.column_by_name(name).unwrap().clone()).collect();
    table.find(view, &columns).await.unwrap()
}

async fn find(table: &Table, view: &PinnedView, keys: &[u32], key: KeyType) -> Vec<u32> {
    let mut found = Vec::new();
    for (file, rows) in positions(table, view, keys, key).await.files() {
        let file = view.snapshot().file(file).unwrap();
        let batches: Vec<RecordBatch> = table.read(file).await.unwrap().try_collect().await.unwrap();
        let all = decode(&concat_batches(&schema(), &batches).unwrap());
        found.extend(rows.positions().map(|position| all[usize::try_from(position).unwrap()].0));
    }
    found.sort_unstable();
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
        Operation::Delete(keys) => change(table, keys, None, key).await,
        Operation::Update(keys, value) => change(table, keys, Some(*value), key).await,
        Operation::Truncate => table.truncate().await.map(drop),
        Operation::Flush => table.flush().await.map(drop),
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
        Operation::Stage(..) | Operation::Reopen | Operation::Crash(..) => Ok(()),
    }
}

/// What a statement does that has found rows by a scan.
async fn change(table: &Arc<Table>, keys: &[u32], value: Option<u32>, key: KeyType) -> cayenne_format::Result<()> {
    let view = table.view().await?;
    let found = positions(table, &view, keys, key).await;
    let hidden = SeenRows::default();
    let mut old: Rows = Vec::new();
    for (file, rows) in found.files() {
        hidden.add(file, rows.positions());
        let file = view.snapshot().file(file).unwrap();
        let batches: Vec<RecordBatch> = table.read(file).await?.try_collect().await?;
        let all = decode(&concat_batches(&schema(), &batches).unwrap());
        old.extend(rows.positions().map(|position| all[usize::try_from(position).unwrap()]));
    }
    let rows = value.map(|value| {
        let new: Rows = old.iter().map(|(key, _)| (*key, value)).collect();
        stream_of(vec![batch(&new)])
    });
    table.change(RowChange { view: Arc::new(view), hidden, rows: rows.into_iter().collect() }).await.map(drop)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 96 } else { 512 }))]

    #[test]
    fn random_operations_equal_a_map(choices in choices(), operations in prop::collection::vec(operation(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::begin(choices).await;
            for operation in &operations {
                run.step(operation).await;
            }
            run.reopen().await;
            run.compare().await;
        });
    }
}
