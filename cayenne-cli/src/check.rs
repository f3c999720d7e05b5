//! `cayenne check`: whether the files are what the database says.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use cayenne_format::Error;
use cayenne_table::{CheckDepth, CheckReport, Problem};

use crate::engine::Engine;
use crate::exit::{self, Failure};
use crate::figures::{counted, size};
use crate::output;
use crate::terminal::Terminal;

/// Prints one row per problem on stdout and the verdict on stderr.
pub(crate) async fn run(engine: &Engine, deep: bool, terminal: &mut Terminal) -> Result<u8, Failure> {
    let depth = if deep { CheckDepth::Deep } else { CheckDepth::Quick };
    let report = engine.database.check(depth).await?;
    let checked = summary(&report);
    if report.problems.is_empty() {
        terminal.note(&format!("no problems in {checked}"));
        return Ok(exit::OK);
    }
    output::print_batch(problems(&report.problems)?, terminal)?;
    terminal.note(&format!("{} in {checked}", counted(report.problems.len() as u64, "problem")));
    Ok(exit::PROBLEMS)
}

fn summary(report: &CheckReport) -> String {
    let tables = counted(report.tables as u64, "table");
    let files = counted(report.files as u64, "data file");
    format!("{tables}, {files}, {}, {}", counted(report.rows, "row"), size(report.bytes))
}

fn problems(problems: &[Problem]) -> Result<RecordBatch, Error> {
    let column = |text: fn(&Problem) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(problems.iter().map(text)))
    };
    let columns = [
        ("table", column(|problem| problem.table.to_string())),
        ("code", column(|problem| problem.error.stable_code().to_owned())),
        ("problem", column(|problem| problem.error.message().to_owned())),
        ("facts", column(|problem| facts(&problem.error))),
        ("remedy", column(|problem| problem.remedy.to_owned())),
    ];
    RecordBatch::try_from_iter(columns)
        .map_err(|error| Error::internal("the list of problems has no shape").because(error))
}

fn facts(error: &Error) -> String {
    error.facts().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ")
}
