//! The Turso implementation of the connections that the metastore needs.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use cayenne_format::Result;
use turso_core::{CheckpointMode, LimboError, Numeric, Statement, StepResult};

use super::connect;
use super::failure::{OrFailure as _, applied_nothing, broken, contained, failure};
use crate::place::Place;
use crate::sql::failure::{while_busy, wrong_value};
use crate::sql::{Backfill, Connection, Primary, Row, Uncommitted, Value, forget_rest, statements};

/// How long a statement outside of a transaction is retried because its view of the file is stale.
const STALE_PATIENCE: Duration = Duration::from_secs(2);

/// One connection and its compiled statements.
pub(super) struct TursoConnection {
    pub(super) inner: Arc<turso_core::Connection>,
    statements: RefCell<HashMap<&'static str, Statement>>,
    /// Whether Turso has panicked in this connection.
    is_broken: Cell<bool>,
}

impl TursoConnection {
    pub(super) fn new(inner: Arc<turso_core::Connection>) -> Self {
        Self { inner, statements: RefCell::default(), is_broken: Cell::new(false) }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    fn call<T>(&self, work: impl FnOnce() -> turso_core::Result<T>) -> turso_core::Result<T> {
        if self.is_broken.get() {
            return Err(broken());
        }
        contained(work).unwrap_or_else(|| {
            self.is_broken.set(true);
            Err(broken())
        })
    }

    /// Takes a compiled statement. If it is in use, another one is compiled.
    fn take(&self, sql: &'static str) -> Result<Statement> {
        let kept = self.statements.borrow_mut().remove(sql);
        kept.map_or_else(|| self.call(|| self.inner.prepare(sql)).or_failure(), Ok)
    }

    /// Returns a statement for reuse, unless it cannot be reset.
    fn keep(&self, sql: &'static str, mut statement: Statement) {
        if self.call(|| statement.reset()).is_ok() {
            statement.clear_bindings();
            self.statements.borrow_mut().insert(sql, statement);
        }
    }

    fn show(&self, statement: &mut Statement, each: &mut dyn FnMut(&dyn Row) -> Result<()>) -> Result<()> {
        while self.call(|| next(statement)).or_failure()? {
            each(statement.row().ok_or_else(wrong_value)?)?;
        }
        Ok(())
    }

    /// Runs the first statement of a text, and returns the offset of the next.
    fn run_first(&self, sql: &str) -> turso_core::Result<usize> {
        let mut statement = self.call(|| self.inner.prepare(sql))?;
        let end = statement.tail_offset();
        while self.call(|| next(&mut statement))? {}
        Ok(end)
    }

    pub(super) fn close(&self) -> Result<()> {
        self.statements.borrow_mut().clear();
        self.call(|| self.inner.close()).or_failure()
    }

    /// Writes the WAL back and truncates it, unless there is a reader.
    pub(super) fn cut_wal(&self) -> Result<()> {
        match self.call(|| self.inner.checkpoint(CheckpointMode::Truncate { upper_bound_inclusive: None })) {
            Ok(_) | Err(LimboError::Busy) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }
}

impl Connection for TursoConnection {
    fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.query(sql, values, &mut |_| Ok(()))
    }

    fn query(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Row) -> Result<()>,
    ) -> Result<()> {
        let mut statement = self.take(sql)?;
        let ended = bind(&mut statement, values).and_then(|()| self.show(&mut statement, each));
        self.keep(sql, statement);
        ended
    }

    fn script(&self, sql: &str) -> Result<()> {
        let mut rest = sql.trim();
        while !rest.is_empty() {
            let run = || self.run_first(rest).or_failure();
            // Outside of a transaction nothing has been done yet, so a statement whose view of the file is stale can be
            // retried on a new one.
            let end = if self.is_autocommit() { while_busy(STALE_PATIENCE, run)? } else { run()? };
            rest = rest.get(end..).unwrap_or_default().trim_start();
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), Uncommitted> {
        self.run_first(statements::COMMIT).map(|_| ()).map_err(|error| {
            let left_nothing = applied_nothing(&error);
            Uncommitted { error: failure(error), left_nothing }
        })
    }

    fn last_key(&self) -> i64 {
        self.inner.last_insert_rowid()
    }

    fn is_autocommit(&self) -> bool {
        self.inner.get_auto_commit()
    }

    fn blank(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(connect::in_memory()?))
    }
}

fn bind(statement: &mut Statement, values: &[Value<'_>]) -> Result<()> {
    for (index, value) in (1..).map_while(NonZeroUsize::new).zip(values) {
        let owned = match *value {
            Value::Null => turso_core::Value::Null,
            Value::Integer(number) => turso_core::Value::from_i64(number),
            Value::Text(text) => turso_core::Value::from_text(text.to_owned()),
            Value::Blob(bytes) => turso_core::Value::from_blob(bytes.to_vec()),
        };
        statement.bind_at(index, owned).or_failure()?;
    }
    Ok(())
}

/// Advances to the next row, and returns whether there is one.
fn next(statement: &mut Statement) -> turso_core::Result<bool> {
    loop {
        match statement.step()? {
            StepResult::Done => return Ok(false),
            StepResult::Row => return Ok(true),
            StepResult::IO | StepResult::Yield => statement._io().step()?,
            StepResult::Sleep { duration } => std::thread::sleep(duration),
            StepResult::Busy => return Err(LimboError::Busy),
            StepResult::Interrupt => return Err(LimboError::Interrupt),
        }
    }
}

impl Row for turso_core::Row {
    fn value(&self, column: usize) -> Result<Value<'_>> {
        if column >= self.len() {
            return Err(wrong_value());
        }
        match self.get_value(column) {
            turso_core::Value::Null => Ok(Value::Null),
            turso_core::Value::Numeric(Numeric::Integer(number)) => Ok(Value::Integer(*number)),
            turso_core::Value::Text(text) => Ok(Value::Text(text.as_str())),
            turso_core::Value::Blob(bytes) => Ok(Value::Blob(bytes)),
            turso_core::Value::Numeric(_) => Err(wrong_value()),
        }
    }
}

/// The connection of the writer, and what it needs to maintain the file.
pub(super) struct TursoPrimary {
    pub(super) connection: TursoConnection,
    pub(super) place: Place,
}

impl Primary for TursoPrimary {
    fn connection(&self) -> &dyn Connection {
        &self.connection
    }

    /// Returns `None`: Turso writes the WAL back by itself, inside commits.
    fn backfill(&self) -> Result<Option<Backfill>> {
        Ok(None)
    }

    fn checkpoint(&self) -> Result<()> {
        self.connection.cut_wal()
    }

    fn tidy(self: Box<Self>) -> Result<()> {
        // Commits are safe in the WAL even if tidying failed, and the next open finds them there.
        if let Err(error) = forget_rest(&self.connection).and_then(|()| self.checkpoint()) {
            tracing::warn!(%error, metastore = %self.place.path().display(), "the metastore was not tidied at its close");
        }
        self.connection.close()
    }
}
