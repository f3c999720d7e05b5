//! Writers, flushes, compactions, collections and readers of a table with a primary key at the same time, on real threads.
//!
//! Each writer has keys of its own and knows which writes were acknowledged. Readers check what all writers agree on.
//! One key that all writers change is visible at every moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cayenne_format::{InlineOptions, RetentionOptions, TableOptions};
use cayenne_table::{CheckDepth, Database, DatabaseSettings, RowChange, Table};

use crate::fixture::{open, settings};
use crate::keyed::{
    Content, beside, by_key, changes, content, delete, expected_beside, files, find, keyed, pairs, seen, try_content,
};

const WRITERS: i64 = 4;
const KEYS: i64 = 30;
/// The key that all writers upsert and none deletes.
const SHARED: i64 = -1;

/// How often each writer writes.
fn rounds() -> usize {
    std::env::var("CAYENNE_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(20)
}

struct Writer {
    table: Arc<Table>,
    number: i64,
    random: u64,
    /// The acknowledged values of its keys.
    mine: Content,
}

impl Writer {
    fn below(&mut self, end: u64) -> u64 {
        // SplitMix64, by Steele, Lea and Flood.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn some_keys(&mut self) -> Vec<i64> {
        let count = 1 + self.below(6);
        let mut keys: Vec<_> =
            (0..count).map(|_| self.number * KEYS + i64::try_from(self.below(30)).unwrap()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    async fn run(mut self) -> Content {
        for round in 0..i64::try_from(rounds()).unwrap() {
            let keys = self.some_keys();
            match self.below(10) {
                0..4 => {
                    self.table
                        .upsert(pairs(keys.iter().map(|id| (*id, round)).chain([(SHARED, round)])))
                        .await
                        .unwrap();
                    self.mine.extend(keys.iter().map(|id| (*id, round)));
                }
                4..6 => {
                    let gone = delete(&self.table, keys.clone()).await.unwrap().rows_removed;
                    let before = self.mine.len();
                    self.mine.retain(|id, _| !keys.contains(id));
                    assert_eq!(gone, (before - self.mine.len()) as u64);
                }
                6 => {
                    let all = keys.iter().map(|id| (*id, (id % 2 == 0).then_some(round)));
                    self.table.apply(vec![changes(all)], None).await.unwrap();
                    self.mine.retain(|id, _| !keys.contains(id));
                    self.mine.extend(keys.iter().filter(|id| *id % 2 == 0).map(|id| (*id, round)));
                }
                7 if round % 2 == 0 => {
                    self.table.flush().await.unwrap();
                }
                7 => {
                    self.table.compact(Some(2 + keys.len())).await.unwrap();
                }
                _ => self.change(&keys, round).await,
            }
            self.compare().await;
        }
        self.mine
    }

    /// Does what a statement does: finds rows in a view, and hides them or replaces them.
    async fn change(&mut self, keys: &[i64], round: i64) {
        let there: Vec<i64> = keys.iter().copied().filter(|id| self.mine.contains_key(id)).collect();
        let view = self.table.view().await.unwrap();
        let found = find(&self.table, &view, keys.iter().copied()).await.unwrap();
        assert_eq!(found.len(), there.len() as u64, "it was acknowledged, and nobody else has these keys");
        let moves = self.below(3);
        for way in 0..moves {
            if way == 0 {
                self.table.flush().await.unwrap();
            } else {
                self.table.compact(None).await.unwrap();
            }
            self.table.upsert(pairs([(SHARED, round)])).await.unwrap();
        }
        let is_update = self.below(2) == 0;
        let rows = if is_update { pairs(there.iter().map(|id| (*id, -round))) } else { Vec::new() };
        let change = RowChange { view: Arc::new(view), hidden: seen(&found), rows };
        let written = self.table.change(change).await.unwrap();
        assert_eq!(written.rows_removed, there.len() as u64, "rows that moved are found");
        for id in there {
            if is_update {
                self.mine.insert(id, -round);
            } else {
                self.mine.remove(&id);
            }
        }
    }

    /// What was acknowledged is visible, and what was deleted is not.
    // pitfall 10, pitfall 23
    async fn compare(&self) {
        let view = self.table.view().await.unwrap();
        let found = try_content(&self.table, &view).await.unwrap();
        let (from, to) = (self.number * KEYS, (self.number + 1) * KEYS);
        let mine: Content = found.range(from..to).map(|(id, value)| (*id, *value)).collect();
        assert_eq!(mine, self.mine, "writer {} at {}", self.number, view.sequence());
    }
}

/// Reads until the test is over. A view shows the same rows for as long as it is held.
// pitfall 40, pitfall 105
async fn read(table: Arc<Table>, is_over: Arc<AtomicBool>, reads: Arc<AtomicU64>) {
    let mut held = Vec::new();
    let mut last = 0;
    while !is_over.load(Ordering::SeqCst) {
        let view = table.view().await.unwrap();
        let now = try_content(&table, &view).await.unwrap();
        let shared = find(&table, &view, [SHARED]).await.unwrap().len();
        assert_eq!((shared, now.contains_key(&SHARED)), (1, true), "at {}", view.sequence());
        let all = find(&table, &view, SHARED..WRITERS * KEYS).await.unwrap().len();
        assert_eq!(all, now.len() as u64, "at {}", view.sequence());
        let sequence = view.sequence().number();
        assert!(last <= sequence, "a later view is of an earlier state");
        last = sequence;
        held.push((view, now));
        if held.len() == 12 {
            for (view, before) in held.drain(..).step_by(3) {
                assert_eq!(try_content(&table, &view).await.unwrap(), before, "a view that is held has changed");
            }
        }
        reads.fetch_add(1, Ordering::SeqCst);
    }
}

async fn tidy(database: Arc<Database>, table: Arc<Table>, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::SeqCst) {
        table.flush().await.unwrap();
        table.expire(RetentionOptions::default()).await.unwrap();
        database.collect(true).await.unwrap();
        tokio::task::yield_now().await;
    }
}

async fn run(options: TableOptions, cache_bytes: u64, has_reader_elsewhere: bool) {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        DatabaseSettings { key_index_cache_bytes: cache_bytes, deletion_cache_bytes: cache_bytes, ..settings() };
    let database = Database::builder(folder.path()).settings(settings).open().await.unwrap();
    let t = keyed(&database, options).await;
    t.append(pairs([(SHARED, 0)])).await.unwrap();
    let (is_over, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut others = vec![
        tokio::spawn(read(Arc::clone(&t), Arc::clone(&is_over), Arc::clone(&reads))),
        tokio::spawn(tidy(Arc::clone(&database), Arc::clone(&t), Arc::clone(&is_over))),
    ];
    let elsewhere = open(folder.path()).await;
    if has_reader_elsewhere {
        let reader = crate::fixture::existing(&elsewhere, "t").await;
        others.push(tokio::spawn(read(reader, Arc::clone(&is_over), Arc::clone(&reads))));
    }
    let writers = (0..WRITERS).map(|number| {
        let random = number.cast_unsigned();
        let writer = Writer { table: Arc::clone(&t), number, random, mine: Content::new() };
        tokio::spawn(writer.run())
    });
    let mut expected = Content::new();
    for writer in writers.collect::<Vec<_>>() {
        expected.extend(writer.await.unwrap());
    }
    is_over.store(true, Ordering::SeqCst);
    for other in others {
        other.await.unwrap();
    }
    assert!(reads.load(Ordering::SeqCst) > 10);
    elsewhere.close().await.unwrap();
    drop(elsewhere);
    let mut found = content(&t).await;
    assert!(found.remove(&SHARED).is_some());
    assert_eq!(found, expected);
    // Invariant I6.
    t.flush().await.unwrap();
    t.expire(RetentionOptions::default()).await.unwrap();
    database.collect(true).await.unwrap();
    let (indexes, deletions) = expected_beside(&t.view().await.unwrap());
    let left = |what: &str| beside(folder.path(), &t, what).len();
    assert_eq!((left("_keys"), left("_deletes")), (indexes, deletions));
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
    database.close().await.unwrap();
    drop((t, database));
    let database = open(folder.path()).await;
    let mut found = content(&*crate::fixture::existing(&database, "t").await).await;
    found.remove(&SHARED);
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_readers_flushes_and_collections_of_inline_rows_agree() {
    let inline = InlineOptions { flush_max_segments: 7, ..InlineOptions::default() };
    run(TableOptions { inline, ..files() }, 1_000_000, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_readers_and_flushes_agree_on_rows_that_are_hidden_by_key() {
    let inline = InlineOptions { max_rows: 3, flush_max_segments: 5, ..InlineOptions::default() };
    run(by_key(TableOptions { inline, ..files() }), 2_000, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_readers_and_collections_of_files_agree_without_caches() {
    run(files(), 0, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_and_a_reader_in_another_process_agree_on_files_and_inline_rows() {
    let inline = InlineOptions { max_rows: 3, flush_max_segments: 5, ..InlineOptions::default() };
    run(TableOptions { inline, ..files() }, 2_000, true).await;
}
