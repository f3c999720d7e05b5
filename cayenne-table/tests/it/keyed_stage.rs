//! Staged rows of a table with a primary key: key conflicts are decided when the rows are published, by whichever
//! process does it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use cayenne_format::{Environment, OnConflict, Step, TableOptions};
use cayenne_table::Database;
use cayenne_testkit::SeenSteps;

use crate::fixture::{database, existing, open};
use crate::hooked_fs::{Asked, HookedFs};
use crate::keyed::{beside, content, files, keyed, pairs};

// pitfall 41
#[tokio::test(flavor = "multi_thread")]
async fn collecting_leaves_the_key_index_of_staged_rows() {
    let (folder, database) = database().await;
    let t = keyed(&database, files()).await;
    t.append(pairs([(1, 10), (2, 20)])).await.unwrap();
    let staged = t.stage(pairs([(2, 21), (3, 30)]), None).await.unwrap();
    assert_eq!(database.collect(true).await.unwrap().files, [""; 0]);
    assert_eq!(beside(folder.path(), &t, "_keys").len(), 2);
    staged.publish().await.unwrap();
    assert_eq!(content(&t).await, [(1, 10), (2, 21), (3, 30)].into());
}

/// The index is never the truth: staged rows, which were acknowledged, are published without it.
#[tokio::test(flavor = "multi_thread")]
async fn staged_rows_whose_key_index_is_missing_or_damaged_are_published() {
    for (on_conflict, kept) in
        [(OnConflict::Upsert, [(1, 10), (2, 21), (3, 31)]), (OnConflict::Drop, [(1, 10), (2, 20), (3, 30)])]
    {
        for damage in ["missing", "head", "page"] {
            for by_the_next_writer in [false, true] {
                let (folder, first) = database().await;
                let t = keyed(&first, TableOptions { on_conflict, ..files() }).await;
                t.append(pairs([(1, 10), (2, 20)])).await.unwrap();
                let before = beside(folder.path(), &t, "_keys");
                let staged = t.stage(pairs([(2, 21), (3, 30), (3, 31)]), None).await.unwrap();
                let index = beside(folder.path(), &t, "_keys").into_iter().find(|path| !before.contains(path)).unwrap();
                let mut bytes = std::fs::read(&index).unwrap();
                let length = bytes.len();
                match damage {
                    "missing" => std::fs::remove_file(&index).unwrap(),
                    "head" => bytes[length - 30] ^= 1,
                    _ => bytes[20] ^= 1,
                }
                if damage != "missing" {
                    std::fs::write(&index, bytes).unwrap();
                }
                let what = format!("{on_conflict}, {damage}, by the next writer: {by_the_next_writer}");
                if by_the_next_writer {
                    drop((staged, t, first));
                    let second = open(folder.path()).await;
                    let t = existing(&second, "t").await;
                    t.append(vec![]).await.unwrap();
                    assert_eq!(t.recovery().rejected.len(), 0, "{what}: {:?}", t.recovery());
                    assert_eq!(content(&t).await, kept.into(), "{what}");
                } else {
                    staged.publish().await.unwrap();
                    assert_eq!(content(&t).await, kept.into(), "{what}");
                }
            }
        }
    }
}

/// A publish may write a deletion file. `collect` does not take it for an orphan before a commit names it.
// pitfall 41
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn collecting_beside_a_publication_of_staged_rows_leaves_the_deletion_file_of_that() {
    const ROWS: i64 = 600_000;
    let folder = tempfile::tempdir().unwrap();
    let (is_armed, looks, goes_on) =
        (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let fs = HookedFs::new({
        let (is_armed, looks, goes_on) = (Arc::clone(&is_armed), Arc::clone(&looks), Arc::clone(&goes_on));
        move |asked, path| {
            if asked == Asked::List && path.ends_with("_deletes") && is_armed.swap(false, Ordering::SeqCst) {
                looks.wait();
                goes_on.wait();
            }
            Ok(())
        }
    });
    let steps = Arc::new(SeenSteps::default());
    let environment = Environment { steps: Arc::clone(&steps) as _, ..Environment::default() };
    let database = Database::builder(folder.path()).fs(fs).environment(environment).open().await.unwrap();
    let t = keyed(&database, files()).await;
    t.append(pairs((0..ROWS).map(|id| (id, 0)))).await.unwrap();
    // Every third row: a vector that takes more than 8 KiB.
    let staged = t.stage(pairs((0..ROWS).filter(|id| id % 3 == 0).map(|id| (id, 1))), None).await.unwrap();
    let handed = steps.count(Step::HandCommit);
    is_armed.store(true, Ordering::SeqCst);
    let collecting = tokio::spawn(async move { database.collect(true).await });
    tokio::task::spawn_blocking(move || looks.wait()).await.unwrap();
    let publishing = tokio::spawn(staged.publish());
    // It either waits for `collect`, which takes no time, or comes as far as its commit.
    for _ in 0..500 {
        if steps.count(Step::HandCommit) > handed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let came_to = steps.count(Step::HandCommit);
    tokio::task::spawn_blocking(move || goes_on.wait()).await.unwrap();
    assert_eq!(came_to, handed, "it does not wait for who looks for left-overs");
    assert_eq!(collecting.await.unwrap().unwrap().files, [""; 0]);
    publishing.await.unwrap().unwrap();
    assert_eq!(beside(folder.path(), &t, "_deletes").len(), 1);
    assert_eq!(content(&t).await.values().sum::<i64>(), (ROWS + 2) / 3);
}
