//! Repair: takes damaged files out of tables, so that the rest can be used. Nothing is deleted: damaged files are moved
//! aside.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cayenne_format::{ErrorKind, FileId, Location, Operation, Result, path};
use cayenne_metastore::TableRecord;

use crate::handle::database::forbids_opening;
use crate::keys::KeyRule;
use crate::recovery::aside::Aside;
use crate::recovery::check::{CheckDepth, CheckReport, Problem, Subject};
use crate::write::publish::Publication;
use crate::write::replaced::Replaced;
use crate::{Database, Table, task};

/// What a repair did about a problem, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A data file is no longer part of the table, and this many rows in it are lost.
    TakenOut {
        /// The number of rows, hidden ones included.
        rows: u64,
    },
    /// A manifest was moved aside; the next one is whole.
    MovedAside,
    /// The marker was written again.
    WrittenAgain,
    /// It stays as it is: a repair would only make it worse.
    LeftAlone,
}

/// A problem, and what a repair did about it.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// The problem.
    pub problem: Problem,
    /// What was done about it, or would be.
    pub outcome: Outcome,
    /// The path that the damaged file was moved to, if there was one.
    pub aside: Option<PathBuf>,
}

impl Database {
    /// Looks for problems as [`check`](Self::check) does. If `mend` is true, it repairs them; otherwise it returns what
    /// a repair would do.
    ///
    /// Damaged and missing data files are taken out of their table, with the rows in them. Damaged manifests are moved
    /// aside. Markers are written again. Damaged files stay in the folder `aside` of the database, in case something in
    /// them can be saved. A table whose metastore is older than its manifest is left alone: what seems damaged there
    /// may belong to the other history.
    ///
    /// # Errors
    ///
    /// `Unavailable` (code `table-locked`) if another process writes a table with a problem; what the file system and
    /// the metastore return. Repairs that were done before the error stay.
    pub async fn repair(&self, depth: CheckDepth, mend: bool) -> Result<Vec<Repaired>> {
        if mend {
            self.shared.writable()?;
        }
        let mut repaired = Vec::new();
        for record in self.tables().await? {
            let mut report = CheckReport::default();
            self.check_table(&record, depth, &mut report).await?;
            let mend = mend && report.problems.iter().any(|problem| can_be_mended(problem, &report.problems));
            let was_writer = self.open_table(record.clone()).await.is_ok_and(|table| table.is_writer());
            if mend {
                report = self.look_again(&record, depth).await?;
            }
            repaired.extend(self.mend(&record, report.problems, mend).await?);
            if mend {
                self.let_go(&record, was_writer).await;
            }
        }
        Ok(repaired)
    }

    /// Gives up the right to write after a repair, unless this process was the writer before.
    async fn let_go(&self, record: &TableRecord, was_writer: bool) {
        if let (false, Ok(table)) = (was_writer, self.open_table(record.clone()).await) {
            table.write_manifest_or_warn().await;
            table.release().await;
        }
    }

    /// Becomes the writer of a table and checks it again: another writer may just have changed it.
    async fn look_again(&self, record: &TableRecord, depth: CheckDepth) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        // If the table cannot be opened, only its marker can be written again.
        if let Ok(table) = self.open_table(record.clone()).await {
            table.require_latest_writer().await?;
        }
        self.check_table(record, depth, &mut report).await?;
        Ok(report)
    }

    async fn mend(&self, record: &TableRecord, problems: Vec<Problem>, mend: bool) -> Result<Vec<Repaired>> {
        let mut aside = Aside::new(&self.shared);
        let mut repaired = Vec::with_capacity(problems.len());
        let all = problems.clone();
        for problem in problems {
            let (outcome, moved) = match problem.subject {
                _ if !can_be_mended(&problem, &all) => (Outcome::LeftAlone, None),
                Subject::Marker if !forbids_opening(&problem.error) => {
                    let moved = if mend { self.write_marker(record, &mut aside).await? } else { None };
                    (Outcome::WrittenAgain, moved)
                }
                Subject::Manifest(_) | Subject::ManifestFolder => {
                    let name = match problem.subject {
                        Subject::Manifest(stored) => stored.name(),
                        _ => path::MANIFEST_FOLDER.to_owned(),
                    };
                    let at = self.shared.storage.path_of(&record.location, &name);
                    let moved = if mend { self.move_manifest(record, &at, &mut aside).await? } else { None };
                    (Outcome::MovedAside, moved)
                }
                Subject::DataFile(file) => {
                    let table = self.open_table(record.clone()).await?;
                    let rows = table.view.load().snapshot().file(file).map_or(0, |file| file.rows);
                    let moved = if mend { table.take_out(file, &mut aside).await? } else { None };
                    (Outcome::TakenOut { rows }, moved)
                }
                _ => (Outcome::LeftAlone, None),
            };
            if mend && outcome != Outcome::LeftAlone {
                tracing::warn!(problem = %problem, ?outcome, "repaired");
            }
            repaired.push(Repaired { problem, outcome, aside: moved });
        }
        Ok(repaired)
    }

    async fn move_manifest(&self, record: &TableRecord, at: &Path, aside: &mut Aside) -> Result<Option<PathBuf>> {
        let table = self.open_table(record.clone()).await?;
        let moved = aside.take_if_there(at)?;
        // The next close writes the manifest that is missing now.
        table.has_changed.store(true, Ordering::Release);
        Ok(moved)
    }

    async fn write_marker(&self, record: &TableRecord, aside: &mut Aside) -> Result<Option<PathBuf>> {
        let at = self.shared.storage.path_of(&record.location, path::TABLE_MARKER);
        let moved = aside.take_if_there(&at)?;
        self.shared.storage.create_table_folder(&record.location, record.id).await?;
        Ok(moved)
    }
}

/// Returns whether a repair does anything about a problem. It does nothing in a table whose metastore is an old copy.
fn can_be_mended(problem: &Problem, all: &[Problem]) -> bool {
    use Subject::{DataFile, Manifest, ManifestFolder, Marker};
    let is_mendable = match problem.subject {
        ManifestFolder => true,
        // A file that could not be read this time, or is of a newer version, may not be damaged at all.
        Marker | Manifest(_) | DataFile(_) => matches!(problem.error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound),
        _ => false,
    };
    is_mendable && all.iter().all(|problem| problem.subject != Subject::History)
}

impl Table {
    /// Takes a damaged data file out of the table. The file is moved before the commit: if the commit came first and
    /// the process ended in between, `collect` would take the file for an orphan.
    async fn take_out(self: &Arc<Self>, id: FileId, aside: &mut Aside) -> Result<Option<PathBuf>> {
        let view = self.view().await?;
        let Some(file) = view.snapshot().file(id) else { return Ok(None) };
        let at = |name: &str| self.shared.storage.path_of(&self.record.location, name);
        let moved = match &file.location {
            Location::Path(name) => aside.take_if_there(&at(name))?,
            Location::Inline(bytes) => Some(aside.keep(&at(&format!("{id}.inline")), bytes)?),
        };
        let table = Arc::clone(self);
        task::to_the_end(async move {
            let publication = Publication {
                table: &table,
                operation: Operation::Repair,
                replaced: Replaced::Lost(vec![id]),
                files: Vec::new(),
                found: None,
                rule: KeyRule::Unchecked,
                deleted: None,
                source: None,
                id: None,
            };
            table.shared.publish(vec![publication]).await.map(drop)
        })
        .await?;
        Ok(moved)
    }
}
