//! Readers that run concurrently with writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fixture::{database, name, read, read_view, rows, sum, table};

/// Pitfall 39: during overwrites a reader sees the old rows or the new ones, never none and never both.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_overwritten_table_is_never_empty() {
    let (_folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..100)).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (t, done) = (Arc::clone(&t), Arc::clone(&done));
        async move {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                let (count, sum) = read(&t).await;
                assert_eq!(count, 100);
                assert_eq!(sum % 100 - 4_950 % 100, 0, "rows of two versions: {sum}");
                looks += 1;
            }
            looks
        }
    });
    for round in 1..30_i64 {
        t.overwrite(rows(round * 100..round * 100 + 100)).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    assert!(reader.await.unwrap() > 0);
}

/// Pitfalls 40 and 110: what a reader holds outlives every change, even the drop of the table.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_view_outlives_the_table() {
    let (_folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..100)).await.unwrap();
    let held = t.view().await.unwrap();
    t.overwrite(rows(0..1)).await.unwrap();
    database.collect(true).await.unwrap();
    assert!(database.drop_table(&name("t")).await.unwrap());
    assert_eq!(t.view().await.unwrap_err().stable_code(), "table-dropped");
    assert_eq!(database.collect(true).await.unwrap().busy.len(), 1, "its files are still read");
    assert_eq!(read_view(&t, &held).await.unwrap(), sum(0..100));
    drop(held);
    assert_eq!(database.collect(true).await.unwrap().folders.len(), 1);
    assert_eq!(database.collect(true).await.unwrap().folders.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_appends_all_arrive() {
    let (_folder, database) = database().await;
    let t = table(&database, "t").await;
    let writers: Vec<_> = (0..8_i64)
        .map(|writer| {
            let t = Arc::clone(&t);
            tokio::spawn(async move {
                for round in 0..5 {
                    let begin = (writer * 5 + round) * 10;
                    t.append(rows(begin..begin + 10)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(read(&t).await, sum(0..400));
    assert_eq!(t.log().await.unwrap().len(), 40);
}
