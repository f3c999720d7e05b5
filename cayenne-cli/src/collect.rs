//! `cayenne collect`: removes orphan files.

use crate::engine::Engine;
use crate::exit::{self, Failure};
use crate::figures::{counted, size};
use crate::listing::Listing;
use crate::terminal::Terminal;

/// Prints one row for each orphan that was removed or would be removed.
pub(crate) async fn run(engine: &Engine, remove: bool, terminal: &mut Terminal) -> Result<u8, Failure> {
    let collected = engine.database.collect(remove).await?;
    let found: Vec<_> = collected.findings(remove).collect();
    Listing::of(&found)
        .text("kind", |found| found.kind.to_owned())
        .text("name", |found| found.name.to_owned())
        .text("outcome", |found| found.outcome.to_owned())
        .print(terminal)?;
    let verb = if remove { "removed" } else { "would remove" };
    let files = counted(collected.files.len() as u64, "file");
    let folders = counted(collected.folders.len() as u64, "folder");
    terminal.note(&format!("{verb} {files} ({}) and {folders}", size(collected.bytes)));
    if !collected.busy.is_empty() {
        let busy = counted(collected.busy.len() as u64, "table");
        terminal.note(&format!("passed over {busy} that another process writes"));
    }
    if !collected.lost.is_empty() {
        let lost = counted(collected.lost.len() as u64, "table");
        terminal
            .note(&format!("kept {lost} that the metastore has lost; see: cayenne recover --from-manifest --dry-run"));
    }
    Ok(exit::OK)
}
