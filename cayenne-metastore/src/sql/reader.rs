//! The reader threads. Each has a connection of its own, so that a read waits neither for a flush nor for an executor.

use std::path::Path;

use cayenne_format::{Error, Result};
use crossbeam_channel::Receiver;
use tokio::sync::oneshot;

use super::failure::at;
use super::queue::{Queue, Waiting};
use super::writer::Worker;
use super::{Connection, statements};

/// The number of reader threads. Two, so that a large snapshot does not block small reads. Reads are short; more
/// connections would only hold more page caches.
const READERS: usize = 2;

/// Provides the connection of one reader thread.
pub(crate) trait Source: Send {
    /// Runs the question on a connection, in one transaction.
    fn ask(&mut self, question: &mut dyn Question) -> Result<()>;
}

/// A read of the metastore. It may run again if its answer may be wrong.
pub(crate) trait Question: Send {
    fn ask(&mut self, connection: &dyn Connection) -> Result<()>;

    /// Sends the outcome to the caller.
    fn answer(self: Box<Self>, ended: Result<()>);
}

/// The only implementation of [`Question`], generic over the type of the answer.
pub(crate) struct Read<T, F> {
    work: F,
    found: Option<T>,
    caller: oneshot::Sender<Result<T>>,
}

impl<T, F> Read<T, F> {
    pub(crate) fn new(work: F) -> (Self, oneshot::Receiver<Result<T>>) {
        let (caller, answer) = oneshot::channel();
        (Self { work, found: None, caller }, answer)
    }
}

impl<T: Send, F: Fn(&dyn Connection) -> Result<T> + Send> Question for Read<T, F> {
    fn ask(&mut self, connection: &dyn Connection) -> Result<()> {
        self.found = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, ended: Result<()>) {
        let found = self.found.ok_or_else(|| Error::internal("a read ended before it was done"));
        // A caller that dropped its future does not want the answer.
        let _gone = self.caller.send(ended.and(found));
    }
}

/// A handle to the reader threads.
pub(crate) struct Readers {
    queue: Queue<Box<dyn Question>>,
    workers: Vec<Worker>,
}

impl Readers {
    /// Starts the threads, each with its own source. No connection is opened before the first question.
    pub(crate) fn start<S: Source + 'static>(path: &Path, source: impl Fn() -> S) -> Result<Self> {
        let (queue, questions) = Queue::new();
        let start = |_| {
            let (mut source, questions, path) = (source(), questions.clone(), path.to_owned());
            Worker::start("cayenne-reader", move || {
                work(&mut source, &questions, &path);
                Ok(())
            })
        };
        let workers = (0..READERS).map(start).collect::<Result<_>>()?;
        Ok(Self { queue, workers })
    }

    /// Runs `work` in one transaction.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Connection) -> Result<T> + Send + 'static,
    {
        let (question, answer) = Read::new(work);
        self.queue.put(Box::new(question)).await?;
        answer.await.unwrap_or_else(|_| Err(Error::internal("a thread of the metastore broke off")))
    }

    /// Finishes the questions in the queue and closes the connections.
    pub(crate) async fn close(&self) -> Result<()> {
        self.queue.close();
        let mut ended = Ok(());
        for worker in &self.workers {
            ended = ended.and(worker.end().await);
        }
        ended
    }
}

fn work(source: &mut dyn Source, questions: &Receiver<Waiting<Box<dyn Question>>>, path: &Path) {
    while let Ok(next) = questions.recv() {
        let mut question = next.job;
        let ended = source.ask(question.as_mut());
        question.answer(ended.map_err(|error| at(path, error)));
    }
}

/// Runs the question in a transaction of its own. If it fails, the transaction is left open.
pub(crate) fn in_transaction(connection: &dyn Connection, question: &mut dyn Question) -> Result<()> {
    connection.script(statements::BEGIN_READ)?;
    question.ask(connection)?;
    connection.script(statements::COMMIT)
}
