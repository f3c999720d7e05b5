//! Callers that stop waiting, at every point where they can.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use crate::fixture::{database, files_on_disk, read, rows, sum, table};

/// Polls `work` at most `polls` times and drops it. Returns its result if it has completed.
pub(crate) async fn polled<T>(work: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    std::future::poll_fn(move |cx: &mut Context<'_>| match work.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Pitfall 45: a write that is dropped after its k-th poll, for every k, is done or was never begun.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_dropped_at_any_poll_is_whole_or_nothing() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let mut commits = 1;
    for polls in 0..60 {
        let finished = polled(t.append(rows(0..10)), polls).await;
        // A commit that was handed over ends by itself, and `collect` waits for it.
        database.collect(false).await.unwrap();
        let now = t.view().await.unwrap().sequence().number();
        assert!(now == commits || now == commits + 1, "one append made {} commits", now - commits);
        assert!(finished.is_none() || now == commits + 1, "acknowledged and not there");
        commits = now;
        assert_eq!(read(&t).await.0 as u64, commits * 10);
        if finished.is_some_and(|written| written.is_ok()) {
            break;
        }
    }
    database.collect(true).await.unwrap();
    assert_eq!(files_on_disk(folder.path()).len() as u64, t.view().await.unwrap().files().len() as u64);
    t.overwrite(rows(0..7)).await.unwrap();
    assert_eq!(read(&t).await, sum(0..7));
}
