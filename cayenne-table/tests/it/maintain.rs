//! Background upkeep: tables are compacted after writes and at intervals, concurrently with readers and writers, and
//! not endlessly.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cayenne_format::{CompactionOptions, InlineOptions, RetentionOptions, TableOptions};
use cayenne_storage::{Fs, RowStream};
use cayenne_table::{CheckDepth, Database, DatabaseSettings, Decline, Metric, PassOutcome, PassRecord, Reason, Table};
use datafusion_execution::memory_pool::GreedyMemoryPool;
use tempfile::TempDir;

use crate::fixture::{data_on_disk, existing, files_on_disk, name, settings};
use crate::hooked_fs::{Asked, HookedFs};
use crate::keyed::{Content, content, delete, files, keyed, pairs, schema, try_content};

/// Settings with background upkeep.
pub(crate) fn by_itself() -> DatabaseSettings {
    DatabaseSettings { has_upkeep: true, ..settings() }
}

async fn open(root: &Path) -> Arc<Database> {
    Database::builder(root).settings(by_itself()).open().await.unwrap()
}

async fn open_on(root: &Path, fs: Arc<dyn Fs>) -> Arc<Database> {
    Database::builder(root).settings(by_itself()).fs(fs).open().await.unwrap()
}

pub(crate) fn with(compaction: CompactionOptions) -> TableOptions {
    TableOptions { compaction, ..files() }
}

async fn made() -> (TempDir, Arc<Database>) {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    (folder, database)
}

/// Returns the passes of a table that have ended, without the looks that began no pass.
pub(crate) fn passes(t: &Table) -> Vec<PassRecord> {
    let has_ended = |record: &PassRecord| record.declined.is_none() && record.outcome != PassOutcome::Running;
    t.passes().into_iter().filter(has_ended).collect()
}

/// Waits until `is_so` returns true.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn add_files(t: &Arc<Table>, count: i64) {
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
    assert_eq!((passes(&t).len(), t.view().await.unwrap().files().len()), (0, 7), "nothing is worth it yet");
    add_files(&t, 1).await;
    until("there is a pass", async || passes(&t).len() == 1).await;
    let done = passes(&t);
    let pass = done[0].compacted.as_ref().unwrap();
    assert_eq!((done[0].outcome, pass.reason, pass.inputs, pass.rows), (PassOutcome::Committed, Reason::Files, 8, 8));
    until("the old files go", async || files_on_disk(folder.path()).len() == 1).await;
    assert_eq!(content(&t).await, (0..8).map(|id| (id, 0)).collect::<Content>());
    delete(&t, [0, 1, 2]).await.unwrap();
    until("hidden rows are written out", async || passes(&t).len() == 2).await;
    assert_eq!(passes(&t)[1].compacted.as_ref().unwrap().reason, Reason::Deletes);
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
    assert_eq!(passes(&t)[0].compacted.as_ref().unwrap().reason, Reason::LayerAge);
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
    until("there is a pass", async || !passes(&t).is_empty()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(try_content(&t, &view).await.unwrap(), before);
    drop(view);
    until("nobody reads them any more", async || files_on_disk(folder.path()).len() == 1).await;
}

/// Closing a database does not wait for a background pass to complete, and leaves no file behind.
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
    let outcomes: Vec<_> = passes(&t).iter().map(|pass| pass.outcome).collect();
    assert_eq!(outcomes, [PassOutcome::Cancelled]);
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
    until("it has failed", async || !passes(&t).is_empty()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let done = passes(&t);
    assert_eq!((done.len(), done[0].outcome), (1, PassOutcome::Failed), "it is not tried again at once");
    assert!(done[0].error.is_some() && done[0].compacted.is_none());
    assert_eq!(t.passes().last().unwrap().declined, Some(Decline::BackingOff));
    fails.store(false, Ordering::SeqCst);
    until("it is tried again", async || passes(&t).len() > 1).await;
    assert_eq!(passes(&t)[1].outcome, PassOutcome::Committed);
    assert_eq!(content(&t).await.len(), 8);
}

/// A long pass of one table does not keep other tables from their passes.
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
    until("all others are compacted", async || others.iter().all(|t| passes(t).len() == 1)).await;
    let stuck = large.passes().pop().unwrap();
    assert_eq!((stuck.outcome, stuck.reason), (PassOutcome::Running, Some(Reason::Files)), "what hangs is seen");
    assert!(passes(&large).is_empty() && stuck.took > Duration::ZERO);
    is_stuck.store(false, Ordering::SeqCst);
    until("so is the large one", async || passes(&large).len() == 1).await;
}

/// Returns the results of the looks that began no pass, in order.
fn declines(t: &Table) -> Vec<(Option<Decline>, Option<Reason>)> {
    t.passes().iter().map(|record| (record.declined, record.reason)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_comes_to_nothing_says_why() {
    let (_folder, database) = made().await;
    let t = keyed(&database, with(CompactionOptions::default())).await;
    add_files(&t, 3).await;
    assert_eq!(declines(&t), [(Some(Decline::NoReason), None)]);
    assert_eq!(t.passes()[0].times, 3, "one record for all");
    add_files(&t, 5).await;
    until("there is a pass", async || passes(&t).len() == 1).await;
    // A small file is not a reason to rewrite a much larger one.
    let grows = with(CompactionOptions { trigger_files: 2, ..CompactionOptions::default() });
    let u = database.create_table(&name("u"), &schema(), grows).await.unwrap();
    u.append(pairs([(0, 0)])).await.unwrap();
    u.append(pairs((1..50_000).map(|id| (id, id * 7_919 % 1_000_003)))).await.unwrap();
    assert_eq!(declines(&u), [(Some(Decline::NoReason), None), (Some(Decline::NotWorthIt), Some(Reason::Files))]);
    assert_eq!(u.view().await.unwrap().files().len(), 2);
    let plan = u.compaction_plan().await.unwrap();
    let files = plan.findings.iter().find(|finding| finding.reason == Reason::Files).unwrap();
    assert!(files.applies && files.takes == 0 && plan.next.is_none(), "what is said is what happens: {plan:?}");
}

/// Returns the number that is counted under these labels, of table `t` or of the database.
async fn counted(database: &Database, name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |metric: &Metric| labels.iter().all(|(of, is)| metric.labels.iter().any(|(a, b)| a == of && b == is));
    let metrics = database.metrics().await;
    metrics.iter().filter(|metric| metric.name == name && has(metric)).map(|metric| metric.value).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_by_itself_is_counted() {
    let (folder, database) = made().await;
    let t = keyed(&database, with(CompactionOptions::default())).await;
    add_files(&t, 8).await;
    until("the old files go", async || files_on_disk(folder.path()).len() == 1).await;
    let kind = [("kind", "files"), ("outcome", "committed")];
    for (metric, labels, value) in [
        ("cayenne_compaction_trigger_total", &kind[..1], 1.0),
        ("cayenne_compaction_outcome_total", &kind, 1.0),
        ("cayenne_compaction_duration_ms_count", &kind, 1.0),
        ("cayenne_compaction_permits_total", &[], 2.0),
        ("cayenne_storage_files", &[], 1.0),
        ("cayenne_layers", &[], 1.0),
        ("cayenne_ingest_read_amp", &[], 1.0),
        ("acceleration_rows", &[], 8.0),
    ] {
        assert!((counted(&database, metric, labels).await - value).abs() < 0.1, "{metric}");
    }
    until("what went is counted", async || {
        counted(&database, "cayenne_maintenance_reclaimed_files_total", &[]).await > 7.0
    })
    .await;
    let written = async |kind| counted(&database, "cayenne_written_bytes_total", &[("kind", kind)]).await;
    let stored = counted(&database, "cayenne_storage_bytes", &[]).await;
    assert!((written("compact").await - stored).abs() < 0.1 && written("write").await > stored);
    assert!(counted(&database, "cayenne_maintenance_reclaimed_bytes_total", &[]).await > stored);
}

/// A table that is overwritten again and again takes no more space than it needs, without a call of `collect`.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_overwrite_replaces_goes_by_itself() {
    let (folder, database) = made().await;
    let t = keyed(&database, files()).await;
    for round in 0..5 {
        t.overwrite(pairs([(round, round)])).await.unwrap();
    }
    until("the old files go", async || files_on_disk(folder.path()).len() == 1).await;
    let held = t.view().await.unwrap();
    t.truncate().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(try_content(&t, &held).await.unwrap(), Content::from([(4, 4)]), "what is read stays");
    drop(held);
    t.append(pairs([(9, 9)])).await.unwrap();
    t.overwrite(pairs([(8, 8)])).await.unwrap();
    until("and goes afterwards", async || files_on_disk(folder.path()).len() == 1).await;
    assert_eq!(content(&t).await, Content::from([(8, 8)]));
}

/// With a retention time, no call of `expire` is needed either.
#[tokio::test(flavor = "multi_thread")]
async fn snapshots_that_were_kept_long_enough_go_by_themselves() {
    let (folder, database) = made().await;
    let often = CompactionOptions { background_interval_ms: 50, ..CompactionOptions::default() };
    let retention = RetentionOptions { count: 0, seconds: 1 };
    let t = keyed(&database, TableOptions { retention, ..with(often) }).await;
    t.append(pairs([(1, 1)])).await.unwrap();
    t.overwrite(pairs([(2, 2)])).await.unwrap();
    assert_eq!(files_on_disk(folder.path()).len(), 2, "the first is kept for a second");
    until("the first goes", async || files_on_disk(folder.path()).len() == 1).await;
    assert_eq!(content(&t).await, Content::from([(2, 2)]));
}

/// Upkeep removes no file that a lost metastore is rebuilt from.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_metastore_finds_all_that_the_last_manifest_names() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let t = keyed(&database, files()).await;
    t.append(pairs([(0, 0)])).await.unwrap();
    database.close().await.unwrap();
    drop((t, database));
    let database = open(folder.path()).await;
    let t = existing(&database, "t").await;
    for round in 1..4 {
        t.overwrite(pairs([(round, round)])).await.unwrap();
    }
    until("the old files go", async || files_on_disk(folder.path()).len() == 1).await;
    // The process ends without closing the database.
    drop((t, database));
    until("it is gone", async || std::fs::remove_dir_all(folder.path().join("metadata")).is_ok()).await;
    let found = Database::builder(folder.path()).settings(settings()).recover_from_manifests(false).await.unwrap();
    assert_eq!(found.tables.len(), 1);
    let database = Database::builder(folder.path()).settings(settings()).open().await.unwrap();
    assert_eq!(content(&*existing(&database, "t").await).await, Content::from([(3, 3)]));
    let problems = database.check(CheckDepth::Deep).await.unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
}

/// Dropping a table during its upkeep removes no file that is still read.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_beside_its_upkeep_is_read_to_the_end() {
    for round in 0..20 {
        let (_folder, database) = made().await;
        let t = keyed(&database, files()).await;
        t.append(pairs([(1, 1)])).await.unwrap();
        let held = t.view().await.unwrap();
        t.overwrite(pairs([(2, 2)])).await.unwrap();
        tokio::time::sleep(Duration::from_micros(round * 200)).await;
        assert!(database.drop_table(&name("t")).await.unwrap());
        assert_eq!(try_content(&t, &held).await.unwrap(), Content::from([(1, 1)]), "{round}");
        drop((held, t));
        database.close().await.unwrap();
    }
}

/// A pass without enough memory says so, changes nothing, and leaves the memory of writers alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_lacks_memory_is_skipped_and_nothing_else_suffers() {
    let folder = tempfile::tempdir().unwrap();
    let database = with_memory(folder.path(), 1_000).await;
    let t = keyed(&database, with(CompactionOptions::default())).await;
    add_files(&t, 8).await;
    until("it has given up", async || t.passes().last().is_some_and(|last| last.error.is_some())).await;
    let last = t.passes().pop().unwrap();
    assert_eq!((last.outcome, last.declined), (PassOutcome::Skipped, Some(Decline::OutOfMemory)));
    assert_eq!(last.error.unwrap().stable_code(), "out-of-memory");
    assert_eq!(t.compact(None).await.unwrap_err().stable_code(), "out-of-memory");
    add_files(&t, 8).await;
    assert_eq!(content(&t).await.len(), 16);
    assert_eq!(files_on_disk(folder.path()).len(), 16, "nothing is left of the attempts");
}

async fn with_memory(root: &Path, bytes: usize) -> Arc<Database> {
    let builder = Database::builder(root).settings(by_itself());
    builder.compaction_memory(Arc::new(GreedyMemoryPool::new(bytes))).open().await.unwrap()
}

/// Enough memory for a pass of fifty thousand rows, but not for eighty thousand.
const SOME_MEMORY: usize = 6_400_000;

fn scattered(ids: Range<i64>) -> Vec<RowStream> {
    pairs(ids.map(|id| (id, id * 7_919 % 1_000_003)))
}

/// Too little memory for all files that are worth it is enough for some of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_lacks_memory_takes_fewer_files() {
    let folder = tempfile::tempdir().unwrap();
    let database = with_memory(folder.path(), SOME_MEMORY).await;
    let t = keyed(&database, with(CompactionOptions::default())).await;
    for file in 0..8 {
        t.append(scattered(file * 10_000..(file + 1) * 10_000)).await.unwrap();
    }
    until("there is a pass", async || !passes(&t).is_empty()).await;
    assert_eq!(passes(&t)[0].compacted.as_ref().unwrap().inputs, 4, "half of them");
    assert!(declines(&t).contains(&(Some(Decline::OutOfMemory), Some(Reason::Files))), "{:?}", t.passes());
    assert_eq!(content(&t).await.len(), 80_000);
}

/// A file that is too large alone does not keep other files from their pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_no_pass_has_memory_for_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let database = with_memory(folder.path(), SOME_MEMORY).await;
    let t = keyed(&database, with(CompactionOptions::default())).await;
    t.append(scattered(0..400_000)).await.unwrap();
    delete(&t, 0..160_000).await.unwrap();
    until("the large one was tried", async || {
        declines(&t).contains(&(Some(Decline::OutOfMemory), Some(Reason::Deletes)))
    })
    .await;
    for id in 400_000..400_008 {
        t.append(pairs([(id, 0)])).await.unwrap();
    }
    until("there is a pass", async || !passes(&t).is_empty()).await;
    let pass = passes(&t)[0].compacted.clone().unwrap();
    assert_eq!((pass.reason, pass.inputs, pass.rows), (Reason::Files, 8, 8));
    assert_eq!(content(&t).await.len(), 240_008);
}

/// A lost key index is rebuilt by the next pass, once a lookup has needed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_index_comes_back_with_the_next_pass() {
    let folder = tempfile::tempdir().unwrap();
    let indexes = || data_on_disk(folder.path(), ".keys");
    let database = open(folder.path()).await;
    let t = keyed(&database, files()).await;
    t.append(pairs((0..1_000).map(|id| (id, 0)))).await.unwrap();
    database.close().await.unwrap();
    drop((t, database));
    let lost = indexes();
    assert_eq!(lost.len(), 1);
    let of_table = std::fs::read_dir(folder.path().join("data")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(of_table.join("_keys").join(&lost[0])).unwrap();
    let database = open(folder.path()).await;
    let t = existing(&database, "t").await;
    t.upsert(pairs([(5, 1), (2_000, 1)])).await.unwrap();
    t.upsert(pairs([(6, 1)])).await.unwrap();
    until("there is a pass", async || !passes(&t).is_empty()).await;
    assert_eq!(passes(&t)[0].reason, Some(Reason::Incomplete));
    until("its file has an index", async || {
        let files = t.view().await.unwrap().files().len();
        indexes().len() == files && files_on_disk(folder.path()).len() == files
    })
    .await;
    let content = content(&t).await;
    assert_eq!((content.len(), content[&5], content[&6], content[&7]), (1_001, 1, 1, 0));
}

/// Invariants I2, I3 and I4, with passes running all the time. `CAYENNE_CHURN_SECONDS` sets the duration for each of
/// two tables.
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
        let done = passes(&t);
        assert!(!done.is_empty() && done.iter().all(|pass| pass.outcome == PassOutcome::Committed), "{done:?}");
        let problems = database.check(CheckDepth::Deep).await.unwrap().problems;
        assert!(problems.is_empty(), "{problems:?}");
        database.close().await.unwrap();
        drop((t, database));
        let database = Database::builder(folder.path()).settings(settings()).open().await.unwrap();
        let t = existing(&database, "t").await;
        assert_eq!(content(&t).await, model);
        // Invariant I6.
        t.expire(RetentionOptions::default()).await.unwrap();
        database.collect(true).await.unwrap();
        let stored = t.view().await.unwrap().files().filter(|file| !file.is_inline()).count();
        assert_eq!(files_on_disk(folder.path()).len(), stored);
    }
}
