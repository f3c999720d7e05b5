//! Check: compares what the metastore says with the files on disk. It reports problems and changes nothing.

use std::fmt;
use std::sync::Arc;

use cayenne_deletes::DeletionVector;
use cayenne_format::{Change, DataFile, DeletionFile, Error, ErrorKind, FileId, Result, Sequence, TableName};
use cayenne_metastore::TableRecord;
use cayenne_storage::StoredManifest;

use crate::handle::database::forbids_opening;
use crate::recovery::manifest::{self, FoundManifest};
use crate::view::current::object_name;
use crate::{Database, PinnedView, Table};

/// How thorough a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckDepth {
    /// Every live data file exists and has its length.
    Quick,
    /// Every byte of every live data file is what was written.
    Deep,
}

/// The part of a table that has a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// The records of the table in the metastore.
    Metastore,
    /// The marker of the folder of the table.
    Marker,
    /// A live data file.
    DataFile(FileId),
    /// A deletion or tombstone file.
    DeletionFile(FileId),
    /// A commit that is durable and not visible yet.
    StagedCommit,
    /// A manifest beside the data.
    Manifest(StoredManifest),
    /// The folder of the manifests, which cannot be listed: something else is in its place.
    ManifestFolder,
    /// The history of the table: the latest manifest is of another one.
    History,
}

impl Subject {
    /// Returns how to mend it.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Metastore => {
                "put the metadata folder back from a copy, or stop all processes and make the metastore anew: cayenne recover --from-manifest"
            }
            Self::Marker => {
                "bring `_table.json` back from a copy of the folder, or have it written again: cayenne repair"
            }
            Self::DataFile(_) => {
                "bring the file back from a copy; or take it out of the table, with its rows: cayenne repair; or load the table again from its source"
            }
            Self::DeletionFile(_) => "load the table again from its source: which rows are hidden is no longer known",
            Self::StagedCommit => {
                "the next writer of the table rejects it by itself; send its rows once more from their source"
            }
            Self::ManifestFolder => "move what is in its place aside, so that manifests can be written: cayenne repair",
            Self::Manifest(_) => "move it aside, so that the next one says everything: cayenne repair",
            Self::History => {
                "if an old copy of the metastore was put in place, stop all processes and put the right one back; the next write goes on from the old one"
            }
        }
    }
}

/// A problem that a check has found.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The table.
    pub table: TableName,
    /// The part of the table that has the problem.
    pub subject: Subject,
    /// What is wrong, and with which file.
    pub error: Error,
    /// How to mend it.
    pub remedy: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}: {}", self.table, self.error)
    }
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// The number of tables looked at.
    pub tables: usize,
    /// The number of data files looked at.
    pub files: usize,
    /// The length of these files, in bytes.
    pub bytes: u64,
    /// The number of rows in these files.
    pub rows: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl CheckReport {
    fn note(&mut self, table: &TableName, subject: Subject, error: Error) {
        self.problems.push(Problem { table: table.clone(), subject, error, remedy: subject.remedy() });
    }
}

impl Database {
    /// Checks the records of every table in the metastore, and every live data file, deletion, staged commit and
    /// manifest.
    ///
    /// # Errors
    ///
    /// What the metastore returns if the tables cannot even be listed. Everything else that is wrong is in the report.
    pub async fn check(&self, depth: CheckDepth) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        for record in self.tables().await? {
            self.check_table(&record, depth, &mut report).await?;
        }
        Ok(report)
    }

    pub(crate) async fn check_table(
        &self,
        record: &TableRecord,
        depth: CheckDepth,
        report: &mut CheckReport,
    ) -> Result<()> {
        report.tables += 1;
        if !self.check_marker(record, report).await {
            return Ok(());
        }
        let checked = match self.open_table(record.clone()).await {
            Ok(table) => table.check(depth, report).await,
            Err(error) => Err(error),
        };
        match checked {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt) => {
                report.note(&record.name, Subject::Metastore, error);
                Ok(())
            }
            // The table was dropped after it was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            checked => checked,
        }
    }

    /// Checks the marker of a table. Returns whether the table can be opened; if not, the files in its folder say
    /// nothing about it.
    async fn check_marker(&self, record: &TableRecord, report: &mut CheckReport) -> bool {
        let Err(error) = self.shared.storage.check_table_folder(&record.location, record.id).await else { return true };
        let opens = !forbids_opening(&error);
        report.note(&record.name, Subject::Marker, error);
        opens
    }
}

impl Table {
    async fn check(&self, depth: CheckDepth, report: &mut CheckReport) -> Result<()> {
        let view = self.view().await?;
        for file in view.files() {
            report.files += 1;
            report.bytes += file.bytes;
            report.rows += file.rows;
            self.check_blocks(file.id).await?;
            if let Err(error) = self.check_file(file, depth).await {
                report.note(self.name(), Subject::DataFile(file.id), error);
            }
        }
        self.check_deletions(&view, report).await;
        // Each of these reads rows of the metastore and verifies them.
        self.log().await?;
        self.shared.metastore.load_sources(self.id()).await?;
        self.check_staged(depth, report).await?;
        self.check_manifests(view.sequence(), report).await
    }

    async fn check_blocks(&self, file: FileId) -> Result<()> {
        let blocks = self.shared.metastore.load_blocks(self.id(), file).await;
        blocks.map(drop).map_err(|error| match error.kind() {
            // The view keeps the file alive, so the metastore cannot have forgotten it.
            ErrorKind::NotFound => {
                Error::corrupt("the block checksums of a data file are missing").with("file", file).because(error)
            }
            _ => error,
        })
    }

    async fn check_file(&self, file: &Arc<DataFile>, depth: CheckDepth) -> Result<()> {
        match depth {
            CheckDepth::Quick => self.check_length(file).await,
            CheckDepth::Deep => self.shared.storage.verify(&self.record.location, file).await,
        }
    }

    async fn check_length(&self, file: &DataFile) -> Result<()> {
        match object_name(file) {
            Some(name) => self.shared.storage.check_length(&self.record.location, name, file.bytes).await,
            None => Ok(()),
        }
    }

    /// Checks that each deletion file can be read, and hides rows of a live data file that no other one hides. Checks
    /// that tombstone files can be read.
    async fn check_deletions(&self, view: &PinnedView, report: &mut CheckReport) {
        for file in view.snapshot().files_with_deletions() {
            self.check_that_none_is_twice(view, file, report).await;
        }
        for deletion in view.snapshot().deletions() {
            if let Err(error) = self.check_deletion(view, deletion).await {
                report.note(self.name(), Subject::DeletionFile(deletion.id), error.with("file", deletion.id));
            }
        }
        for tombstones in view.snapshot().tombstones() {
            if let Err(error) = self.read_tombstones(tombstones).await {
                report.note(self.name(), Subject::DeletionFile(tombstones.id), error.with("file", tombstones.id));
            }
        }
    }

    async fn check_deletion(&self, view: &PinnedView, deletion: &DeletionFile) -> Result<()> {
        let damaged = |message: &'static str| Error::corrupt(message).code("damaged-deletion");
        let Some(file) = view.snapshot().file(deletion.data_file) else {
            return Err(damaged("a deletion file hides rows of a data file that is not there"));
        };
        self.read_deletion(file, deletion).await.map(drop)
    }

    /// Checks that no two deletion files hide the same row, which would count twice.
    async fn check_that_none_is_twice(&self, view: &PinnedView, file: FileId, report: &mut CheckReport) {
        let Some(file) = view.snapshot().file(file) else { return };
        let mut together = DeletionVector::default();
        for deletion in view.snapshot().deletions_of(file.id) {
            // A file that cannot be read is reported separately.
            let Ok(rows) = self.read_deletion(file, deletion).await else { continue };
            if together.intersects(&rows) {
                let error =
                    Error::corrupt("a deletion file hides rows that another one hides").code("damaged-deletion");
                report.note(self.name(), Subject::DeletionFile(deletion.id), error.with("file", deletion.id));
            }
            together.add(&rows);
        }
    }

    /// Checks the files of staged commits: they must be whole when the commits are published.
    async fn check_staged(&self, depth: CheckDepth, report: &mut CheckReport) -> Result<()> {
        for staged in self.shared.metastore.load_staged(self.id()).await? {
            let whole = match staged.commit {
                Ok(commit) => self.check_changes(&commit.changes, depth).await,
                Err(error) => Err(error),
            };
            if let Err(error) = whole {
                report.note(self.name(), Subject::StagedCommit, error.with("commit", staged.id));
            }
        }
        Ok(())
    }

    async fn check_changes(&self, changes: &[Change], depth: CheckDepth) -> Result<()> {
        for change in changes {
            if let Change::AddFile(new) = change {
                self.check_file(&Arc::new(new.file.clone()), depth).await?;
            }
        }
        Ok(())
    }

    async fn check_manifests(&self, latest: Sequence, report: &mut CheckReport) -> Result<()> {
        let found = manifest::latest(&self.shared.storage, &self.record.location, self.id()).await;
        let FoundManifest { manifest: _, damaged, newest } = match found {
            Err(error) if manifest::is_no_folder(&error) => {
                report.note(self.name(), Subject::ManifestFolder, error);
                return Ok(());
            }
            found => found?,
        };
        for damaged in damaged {
            report.note(self.name(), Subject::Manifest(damaged.stored), damaged.error);
        }
        // Even a manifest that cannot be used tells a later sequence by its name. The sequence of the view is not
        // enough: a writer in another process may have written the manifest after the view was taken.
        if newest > latest && newest > self.latest_sequence().await? {
            let error = Error::corrupt("the metastore is older than a manifest that was written from it")
                .code("rolled-back-metastore")
                .with("sequence", latest)
                .with("manifest", newest);
            report.note(self.name(), Subject::History, error);
        }
        Ok(())
    }
}
