//! The only place in this crate that starts tasks and threads.

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use cayenne_format::{Error, Result};
use tokio::sync::{oneshot, watch};

/// Runs `work` to its end even if the caller stops waiting.
///
/// A commit and the swap of the view that follows it must not be torn apart by a caller that is cancelled.
pub(crate) async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    #[expect(clippy::disallowed_methods, reason = "this is the wrapper that everything else uses")]
    let task = tokio::spawn(work);
    task.await.unwrap_or_else(|error| Err(Error::internal("a change was broken off").because(error)))
}

/// Work that goes on in a thread of its own.
#[derive(Debug)]
struct Background {
    /// Closed when the thread ends, also if it panics.
    lives: watch::Receiver<()>,
}

impl Background {
    fn has_ended(&self) -> bool {
        self.lives.has_changed().is_err()
    }

    /// Waits until the work has come to its end.
    async fn end(mut self) {
        while self.lives.changed().await.is_ok() {}
    }
}

/// Runs `work` in the background, on one thread with a small runtime of its own. However much it computes, it delays no
/// task that waits for a commit, and takes at most one processor.
fn in_background(name: &str, work: impl Future<Output = ()> + Send + 'static) -> Result<Background> {
    let cannot = |error| Error::io("a thread for work in the background cannot be started", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let (living, lives) = watch::channel(());
    let thread = std::thread::Builder::new().name(name.to_owned());
    // The channel is waited for, not the thread, which ends right after.
    thread
        .spawn(move || {
            let _living = living;
            runtime.block_on(work);
        })
        .map_err(cannot)?;
    Ok(Background { lives })
}

/// A thread that does some work at intervals. It ends soon after this is dropped, or when the work says so.
#[derive(Debug)]
pub(crate) struct Ticker {
    _stop: mpsc::Sender<()>,
}

impl Ticker {
    /// Runs `work` after each `interval`, until it returns false.
    pub(crate) fn start(
        name: &str,
        interval: Duration,
        mut work: impl FnMut() -> bool + Send + 'static,
    ) -> Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let ticks = move || while stopped.recv_timeout(interval) == Err(mpsc::RecvTimeoutError::Timeout) && work() {};
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(ticks);
        thread.map_err(|error| Error::io("a thread for work in the background cannot be started", error))?;
        Ok(Self { _stop: stop })
    }
}

/// By how much the priority of background work is lowered. If other threads would take all processors, such work gets
/// about a tenth of one, which is enough for flushes to keep up with writes. On an idle machine it gets a whole one.
const LOWERED_BY: i32 = 10;

/// Runs `work` on a thread of its own with lower priority, until it is done or the caller stops waiting for it.
///
/// The work must not hold anything that others wait for, such as the turn to commit.
pub(crate) async fn with_low_priority<T: Send + 'static>(
    name: &str,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let (sender, done) = oneshot::channel();
    let work = async move {
        // If the system does not lower the priority, the work is done all the same.
        lower_priority();
        tell(sender, work).await;
    };
    let _thread = in_background(name, work)?;
    done.await.unwrap_or_else(|error| Err(Error::internal("work in the background was broken off").because(error)))
}

async fn tell<T>(mut sender: oneshot::Sender<Result<T>>, work: impl Future<Output = Result<T>>) {
    let done = tokio::select! {
        done = work => done,
        () = sender.closed() => return,
    };
    // The caller may have stopped waiting at this moment.
    let _nobody = sender.send(done);
}

/// Lowers the priority of the calling thread, and of the threads that it starts. Does nothing outside Linux, where only
/// the priority of the whole process could be lowered.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(LOWERED_BY) {
        tracing::debug!(%error, "the priority of a thread in the background was not lowered");
    }
}

/// A slot for one kind of background work: at most one is running at a time, and none begins once the slot is closed.
#[derive(Debug, Default)]
pub(crate) struct Slot(parking_lot::Mutex<Work>);

#[derive(Debug, Default)]
enum Work {
    #[default]
    NotBegun,
    Begun(Background),
    Closed,
}

impl Slot {
    /// Begins the work, unless it is running already or the slot is closed.
    pub(crate) fn begin<F>(&self, name: &str, work: impl FnOnce() -> F) -> Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut slot = self.0.lock();
        let may_begin = match &*slot {
            Work::NotBegun => true,
            Work::Begun(background) => background.has_ended(),
            Work::Closed => false,
        };
        if may_begin {
            *slot = Work::Begun(in_background(name, work())?);
        }
        Ok(())
    }

    /// Closes the slot, and waits until running work has ended.
    pub(crate) async fn close(&self) {
        let was = std::mem::replace(&mut *self.0.lock(), Work::Closed);
        if let Work::Begun(background) = was {
            background.end().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_in_the_background_has_ended_once_it_is_done_or_broken_off() {
        let (go, wait) = oneshot::channel::<()>();
        let work = in_background("done", async { drop(wait.await) }).unwrap();
        assert!(!work.has_ended());
        go.send(()).unwrap();
        work.end().await;
        let broken = in_background("broken", async { panic!("in the middle") }).unwrap();
        while !broken.has_ended() {
            tokio::task::yield_now().await;
        }
        broken.end().await;
    }

    #[tokio::test]
    async fn nothing_begins_in_a_slot_that_is_closed() {
        let slot = Slot::default();
        let (sender, told) = mpsc::channel();
        let begin = || {
            let sender = sender.clone();
            slot.begin("tells", || async move { sender.send(()).unwrap() })
        };
        begin().unwrap();
        slot.close().await;
        begin().unwrap();
        slot.close().await;
        assert_eq!(told.try_iter().count(), 1);
    }

    #[tokio::test]
    async fn work_with_low_priority_answers_and_leaves_the_priority_of_others() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let lowered = with_low_priority("low", async move { Ok(priority()) }).await.unwrap();
        assert_eq!(priority(), before);
        assert_eq!(lowered, if cfg!(target_os = "linux") { (before + LOWERED_BY).min(19) } else { before });
        let broken = with_low_priority::<()>("broken", async { panic!("in the middle") }).await.unwrap_err();
        assert_eq!(broken.kind(), cayenne_format::ErrorKind::Internal);
    }

    #[tokio::test]
    async fn work_with_low_priority_ends_when_nobody_waits_for_it() {
        let (lives, ended) = oneshot::channel::<()>();
        let work = with_low_priority::<()>("for nobody", async move {
            let _lives = lives;
            std::future::pending().await
        });
        tokio::time::timeout(Duration::from_millis(1), work).await.unwrap_err();
        ended.await.unwrap_err();
    }
}
