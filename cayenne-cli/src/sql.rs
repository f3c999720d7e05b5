//! `cayenne sql`: runs statements from the command line, from files and from a pipe, one after the other.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_schema::DataType;
use cayenne_format::{Error, Result};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;
use tokio::io::AsyncReadExt;

use crate::acknowledge::Acknowledgements;
use crate::args::{Input, SqlArgs};
use crate::engine::Engine;
use crate::escape::escaped;
use crate::exit::{self, Failure};
use crate::output;
use crate::progress::Progress;
use crate::statement_reader::StatementReader;
use crate::terminal::Terminal;

/// The number of bytes to read from a pipe at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Runs the statements of `-c` and `-f`, or those of stdin.
pub(crate) async fn run(engine: &Engine, args: &SqlArgs, terminal: &mut Terminal) -> Result<u8, Failure> {
    let mut script =
        Script { session: &engine.session, terminal, answers: args.acknowledge.then(Acknowledgements::default) };
    if args.inputs.0.is_empty() {
        script.run_stdin().await?;
    }
    for input in &args.inputs.0 {
        match input {
            Input::Text(text) => script.run_text(text.as_bytes()).await?,
            Input::File(path) if path.as_os_str() == "-" => script.run_stdin().await?,
            Input::File(path) => script.run_text(&read_file(path)?).await?,
        }
    }
    Ok(script.answers.map_or(exit::OK, |answers| answers.exit_code()))
}

#[expect(clippy::disallowed_methods, reason = "a file of statements is named by the user and no part of a database")]
fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::io("the file of statements cannot be read", error).with("file", path.display()))
}

/// Statements that run in one session.
struct Script<'a> {
    session: &'a SessionContext,
    terminal: &'a mut Terminal,
    answers: Option<Acknowledgements>,
}

impl Script<'_> {
    async fn run_text(&mut self, text: &[u8]) -> Result<(), Failure> {
        let mut reader = StatementReader::default();
        reader.push(text);
        reader.end();
        self.run_whole_statements(&mut reader).await
    }

    /// Runs each statement as soon as its end arrives: the writer of the pipe may wait for the answer.
    async fn run_stdin(&mut self) -> Result<(), Failure> {
        let mut reader = StatementReader::default();
        let mut stdin = tokio::io::stdin();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = stdin.read(&mut piece).await.map_err(|error| Error::io("cannot read stdin", error))?;
            if read == 0 {
                reader.end();
                return self.run_whole_statements(&mut reader).await;
            }
            reader.push(piece.get(..read).unwrap_or_default());
            self.run_whole_statements(&mut reader).await?;
        }
    }

    async fn run_whole_statements(&mut self, reader: &mut StatementReader) -> Result<(), Failure> {
        while let Some(text) = reader.next(cayenne_datafusion::dialect(self.session).as_ref()) {
            let done = match text {
                Ok(text) => run_text(self.session, &text, self.terminal, self.answers.is_some()).await,
                Err(error) => Err(error.into()),
            };
            match (&mut self.answers, done) {
                (Some(answers), done) => answers.answer(done, self.terminal)?,
                (None, done) => drop(done?),
            }
        }
        Ok(())
    }
}

/// Runs the statements of a text and prints their results. Returns the number of rows that the last one returned or
/// wrote, or `None` if there was no statement.
///
/// If `acknowledged`, the numbers of written rows are not printed: the acknowledgement contains them.
pub(crate) async fn run_text(
    session: &SessionContext,
    text: &str,
    terminal: &mut Terminal,
    acknowledged: bool,
) -> Result<Option<u64>, Failure> {
    let mut rows = None;
    for statement in cayenne_datafusion::statements(session, text)? {
        let is_query = is_query(&statement);
        let target = target_of(&statement);
        let rows_of = cayenne_datafusion::execute(session, statement).await?;
        let result = match target {
            Some(target) => watched(rows_of, &target, terminal).await?,
            None => rows_of.execute_stream().await?,
        };
        let only_counted = acknowledged && !is_query && is_count(&result);
        rows = Some(if only_counted {
            written_rows(&result.try_collect::<Vec<_>>().await?)
        } else {
            output::print(result, terminal).await?
        });
    }
    Ok(rows)
}

/// Returns the target to which a statement writes the rows that it reads, or `None`.
fn target_of(statement: &Statement) -> Option<String> {
    match statement {
        Statement::CopyTo(copy) => Some(copy.target.clone()),
        Statement::Statement(statement) => match statement.as_ref() {
            ast::Statement::Insert(insert) => Some(insert.table.to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Runs a statement that writes, and shows its progress.
async fn watched(
    statement: DataFrame,
    target: &str,
    terminal: &Terminal,
) -> Result<SendableRecordBatchStream, DataFusionError> {
    let context = Arc::new(statement.task_ctx());
    let plan = statement.create_physical_plan().await?;
    let result = Progress::begin(&escaped(target), terminal).watch(&plan, context).await?;
    Ok(Box::pin(MemoryStream::try_new(result, plan.schema(), None)?))
}

fn is_query(statement: &Statement) -> bool {
    matches!(statement, Statement::Statement(statement) if matches!(statement.as_ref(), ast::Statement::Query(_)))
}

/// Returns whether a result is the number of rows that a statement wrote.
fn is_count(result: &SendableRecordBatchStream) -> bool {
    let schema = result.schema();
    matches!(schema.fields().as_ref(), [field] if field.name() == "count" && *field.data_type() == DataType::UInt64)
}

/// Returns the total number of rows that a statement reports as written.
pub(crate) fn written_rows(result: &[RecordBatch]) -> u64 {
    let counts = result.iter().filter_map(|batch| batch.columns().first()?.as_primitive_opt::<UInt64Type>());
    counts.flat_map(|counts| counts.values().iter()).sum()
}
