//! `cayenne compact`: prints what was compacted, pass by pass; or what would be compacted, or why.

use std::sync::Arc;

use cayenne_table::{Compacted, CompactionFinding, Decline, Pick, ReadAmplification, Table};

use crate::args::CompactArgs;
use crate::engine::Engine;
use crate::exit::{self, Failure};
use crate::figures::counted;
use crate::listing::Listing;
use crate::terminal::Terminal;
use crate::upkeep::tables;

pub(crate) async fn run(engine: &Engine, args: &CompactArgs, terminal: &mut Terminal) -> Result<u8, Failure> {
    let tables = tables(&engine.database, &args.tables).await?;
    if args.why {
        why(&tables, terminal).await?;
    } else if args.dry_run {
        dry_run(&tables, terminal).await?;
    } else {
        let max_files = args.max_files.map(|files| usize::try_from(files).unwrap_or(usize::MAX));
        compact(&tables, max_files, terminal).await?;
    }
    Ok(exit::OK)
}

/// Compacts the tables and prints one row for each pass.
async fn compact(tables: &[Arc<Table>], max_files: Option<usize>, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut passes: Vec<(String, Compacted)> = Vec::new();
    for table in tables {
        let compacted = table.compact(max_files).await?;
        passes.extend(compacted.into_iter().map(|pass| (table.name().to_string(), pass)));
    }
    Listing::of(&passes)
        .text("table", |(table, _)| table.clone())
        .text("reason", |(_, pass)| pass.reason.to_string())
        .number("inputs", |(_, pass)| pass.inputs as u64)
        .number("bytes_read", |(_, pass)| pass.bytes_read)
        .number("outputs", |(_, pass)| pass.outputs as u64)
        .number("bytes_written", |(_, pass)| pass.bytes_written)
        .number("rows", |(_, pass)| pass.rows)
        .number("rows_left_out", |(_, pass)| pass.rows_left_out)
        .number("sequence", |(_, pass)| pass.sequence.number())
        .print(terminal)
}

/// Prints one row for each reason of each table.
async fn why(tables: &[Arc<Table>], terminal: &mut Terminal) -> Result<(), Failure> {
    let mut findings: Vec<(String, CompactionFinding)> = Vec::new();
    for table in tables {
        let plan = table.compaction_plan().await?;
        terminal.note(&reads(table, &plan.reads));
        if let Some(finding) = plan.findings.iter().find(|finding| finding.applies).filter(|_| plan.next.is_none()) {
            terminal.note(&no_pass(table, finding));
        }
        findings.extend(plan.findings.into_iter().map(|finding| (table.name().to_string(), finding)));
    }
    Listing::of(&findings)
        .text("table", |(table, _)| table.clone())
        .text("reason", |(_, finding)| finding.reason.to_string())
        .number("found", |(_, finding)| finding.found)
        .number_if_known("limit", |(_, finding)| finding.limit)
        .text("applies", |(_, finding)| if finding.applies { "yes" } else { "no" }.to_owned())
        .number("takes", |(_, finding)| finding.takes as u64)
        .print(terminal)
}

fn no_pass(table: &Table, applying: &CompactionFinding) -> String {
    format!(
        "`{name}` is not compacted by itself, though `{}` applies: {}, so a pass would mostly write again what is large; \
         `cayenne compact {name}` does it all the same",
        applying.reason,
        Decline::NotWorthIt.as_str(),
        name = table.name(),
    )
}

fn reads(table: &Table, reads: &ReadAmplification) -> String {
    let ReadAmplification { files, inline_files, deletions, layers } = *reads;
    format!(
        "what a scan of `{}` opens: {} ({} in {}, {}, {})",
        table.name(),
        reads.total(),
        counted(files, "data file"),
        counted(layers, "layer"),
        counted(inline_files, "inline file"),
        counted(deletions, "deletion file"),
    )
}

/// Prints one row for each table that would be compacted.
async fn dry_run(tables: &[Arc<Table>], terminal: &mut Terminal) -> Result<(), Failure> {
    let mut picks: Vec<(String, Pick<_>)> = Vec::new();
    for table in tables {
        let asked = table.compaction_plan().await?.asked;
        picks.extend(asked.map(|pick| (table.name().to_string(), pick)));
    }
    Listing::of(&picks)
        .text("table", |(table, _)| table.clone())
        .number("inputs", |(_, pick)| pick.files.len() as u64)
        .number("bytes_read", |(_, pick)| pick.bytes)
        .number("rows", |(_, pick)| pick.live_rows)
        .print(terminal)
}
