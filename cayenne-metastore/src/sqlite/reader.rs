//! The connections of SQLite readers: concurrent with a writer, or to a file that no process has open.

use cayenne_format::{Error, Result};
use rusqlite::Connection as Sqlite;

use super::connect;
use crate::place::{Place, Stamp};
use crate::settings::SqliteSettings;
use crate::sql::failure::while_opening;
use crate::sql::{Question, Readers, identity, in_transaction, roll_back};

/// How often a read of an unopened file is retried because another process opened it meanwhile.
const TRIES: usize = 10;

/// The help for a WAL that cannot be read because its index file cannot be created.
const UNFINISHED: &str = "a writer ended without closing the database, and reading it needs a file that cannot be made \
     here: open the database once for writing, or give this process permission";

/// Who else may have the file open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbours {
    /// This process has a writer, which has created all files that reading needs.
    OwnWriter,
    /// No process, or a writer in another process. Reading must not create a file.
    Unknown,
}

/// Starts the reader threads.
pub(super) fn start(place: &Place, settings: &SqliteSettings, neighbours: Neighbours) -> Result<Readers> {
    Readers::start(place.path(), || Source {
        place: place.clone(),
        settings: settings.clone(),
        neighbours,
        connection: None,
        known: None,
    })
}

/// Provides the connection of one reader thread.
struct Source {
    place: Place,
    settings: SqliteSettings,
    neighbours: Neighbours,
    /// A connection outside of any transaction.
    connection: Option<Sqlite>,
    /// The state of the file in which it was found to be ours, while no process had it open.
    known: Option<Stamp>,
}

impl crate::sql::Source for Source {
    fn ask(&mut self, question: &mut dyn Question) -> Result<()> {
        if self.neighbours == Neighbours::OwnWriter {
            return self.ask_shared(question);
        }
        for _ in 0..TRIES {
            let before = self.place.stamp();
            // A WAL means that there is a writer, or that one ended without closing.
            if before.wal_bytes.is_some() {
                match self.ask_shared(question) {
                    // The WAL is empty, and the folder does not permit the files that sharing needs: read the file
                    // unshared.
                    Err(error) if error.stable_code() == "no-permission" && before.wal_bytes == Some(0) => {}
                    Err(error) if error.stable_code() == "no-permission" => return Err(error.help(UNFINISHED)),
                    ended => return ended,
                }
            }
            self.connection = None;
            let ended = self.ask_unshared(question, &before);
            // A result or an error counts only if no process wrote meanwhile.
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
        // If this process has a writer, the writer has checked the identity of the file.
        if self.neighbours == Neighbours::Unknown {
            identity::require_readable(&connection)?;
        }
        Ok(connection)
    }

    /// Opens the file again for each question: an unshared connection does not see later commits of others.
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
