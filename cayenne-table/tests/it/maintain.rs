//! Tables that compact themselves: after writes, now and then, beside readers and writers, and not for ever.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cayenne_format::{CompactionOptions, InlineOptions, TableOptions};
use cayenne_storage::Fs;
use cayenne_table::{CheckDepth, Database, DatabaseSettings, PassOutcome, Reason, Table};
use tempfile::TempDir;

use crate::fixture::{existing, files_on_disk, name, settings};
use crate::hooked_fs::{Asked, HookedFs};
use crate::keyed::{Content, content, delete, files, keyed, pairs, schema, try_content};

/// Tables look after themselves.
fn by_itself() -> DatabaseSettings {
    DatabaseSettings { compacts: true, ..settings() }
}

async fn open(root: &Path) -> Arc<Database> {
    Database::builder(root).settings(by_itself()).open().await.unwrap()
}

async fn open_on(root: &Path, fs: Arc<dyn Fs>) -> Arc<Database> {
    Database::builder(root).settings(by_itself()).fs(fs).open().await.unwrap()
}

fn with(compaction: CompactionOptions) -> TableOptions {
    TableOptions { compaction, ..files() }
}

async fn made() -> (TempDir, Arc<Database>) {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    (folder, database)
}

/// Waits until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn add_files(t: &Arc<Table>, count: i64) {
    let begin = i64::try_from(content(t).await.len()).unwrap();
    for file in begin..begin + count {
        t.append(pairs([(file, 0)])).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_eighth_small_file_makes_one_of_them_and_the_old_ones_go() {
    let (folder, database) = made().await;
    let t =
        keyed(&database, with(CompactionOptions { background_interval_ms: 0, ..CompactionOptions::default() })).await;
    add_files(&t, 7).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((t.passes().len(), t.view().await.unwrap().files().len()), (0, 7), "nothing is worth it yet");
    add_files(&t, 1).await;
    until("there is a pass", async || t.passes().len() == 1).await;
    let passes = t.passes();
    let pass = passes[0].compacted.as_ref().unwrap();
    assert_eq!((passes[0].outcome, pass.reason, pass.inputs, pass.rows), (PassOutcome::Committed, Reason::Files, 8, 8));
    until("the old files go", async || files_on_disk(folder.path()).len() == 1).await;
    assert_eq!(content(&t).await, (0..8).map(|id| (id, 0)).collect::<Content>());
    delete(&t, [0, 1, 2]).await.unwrap();
    until("hidden rows are written out", async || t.passes().len() == 2).await;
    assert_eq!(t.passes()[1].compacted.as_ref().unwrap().reason, Reason::Deletes);
    assert_eq!(t.view().await.unwrap().snapshot().hidden_rows(), 0);
    let problems = database.check(CheckDepth::Deep).await.unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_time_makes_worth_it_is_done_without_a_write() {
    let (_folder, database) = made().await;
    let soon =
        CompactionOptions { trigger_layer_age_ms: 1_000, background_interval_ms: 20, ..CompactionOptions::default() };
    let t = keyed(&database, with(soon)).await;
    add_files(&t, 2).await;
    until("two layers have become one", async || t.view().await.unwrap().files().len() == 1).await;
    assert_eq!(t.passes()[0].compacted.as_ref().unwrap().reason, Reason::LayerAge);
    assert_eq!(content(&t).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_or_kept_stays_until_it_is_not() {
    let (folder, database) = made().await;
    let often = CompactionOptions { background_interval_ms: 20, ..CompactionOptions::default() };
    let t = keyed(&database, with(often)).await;
    add_files(&t, 4).await;
    let view = t.view().await.unwrap();
    let before = try_content(&t, &view).await.unwrap();
    add_files(&t, 4).await;
    until("there is a pass", async || !t.passes().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(try_content(&t, &view).await.unwrap(), before);
    drop(view);
    until("nobody reads them any more", async || files_on_disk(folder.path()).len() == 1).await;
}

/// Whoever is closed does not wait for what it has begun by itself, and leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_a_pass_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let is_slow = Arc::new(AtomicBool::new(false));
    let reads = Arc::new(AtomicU64::new(0));
    let fs = HookedFs::new({
        let (is_slow, reads) = (Arc::clone(&is_slow), Arc::clone(&reads));
        move |asked, path| {
            let is_data = path.extension().is_some_and(|extension| extension == "vortex");
            if asked == Asked::Open && is_data && is_slow.load(Ordering::SeqCst) {
                reads.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        }
    });
    let database = open_on(folder.path(), fs).await;
    let t = keyed(&database, with(CompactionOptions::default())).await;
    add_files(&t, 7).await;
    is_slow.store(true, Ordering::SeqCst);
    t.append(pairs([(7, 0)])).await.unwrap();
    until("a pass has begun", async || reads.load(Ordering::SeqCst) > 0).await;
    database.close().await.unwrap();
    assert!(reads.load(Ordering::SeqCst) < 8, "it went on to its end");
    assert!(t.passes().is_empty(), "{:?}", t.passes());
    drop((t, database));
    assert_eq!(files_on_disk(folder.path()).len(), 8);
    let database = Database::builder(folder.path()).settings(settings()).open().await.unwrap();
    assert_eq!(content(&*existing(&database, "t").await).await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_fails_is_told_of_and_tried_again_later() {
    let folder = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let fs = HookedFs::new({
        let fails = Arc::clone(&fails);
        move |asked, path| {
            let is_data = path.extension().is_some_and(|extension| extension == "vortex");
            let refused = asked == Asked::Open && is_data && fails.load(Ordering::SeqCst);
            if refused { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
        }
    });
    let database = open_on(folder.path(), fs).await;
    let often = CompactionOptions { background_interval_ms: 20, ..CompactionOptions::default() };
    let t = keyed(&database, with(often)).await;
    add_files(&t, 7).await;
    fails.store(true, Ordering::SeqCst);
    t.append(pairs([(7, 0)])).await.unwrap();
    until("it has failed", async || !t.passes().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let passes = t.passes();
    assert_eq!((passes.len(), passes[0].outcome), (1, PassOutcome::Failed), "it is not tried again at once");
    assert!(passes[0].error.is_some() && passes[0].compacted.is_none());
    fails.store(false, Ordering::SeqCst);
    until("it is tried again", async || t.passes().len() > 1).await;
    assert_eq!(t.passes()[1].outcome, PassOutcome::Committed);
    assert_eq!(content(&t).await.len(), 8);
}

/// A table with a long pass does not keep others from theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_pass_of_one_table_leaves_others_their_turn() {
    let folder = tempfile::tempdir().unwrap();
    let is_stuck = Arc::new(AtomicBool::new(true));
    let slow = Arc::new(parking_lot::Mutex::new(None::<String>));
    let fs = HookedFs::new({
        let (is_stuck, slow) = (Arc::clone(&is_stuck), Arc::clone(&slow));
        move |asked, path| {
            let is_data = path.extension().is_some_and(|extension| extension == "vortex");
            let is_slow = slow.lock().as_ref().is_some_and(|id| path.display().to_string().contains(id.as_str()));
            while asked == Asked::Open && is_data && is_slow && is_stuck.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        }
    });
    let database = open_on(folder.path(), fs).await;
    let make = async |text: &str| {
        let options = with(CompactionOptions::default());
        database.create_table(&name(text), &schema(), options).await.unwrap()
    };
    let large = make("large").await;
    add_files(&large, 7).await;
    *slow.lock() = Some(large.id().to_string());
    large.append(pairs([(7, 0)])).await.unwrap();
    let mut others = Vec::new();
    for number in 0..19 {
        let t = make(&format!("small{number}")).await;
        add_files(&t, 8).await;
        others.push(t);
    }
    until("all others are compacted", async || others.iter().all(|t| t.passes().len() == 1)).await;
    assert!(large.passes().is_empty());
    is_stuck.store(false, Ordering::SeqCst);
    until("so is the large one", async || large.passes().len() == 1).await;
}

/// Invariants I2, I3 and I4, with passes all the time. `CAYENNE_CHURN_SECONDS` is how long, for each of two tables.
#[tokio::test(flavor = "multi_thread")]
async fn random_changes_beside_passes_equal_a_map() {
    let seconds = std::env::var("CAYENNE_CHURN_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(15);
    for inline in [InlineOptions::OFF, InlineOptions { flush_max_segments: 3, ..InlineOptions::default() }] {
        let (folder, database) = made().await;
        let eager = CompactionOptions {
            trigger_files: 2,
            trigger_layers: 2,
            max_files_per_pick: 5,
            background_interval_ms: 50,
            ..CompactionOptions::default()
        };
        let t = keyed(&database, TableOptions { inline, ..with(eager) }).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn({
            let (t, is_over) = (Arc::clone(&t), Arc::clone(&is_over));
            async move {
                while !is_over.load(Ordering::SeqCst) {
                    let view = t.view().await.unwrap();
                    let once = try_content(&t, &view).await.unwrap();
                    tokio::task::yield_now().await;
                    assert_eq!(try_content(&t, &view).await.unwrap(), once, "a view that is held has changed");
                }
            }
        });
        let mut model = Content::new();
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut random = 7_u64;
        while Instant::now() < deadline {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (id, value) = ((random >> 33).cast_signed() % 200, (random >> 41).cast_signed() % 1_000);
            let keys: Vec<i64> = (id..id + 1 + value % 9).collect();
            if random >> 61 == 0 {
                delete(&t, keys.clone()).await.unwrap();
                model.retain(|id, _| !keys.contains(id));
            } else {
                t.upsert(pairs(keys.iter().map(|id| (*id, value)))).await.unwrap();
                model.extend(keys.iter().map(|id| (*id, value)));
            }
            if value < 20 {
                assert_eq!(content(&t).await, model);
            }
        }
        is_over.store(true, Ordering::SeqCst);
        reader.await.unwrap();
        assert_eq!(content(&t).await, model);
        let passes = t.passes();
        assert!(!passes.is_empty() && passes.iter().all(|pass| pass.outcome == PassOutcome::Committed), "{passes:?}");
        let problems = database.check(CheckDepth::Deep).await.unwrap().problems;
        assert!(problems.is_empty(), "{problems:?}");
        database.close().await.unwrap();
        drop((t, database));
        let database = Database::builder(folder.path()).settings(settings()).open().await.unwrap();
        assert_eq!(content(&*existing(&database, "t").await).await, model);
    }
}
