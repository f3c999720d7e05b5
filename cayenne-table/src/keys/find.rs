//! Finds the positions of rows by their keys.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_select::filter::filter;
use cayenne_deletes::{DeletionVector, Keys, SortedKeys};
use cayenne_format::{DataFile, Error, Result};
use cayenne_storage::task;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::index::{Fresh, is_damage};
use super::pages::Pages;
use crate::state::key_indexes::FileKeys;
use crate::state::key_indexes::{WOULD_WAIT, Waits};
use crate::visibility::rows::RowPositions;
use crate::{Table, View};

/// Up to this many keys are looked up on the thread of the caller, which takes less than a millisecond.
const KEYS_HERE_MAX: u64 = 4096;

/// A data file with its key index.
#[derive(Clone)]
pub(super) struct Indexed {
    pub(super) file: Arc<DataFile>,
    pub(super) keys: FileKeys,
    /// Set if no snapshot has the file yet.
    pub(super) fresh: Option<Fresh>,
}

/// A key index that turned out to be damaged when a page of it was read.
pub(super) struct Unusable {
    file: Arc<DataFile>,
    error: Error,
}

impl Indexed {
    pub(super) fn unusable(&self, error: Error) -> Unusable {
        Unusable { file: Arc::clone(&self.file), error }
    }
}

impl Table {
    /// Returns the positions of the rows with these keys in a view. `keys` has one array for each column of the primary
    /// key, in its order. Keys with a null match no row.
    ///
    /// # Errors
    ///
    /// `Invalid` (code `no-primary-key`) if the table does not detect key conflicts; `Internal` for arrays that are not
    /// of the types of the key; what reading data files and indexes returns.
    pub async fn find(&self, view: &View, keys: &[ArrayRef]) -> Result<RowPositions> {
        if !self.options().finds_conflicts() {
            // An index names one row for each key, but there may be several.
            let error = Error::invalid("the table does not detect key conflicts").code("no-primary-key");
            return Err(error.with("table", self.name()));
        }
        self.find_keys(view, self.codec()?.keys_of(&without_nulls(keys)?)?).await
    }

    /// Returns the positions of the rows with these keys in a view.
    pub(crate) async fn find_keys(&self, view: &View, keys: Keys) -> Result<RowPositions> {
        let probes = Arc::new(SortedKeys::distinct(keys));
        if probes.is_empty() {
            return Ok(RowPositions::default());
        }
        let hits = if probes.len() as u64 <= KEYS_HERE_MAX {
            self.hits(view, self.indexed(view).await?, probes).await?
        } else {
            self.hits_of_each(view, &probes).await?
        };
        self.visible_of(view, &hits).await
    }

    /// Returns the rows that have any of many keys. Data files are searched concurrently, as many at a time as there
    /// are processors.
    async fn hits_of_each(&self, view: &View, probes: &Arc<SortedKeys>) -> Result<RowPositions> {
        let of_file = |file: Arc<DataFile>| async move {
            let indexed = Indexed { keys: self.key_index(view, &file).await?, file, fresh: None };
            self.hits(view, vec![indexed], Arc::clone(probes)).await
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let files: Vec<_> = view.files().cloned().collect();
        let mut found = stream::iter(files).map(of_file).buffer_unordered(processors);
        let mut hits = RowPositions::default();
        while let Some(of_file) = found.try_next().await? {
            hits.merge(of_file);
        }
        Ok(hits)
    }

    async fn hits(&self, view: &View, indexed: Vec<Indexed>, probes: Arc<SortedKeys>) -> Result<RowPositions> {
        self.with_indexes(view, indexed, probes.len() as u64, move |pages, indexed| {
            let mut hits = RowPositions::default();
            for of in indexed {
                let mut positions = Vec::new();
                probe(pages, of, &probes, &mut |_, position| positions.push(position))?;
                hits.add(of.file.id, &DeletionVector::of(positions));
            }
            Ok(hits)
        })
        .await
    }

    /// Returns the positions of rows of one data file that have these keys, hidden or not, except for rows that were
    /// never visible.
    pub(crate) async fn rows_with_keys(
        &self,
        view: &View,
        file: &Arc<DataFile>,
        keys: Arc<SortedKeys>,
    ) -> Result<DeletionVector> {
        let indexed = Indexed { keys: self.key_index(view, file).await?, file: Arc::clone(file), fresh: None };
        let found = self.hits(view, vec![indexed], keys).await?;
        Ok(found.of(file.id).cloned().unwrap_or_default())
    }

    /// Returns the rows that are visible in a view.
    async fn visible_of(&self, view: &View, rows: &RowPositions) -> Result<RowPositions> {
        let mut visible = RowPositions::default();
        for (id, rows) in rows.files() {
            let Some(file) = view.snapshot().file(id) else { continue };
            match self.hidden(view, file).await? {
                None => visible.add(id, rows),
                Some(hidden) => visible.add(id, &rows.without(&hidden)),
            }
        }
        Ok(visible)
    }

    /// Opens the key indexes of all data files of a view.
    pub(super) async fn indexed(&self, view: &View) -> Result<Vec<Indexed>> {
        let mut indexed = Vec::with_capacity(view.files().len());
        for file in view.files() {
            indexed.push(Indexed { keys: self.key_index(view, file).await?, file: Arc::clone(file), fresh: None });
        }
        Ok(indexed)
    }

    /// Runs `work` on the key indexes of data files. `work` looks up `keys` keys and may wait for the disk. An index
    /// that turns out to be damaged is rebuilt from its data file.
    pub(super) async fn with_indexes<T: Send + 'static>(
        &self,
        view: &View,
        mut indexed: Vec<Indexed>,
        keys: u64,
        work: impl Fn(Pages<'_>, &[Indexed]) -> std::result::Result<T, Unusable> + Send + Sync + 'static,
    ) -> Result<T> {
        // Usually everything is in memory, and a lookup there takes less time than handing it to another thread.
        if keys <= KEYS_HERE_MAX {
            let here = Pages { cache: &self.shared.key_indexes, waits: Waits::No };
            match work(here, &indexed) {
                Ok(done) => return Ok(done),
                Err(Unusable { error, .. }) if error.stable_code() != WOULD_WAIT && !is_damage(&error) => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        let work = Arc::new(work);
        loop {
            let (shared, work, given) = (Arc::clone(&self.shared), Arc::clone(&work), indexed);
            let waiting = move || {
                let pages = Pages { cache: &shared.key_indexes, waits: Waits::Yes };
                (work(pages, &given), given)
            };
            let (done, given) = task::blocking(waiting).await?;
            indexed = given;
            let Unusable { file, error } = match done {
                Ok(done) => return Ok(done),
                Err(unusable) => unusable,
            };
            let damaged = indexed.iter_mut().find(|of| of.file.id == file.id && of.keys.is_stored());
            let (Some(damaged), true) = (damaged, is_damage(&error)) else { return Err(error) };
            tracing::warn!(%error, table = %self.name(), file = %file.id, "a key index is made anew in memory");
            damaged.keys = FileKeys::Paged(Arc::new(self.rebuilt_index(view, &file, damaged.fresh.as_ref()).await?));
            self.shared.key_indexes.insert_head(file.id, damaged.keys.clone());
        }
    }
}

/// Calls `hit` for each probe that a data file has a row for, with the place of the probe and the position of the row.
/// It may wait for the disk.
pub(super) fn probe(
    pages: Pages<'_>,
    of: &Indexed,
    probes: &SortedKeys,
    hit: &mut impl FnMut(usize, u64),
) -> std::result::Result<(), Unusable> {
    match &of.keys {
        FileKeys::Small(index) => index.find(probes, 0..probes.len(), hit),
        FileKeys::Paged(stored) => {
            let candidates = stored.index.candidates(probes, 0..probes.len()).map_err(|error| of.unusable(error))?;
            let visited = pages.each(stored, &candidates, |page, keys| page.find(probes, keys, hit));
            visited.map_err(|error| of.unusable(error))?;
        }
    }
    Ok(())
}

/// Leaves out the rows in which a column is null.
fn without_nulls(keys: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    use arrow_array::BooleanArray;
    let Some(first) = keys.first().filter(|_| keys.iter().any(|column| column.logical_null_count() > 0)) else {
        return Ok(keys.to_vec());
    };
    let whole: BooleanArray =
        (0..first.len()).map(|row| Some(keys.iter().all(|column| !is_null(column, row)))).collect();
    let failed = |error| Error::internal("keys cannot be filtered").because(error);
    keys.iter().map(|column| filter(column, &whole).map_err(failed)).collect()
}

fn is_null(column: &ArrayRef, row: usize) -> bool {
    column.logical_nulls().is_some_and(|nulls| nulls.is_null(row))
}
