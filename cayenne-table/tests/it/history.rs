//! Random histories on a table and on a model of it. After each step, both have the same content.

use std::ops::Range;
use std::sync::Arc;

use cayenne_format::{ErrorKind, InlineOptions, RetentionOptions, Sequence, TableOptions};
use cayenne_table::{CheckDepth, Database, Table};
use cayenne_testkit::{numbers, numbers_schema, stream_of};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::fixture::{database, existing, files_on_disk, name, open, read, read_view, table};

#[derive(Clone, Debug)]
enum Action {
    Append(Vec<Range<i64>>),
    Overwrite(Vec<Range<i64>>),
    Truncate,
    Reopen {
        cleanly: bool,
    },
    Flush,
    /// Expires snapshots, but keeps this many before the current one.
    Expire(u64),
    Collect,
    LookBack(prop::sample::Index),
}

fn action() -> impl Strategy<Value = Action> {
    let range = (-50_i64..50, 0_i64..40).prop_map(|(begin, length)| begin..begin + length);
    let ranges = prop::collection::vec(range, 0..3);
    prop_oneof![
        4 => ranges.clone().prop_map(Action::Append),
        2 => ranges.prop_map(Action::Overwrite),
        1 => Just(Action::Truncate),
        2 => any::<bool>().prop_map(|cleanly| Action::Reopen { cleanly }),
        1 => Just(Action::Flush),
        1 => (0_u64..4).prop_map(Action::Expire),
        1 => Just(Action::Collect),
        2 => any::<prop::sample::Index>().prop_map(Action::LookBack),
    ]
}

/// What the table contained after each commit: the number of rows and the sum of their ids.
type Model = Vec<(usize, i64)>;

fn total(ranges: &[Range<i64>]) -> (usize, i64) {
    ranges.iter().fold((0, 0), |(count, sum), range| (count + range.clone().count(), sum + range.clone().sum::<i64>()))
}

fn streams(ranges: &[Range<i64>]) -> Vec<cayenne_storage::RowStream> {
    ranges.iter().map(|range| stream_of(vec![numbers(range.clone())])).collect()
}

struct Run {
    folder: tempfile::TempDir,
    database: Arc<Database>,
    table: Arc<Table>,
    model: Model,
    /// How many snapshots a commit that removes files keeps besides its own.
    kept: u64,
    /// The earliest snapshot that can be opened.
    oldest: usize,
}

impl Run {
    async fn begin(inline: bool, kept: u64) -> Self {
        let (folder, database) = database().await;
        // Only what the model asks for is flushed, so that it knows every commit.
        let on_demand = InlineOptions {
            max_rows: 30,
            flush_max_rows: u64::MAX,
            flush_max_segments: 0,
            flush_max_bytes: 0,
            ..InlineOptions::default()
        };
        let inline = if inline { on_demand } else { InlineOptions::OFF };
        let retention = RetentionOptions { count: kept, seconds: 0 };
        let options = TableOptions { inline, retention, ..TableOptions::default() };
        let table = database.create_table(&name("t"), &numbers_schema(), options).await.unwrap();
        Self { folder, database, table, model: vec![(0, 0)], kept, oldest: 0 }
    }

    fn latest(&self) -> (usize, i64) {
        *self.model.last().unwrap()
    }

    async fn take(&mut self, action: Action) {
        match action {
            Action::Append(ranges) => {
                let (count, sum) = total(&ranges);
                let written = self.table.append(streams(&ranges)).await.unwrap();
                assert_eq!(written.rows, count as u64);
                if count > 0 {
                    let latest = self.latest();
                    self.model.push((latest.0 + count, latest.1 + sum));
                }
            }
            Action::Overwrite(ranges) => {
                let before = self.latest();
                let written = self.table.overwrite(streams(&ranges)).await.unwrap();
                assert_eq!(written.rows_removed, before.0 as u64);
                if total(&ranges).0 > 0 || before.0 > 0 {
                    self.model.push(total(&ranges));
                    if before.0 > 0 {
                        self.give_up(self.kept);
                    }
                }
            }
            Action::Truncate => {
                self.table.truncate().await.unwrap();
                if self.latest().0 > 0 {
                    self.model.push((0, 0));
                    self.give_up(self.kept);
                }
            }
            Action::Reopen { cleanly } => self.reopen(cleanly).await,
            Action::Flush => {
                let inline = self.table.view().await.unwrap().snapshot().inline();
                let flushed = self.table.flush().await.unwrap();
                assert_eq!((flushed.rows, flushed.inline_files as u64), (inline.rows, inline.files));
                if inline.files > 0 {
                    self.model.push(self.latest());
                    self.give_up(self.kept);
                }
            }
            Action::Expire(count) => {
                let retention = RetentionOptions { count, seconds: 0 };
                let expected = self.table.expirable(retention).await.unwrap();
                self.give_up(count);
                assert_eq!(self.table.expire(retention).await.unwrap(), expected);
                // The empty table before the first commit can always be opened.
                assert_eq!(expected.kept_from.number().max(1), self.oldest.max(1) as u64);
            }
            Action::Collect => {
                self.database.collect(true).await.unwrap();
            }
            Action::LookBack(at) => {
                let at = at.index(self.model.len());
                let view = self.table.view_at(Sequence::new(at as u64).unwrap()).await;
                if at > 0 && at < self.oldest {
                    assert_eq!(view.unwrap_err().kind(), ErrorKind::NotFound);
                } else {
                    assert_eq!(read_view(&self.table, &view.unwrap()).await.unwrap(), self.model[at]);
                }
            }
        }
    }

    /// Expires all snapshots except the current one and `count` before it.
    fn give_up(&mut self, count: u64) {
        let latest = self.model.len() - 1;
        self.oldest = self.oldest.max(latest.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX)));
    }

    /// The data files of the current snapshot.
    async fn named(&self) -> Vec<String> {
        let view = self.table.view().await.unwrap();
        let mut named: Vec<_> =
            view.files().filter(|file| !file.is_inline()).map(|file| format!("{}.vortex", file.id)).collect();
        named.sort();
        named
    }

    async fn reopen(&mut self, cleanly: bool) {
        if cleanly {
            self.database.close().await.unwrap();
        }
        // The new handles are opened only after the old ones are gone, and their locks with them.
        let elsewhere = tempfile::tempdir().unwrap();
        self.database = open(elsewhere.path()).await;
        self.table = table(&self.database, "t").await;
        self.database = open(self.folder.path()).await;
        self.table = existing(&self.database, "t").await;
    }
}

/// Invariants I1, I2, I5, I6 and I8 of the engine: what was acknowledged is there after any reopen, earlier snapshots
/// stay unchanged as long as they are kept, no file is left that no kept snapshot names, and the exact counts equal a
/// scan.
#[test]
fn random_histories_equal_the_model() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let cases = std::env::var("CAYENNE_HISTORIES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24);
    let mut runner = TestRunner::new(ProptestConfig { cases, max_shrink_iters: 200, ..ProptestConfig::default() });
    let kept = prop_oneof![Just(0_u64), Just(2), Just(u64::MAX)];
    runner
        .run(&(any::<bool>(), kept, prop::collection::vec(action(), 1..16)), |(inline, kept, actions)| {
            runtime.block_on(async {
                let mut run = Run::begin(inline, kept).await;
                for action in actions {
                    run.take(action).await;
                    assert_eq!(read(&run.table).await, run.latest());
                    assert_eq!(run.table.view().await.unwrap().sequence().number(), run.model.len() as u64 - 1);
                }
                let report = run.database.check(CheckDepth::Deep).await.unwrap();
                assert!(report.problems.is_empty(), "{report:?}");
                run.table.expire(RetentionOptions::default()).await.unwrap();
                run.database.collect(true).await.unwrap();
                assert_eq!(files_on_disk(run.folder.path()), run.named().await);
                assert_eq!(read(&run.table).await, run.latest());
            });
            Ok(())
        })
        .unwrap();
}
