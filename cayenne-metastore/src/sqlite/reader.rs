//! Where readers of SQLite get their connections: beside a writer, or from a file that nobody has open.

use cayenne_format::{Error, Result};
use rusqlite::Connection as Sqlite;

use super::connect;
use crate::place::{Place, Stamp};
use crate::settings::SqliteSettings;
use crate::sql::failure::while_opening;
use crate::sql::{Question, Readers, identity, in_transaction, roll_back};

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

/// Starts the threads that read.
pub(super) fn start(place: &Place, settings: &SqliteSettings, neighbours: Neighbours) -> Result<Readers> {
    Readers::start(place.path(), || Source {
        place: place.clone(),
        settings: settings.clone(),
        neighbours,
        connection: None,
        known: None,
    })
}

/// Where one reader thread gets its connection.
struct Source {
    place: Place,
    settings: SqliteSettings,
    neighbours: Neighbours,
    /// A connection outside of any transaction.
    connection: Option<Sqlite>,
    /// The state of the file, while nobody has it open, that was found to be ours.
    known: Option<Stamp>,
}

impl crate::sql::Source for Source {
    fn ask(&mut self, question: &mut dyn Question) -> Result<()> {
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
        Err(Error::unavailable("other processes open and close the metastore all the time")
            .code("metastore-busy")
            .help("try again"))
    }
}

impl Source {
    fn ask_shared(&mut self, question: &mut dyn Question) -> Result<()> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect_shared().map_err(|error| while_opening(self.place.path(), error))?,
        };
        let ended = in_transaction(&connection, question);
        // A connection that could not leave its transaction is not used again.
        if roll_back(&connection).is_ok() && connection.is_autocommit() {
            self.connection = Some(connection);
        }
        ended
    }

    fn connect_shared(&self) -> Result<Sqlite> {
        let connection = connect::shared(&self.place, &self.settings)?;
        // Whose file it is has been made sure of by the writer of this process, where it has one.
        if self.neighbours == Neighbours::Unknown {
            identity::require_readable(&connection)?;
        }
        Ok(connection)
    }

    /// Opens the file anew for each question: such a connection does not see what others write later.
    fn ask_unshared(&mut self, question: &mut dyn Question, stamp: &Stamp) -> Result<()> {
        let connection = self.connect_unshared(stamp).map_err(|error| while_opening(self.place.path(), error))?;
        in_transaction(&connection, question)
    }

    fn connect_unshared(&mut self, stamp: &Stamp) -> Result<Sqlite> {
        let connection = connect::unshared(&self.place, &self.settings)?;
        if self.known.as_ref() != Some(stamp) {
            identity::require_readable(&connection)?;
            self.known = Some(stamp.clone());
        }
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::conformance::Samples;
    use crate::sql::{Connection, Read, Source as _, change, tables};

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
        let work = move |connection: &dyn Connection| {
            let tables = tables::all(connection)?.len();
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                make("late")?;
            }
            Ok(tables)
        };
        let (question, mut answer) = Read::new(work);
        let mut question = Box::new(question);
        let mut source = Source { place, settings, neighbours: Neighbours::Unknown, connection: None, known: None };
        let ended = source.ask(question.as_mut());
        question.answer(ended);
        assert_eq!(answer.try_recv().unwrap().unwrap(), 2);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
