//! `cayenne recover`: restores what the metastore has lost.

use cayenne_format::Error;
use cayenne_table::{RecoveredDatabase, RecoveredFrom, RecoveredTable};

use crate::args::Globals;
use crate::check::facts;
use crate::engine;
use crate::exit::{self, Failure};
use crate::figures::counted;
use crate::listing::Listing;
use crate::signals::Signals;
use crate::terminal::Terminal;

/// Prints one row for each table, with the sequence that it was restored to or would be.
pub(crate) async fn run(globals: &Globals, dry_run: bool, terminal: &mut Terminal) -> Result<u8, Failure> {
    let work = engine::builder(globals).recover_from_manifests(dry_run);
    let recovered = Signals::listen()?.unless_stopped(work).await.map_err(Failure::Stopped)??;
    if !recovered.was_needed {
        terminal.note("the metastore has lost nothing that a manifest could bring back");
        return Ok(exit::OK);
    }
    Listing::of(&recovered.tables)
        .text_if_known("table", |table| table.name.as_ref().map(ToString::to_string))
        .text("from", |table| word(table.from).to_owned())
        .number("sequence", |table| table.sequence.number())
        .text_if_known("as_of", |table| table.written_at.map(|at| at.to_string()))
        .number("rows", |table| table.rows)
        .number("files", |table| table.files as u64)
        .text("folder", |table| table.location.clone())
        .text("problems", problems)
        .print(terminal)?;
    note(&recovered, dry_run, terminal);
    let has_problems = recovered.tables.iter().any(|table| !table.problems.is_empty());
    Ok(if has_problems { exit::PROBLEMS } else { exit::OK })
}

fn note(recovered: &RecoveredDatabase, dry_run: bool, terminal: &mut Terminal) {
    let back = recovered.tables.iter().filter(|table| table.from != RecoveredFrom::Nothing).count();
    let (verb, tables) = (if dry_run { "would have" } else { "has" }, counted(back as u64, "table"));
    let views = match recovered.views.len() {
        0 => String::new(),
        views => format!(" and {}", counted(views as u64, "view")),
    };
    terminal.note(&format!("the metastore {verb} {tables}{views}"));
    if let Some(aside) = &recovered.aside {
        terminal.note(&format!("the old metastore is in {}", aside.display()));
    }
}

const fn word(from: RecoveredFrom) -> &'static str {
    match from {
        RecoveredFrom::Metastore => "metastore",
        RecoveredFrom::Manifest => "manifest",
        RecoveredFrom::Nothing => "not recovered",
    }
}

fn problems(table: &RecoveredTable) -> String {
    let problem = |error: &Error| format!("{} ({})", error.message(), facts(error));
    table.problems.iter().map(problem).collect::<Vec<_>>().join("; ")
}
