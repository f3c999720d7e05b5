//! A session on a database in its own folder.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_datafusion::{error_of, session, sql};
use cayenne_format::{Error, InlineOptions, TableOptions};
use cayenne_table::{Database, DatabaseSettings};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::{SessionConfig, SessionContext};
use tempfile::TempDir;

pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) database: Arc<Database>,
    pub(crate) ctx: SessionContext,
}

pub(crate) async fn fixture() -> Fixture {
    fixture_with(DatabaseSettings::default()).await
}

/// Returns a session whose tables store all of their rows in data files.
pub(crate) async fn fixture_of_files() -> Fixture {
    let table_options = TableOptions { inline: InlineOptions::OFF, ..TableOptions::default() };
    fixture_with(DatabaseSettings { table_options, ..DatabaseSettings::default() }).await
}

pub(crate) async fn fixture_with(settings: DatabaseSettings) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let (database, ctx) = open_with(folder.path(), settings).await;
    Fixture { folder, database, ctx }
}

pub(crate) async fn open(root: &Path) -> (Arc<Database>, SessionContext) {
    open_with(root, DatabaseSettings::default()).await
}

async fn open_with(root: &Path, settings: DatabaseSettings) -> (Arc<Database>, SessionContext) {
    let mut settings = DatabaseSettings { poll_interval: std::time::Duration::ZERO, has_upkeep: false, ..settings };
    // Tests read earlier snapshots, which by default expire at the first overwrite.
    settings.table_options.retention.count = u64::MAX;
    let database = Database::builder(root).settings(settings).open().await.unwrap();
    let ctx = session(SessionConfig::new().with_target_partitions(2), Arc::default(), &database).unwrap();
    (database, ctx)
}

impl Fixture {
    pub(crate) async fn try_run(&self, text: &str) -> Result<Vec<RecordBatch>, Error> {
        let frame = sql(&self.ctx, text).await.map_err(error_of)?;
        frame.collect().await.map_err(error_of)
    }

    pub(crate) async fn run(&self, text: &str) -> Vec<RecordBatch> {
        self.try_run(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    /// Runs a statement and returns its printed result without the table borders.
    pub(crate) async fn rows(&self, text: &str) -> Vec<String> {
        self.try_rows(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    pub(crate) async fn try_rows(&self, text: &str) -> Result<Vec<String>, Error> {
        let table = pretty_format_batches(&self.try_run(text).await?).unwrap().to_string();
        let lines = table.lines().filter(|line| line.starts_with('|')).skip(1);
        let cells = |line: &str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(",");
        Ok(lines.map(cells).collect())
    }

    pub(crate) async fn fails(&self, text: &str) -> Error {
        match self.try_run(text).await {
            Err(error) => error,
            Ok(_) => panic!("{text} was accepted"),
        }
    }

    pub(crate) async fn plan(&self, text: &str) -> String {
        pretty_format_batches(&self.run(text).await).unwrap().to_string()
    }
}
