//! `cayenne check` and `cayenne repair`: compare the files with the metastore, and take damaged files out of tables.

use cayenne_format::Error;
use cayenne_table::{CheckDepth, CheckReport, Outcome, Repaired};

use crate::engine::Engine;
use crate::exit::{self, Failure};
use crate::figures::{counted, size};
use crate::listing::Listing;
use crate::terminal::Terminal;
use crate::views;

const fn depth(deep: bool) -> CheckDepth {
    if deep { CheckDepth::Deep } else { CheckDepth::Quick }
}

/// Prints one row for each problem to stdout and the verdict to stderr.
pub(crate) async fn run(engine: &Engine, deep: bool, terminal: &mut Terminal) -> Result<u8, Failure> {
    let report = engine.database.check(depth(deep)).await?;
    let checked = summary(&report);
    views::note_broken(engine, terminal).await?;
    if report.problems.is_empty() {
        terminal.note(&format!("no problems in {checked}"));
        return Ok(exit::OK);
    }
    Listing::of(&report.problems)
        .text("table", |problem| problem.table.to_string())
        .text("code", |problem| problem.error.stable_code().to_owned())
        .text("problem", |problem| problem.error.message().to_owned())
        .text("facts", |problem| facts(&problem.error))
        .text("remedy", |problem| problem.remedy.to_owned())
        .print(terminal)?;
    terminal.note(&format!("{} in {checked}", counted(report.problems.len() as u64, "problem")));
    Ok(exit::PROBLEMS)
}

fn summary(report: &CheckReport) -> String {
    let tables = counted(report.tables as u64, "table");
    let files = counted(report.files as u64, "data file");
    format!("{tables}, {files}, {}, {}", counted(report.rows, "row"), size(report.bytes))
}

/// Prints one row for each problem, with what was done about it or would be done.
pub(crate) async fn repair(engine: &Engine, deep: bool, mend: bool, terminal: &mut Terminal) -> Result<u8, Failure> {
    let repaired = engine.database.repair(depth(deep), mend).await?;
    if repaired.is_empty() {
        terminal.note("nothing to repair");
        return Ok(exit::OK);
    }
    Listing::of(&repaired)
        .text("table", |repaired| repaired.problem.table.to_string())
        .text("code", |repaired| repaired.problem.error.stable_code().to_owned())
        .text("facts", |repaired| facts(&repaired.problem.error))
        .text("outcome", |repaired| outcome(repaired.outcome, mend).to_owned())
        .number("rows_lost", |repaired| rows_lost(repaired.outcome))
        .text_if_known("aside", |repaired| repaired.aside.as_ref().map(|aside| aside.display().to_string()))
        .print(terminal)?;
    let is_mended = |repaired: &&Repaired| mend && repaired.outcome != Outcome::LeftAlone;
    let mended = repaired.iter().filter(is_mended).count();
    let problems = counted(repaired.len() as u64, "problem");
    terminal.note(&format!("{mended} of {problems} mended; what was damaged is in the folder 'aside' of the database"));
    Ok(if mended == repaired.len() { exit::OK } else { exit::PROBLEMS })
}

const fn outcome(outcome: Outcome, mend: bool) -> &'static str {
    match (outcome, mend) {
        (Outcome::TakenOut { .. }, true) => "taken out of the table",
        (Outcome::TakenOut { .. }, false) => "would be taken out of the table",
        (Outcome::MovedAside, true) => "moved aside",
        (Outcome::MovedAside, false) => "would be moved aside",
        (Outcome::WrittenAgain, true) => "written again",
        (Outcome::WrittenAgain, false) => "would be written again",
        (Outcome::LeftAlone, _) => "left alone",
    }
}

const fn rows_lost(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::TakenOut { rows } => rows,
        _ => 0,
    }
}

pub(crate) fn facts(error: &Error) -> String {
    error.facts().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ")
}
