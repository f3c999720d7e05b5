//! Random histories of several tables whose metastore is destroyed in some way, and what recovery brings back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cayenne_format::{InlineOptions, SourcePosition, TableOptions};
use cayenne_table::{CheckDepth, Database, RecoveredFrom};
use cayenne_testkit::numbers_schema;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::fixture::{existing, name, open, read, rows};
use crate::rebuild::{recover, require_recovered};
use crate::tree::{as_left_by_a_crash, lost, tree};

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Action {
    Create { inline: bool },
    Append(i64),
    AppendFrom(i64),
    Overwrite(i64),
    Truncate,
    Flush,
    Drop,
}

#[derive(Clone, Debug)]
enum Ruin {
    RemoveFolder,
    RemoveFile,
    Cut(prop::sample::Index),
    Zero,
    Flip(Vec<(prop::sample::Index, u8)>),
    Foreign,
    /// The database file stays as it is, and the write-ahead log is removed.
    RemoveLog,
}

/// The actions of one process, and whether it closes the database.
type Process = (Vec<(usize, Action)>, bool);

fn process() -> impl Strategy<Value = Process> {
    let action = prop_oneof![
        3 => any::<bool>().prop_map(|inline| Action::Create { inline }),
        3 => (1_i64..40).prop_map(Action::Append),
        3 => (1_i64..40).prop_map(Action::AppendFrom),
        1 => (0_i64..40).prop_map(Action::Overwrite),
        1 => Just(Action::Truncate),
        1 => Just(Action::Flush),
        1 => Just(Action::Drop),
    ];
    (prop::collection::vec((0..NAMES.len(), action), 1..10), prop::bool::weighted(0.8))
}

fn ruin() -> impl Strategy<Value = Ruin> {
    prop_oneof![
        Just(Ruin::RemoveFolder),
        Just(Ruin::RemoveFile),
        any::<prop::sample::Index>().prop_map(Ruin::Cut),
        Just(Ruin::Zero),
        prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..40).prop_map(Ruin::Flip),
        Just(Ruin::Foreign),
        Just(Ruin::RemoveLog),
    ]
}

/// What a table contains: count and sum of its rows, its sequence, and the last position of its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Contents {
    rows: (usize, i64),
    sequence: u64,
    position: u64,
}

#[derive(Clone, Debug, Default)]
struct Model {
    now: BTreeMap<&'static str, Contents>,
    /// The contents that the manifests tell.
    told: BTreeMap<&'static str, Contents>,
}

fn options(inline: bool) -> TableOptions {
    let on_demand = InlineOptions {
        max_rows: 20,
        flush_max_rows: u64::MAX,
        flush_max_segments: 0,
        flush_max_bytes: 0,
        ..InlineOptions::default()
    };
    TableOptions { inline: if inline { on_demand } else { InlineOptions::OFF }, ..TableOptions::default() }
}

fn source(position: u64) -> SourcePosition {
    SourcePosition { stream: "s".into(), position }
}

async fn take(database: &Database, model: &mut Model, of: &'static str, action: &Action) {
    let Some(mut now) = model.now.get(of).copied() else {
        if let Action::Create { inline } = action {
            database.create_table(&name(of), &numbers_schema(), options(*inline)).await.unwrap();
            model.now.insert(of, Contents::default());
        }
        return;
    };
    let t = existing(database, of).await;
    let sum = |count: i64| (0..count).sum::<i64>();
    let length = |count: i64| usize::try_from(count).unwrap();
    match action {
        Action::Create { .. } => {}
        Action::Append(count) => {
            t.append(rows(0..*count)).await.unwrap();
            now.rows = (now.rows.0 + length(*count), now.rows.1 + sum(*count));
        }
        Action::AppendFrom(count) => {
            now.position += 1;
            assert!(!t.append_from(source(now.position), rows(0..*count)).await.unwrap().is_repeated);
            now.rows = (now.rows.0 + length(*count), now.rows.1 + sum(*count));
        }
        Action::Overwrite(count) => {
            t.overwrite(rows(0..*count)).await.unwrap();
            now.rows = (length(*count), sum(*count));
        }
        Action::Truncate => {
            t.truncate().await.unwrap();
            now.rows = (0, 0);
        }
        Action::Flush => drop(t.flush().await.unwrap()),
        Action::Drop => {
            assert!(database.drop_table(&name(of)).await.unwrap());
            model.now.remove(of);
            model.told.remove(of);
            return;
        }
    }
    now.sequence = t.view().await.unwrap().sequence().number();
    model.now.insert(of, now);
}

/// Destroys the metastore, and returns whether nothing of it can be left.
fn destroy(root: &Path, ruin: &Ruin) -> bool {
    let file = root.join("metadata/cayenne.db");
    let mut bytes = std::fs::read(&file).unwrap();
    match ruin {
        Ruin::RemoveFolder => std::fs::remove_dir_all(root.join("metadata")).unwrap(),
        Ruin::RemoveFile => std::fs::remove_file(&file).unwrap(),
        Ruin::Cut(at) => std::fs::write(&file, &bytes[..at.index(bytes.len().min(4096))]).unwrap(),
        Ruin::Zero => std::fs::write(&file, vec![0; bytes.len()]).unwrap(),
        Ruin::Flip(at) => {
            for (at, bit) in at {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            std::fs::write(&file, bytes).unwrap();
        }
        Ruin::Foreign => {
            // The application id of the SQLite file.
            bytes[68..72].copy_from_slice(b"GPKG");
            std::fs::write(&file, bytes).unwrap();
        }
        Ruin::RemoveLog => drop(std::fs::remove_file(root.join("metadata/cayenne.db-wal"))),
    }
    !matches!(ruin, Ruin::Flip(_) | Ruin::RemoveLog)
}

async fn live_through(processes: &[Process]) -> (tempfile::TempDir, Model) {
    let mut folder = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    for (number, (actions, closes)) in processes.iter().enumerate() {
        let database = open(folder.path()).await;
        for (at, action) in actions {
            take(&database, &mut model, NAMES[*at], action).await;
        }
        // Only the last process may end without closing: another test covers what crashes leave.
        let is_last = number + 1 == processes.len();
        let crashed = (!closes && is_last).then(|| as_left_by_a_crash(folder.path()));
        database.close().await.unwrap();
        if let Some(crashed) = crashed {
            folder = crashed;
        } else {
            model.told = model.now.clone();
        }
    }
    (folder, model)
}

async fn require(root: &Path, expected: &BTreeMap<&'static str, Contents>) {
    let database = open(root).await;
    let names: Vec<_> = database.tables().await.unwrap().into_iter().map(|record| record.name.to_string()).collect();
    assert_eq!(names, expected.keys().copied().collect::<Vec<_>>());
    let report = database.check(CheckDepth::Deep).await.unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    for (of, contents) in expected {
        let t = existing(&database, of).await;
        assert_eq!(read(&t).await, contents.rows, "{of}");
        assert_eq!(t.view().await.unwrap().sequence().number(), contents.sequence, "{of}");
        if contents.position > 0 {
            assert!(t.append_from(source(contents.position), rows(0..3)).await.unwrap().is_repeated, "{of}");
        }
        assert!(!t.append_from(source(contents.position + 1), rows(0..3)).await.unwrap().is_repeated, "{of}");
        let (count, sum) = contents.rows;
        assert_eq!(read(&t).await, (count + 3, sum + 3), "{of}");
    }
    database.close().await.unwrap();
}

async fn ruin_and_recover(processes: Vec<Process>, ruin: Ruin) {
    let (folder, model) = live_through(&processes).await;
    let crashed = processes.last().is_some_and(|(_, closes)| !closes);
    // Commits in the write-ahead log may tell more than the manifests, unless the database file is gone.
    if crashed && !matches!(ruin, Ruin::RemoveFolder | Ruin::RemoveFile) {
        return;
    }
    let is_destroyed = destroy(folder.path(), &ruin);
    let before = tree(folder.path());
    let recovered = recover(folder.path()).await;
    assert_eq!(lost(&before, folder.path()), [] as [PathBuf; 0], "something was deleted");
    if is_destroyed && !model.told.is_empty() {
        assert!(recovered.was_needed, "{recovered:?}");
        let back = recovered.tables.iter().filter(|table| table.from != RecoveredFrom::Nothing);
        assert!(back.clone().all(|table| table.from == RecoveredFrom::Manifest), "{recovered:?}");
        assert_eq!(back.count(), model.told.len(), "{recovered:?}");
    }
    require_recovered(folder.path()).await;
    require(folder.path(), &model.told).await;
}

/// What the manifests tell comes back whatever happened to the metastore, with its sequences and source positions.
/// Nothing is deleted, and all tables can be written again.
// pitfall 63
#[test]
fn every_table_comes_back_as_its_last_manifest_tells_whatever_became_of_the_metastore() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let cases = std::env::var("CAYENNE_HISTORIES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24);
    let mut runner = TestRunner::new(ProptestConfig { cases, max_shrink_iters: 100, ..ProptestConfig::default() });
    let histories = (prop::collection::vec(process(), 1..5), ruin());
    let ran = runner.run(&histories, |(processes, ruin)| {
        runtime.block_on(ruin_and_recover(processes, ruin));
        Ok(())
    });
    ran.unwrap();
}
