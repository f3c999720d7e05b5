//! The reader threads: each has a connection of its own, so that a read waits neither for a flush nor for an executor.

use cayenne_format::{Error, Result};
use crossbeam_channel::Receiver;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::failure::{OrFailure as _, at, while_opening};
use super::place::{Place, Stamp};
use super::queue::{Queue, Waiting};
use super::settings::SqliteSettings;
use super::writer::Worker;
use super::{connect, group, identity};
use crate::sql::statements;

/// Two, so that a large snapshot does not keep small reads waiting. Reads are short; more connections would only hold
/// more page caches.
const READERS: usize = 2;

/// How often a read of a file that nobody had open is tried again, because somebody opened it meanwhile.
const TRIES: usize = 10;

/// What is to be done about a WAL that cannot be read, because the index of it cannot be made.
const UNFINISHED: &str = "a writer ended without closing the database, and reading it needs a file that cannot be made \
     here: open the database once for writing, or give this process permission";

/// Who else may have the file open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbours {
    /// This process has a writer, which has made all files that reading needs.
    OwnWriter,
    /// Nobody, or a writer in another process. Reading must not make a file.
    Unknown,
}

/// The way to the reader threads.
pub(super) struct Readers {
    queue: Queue<Box<dyn Read>>,
    workers: Vec<Worker>,
}

/// A question to the metastore. It may be asked again where the answer may be wrong.
trait Read: Send {
    fn ask(&mut self, connection: &Connection) -> Result<()>;
    fn answer(self: Box<Self>, ended: Result<()>);
}

struct Question<T, F> {
    work: F,
    found: Option<T>,
    caller: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: Fn(&Connection) -> Result<T> + Send> Read for Question<T, F> {
    fn ask(&mut self, connection: &Connection) -> Result<()> {
        self.found = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, ended: Result<()>) {
        let found = self.found.ok_or_else(|| Error::internal("a read ended before it was done"));
        // A caller that has gone away does not want the answer.
        let _gone = self.caller.send(ended.and(found));
    }
}

impl Readers {
    pub(super) fn start(place: &Place, settings: &SqliteSettings, neighbours: Neighbours) -> Result<Self> {
        let (queue, questions) = Queue::new();
        let start = |_| {
            let source =
                Source { place: place.clone(), settings: settings.clone(), neighbours, connection: None, known: None };
            let questions: Receiver<Waiting<Box<dyn Read>>> = questions.clone();
            Worker::start("cayenne-reader", move || {
                source.work(&questions);
                Ok(())
            })
        };
        let workers = (0..READERS).map(start).collect::<Result<_>>()?;
        Ok(Self { queue, workers })
    }

    /// Reads in one transaction.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        self.queue.put(Box::new(Question { work, found: None, caller })).await?;
        answer.await.unwrap_or_else(|_| Err(Error::internal("a thread of the metastore broke off")))
    }

    /// Finishes what is in the queue and closes the connections.
    pub(super) async fn close(&self) -> Result<()> {
        self.queue.close();
        let mut ended = Ok(());
        for worker in &self.workers {
            ended = ended.and(worker.end().await);
        }
        ended
    }
}

/// Where one reader thread gets its connection.
struct Source {
    place: Place,
    settings: SqliteSettings,
    neighbours: Neighbours,
    /// A connection outside of any transaction.
    connection: Option<Connection>,
    /// The state of the file, while nobody has it open, that was found to be ours.
    known: Option<Stamp>,
}

impl Source {
    fn work(mut self, questions: &Receiver<Waiting<Box<dyn Read>>>) {
        while let Ok(next) = questions.recv() {
            let mut question = next.job;
            let ended = self.ask(question.as_mut());
            question.answer(ended.map_err(|error| at(self.place.path(), error)));
        }
    }

    fn ask(&mut self, question: &mut dyn Read) -> Result<()> {
        if self.neighbours == Neighbours::OwnWriter {
            return self.ask_shared(question);
        }
        for _ in 0..TRIES {
            let before = self.place.stamp();
            // With a WAL there is a writer, or there was one that did not close.
            if before.wal_bytes.is_some() {
                match self.ask_shared(question) {
                    // There is nothing to share, in a folder where the files that sharing needs cannot be made.
                    Err(error) if error.stable_code() == "no-permission" && before.wal_bytes == Some(0) => {}
                    Err(error) if error.stable_code() == "no-permission" => return Err(error.help(UNFINISHED)),
                    ended => return ended,
                }
            }
            self.connection = None;
            let ended = self.ask_unshared(question, &before);
            // Whatever was read, and whatever went wrong, counts only if nobody wrote meanwhile.
            if self.place.stamp() == before {
                return ended;
            }
        }
        Err(Error::unavailable("the metastore is opened and closed all the time")
            .code("metastore-busy")
            .help("try again"))
    }

    fn ask_shared(&mut self, question: &mut dyn Read) -> Result<()> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect_shared().map_err(|error| while_opening(self.place.path(), error))?,
        };
        let ended = in_transaction(&connection, question);
        // A connection that could not leave its transaction is not used again.
        if group::roll_back(&connection).is_ok() && connection.is_autocommit() {
            self.connection = Some(connection);
        }
        ended
    }

    fn connect_shared(&self) -> Result<Connection> {
        let connection = connect::shared(&self.place, &self.settings)?;
        // Whose file it is has been made sure of by the writer of this process, where it has one.
        if self.neighbours == Neighbours::Unknown {
            identity::require_current(&connection)?;
        }
        Ok(connection)
    }

    /// Opens the file anew for each question: such a connection does not see what others write later.
    fn ask_unshared(&mut self, question: &mut dyn Read, stamp: &Stamp) -> Result<()> {
        let connection = self.connect_unshared(stamp).map_err(|error| while_opening(self.place.path(), error))?;
        in_transaction(&connection, question)
    }

    fn connect_unshared(&mut self, stamp: &Stamp) -> Result<Connection> {
        let connection = connect::unshared(&self.place, &self.settings)?;
        if self.known.as_ref() != Some(stamp) {
            identity::require_current(&connection)?;
            self.known = Some(stamp.clone());
        }
        Ok(connection)
    }
}

fn in_transaction(connection: &Connection, question: &mut dyn Read) -> Result<()> {
    connection.execute_batch(statements::BEGIN_READ).or_failure()?;
    question.ask(connection)?;
    connection.execute_batch(statements::COMMIT).or_failure()
}

/// Opens the file for reading, without a writer in this process.
pub(super) async fn open_alone(place: Place, settings: &SqliteSettings) -> Result<Readers> {
    if place.is_new()? {
        return Err(Error::not_found("there is no metastore here").with("metastore", place.path().display()));
    }
    let readers = Readers::start(&place, settings, Neighbours::Unknown)?;
    readers.read(identity::check_small_tables).await?;
    Ok(readers)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::conformance::Samples;
    use crate::sqlite::{change, tables};

    #[test]
    fn read_of_an_unused_file_is_repeated_if_somebody_wrote_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::find(&folder.path().join("a.db")).unwrap();
        let settings = SqliteSettings::default();
        let make = {
            let (place, settings) = (place.clone(), settings.clone());
            move |name: &str| {
                let connection = connect::writable(&place, &settings).unwrap();
                connect::enter_wal_mode(&connection).unwrap();
                identity::migrate(&connection).unwrap();
                let steps = cayenne_format::NoSteps;
                let samples = Samples::new(name.len() as u64);
                change::create_table(&connection, &steps, &samples.table(name)).map(|_| ())
            }
        };
        make("t").unwrap();
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let work = move |connection: &Connection| {
            let tables = tables::all(connection)?.len();
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                make("late")?;
            }
            Ok(tables)
        };
        let (caller, mut answer) = oneshot::channel();
        let mut question = Box::new(Question { work, found: None, caller });
        let mut source = Source { place, settings, neighbours: Neighbours::Unknown, connection: None, known: None };
        let ended = source.ask(question.as_mut());
        question.answer(ended);
        assert_eq!(answer.try_recv().unwrap().unwrap(), 2);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
