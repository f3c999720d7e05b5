//! Compares what the metastore says with what is on the disk. It reads and reports; it changes nothing.

use std::fmt;
use std::sync::Arc;

use cayenne_format::{DataFile, Error, Result, TableName};
use cayenne_metastore::TableRecord;

use crate::database::forbids_opening;
use crate::{Database, Table};

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckDepth {
    /// Every live data file is there and has its length.
    Quick,
    /// Every byte of every live data file is what was written.
    Deep,
}

/// Something that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The table.
    pub table: TableName,
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

impl Database {
    /// Looks at every live data file of every table.
    ///
    /// # Errors
    ///
    /// What the metastore returns. Problems with data files are in the report.
    pub async fn check(&self, depth: CheckDepth) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        for record in self.tables().await? {
            report.tables += 1;
            if self.check_marker(&record, &mut report).await {
                self.open_table(record).await?.check(depth, &mut report).await?;
            }
        }
        Ok(report)
    }

    /// Returns whether the table can be opened. If not, the folder is not this table's, and its files say nothing.
    async fn check_marker(&self, record: &TableRecord, report: &mut CheckReport) -> bool {
        let Err(error) = self.shared.storage.check_table_folder(&record.location, record.id).await else { return true };
        let opens = !forbids_opening(&error);
        let remedy = "bring `_table.json` back from a copy of the folder, or use the version that wrote it";
        report.problems.push(Problem { table: record.name.clone(), error, remedy });
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
            if let Err(error) = self.check_file(file, depth).await {
                let remedy = "bring the file back from a copy, or load the table again from its source";
                report.problems.push(Problem { table: self.name().clone(), error, remedy });
            }
        }
        Ok(())
    }

    async fn check_file(&self, file: &Arc<DataFile>, depth: CheckDepth) -> Result<()> {
        self.shared.metastore.load_blocks(self.id(), file.id).await?;
        match depth {
            CheckDepth::Quick => self.check_length(file),
            CheckDepth::Deep => self.shared.storage.verify(&self.record.location, file).await,
        }
    }

    fn check_length(&self, file: &DataFile) -> Result<()> {
        let Some(name) = crate::view::object_name(file) else {
            return Ok(());
        };
        let path = self.shared.storage.path_of(&self.record.location, name);
        let opened = self.shared.fs.open_file(&path).and_then(|opened| opened.len());
        let found =
            opened.map_err(|error| Error::io("data file cannot be opened", error).with("file", path.display()))?;
        if found == file.bytes {
            return Ok(());
        }
        Err(Error::corrupt("data file has another length than the manifest says")
            .code("damaged-file")
            .with("file", path.display())
            .with("expected_bytes", file.bytes)
            .with("found_bytes", found))
    }
}
