//! Compares what the metastore says with what is on the disk. It reads and reports; it changes nothing.

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

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckDepth {
    /// Every live data file is there and has its length.
    Quick,
    /// Every byte of every live data file is what was written.
    Deep,
}

/// What a problem is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// What the metastore says of the table.
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
    /// The latest manifest is of another history than the table.
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

/// Something that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The table.
    pub table: TableName,
    /// What it is with.
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
    /// Looks at what the metastore says of every table, and at every live data file, deletion, staged commit and manifest.
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
            // It was dropped since it was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            checked => checked,
        }
    }

    /// Returns whether the table can be opened. If not, the folder is not this table's, and its files say nothing.
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
            // The view holds on to it, so that nobody has forgotten it.
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

    /// A deletion file hides rows of a live data file that no other hides, and its bytes say so; tombstones can be read.
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

    /// Rows that two deletion files hide would count twice.
    async fn check_that_none_is_twice(&self, view: &PinnedView, file: FileId, report: &mut CheckReport) {
        let Some(file) = view.snapshot().file(file) else { return };
        let mut together = DeletionVector::default();
        for deletion in view.snapshot().deletions_of(file.id) {
            // What cannot be read is told of by itself.
            let Ok(rows) = self.read_deletion(file, deletion).await else { continue };
            if together.intersects(&rows) {
                let error =
                    Error::corrupt("a deletion file hides rows that another one hides").code("damaged-deletion");
                report.note(self.name(), Subject::DeletionFile(deletion.id), error.with("file", deletion.id));
            }
            together.add(&rows);
        }
    }

    /// The files of a staged commit must be whole when somebody publishes it.
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
        // Also one that cannot be used tells of a later moment by its name.
        // A writer elsewhere may have written it after this view was taken.
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
