//! The SQLite implementation of the connections that the metastore needs.

use std::time::Duration;

use cayenne_format::Result;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection as Sqlite, params_from_iter};

use super::connect;
use super::failure::{OrFailure as _, applied_nothing, failure};
use crate::place::Place;
use crate::settings::SqliteSettings;
use crate::sql::failure::wrong_value;
use crate::sql::{Backfill, Connection, Primary, Row, Uncommitted, Value, forget_rest, statements};

/// How long a checkpoint waits for readers. It gives up soon, because commits wait behind it; it is tried again later.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(100);

/// The bytes in free pages from which a close rewrites the file, if they are also at least half of it. Free pages
/// remain where inline rows were before they were flushed to data files.
const FREE_BYTES_WORTH_IT: u64 = 1024 * 1024;

/// Once the WAL is written back completely, the next commit starts it over. With one client a few rounds get there;
/// with many clients the writer truncates it at some point.
const BACKFILL_ROUNDS: usize = 4;

impl Connection for Sqlite {
    fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.prepare_cached(sql).or_failure()?.execute(params_from_iter(values)).or_failure().map(|_| ())
    }

    fn query(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Row) -> Result<()>,
    ) -> Result<()> {
        let mut statement = self.prepare_cached(sql).or_failure()?;
        let mut rows = statement.query(params_from_iter(values)).or_failure()?;
        while let Some(row) = rows.next().or_failure()? {
            each(row)?;
        }
        Ok(())
    }

    fn script(&self, sql: &str) -> Result<()> {
        self.execute_batch(sql).or_failure()
    }

    fn commit(&self) -> Result<(), Uncommitted> {
        self.execute_batch(statements::COMMIT).map_err(|error| {
            let left_nothing = applied_nothing(&error);
            Uncommitted { error: failure(error), left_nothing }
        })
    }

    fn last_key(&self) -> i64 {
        self.last_insert_rowid()
    }

    fn is_autocommit(&self) -> bool {
        Self::is_autocommit(self)
    }

    fn blank(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(Self::open_in_memory().or_failure()?))
    }
}

impl Row for rusqlite::Row<'_> {
    fn value(&self, column: usize) -> Result<Value<'_>> {
        match self.get_ref(column).or_failure()? {
            ValueRef::Null => Ok(Value::Null),
            ValueRef::Integer(number) => Ok(Value::Integer(number)),
            ValueRef::Blob(bytes) => Ok(Value::Blob(bytes)),
            ValueRef::Text(bytes) => {
                std::str::from_utf8(bytes).map(Value::Text).map_err(|error| wrong_value().because(error))
            }
            ValueRef::Real(_) => Err(wrong_value()),
        }
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Writes the WAL back. Commits continue meanwhile, so the remaining frames are written back too, while they get fewer.
fn backfill(connection: &Sqlite) -> Result<()> {
    for _ in 0..BACKFILL_ROUNDS {
        let frames = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let (all, written_back) = connection.query_row(statements::BACKFILL, [], frames).or_failure()?;
        if written_back >= all {
            break;
        }
    }
    Ok(())
}

/// The connection of the writer, and what it needs to maintain the file.
pub(crate) struct SqlitePrimary {
    pub(super) connection: Sqlite,
    pub(super) place: Place,
    pub(super) settings: SqliteSettings,
}

/// A file with more used bytes than this keeps its free pages, since SQLite would collect the file in memory.
const USED_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl SqlitePrimary {
    /// Returns free pages to the file system, as far as readers and writers permit.
    fn shrink(&self) -> Result<()> {
        self.connection.busy_timeout(CHECKPOINT_WAIT).or_failure()?;
        forget_rest(&self.connection)?;
        let bytes = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let (free, all) = self.connection.query_row(statements::FREE_BYTES, [], bytes).or_failure()?;
        let (free, all) = (u64::try_from(free).unwrap_or_default(), u64::try_from(all).unwrap_or_default());
        let used = all.saturating_sub(free);
        if free < FREE_BYTES_WORTH_IT || free < used || used > USED_BYTES_MAX {
            return Ok(());
        }
        self.connection.script(statements::SHRINK)
    }
}

impl Primary for SqlitePrimary {
    fn connection(&self) -> &dyn Connection {
        &self.connection
    }

    fn backfill(&self) -> Result<Option<Backfill>> {
        let connection = connect::writable(&self.place, &self.settings)?;
        Ok(Some(Box::new(move || backfill(&connection))))
    }

    fn checkpoint(&self) -> Result<()> {
        self.connection.busy_timeout(CHECKPOINT_WAIT).or_failure()?;
        // The row shows whether a reader was in the way, which is not a failure.
        let done = self.connection.query_row(statements::CHECKPOINT, [], |_| Ok(())).or_failure();
        self.connection.busy_timeout(self.settings.busy_timeout).or_failure()?;
        done
    }

    fn tidy(self: Box<Self>) -> Result<()> {
        if let Err(error) = self.shrink() {
            tracing::debug!(%error, metastore = %self.place.path().display(), "the metastore kept room that it has not used");
        }
        let tidied = self.checkpoint().and_then(|()| {
            // A close does not wait for other processes that continue to write.
            self.connection.busy_timeout(CHECKPOINT_WAIT).or_failure()?;
            self.connection.script(statements::OPTIMIZE)
        });
        // Commits are safe in the WAL even if tidying failed, and the next open finds them there.
        if let Err(error) = tidied {
            tracing::warn!(%error, metastore = %self.place.path().display(), "the metastore was not tidied at its close");
        }
        self.connection.close().map_err(|(_, error)| failure(error))
    }
}
